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
_PACKETS = (_XMP, _IPTC, _PHOTOSHOP)
_BYTE, _UNDEFINED = 1, 7
# What libvips calls the compressions without loss that are usual for photographs.
_COMPRESSIONS = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits"}
_INVENTED = (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
_PIECE = 2**16


def read(file: BinaryIO, directory: int = 0) -> Metadata:
    """Read the metadata of a TIFF file; what is damaged in them is left out.

    Args:
        file: The file.
        directory: Where the fields of the picture begin, if not at the first ones. Those of the
            first, which is a small copy, count where the picture has none.
    """
    reader = Reader(file)
    directory = directory or reader.first
    raw = reader.entries(directory)
    exif = Exif.from_file(file, directory)
    if directory != reader.first:
        above = Exif.from_file(file).main
        if exif.main.keys() & set(_INVENTED):
            above = {tag: entry for tag, entry in above.items() if tag not in _INVENTED}
        exif.main = {**above, **exif.main}
        first = reader.entries(reader.first)
        raw = {**{tag: first[tag] for tag in _PACKETS if tag in first}, **raw}
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
