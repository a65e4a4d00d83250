"""EXIF in AVIF files as it is: libvips would take it apart and lose what it does not know."""

import os
import struct
from typing import BinaryIO

from kh_zoo.pictures.metadata.exif import Exif

_HEAD = 2**16
"""Bytes at the start of a file within which its items are described."""
_PLACES = 0x44, 0x40
"""Bytes of offset and length, of base and index, in the table of places that libheif writes."""


def replace_exif(file: BinaryIO, exif: Exif) -> None:
    """Let the item for EXIF of a file that libvips wrote lead to other EXIF, behind all else.

    Args:
        file: The file, to be read and written; it has EXIF, of any kind.
        exif: EXIF to put in its place.

    Raises:
        ValueError: libvips writes such files in another way than it did.
    """
    head = file.read(_HEAD)
    named, table = head.find(b"Exif\0"), head.find(b"iloc")
    # ISO/IEC 14496-12, 8.11.6 and 8.11.3: the number of the item stands before its kind.
    if min(named, table) < 0 or head[table + 4 : table + 10] != bytes([0, 0, 0, 0, *_PLACES]):
        raise ValueError("an AVIF file that is laid out in an unknown way")
    (number,) = struct.unpack_from(">H", head, named - 4)
    (count,) = struct.unpack_from(">H", head, table + 10)
    # The bytes that stand before EXIF are counted first.
    content = struct.pack(">I", 6) + b"Exif\0\0" + exif.to_bytes()
    for at in range(table + 12, table + 12 + 18 * count, 18):
        if struct.unpack_from(">H", head, at) == (number,):
            end = file.seek(0, os.SEEK_END)
            file.write(struct.pack(">I4s", 8 + len(content), b"mdat") + content)
            file.seek(at + 4)
            file.write(struct.pack(">IHII", end + 8, 1, 0, len(content)))
            return
    raise ValueError("an AVIF file without the place of its EXIF")
