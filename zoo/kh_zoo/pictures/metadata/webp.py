"""Metadata of WebP files, which stand in chunks behind the pixels."""

import os
import shutil
import struct
from collections.abc import Iterator
from typing import BinaryIO

from kh_zoo.pictures.metadata.exif import Exif
from kh_zoo.pictures.metadata.metadata import Metadata, chosen_resolution

_HEADER = 12  # bytes
_ALPHA, _EXIF, _XMP = 0x10, 0x08, 0x04  # of the flags
_MOST = 2**25
_LOSSLESS = b"VP8L"


def read(file: BinaryIO) -> Metadata:
    """Read the metadata of a WebP file, and whether it is one without loss."""
    found = Metadata()
    for kind, body in chunks(file):
        if kind == b"EXIF" and not found.exif.main:
            found.exif = Exif.from_bytes(body)
        elif kind == b"XMP " and not found.xmp:
            found.xmp = body
        elif kind == _LOSSLESS or (kind == b"ANMF" and body[16:20] == _LOSSLESS):
            found.lossless = True
    found.resolution = chosen_resolution(None, found.exif)
    return found


def write(
    source: BinaryIO, target: BinaryIO, metadata: Metadata, width: int, height: int, alpha: bool
) -> None:
    """Copy a WebP file that has no metadata, with some.

    Args:
        source: The file, from its start.
        target: What is written to.
        metadata: What is added.
        width: Width of the picture, in pixels.
        height: Height of the picture, in pixels.
        alpha: Whether it has alpha.
    """
    source.seek(_HEADER)
    start = source.read(4)
    if start == b"VP8X":  # it is written anew
        source.seek(_HEADER + 18)
    else:
        source.seek(_HEADER)
    flags = _EXIF | (_XMP if metadata.xmp else 0) | (_ALPHA if alpha else 0)
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    target.write(b"RIFF" + bytes(4) + b"WEBP")
    target.write(_chunk(b"VP8X", struct.pack("<I", flags) + sides))
    shutil.copyfileobj(source, target)
    target.write(_chunk(b"EXIF", metadata.exif.to_bytes()))
    if metadata.xmp:
        target.write(_chunk(b"XMP ", metadata.xmp))
    length = target.tell() - 8
    target.seek(4)
    target.write(struct.pack("<I", length))
    target.seek(0, os.SEEK_END)


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a WebP file, in order: kind and body, of those without metadata the start.

    Args:
        file: The file.
    """
    file.seek(_HEADER)
    while len(start := file.read(8)) == 8:
        kind, length = struct.unpack("<4sI", start)
        after = file.tell() + length + length % 2
        if kind in (b"EXIF", b"XMP "):
            yield kind, file.read(min(length, _MOST))
        else:
            yield kind, file.read(min(length, 24))
        file.seek(after)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
