"""The header of an AVIF or HEIF file, ISO/IEC 23008-12: what its decoders don't say or survive."""

import dataclasses
import io
import itertools
import struct
from typing import BinaryIO

from kh_zoo.errors import PictureError
from kh_zoo.pictures.headers.boxes import boxes
from kh_zoo.pictures.headers.coded import Coded, read_av1, read_hevc
from kh_zoo.pictures.headers.header import CREDENTIALS, Header
from kh_zoo.pictures.headers.jpeg_header import GAIN_MAP
from kh_zoo.pictures.signal_color import signal_of

_MOST_META = 2**24
"""Bytes of the box that describes all items: libheif reads it whole."""
_MOST_BOXES = 1000
_MOST_ITEMS = 10_000
_GAIN_MAPS = (b"urn:com:apple:photo:2020:aux:hdrgainmap", b"urn:com:photo:aux:hdrgainmap")
# Bytes a pixel that were measured while a picture is decoded and read.
_AV1, _AV1_DEEP, _HEVC = 24, 29, 10
# By quarter turns to the left, then: not mirrored, upside down, left to right.
_ORIENTATIONS = ((1, 4, 2), (8, 5, 7), (3, 2, 4), (6, 7, 5))
# Of the box that has them (C2PA 2.1, appendix A.5).
_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


@dataclasses.dataclass
class _Item:
    properties: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)
    parts: list[int] = dataclasses.field(default_factory=list)
    """The items that it is put together of, such as the tiles of a grid."""
    premultiplied: bool = False
    offset: int | None = None
    """Where it begins in the file."""

    def of(self, kind: bytes) -> list[bytes]:
        return [body for name, body in self.properties if name == kind]


def read(file: BinaryIO) -> Header:
    """Read the header of an AVIF or HEIF file.

    Raises:
        PictureError: It has what decoders don't survive.
    """
    header = Header()
    content = _meta(file, header)
    if content is None:
        return header  # a film
    meta = dict(boxes(content[4:]))
    try:
        kinds = _kinds(meta.get(b"iinf", b""))
        items = _items(meta, kinds)
        primary = int.from_bytes(meta.get(b"pitm", bytes(4))[4:])
        picture = items.get(primary, _Item())
        parts = (items[part] for part in picture.parts if part in items)
        _describe(header, file, picture, next(parts, picture))
        header.premultiplied = picture.premultiplied
        header.turned = _turned(picture)
        for body in picture.of(b"ispe"):
            header.width, header.height = struct.unpack_from(">II", body, 4)
        # Alpha and others are pictures of their own.
        everything = itertools.islice(items.values(), _MOST_ITEMS)
        header.memory = max((_memory(file, item) for item in everything), default=0)
    except (struct.error, IndexError) as error:
        raise PictureError("damaged or cut short (in the description of its parts)") from error
    if b"tmap" in kinds.values() or any(
        body[4:].startswith(_GAIN_MAPS) for item in items.values() for body in item.of(b"auxC")
    ):
        header.note(GAIN_MAP)
    return header


def _describe(header: Header, file: BinaryIO, picture: _Item, coded: _Item) -> None:
    colors = [*picture.of(b"colr"), *coded.of(b"colr")]
    codes = [body for body in colors if body.startswith(b"nclx")]
    if codes:
        primaries, transfer, _, ranges = struct.unpack_from(">HHHB", codes[0], 4)
        full = bool(ranges & 0x80)
    else:
        _, primaries, transfer, full = _coded(file, coded)
    if not any(body.startswith((b"prof", b"rICC")) for body in colors):
        header.signal = signal_of(primaries, transfer, video=True)
    av1, hevc = coded.of(b"av1C"), coded.of(b"hvcC")
    monochrome = (av1 and av1[0][2] & 0x10) or (hevc and hevc[0][16] & 3 == 0)
    header.limited = bool(monochrome) and not full


def _turned(picture: _Item) -> int:
    quarters = sum(body[0] & 3 for body in picture.of(b"irot")) & 3
    mirrors = picture.of(b"imir")
    return _ORIENTATIONS[quarters][1 + (mirrors[0][0] & 1) if mirrors else 0]


def _coded(file: BinaryIO, item: _Item) -> Coded:
    for body in item.of(b"hvcC"):
        return read_hevc(body)
    for body in item.of(b"av1C"):
        if item.offset is None:
            return read_av1(io.BytesIO(body[4:]))
        file.seek(item.offset)
        return read_av1(file)
    return Coded(full=True)


def _memory(file: BinaryIO, item: _Item) -> float:
    """Bytes for decoding; by the size in the codec's own header, too, which may be another."""
    pixels = max((_product(body[4:12]) for body in item.of(b"ispe")), default=0)
    pixels = max(pixels, _coded(file, item).pixels)
    if item.of(b"hvcC"):
        return pixels * _HEVC
    deep = any(body[2] & 0x40 for body in item.of(b"av1C"))
    return pixels * (_AV1_DEEP if deep else _AV1)


def _product(content: bytes) -> int:
    width, height = struct.unpack(">II", content)
    return int(width * height)


def _meta(file: BinaryIO, header: Header) -> bytes | None:
    """The box that describes all items; None in a film, which has none. Notes what is before it."""
    film = False
    file.seek(0)
    for _ in range(_MOST_BOXES):
        start = file.read(8)
        if len(start) < 8:
            break
        length, kind = struct.unpack(">I4s", start)
        begins = 8
        if length == 1:
            length, begins = int.from_bytes(file.read(8)), 16
        if kind == b"meta":
            if length > _MOST_META:
                raise PictureError(f"{length:,} bytes that describe its parts (a bomb?)")
            return file.read(length - begins if length else _MOST_META)
        film = film or kind == b"moov"
        if length < begins:
            break
        at = file.tell()
        if kind == b"uuid" and file.read(len(_CREDENTIALS)) == _CREDENTIALS:
            header.note(CREDENTIALS)
        file.seek(at + length - begins)
    if not film:
        raise PictureError("damaged or cut short (the description of its parts is missing)")
    return None


def _kinds(content: bytes) -> dict[int, bytes]:
    """The kinds of the items, by number."""
    kinds = {}
    for kind, body in boxes(content[8 if content[:1] > b"\0" else 6 :]):
        if kind != b"infe" or body[:1] < b"\2":
            continue
        wide = body[0] > 2
        # pi-heif ends the process where kinds and names are no text.
        try:
            body[10 if wide else 8 :].decode()
        except UnicodeDecodeError as error:
            raise PictureError(
                "damaged (an item of it has a kind or name that is no text)"
            ) from error
        number = int.from_bytes(body[4 : 8 if wide else 6])
        kinds[number] = body[10 if wide else 8 :][:4]
    return kinds


def _items(meta: dict[bytes, bytes], kinds: dict[int, bytes]) -> dict[int, _Item]:
    items = {number: _Item() for number in kinds}
    described = dict(boxes(meta.get(b"iprp", b"")))
    properties = list(boxes(described.get(b"ipco", b"")))
    for number, indices in _associations(described.get(b"ipma", b"")):
        if number in items:
            items[number].properties = [
                properties[i - 1] for i in indices if 0 < i <= len(properties)
            ]
    references = meta.get(b"iref", b"")
    size = 4 if references[:1] > b"\0" else 2
    for kind, body in boxes(references[4:]):
        number = int.from_bytes(body[:size])
        if kind == b"prem" and number in items:
            items[number].premultiplied = True
        elif kind == b"dimg" and number in items:
            rest = body[size + 2 :]
            items[number].parts = [
                int.from_bytes(rest[at : at + size]) for at in range(0, len(rest), size)
            ]
    for number, offset in _offsets(meta.get(b"iloc", b"")):
        if number in items:
            items[number].offset = offset
    return items


def _associations(content: bytes) -> list[tuple[int, list[int]]]:
    """Of items by number, which properties they have, counted from 1."""
    found = []
    stream = io.BytesIO(content)
    version, _, _, flags = stream.read(4).ljust(4, b"\0")
    for _ in range(int.from_bytes(stream.read(4))):
        head = stream.read(4 if version else 2)
        if not head:
            break
        wide = flags & 1
        entries = [stream.read(1 + wide) for _ in range(int.from_bytes(stream.read(1)))]
        mask = 0x7FFF if wide else 0x7F  # the highest bit says that it is essential
        found.append((int.from_bytes(head), [int.from_bytes(entry) & mask for entry in entries]))
    return found


def _offsets(content: bytes) -> list[tuple[int, int]]:
    """Of items by number, where in the file the first part of each begins."""
    found = []
    stream = io.BytesIO(content)
    version = stream.read(4).ljust(4, b"\0")[0]
    (sizes,) = struct.unpack(">H", stream.read(2).ljust(2, b"\0"))
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    of_number = 2 if version < 2 else 4
    of_index = of_index if version else 0
    for _ in range(int.from_bytes(stream.read(of_number))):
        head = stream.read(of_number)
        if not head:
            break
        method = int.from_bytes(stream.read(2)) & 15 if version else 0
        stream.read(2)
        base = int.from_bytes(stream.read(of_base))
        # Parts may be many, and take no bytes.
        parts = int.from_bytes(stream.read(2))
        following = stream.tell() + parts * (of_index + of_offset + of_length)
        if parts and method == 0:
            stream.read(of_index)
            found.append((int.from_bytes(head), base + int.from_bytes(stream.read(of_offset))))
        stream.seek(following)
    return found
