"""Metadata of JPEG files, which stand in segments before the pixels."""

import shutil
import struct
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

from kh_zoo.pictures.formats import TIFF_STARTS
from kh_zoo.pictures.metadata.exif import (
    ORIENTATION,
    RESOLUTION_UNIT,
    SOFTWARE,
    X_RESOLUTION,
    Y_RESOLUTION,
    Exif,
)
from kh_zoo.pictures.metadata.metadata import (
    CENTIMETRE,
    COMMENT,
    INCH,
    NO_UNIT,
    Metadata,
    Resolution,
    Text,
    chosen_resolution,
    decoded,
)
from kh_zoo.pictures.metadata.photoshop import (
    HEADER,
    RESOLUTION,
    block_of,
    records_in,
    resolution_of,
    resource,
)
from kh_zoo.pictures.metadata.xmp import Xmp

_START = b"\xff\xd8"
_APP0, _APP1, _APP13, _COMMENT = 0xE0, 0xE1, 0xED, 0xFE
_SCAN, _END = 0xDA, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
_JFIF, _EXIF = b"JFIF\0", b"Exif\0\0"
_EXIF_ANY = _EXIF[:-1]  # its last byte is padding, which some programs fill otherwise
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_MAKER_NOTE = 0x927C
# What is left of EXIF that is too long.
_SHORT = (ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, SOFTWARE)
_ROOM = 65533  # bytes in a segment
_MOST = 2**26
"""Bytes in all segments that are read."""
_JFIF_UNITS = {0: NO_UNIT, 1: INCH, 2: CENTIMETRE}
_MOST_IN_JFIF = 2**16 - 1


def read(file: BinaryIO) -> Metadata:
    """Read the metadata of a JPEG file; what is damaged in them is left out."""
    found = Metadata()
    stated = None
    exif = photoshop = b""
    extensions: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
    for kind, body in _segments(file):
        if kind == _APP0 and body.startswith(_JFIF) and len(body) >= 12:
            unit, x, y = struct.unpack_from(">BHH", body, 7)
            if x and y and unit in _JFIF_UNITS:
                stated = Resolution(Fraction(x), Fraction(y), _JFIF_UNITS[unit])
        elif kind == _APP1 and body.startswith(_EXIF_ANY):
            # One that is too long goes on in further segments, without a header of its own.
            if not exif or not body[len(_EXIF) :].startswith(TIFF_STARTS):
                exif += body[len(_EXIF) :]
        elif kind == _APP1 and body.startswith(_XMP) and not found.xmp:
            found.xmp = body.removeprefix(_XMP)
        elif kind == _APP1 and body.startswith(_EXTENSION):
            # A name of 32 characters, the length of all, and where this part stands, in any order.
            rest = body.removeprefix(_EXTENSION)
            name, (_, at) = rest[:32], struct.unpack(">II", rest[32:40].ljust(8, b"\0"))
            extensions[name.decode("latin-1")].setdefault(at, rest[40:])
        elif kind == _APP13 and body.startswith(HEADER):
            photoshop += body.removeprefix(HEADER)
        elif kind == _COMMENT and body.strip(b"\0"):
            found.texts.append(Text(COMMENT, decoded(body.rstrip(b"\0"))))
    found.exif = Exif.from_bytes(exif)
    found.iptc = records_in(photoshop)
    inches = resolution_of(resource(photoshop, RESOLUTION))
    if inches and (stated is None or stated.unit == NO_UNIT):
        stated = Resolution(*inches, INCH)
    if extensions:
        found.xmp = _joined(found.xmp, extensions)
    found.resolution = chosen_resolution(stated, found.exif)
    return found


def write(source: BinaryIO, target: BinaryIO, metadata: Metadata) -> list[str]:
    """Copy a JPEG file that has no metadata, with some.

    Args:
        source: The file, from its start.
        target: What is written to.
        metadata: What is added.

    Returns:
        What there is no room for, in a few words each.
    """
    lost: list[str] = []
    source.read(len(_START))
    target.write(_START)
    unit, x, y = _density(metadata.resolution)
    # Version 1.02, and no thumbnail.
    target.write(_segment(_APP0, _JFIF + struct.pack(">HBHHBB", 0x0102, unit, x, y, 0, 0)))
    exif = _EXIF + metadata.exif.to_bytes()
    if len(exif) > _ROOM and _MAKER_NOTE in metadata.exif.camera:
        lost.append("the maker's notes of the camera (EXIF), too long for JPEG")
        del metadata.exif.camera[_MAKER_NOTE]
        exif = _EXIF + metadata.exif.to_bytes()
    if len(exif) > _ROOM:
        lost.append("EXIF, too long for JPEG")
        fields = metadata.exif.main
        short = {tag: fields[tag] for tag in _SHORT if tag in fields}
        exif = _EXIF + Exif(metadata.exif.order, short).to_bytes()
    target.write(_segment(_APP1, exif))
    if metadata.xmp:
        try:
            for body in _packets(metadata.xmp):
                target.write(_segment(_APP1, body))
        except ValueError:
            lost.append("XMP, damaged and too long for JPEG")
    if metadata.iptc:
        block = block_of(metadata.iptc)
        room = _ROOM - len(HEADER)
        for at in range(0, len(block), room):
            target.write(_segment(_APP13, HEADER + block[at : at + room]))
    for text in metadata.texts:
        content = text.content.encode()
        for at in range(0, len(content), _ROOM):
            target.write(_segment(_COMMENT, content[at : at + _ROOM]))
    shutil.copyfileobj(source, target)
    return lost


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The segments before the pixels."""
    file.seek(len(_START))
    left = _MOST
    while byte := file.read(1):
        if byte != b"\xff":
            continue  # as decoders do
        while byte == b"\xff":
            byte = file.read(1)
        kind = byte[0] if byte else _END
        if kind in (_SCAN, _END):
            return
        if kind in _ALONE or kind == 0:
            continue
        length = int.from_bytes(file.read(2)) - 2
        if length < 0:
            return
        if kind in (_APP0, _APP1, _APP13, _COMMENT) and length <= left:
            left -= length
            yield kind, file.read(length)
        else:
            file.seek(length, 1)


def _joined(packet: bytes, extensions: dict[str, dict[int, bytes]]) -> bytes:
    try:
        xmp = Xmp(packet)
        name = xmp.extended
        if name in extensions:
            content = bytearray()
            for at, part in sorted(extensions[name].items()):
                if at == len(content):
                    content += part
            xmp.join(bytes(content))
            return xmp.to_bytes()
    except ValueError:
        pass
    return packet


def _packets(packet: bytes) -> Iterator[bytes]:
    """XMP as segments: in one, or in one and its extension."""
    room = _ROOM - len(_XMP)
    if len(packet) <= room:
        yield _XMP + packet
        return
    first, name, second = Xmp(packet).split(room)
    yield _XMP + first
    start = _EXTENSION + name.encode()
    part = _ROOM - len(start) - 8
    for at in range(0, len(second), part):
        place = struct.pack(">II", len(second), at)
        yield start + place + second[at : at + part]


def _density(resolution: Resolution | None) -> tuple[int, int, int]:
    """Unit, x and y of JFIF, in whole numbers."""
    if resolution is None:
        return 0, 1, 1
    unit = {NO_UNIT: 0, INCH: 1, CENTIMETRE: 2}[resolution.unit]
    x, y = resolution.x, resolution.y
    if not unit:  # the shape of a pixel: its exact ratio, where that fits
        ratio = (x / y).limit_denominator(1000)
        x, y = Fraction(ratio.numerator), Fraction(ratio.denominator)
    whole = round(x), round(y)
    fits = all(1 <= value <= _MOST_IN_JFIF for value in whole)
    return (unit, *whole) if fits else (0, 1, 1)


def _segment(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body
