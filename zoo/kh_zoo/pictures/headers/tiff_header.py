"""The directories of a TIFF file: which of them is the picture, and what libvips leaves out.

TIFF 6.0 and its supplements, BigTIFF, and the fields that DNG added.
"""

import os
import struct
from typing import BinaryIO, NamedTuple

from kh_zoo.errors import PictureError
from kh_zoo.pictures.headers.header import CREDENTIALS, Header

NOT_ALPHA = "its further channel is no alpha, such as infrared of a scanner: not used"
"""The note of a picture that has one."""

_SUBFILE, _OLD_SUBFILE = 254, 255
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _PLANES, _TILE_WIDTH = 273, 274, 277, 278, 284, 322
_TILE_HEIGHT, _DIRECTORIES, _EXTRA, _FORMAT, _SUBSAMPLING = 323, 330, 338, 339, 530
_CREDENTIALS = 52545
_WANTED = {
    *(
        _SUBFILE,
        _OLD_SUBFILE,
        _WIDTH,
        _HEIGHT,
        _BITS,
        _COMPRESSION,
        _PHOTOMETRIC,
        _STRIPS,
        _ORIENTATION,
    ),
    *(_SAMPLES, _ROWS, _PLANES, _TILE_WIDTH, _TILE_HEIGHT, _DIRECTORIES, _EXTRA, _FORMAT),
    *(_SUBSAMPLING, _CREDENTIALS),
}
# Bytes and code of `struct` of the types of whole numbers.
_TYPES = {
    **{1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 6: (1, "b"), 7: (1, "B"), 8: (2, "h")},
    **{9: (4, "i"), 13: (4, "I"), 16: (8, "Q"), 17: (8, "q"), 18: (8, "Q")},
}
_MOST_VALUES = 32
# Fields without which the pixels are the same: libtiff refuses the file where their value is not
# one of these, or of numbers (the limits of samples, the resolution) where the type is not.
_USUAL_VALUES = {266: (1, 2), _ORIENTATION: tuple(range(1, 9)), 296: (1, 2, 3), 334: ()}
_USUAL_TYPES = {280: (3,), 281: (3,), 282: (3, 4, 5), 283: (3, 4, 5), 340: (), 341: ()}
_KNOWN_TYPES = {*range(1, 14), 16, 17, 18}
_MOST_ENTRIES = 1_000_000
"""Of all directories: libtiff reads them all to count the pages."""
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2  # of SubfileType
_WHITE_IS_ZERO, _RGB, _YCBCR, _CIELAB, _ICCLAB = 0, 2, 6, 8, 9
_PALETTE = 3
_RAW = (32803, 34892)  # of a sensor's filters, or linear
_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3}
_FLOAT = 3
_WHOLE = (1, 4)  # numbers without a sign, or of which nothing is known, which are taken for such
_ALPHA = (1, 2)  # premultiplied, which libvips undoes, or not
_JPEG = (6, 7)
# Compressions that not every libtiff decodes.
_RARE = {
    **{33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000"},
    **{34887: "LERC", 34892: "lossy JPEG of DNG", 34925: "LZMA", 50000: "ZSTD", 50001: "WebP"},
    **{50002: "JPEG XL", 52546: "JPEG XL", 6: "the JPEG of TIFF before 1995"},
}
_CONVERTED = "save it as plain TIFF with ImageMagick, GDAL, or tifffile with imagecodecs"
# So much is held of a piece, a strip or tile, times its own size.
_PIECES = 3.5
_YCBCR_BYTES = 14  # a pixel, read whole by Pillow


class _Directory(NamedTuple):
    fields: dict[int, tuple[int, ...]]
    as_rgb: tuple[int, bytes]
    """Position and bytes of PhotometricInterpretation, were it RGB."""
    next: int
    at: int
    """Where it begins in the file."""

    def first(self, tag: int, otherwise: int) -> int:
        return (self.fields.get(tag) or (otherwise,))[0]

    @property
    def area(self) -> int:
        return self.first(_WIDTH, 0) * self.first(_HEIGHT, 0)

    @property
    def mask(self) -> bool:
        return bool(self.first(_SUBFILE, 0) & _MASK)

    @property
    def whole(self) -> bool:
        reduced = self.first(_SUBFILE, 0) & _REDUCED
        return not (self.mask or reduced or self.first(_OLD_SUBFILE, 0) == _OLD_REDUCED)


def read(file: BinaryIO) -> Header:
    """Read the directories of a TIFF file.

    Raises:
        PictureError: They are endless, or the full picture is raw data of a sensor.
    """
    reader = _Reader(file)
    pages = reader.chain()
    if not pages:
        return Header()  # cut short, which libvips says
    within = reader.chosen(pages[0].fields.get(_DIRECTORIES, ()))
    header = Header(patches=reader.patches)
    picture = pages[0]
    if larger := [x for x in within if x.whole and (not picture.whole or x.area > picture.area)]:
        picture = max(larger, key=lambda directory: directory.area)
        header.options["subifd"] = within.index(picture)
    elif not picture.whole:
        # Where all are said to be reduced copies, the largest is what there is.
        others = [page for page in pages if page.whole]
        copies = [page for page in (*pages, *within) if not page.mask] or pages
        picture = others[0] if others else max(copies, key=lambda page: page.area)
        if picture in within:
            header.options["subifd"] = within.index(picture)
        elif picture is not pages[0]:
            header.options["page"] = pages.index(picture)
    header.pages = max(sum(page.whole for page in pages), 1)
    header.directory = picture.at
    if picture is not pages[0] and _ORIENTATION not in picture.fields:
        header.orientation = pages[0].first(_ORIENTATION, 1)
    if _CREDENTIALS in pages[0].fields:
        header.note(CREDENTIALS)
    _describe(header, picture)
    return header


def _describe(header: Header, picture: _Directory) -> None:
    kind = picture.first(_PHOTOMETRIC, 1)
    if kind in _RAW:
        raise PictureError(
            "raw data of a camera's sensor, and nothing but a small preview of them: develop it "
            "with darktable, RawTherapee or the maker's program, and save it as TIFF"
        )
    bits = set(picture.fields.get(_BITS) or (1,))
    samples = picture.first(_SAMPLES, 1)
    colors = min(_COLORS.get(kind, samples), samples)
    compression = picture.first(_COMPRESSION, 1)
    numbers = picture.first(_FORMAT, 1)
    if compression in _RARE:
        header.rare = f"TIFF compressed by {_RARE[compression]}: {_CONVERTED}"
    elif bits - {1, 2, 4, 8, 16, 32} or len(bits) > 1:
        depth = "/".join(str(x) for x in sorted(bits))
        header.rare = f"TIFF of {depth} bits a channel: {_CONVERTED}"
    elif _PHOTOMETRIC not in picture.fields and _STRIPS in picture.fields:
        header.rare = (
            "TIFF that does not say what its numbers mean (PhotometricInterpretation is missing): "
            f"{_CONVERTED}"
        )
    apart = picture.first(_PLANES, 1) == 2 and samples > 1
    if _TILE_WIDTH in picture.fields:
        # libvips makes tiles that it can't read black, and warns.
        header.options["fail_on"] = "warning"
    if apart and numbers == _FLOAT and bits == {16}:
        raise PictureError(f"TIFF of 16-bit floats with each channel apart: {_CONVERTED}")
    if apart and _TILE_WIDTH in picture.fields:
        header.rare = f"TIFF of tiles with each channel apart: {_CONVERTED}"
    if apart and kind == _PALETTE:
        raise PictureError(f"TIFF of a palette with each channel apart: {_CONVERTED}")
    gray = kind in (0, 1)
    if gray and apart:
        # libvips mixes the rows of such channels up, unless it takes them for RGB.
        header.patches.update([picture.as_rgb])
    header.white_is_zero = kind == _WHITE_IS_ZERO and (numbers not in _WHOLE or apart)
    header.gray = gray and (samples > 2 or apart)
    if samples > colors:
        extra = picture.fields.get(_EXTRA)
        # Without the field, most take what follows for alpha, as libtiff and Pillow do.
        alphas = [at for at, use in enumerate(extra or _ALPHA) if use in _ALPHA]
        header.alpha = alphas[0] if alphas else None
        if not alphas:
            header.note(NOT_ALPHA)
    if kind in (_CIELAB, _ICCLAB) and bits in ({8}, {16}) and samples >= 3:
        header.lab = "cielab" if kind == _CIELAB else "icclab"
        header.patches.update([picture.as_rgb])
    if kind == _YCBCR and compression not in _JPEG:
        header.by_pillow = True
        if picture.fields.get(_SUBSAMPLING) != (1, 1):
            raise PictureError(
                "YCbCr with fewer pixels of colour, which can't be decoded here: save it as RGB"
            )
    _count_memory(header, picture, max(bits), samples)


def _count_memory(header: Header, picture: _Directory, bits: int, samples: int) -> None:
    header.width = width = picture.first(_WIDTH, 0)
    header.height = height = picture.first(_HEIGHT, 0)
    if header.by_pillow:
        header.memory = width * height * _YCBCR_BYTES
    elif _TILE_WIDTH in picture.fields:
        across = picture.first(_TILE_WIDTH, 1)
        row = -(-width // max(across, 1)) * across * picture.first(_TILE_HEIGHT, 0)
        header.memory = row * samples * bits / 8 * _PIECES
    elif picture.first(_PLANES, 1) == 2 or picture.first(_COMPRESSION, 1) in _JPEG:
        rows = min(picture.first(_ROWS, height), height)
        header.memory = width * rows * samples * bits / 8 * _PIECES


class _Reader:
    """Reads directories, of which there may be too many, or that come back to themselves."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        start = file.read(16).ljust(16, b"\0")
        self._order = "<" if start[:2] == b"II" else ">"
        self._big = start[2:4] in (b"+\0", b"\0+")
        self._first = (
            self._numbers("Q", start[8:16]) if self._big else self._numbers("I", start[4:8])
        )
        self._end = file.seek(0, os.SEEK_END)
        self._entries = 0
        self.patches: dict[int, bytes] = {}
        """What hides fields that libtiff would refuse the file for."""

    def chain(self) -> list[_Directory]:
        """The pages."""
        found: list[_Directory] = []
        at, seen = self._first[0], set()
        while at and at not in seen:
            seen.add(at)
            directory = self._directory(at)
            if directory is None:
                break
            found.append(directory)
            at = directory.next
        return found

    def chosen(self, starts: tuple[int, ...]) -> list[_Directory]:
        """The directories at some positions; where one can't be read, those before it."""
        found: list[_Directory] = []
        for start in starts:
            directory = self._directory(start)
            if directory is None:
                break
            found.append(directory)
        return found

    def _directory(self, at: int) -> _Directory | None:
        count_size, entry_size, next_code = (8, 20, "Q") if self._big else (2, 12, "I")
        self._file.seek(at)
        head = self._file.read(count_size)
        if len(head) < count_size:
            return None
        (count,) = self._numbers("Q" if self._big else "H", head)
        self._entries += count
        if self._entries > _MOST_ENTRIES:
            raise PictureError(
                f"its directories have more than {_MOST_ENTRIES:,} entries (a decompression bomb?)"
            )
        content = self._file.read(count * entry_size)
        following = self._file.read(struct.calcsize(next_code))
        fields, as_rgb = {}, (0, b"")
        for i in range(len(content) // entry_size):
            entry = content[i * entry_size : (i + 1) * entry_size]
            (tag,) = self._numbers("H", entry[:2])
            if tag in _WANTED and tag not in fields:
                fields[tag] = self._values(entry)
            if i and self._refused(tag, entry):
                # As one that is there twice, which libtiff does not look at.
                self.patches[at + count_size + i * entry_size] = content[:entry_size]
            if tag == _PHOTOMETRIC:
                value = struct.pack(self._order + "H", _RGB)
                as_rgb = (at + count_size + i * entry_size + (12 if self._big else 8), value)
        complete = len(following) == struct.calcsize(next_code)
        follows = self._numbers(next_code, following)[0] if complete else 0
        return _Directory(fields, as_rgb, follows, at)

    def _refused(self, tag: int, entry: bytes) -> bool:
        (kind,) = self._numbers("H", entry[2:4])
        if tag in _USUAL_VALUES:
            values = self._values(entry)
            return len(values) == 1 and values[0] not in _USUAL_VALUES[tag]
        return kind not in _USUAL_TYPES.get(tag, _KNOWN_TYPES)

    def _values(self, entry: bytes) -> tuple[int, ...]:
        kind, count = self._numbers("HQ" if self._big else "HI", entry[2 : 12 if self._big else 8])
        value = entry[12:] if self._big else entry[8:]
        size, code = _TYPES.get(kind, (0, ""))
        count = min(count, _MOST_VALUES)
        if not size or not count:
            return ()
        if size * count > len(value):
            self._file.seek(*self._numbers("Q" if self._big else "I", value))
            value = self._file.read(size * count)
        count = min(count, len(value) // size)
        return self._numbers(f"{count}{code}", value[: count * size])

    def _numbers(self, code: str, content: bytes) -> tuple[int, ...]:
        return struct.unpack(self._order + code, content)
