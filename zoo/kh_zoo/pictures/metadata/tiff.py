"""Metadata of TIFF and BigTIFF files, which are fields of their first directory."""

import os
import struct
from typing import BinaryIO

from kh_zoo.pictures.metadata.exif import (
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    Directory,
    Entry,
    Exif,
    Layout,
    Raw,
    Reader,
)
from kh_zoo.pictures.metadata.metadata import Metadata, chosen_resolution
from kh_zoo.pictures.metadata.photoshop import records_in

_XMP, _IPTC, _PHOTOSHOP, _COMPRESSION = 700, 33723, 34377, 259
_BYTE, _UNDEFINED = 1, 7
# What libvips calls the compressions without loss that are usual for photographs.
_COMPRESSIONS = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits"}
_INVENTED = (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
_PIECE = 2**16


def read(file: BinaryIO) -> Metadata:
    """Read the metadata of a TIFF file; what is damaged in them is left out."""
    reader = Reader(file)
    raw = reader.entries(reader.first)
    exif = Exif.from_file(file)
    iptc = records_in(_content(reader, raw, _IPTC)) or records_in(_content(reader, raw, _PHOTOSHOP))
    code = raw.get(_COMPRESSION, Raw(0, 0, bytes(2))).place[:2]
    compression = int.from_bytes(code, "little" if reader.order == "<" else "big")
    return Metadata(
        exif=exif,
        xmp=_content(reader, raw, _XMP),
        iptc=iptc,
        resolution=chosen_resolution(None, exif),
        compression=_COMPRESSIONS.get(compression, ""),
    )


def write(file: BinaryIO, metadata: Metadata) -> None:
    """Add metadata to a TIFF file that has one page and none of them.

    A new directory, behind all else in the file, takes the place of the first: it has the fields
    of that one, but for the resolution, which libvips makes up, and those that are added.

    Args:
        file: The file, to be read and written.
        metadata: What is added.
    """
    reader = Reader(file)
    exif = metadata.exif.in_order(reader.order)
    added: Directory = dict(exif.main)
    for tag, kind, content in (
        (_XMP, _BYTE, metadata.xmp),
        (_IPTC, _UNDEFINED, metadata.iptc),
    ):
        if content:
            added[tag] = Entry(kind, len(content), content)
    own = {tag: raw for tag, raw in reader.entries(reader.first).items() if tag not in _INVENTED}
    end = file.seek(0, os.SEEK_END)
    end += file.write(bytes(-end % 8))
    layout = Layout(end, reader.order, reader.big)
    start = layout.add({**added, **own})
    file.write(layout.content)
    file.seek(8 if reader.big else 4)
    file.write(struct.pack(reader.order + ("Q" if reader.big else "I"), start))


def _content(reader: Reader, raw: dict[int, Raw], tag: int) -> bytes:
    entry = reader.value(raw[tag]) if tag in raw else None
    return entry.content if entry else b""
