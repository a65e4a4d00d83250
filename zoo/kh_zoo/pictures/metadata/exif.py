"""EXIF: directories of fields, as TIFF has them, copied byte for byte."""

import dataclasses
import io
import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import BinaryIO, NamedTuple, Union

ASCII, SHORT, LONG, RATIONAL, FLOAT, DOUBLE, LONG8 = 2, 3, 4, 5, 11, 12, 16
DOCUMENT_NAME, IMAGE_DESCRIPTION, ORIENTATION = 0x010D, 0x010E, 0x0112
X_RESOLUTION, Y_RESOLUTION = 0x011A, 0x011B
RESOLUTION_UNIT, SOFTWARE, ARTIST, COPYRIGHT = 0x0128, 0x0131, 0x013B, 0x8298
CAMERA, PLACE, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
"""Fields that lead to another directory."""
USER_COMMENT = 0x9286

# Bytes of a value of each type, and those of the numbers in it, whose order may change.
_SIZES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8, 129: 1},
}
_NUMBERS = {5: 4, 10: 4}
# Of the types that a number above 0 may have.
_CODES = {SHORT: "H", LONG: "I", RATIONAL: "II", FLOAT: "f", DOUBLE: "d"}
_TEXTS = (ASCII, 129)
# Texts that some programs write as plain bytes: from the name of the document to the model of the
# camera, the name of the page, software, time, artist, computer, copyright.
_WORDS = {*range(269, 273), 285, SOFTWARE, 306, ARTIST, 316, COPYRIGHT}
_BYTES = (1, 7)
# What of the first directory describes the picture, not how it is stored, besides its texts:
# position and number of the page, rating, titles and keywords of Windows, place on the earth,
# exposure (TIFF/EP), serial number and lens of DNG, titles of Panasonic, time and speed of films.
_DESCRIPTIVE = {
    *(ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, 286, 287, 297, 18246, 18249),
    *(*range(40091, 40096), 33550, 33922, 34264, 34735, 34736, 33434, 33437, 34850, 34855),
    *(37386, 37377, 37378, 37379, 37380, 37381, 37382, 37383, 37384, 37385, 37396, 50736),
    *(CAMERA, PLACE, 33920, 50741, 50898, 50899, 51043, 51044, 51058),
    *_WORDS,
}
# Texts that are of the pixels: names of inks, GDAL's value of none.
_STORAGE = {333, 42113}
_MAKER_NOTE, _COLOR_SPACE, _WIDTH, _HEIGHT, _GAMMA = 0x927C, 0xA001, 0xA002, 0xA003, 0xA500
_SUBJECT_AREA, _SUBJECT_LOCATION = 0x9214, 0xA214
_FOCAL_X, _FOCAL_Y = 0xA20E, 0xA20F
_SRGB = 1
_UNICODE = b"UNICODE\0"
# Fields may all lead to the same bytes: so what they take is bounded, all together.
_MOST = 2**25
# A maker's note counts from the start of EXIF: it stays where it was, unless that is far away.
_NEAR = 2**15


class Entry(NamedTuple):
    """A field: type, number of values, and their bytes."""

    kind: int
    length: int
    content: bytes
    at: int = 0
    """Where the bytes were; 0 within the directory itself."""


Directory = dict[int, Union[Entry, "Directory"]]


class Raw(NamedTuple):
    """A field of a file that stays as it is: type, number and where its values are."""

    kind: int
    length: int
    place: bytes


@dataclasses.dataclass
class Exif:
    """The fields of a picture, by their numbers, in directories.

    Example:

    >>> from kh_zoo.pictures.metadata.exif import ARTIST, Exif
    >>> exif = Exif()
    >>> exif.set_text(ARTIST, "Łukasz")
    >>> Exif.from_bytes(exif.to_bytes()).text(ARTIST)
    'Łukasz'
    """

    order: str = "<"
    """Of the bytes of numbers, as in `struct`."""
    main: Directory = dataclasses.field(default_factory=dict)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Exif":
        """Read EXIF as JPEG, PNG and WebP have it; what is damaged in it is left out."""
        at = content.find(b"Exif\0\0", 0, 10)
        return cls.from_file(io.BytesIO(content[at + 6 if at >= 0 else 0 :]))

    @classmethod
    def from_file(cls, file: BinaryIO, at: int = 0) -> "Exif":
        """Read what describes the picture in a directory of a TIFF or BigTIFF file.

        Args:
            file: The file.
            at: Where the directory is; that of the first one if it is 0.
        """
        reader = Reader(file)
        main = reader.directory(at or reader.first)
        kept = {
            tag: _as_text(entry) if tag in _WORDS else entry
            for tag, entry in main.items()
            if tag in _DESCRIPTIVE
            or (isinstance(entry, Entry) and entry.kind in _TEXTS and tag not in _STORAGE)
        }
        return cls(reader.order, kept)

    @property
    def camera(self) -> Directory:
        """The directory of the camera; an empty one if there is none."""
        found = self.main.get(CAMERA)
        return found if isinstance(found, dict) else {}

    @property
    def orientation(self) -> int | None:
        """As it is in the fields, 1..8; None if they don't say."""
        value = self.numbers(ORIENTATION)[:1]
        return value[0] if value and 1 <= value[0] <= 8 else None

    def text(self, tag: int) -> str | None:
        """A text of the first directory."""
        entry = self.main.get(tag)
        if not isinstance(entry, Entry) or entry.kind not in _TEXTS:
            return None
        return entry.content.split(b"\0")[0].decode(errors="replace")

    def set_text(self, tag: int, text: str) -> None:
        """Set a text of the first directory, as UTF-8, which readers expect and EXIF 3.0 allows."""
        content = text.encode() + b"\0"
        self.main[tag] = Entry(ASCII, len(content), content)

    def set_short(self, tag: int, value: int, directory: Directory | None = None) -> None:
        """Set a whole number, of the first directory or of another one."""
        target = self.main if directory is None else directory
        target[tag] = Entry(SHORT, 1, struct.pack(self.order + "H", value))

    def set_rational(self, tag: int, value: Fraction) -> None:
        """Set a fraction of the first directory."""
        value = value.limit_denominator(max(min(2**20, int(2**31 / value)), 1))
        content = struct.pack(self.order + "II", value.numerator, value.denominator)
        self.main[tag] = Entry(RATIONAL, 1, content)

    def numbers(self, tag: int, directory: Directory | None = None) -> tuple[int, ...]:
        """Whole numbers without a sign; none if there are none."""
        entry = (self.main if directory is None else directory).get(tag)
        if not isinstance(entry, Entry) or entry.kind not in (SHORT, LONG):
            return ()
        code = "H" if entry.kind == SHORT else "I"
        return struct.unpack(f"{self.order}{entry.length}{code}", entry.content)

    def rational(self, tag: int) -> Fraction | None:
        """A number above 0 of the first directory, as a fraction; None if there is none."""
        entry = self.main.get(tag)
        if not isinstance(entry, Entry) or not entry.length or entry.kind not in _CODES:
            return None
        number, *below = struct.unpack_from(self.order + _CODES[entry.kind], entry.content)
        if below == [0] or not 0 < number < math.inf:
            return None
        return Fraction(number) / Fraction(*below or [1])

    def describe(self, width: int, height: int) -> None:
        """Correct what the fields say of the pixels: they are sRGB, of that size."""
        camera = self.camera
        camera.pop(_GAMMA, None)
        for tag, value in ((_COLOR_SPACE, _SRGB), (_WIDTH, width), (_HEIGHT, height)):
            if tag in camera:
                code, kind = ("H", SHORT) if value < 2**16 else ("I", LONG)
                camera[tag] = Entry(kind, 1, struct.pack(self.order + code, value))

    def turn(self, orientation: int, width: int, height: int) -> None:
        """Turn what the fields say of places in the picture.

        Args:
            orientation: Of the pixels in the file, 1..8.
            width: Width in the file, in pixels.
            height: Height in the file, in pixels.
        """
        camera = self.camera
        for tag in (_SUBJECT_AREA, _SUBJECT_LOCATION):
            values = self.numbers(tag, camera)
            if not 2 <= len(values) <= 4:
                continue
            turned = turn_subject(orientation, values, width, height)
            content = struct.pack(f"{self.order}{len(turned)}H", *turned)
            camera[tag] = Entry(SHORT, len(turned), content)
        if orientation >= 5 and _FOCAL_X in camera and _FOCAL_Y in camera:
            camera[_FOCAL_X], camera[_FOCAL_Y] = camera[_FOCAL_Y], camera[_FOCAL_X]

    def in_order(self, order: str) -> "Exif":
        """The same fields with the bytes of numbers in another order."""
        return self if order == self.order else Exif(order, _swapped(self.main, self.order))

    def to_bytes(self) -> bytes:
        """EXIF as other files have it, without what may stand before it there."""
        note = self.camera.get(_MAKER_NOTE)
        layout = Layout(8, self.order)
        if isinstance(note, Entry) and 8 <= note.at <= _NEAR:
            layout.keep(note)
        start = layout.add(self.main)
        magic = b"II*\0" if self.order == "<" else b"MM\0*"
        return magic + struct.pack(self.order + "I", start) + layout.content


class Reader:
    """Reads the directories of a TIFF or BigTIFF file.

    Args:
        file: The file; one that is no TIFF has an empty directory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST
        file.seek(0)
        start = file.read(16).ljust(16, b"\0")
        self.order = ">" if start[:2] == b"MM" else "<"
        magic = start[:4]
        self.big = magic in (b"II+\0", b"MM\0+")
        """Whether it is a BigTIFF file."""
        known = self.big or magic in (b"II*\0", b"MM\0*")
        place = start[8:16] if self.big else start[4:8]
        self.first: int = self._number(place) if known else 0
        """Where the first directory is."""

    def directory(self, at: int, depth: int = 0) -> Directory:
        """Read a directory and those that it leads to, which describe the picture."""
        found: Directory = {}
        for tag, raw in self.entries(at).items():
            if depth < 2 and tag in (CAMERA, PLACE, INTEROPERABILITY):
                if within := self.directory(self._number(raw.place, raw.kind), depth + 1):
                    found[tag] = within
            elif depth or tag in _DESCRIPTIVE or raw.kind in _TEXTS:
                entry = self.value(raw)
                if entry is not None:
                    found[tag] = entry
        return found

    def entries(self, at: int) -> dict[int, Raw]:
        """The fields of a directory as they stand in the file."""
        if not at:
            return {}
        count_size, size = (8, 20) if self.big else (2, 12)
        code = self.order + ("HHQ" if self.big else "HHI")
        head = self._bytes(at, count_size)
        # A directory of a classic file has at most 65535 fields, and so has one that makes sense.
        count = min(self._number(head), 2**16) if len(head) == count_size else 0
        content = self._bytes(at + count_size, count * size)
        found: dict[int, Raw] = {}
        for i in range(0, len(content) - size + 1, size):
            tag, kind, number = struct.unpack_from(code, content, i)
            found.setdefault(tag, Raw(kind, number, content[i + size - (size - 4) // 2 : i + size]))
        return found

    def value(self, raw: Raw) -> Entry | None:
        """The values of a field; None if the file does not have them, or has too many."""
        length = _SIZES.get(raw.kind, 0) * raw.length
        if not 0 < length <= self._left:
            return None
        self._left -= length
        if length <= len(raw.place):
            return Entry(raw.kind, raw.length, raw.place[:length])
        at = self._number(raw.place)
        content = self._bytes(at, length)
        return Entry(raw.kind, raw.length, content, at) if len(content) == length else None

    def _bytes(self, at: int, length: int) -> bytes:
        try:
            self._file.seek(at)
            return self._file.read(length)
        except (OSError, OverflowError, ValueError):  # where no file reaches
            return b""

    def _number(self, content: bytes, kind: int = 0) -> int:
        # In a BigTIFF file, a place may be a number of four bytes, too.
        content = content[:4] if kind in (LONG, 13) else content
        return int.from_bytes(content, "little" if self.order == "<" else "big")


class Layout:
    """Directories and their values, laid out one behind another.

    Args:
        start: Where they will be in the file.
        order: Of the bytes of numbers.
        big: As in BigTIFF files.
    """

    def __init__(self, start: int, order: str, big: bool = False) -> None:
        self._start = self._end = start
        self._order, self._big = order, big
        self._pieces: list[tuple[int, bytes]] = []
        self._kept: Entry | None = None

    @property
    def content(self) -> bytes:
        """All of it, from the start on."""
        content = bytearray(max(at + len(piece) for at, piece in self._pieces) - self._start)
        for at, piece in self._pieces:
            content[at - self._start : at - self._start + len(piece)] = piece
        return bytes(content)

    def keep(self, entry: Entry) -> None:
        """Let the values of a field be where they were."""
        self._kept = entry
        self._pieces.append((entry.at, entry.content))

    def add(self, directory: "Directory | dict[int, Entry | Raw | Directory]") -> int:
        """Add a directory; return where it is."""
        room, code = (8, "HHQ") if self._big else (4, "HHI")
        count = struct.pack(self._order + ("Q" if self._big else "H"), len(directory))
        at = self._place(len(count) + len(directory) * (4 + 2 * room) + room)
        rows = []
        for tag, entry in sorted(directory.items()):
            if isinstance(entry, dict):
                kind = LONG8 if self._big else LONG
                entry = Raw(kind, 1, self._number(self.add(entry)))
            elif isinstance(entry, Entry):
                entry = Raw(entry.kind, entry.length, self._value(entry, room))
            rows.append(struct.pack(self._order + code, tag, *entry[:2]) + entry.place)
        self._pieces.append((at, count + b"".join(rows) + bytes(room)))
        return at

    def _value(self, entry: Entry, room: int) -> bytes:
        if len(entry.content) <= room:
            return entry.content.ljust(room, b"\0")
        if entry is self._kept:
            return self._number(entry.at)
        at = self._place(len(entry.content))
        self._pieces.append((at, entry.content))
        return self._number(at)

    def _place(self, length: int) -> int:
        at = self._end + self._end % 2
        if self._kept:
            behind = self._kept.at + len(self._kept.content)
            if at < behind and at + length > self._kept.at:
                at = behind + behind % 2
        self._end = at + length
        return at

    def _number(self, value: int) -> bytes:
        return struct.pack(self._order + ("Q" if self._big else "I"), value)


def turn_point(
    orientation: int, x: float, y: float, width: float = 1, height: float = 1
) -> tuple[float, float]:
    """Where a point of the pixels in the file is, as they are displayed.

    Example:

    >>> from kh_zoo.pictures.metadata.exif import turn_point
    >>> turn_point(6, 0.25, 0.5)
    (0.5, 0.25)

    Args:
        orientation: EXIF's, 1..8.
        x: From the left, in the file.
        y: From the top, in the file.
        width: What `x` is at the right border.
        height: What `y` is at the lower border.
    """
    x = width - x if orientation in (2, 3, 7, 8) else x
    y = height - y if orientation in (3, 4, 6, 7) else y
    return (y, x) if orientation >= 5 else (x, y)


def turn_subject(orientation: int, values: Sequence[float], width: int, height: int) -> list[int]:
    """Where the subject of a picture is, as it is displayed: a point, a circle or a rectangle.

    Example:

    >>> from kh_zoo.pictures.metadata.exif import turn_subject
    >>> turn_subject(6, (10, 20, 4, 2), width=80, height=48)
    [27, 10, 2, 4]

    Args:
        orientation: EXIF's, 1..8.
        values: Its centre in the file, from the left and from the top, then the diameter, or width
            and height, if there are any, in pixels.
        width: Width in the file, in pixels.
        height: Height in the file, in pixels.
    """
    x, y = turn_point(orientation, values[0], values[1], width - 1, height - 1)
    sides = values[:1:-1] if orientation >= 5 else values[2:]
    return [min(max(round(value), 0), 2**16 - 1) for value in (x, y, *sides)]


def _as_text(entry: "Entry | Directory") -> "Entry | Directory":
    if isinstance(entry, dict) or entry.kind not in _BYTES:
        return entry
    content = entry.content.rstrip(b"\0") + b"\0"
    return Entry(ASCII, len(content), content)


def _swapped(directory: Directory, order: str) -> Directory:
    turned: Directory = {}
    for tag, entry in directory.items():
        if isinstance(entry, dict):
            turned[tag] = _swapped(entry, order)
            continue
        content = entry.content
        size = _NUMBERS.get(entry.kind, _SIZES[entry.kind])
        if tag == USER_COMMENT and content.startswith(_UNICODE):
            # The only text whose bytes follow the order of the numbers.
            content = _UNICODE + _reversed(content[8:], 2)
        turned[tag] = entry._replace(content=_reversed(content, size))
    return turned


def _reversed(content: bytes, size: int) -> bytes:
    """The bytes of each number in the other order."""
    whole = len(content) - len(content) % size
    turned = bytearray(content)
    for i in range(size):
        turned[i:whole:size] = content[size - 1 - i : whole : size]
    return bytes(turned)
