"""Headers of the kinds of pictures that are decoded whole: WebP, GIF, BMP and JPEG 2000."""

import itertools
import os
import struct
from typing import BinaryIO

from kh_zoo.pictures.headers.header import CREDENTIALS, Header
from kh_zoo.pictures.metadata.webp import chunks

# Bytes a pixel that were measured while a picture is decoded and read.
_WEBP, _GIF, _BMP, _JPEG2000 = 12, 12, 10, 6.5
_CODESTREAM, _SIZE = b"\xff\x4f", b"\xff\x51"
_BOXES = _CHUNKS = 1000
_FRAMES = 100_000


def read_webp(file: BinaryIO) -> Header:
    """Read the header of a WebP file."""
    file.seek(12)
    content = file.read(18)
    kind = content[:4]
    width = height = 0
    if len(content) < 18:
        return Header()
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(content[at : at + 3], "little") for at in (12, 15))
    elif kind == b"VP8L":
        bits = int.from_bytes(content[9:13], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", content[14:18]))
    header = Header(width, height, width * height * _WEBP)
    if any(kind == b"C2PA" for kind, _ in itertools.islice(chunks(file), _CHUNKS)):
        header.note(CREDENTIALS)
    return header


def read_gif(file: BinaryIO) -> Header:
    """Read the sizes in a GIF file: libvips makes room for the largest frame, too."""
    header = Header()
    file.seek(6)
    content = file.read(7).ljust(7, b"\0")
    width, height = struct.unpack_from("<HH", content)
    colors = file.read(_colors(content[4]))
    for _ in range(_FRAMES):
        kind = file.read(1)
        if kind == b"!":
            file.read(1)
        elif kind == b"," and len(frame := file.read(9)) == 9:
            left, top, across, down = struct.unpack_from("<4H", frame)
            own = file.read(_colors(frame[8]))
            if header.frame is None:
                header.frame = (left, top, across, down)
                header.behind = tuple((own or colors)[:3])
            width, height = max(width, left + across), max(height, top + down)
            file.seek(1, os.SEEK_CUR)
        else:
            break
        while length := file.read(1)[:1].strip(b"\0"):
            file.seek(length[0], os.SEEK_CUR)
    header.width, header.height, header.memory = width, height, width * height * _GIF
    return header


def _colors(flags: int) -> int:
    """The bytes of a table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def read_bmp(file: BinaryIO) -> Header:
    """Read the header of a BMP file."""
    file.seek(14)
    content = file.read(12)
    if len(content) < 12:
        return Header()
    old = struct.unpack_from("<I", content)[0] == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", content, 4)
    width, height = abs(width), abs(height)
    return Header(width, height, width * height * _BMP)


def read_jpeg2000(file: BinaryIO) -> Header:
    """Read the header of a JPEG 2000 file."""
    size = jpeg2000_size(file)
    if size is None:
        return Header()
    across, down, left, top = struct.unpack_from(">4I", size, 6)
    # Each component is decoded to 32 bits.
    count = struct.unpack_from(">H", size, 38)[0]
    width, height = max(across - left, 0), max(down - top, 0)
    return Header(width, height, width * height * count * _JPEG2000)


def jpeg2000_size(file: BinaryIO) -> bytes | None:
    """The marker that says the size of a JPEG 2000 picture, ISO/IEC 15444-1, annex A.5.1.

    Args:
        file: The file; left behind the marker, unless there is none.
    """
    file.seek(0)
    if file.read(2) != _CODESTREAM:
        file.seek(0)
        for _ in range(_BOXES):
            start = file.read(8)
            if len(start) < 8:
                return None
            length, kind = struct.unpack(">I4s", start)
            header = 8
            if length == 1:
                length, header = int.from_bytes(file.read(8)), 16
            if kind == b"jp2c":
                file.seek(2, os.SEEK_CUR)
                break
            if length < header:
                return None
            file.seek(length - header, os.SEEK_CUR)
    marker = file.read(4)
    if marker[:2] != _SIZE:
        return None
    size = marker + file.read(int.from_bytes(marker[2:]) - 2)
    return size if len(size) >= 40 else None
