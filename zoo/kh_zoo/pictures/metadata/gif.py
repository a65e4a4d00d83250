"""Comments and XMP of GIF files, which stand in extensions."""

import os
from typing import BinaryIO

from kh_zoo.pictures.metadata.metadata import COMMENT, Metadata, Text, decoded

_HEADER = 6  # bytes
_EXTENSION, _COMMENT, _APPLICATION, _FRAME = b"!", b"\xfe", b"\xff", b","
_MOST_BLOCKS = 100_000
_MOST = 2**24
_XMP, _XMP_END = b"XMP DataXMP", b"\1\xff\xfe\xfd"


def read(file: BinaryIO, found: Metadata) -> None:
    """Add the comments and XMP, which stand before the first frame, or behind all.

    Args:
        file: A GIF file.
        found: What they are added to.
    """
    file.seek(_HEADER)
    flags = file.read(7)[4:5]
    _skip_colors(file, flags)
    for _ in range(_MOST_BLOCKS):
        kind = file.read(1)
        if kind == _EXTENSION:
            label = file.read(1)
            content = _blocks(file)
            if label == _COMMENT:
                found.texts.append(Text(COMMENT, decoded(b"".join(content))))
            elif label == _APPLICATION and content[:1] == [_XMP]:
                # Not in blocks: their lengths are bytes of it, up to those that lead to its end.
                packet = b"".join(bytes([len(block)]) + block for block in content[1:])
                found.xmp = found.xmp or packet[: packet.find(_XMP_END)]
        elif kind == _FRAME:
            _skip_colors(file, file.read(9)[8:])
            file.read(1)
            _blocks(file)
        else:
            break


def _skip_colors(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << ((flags[0] & 7) + 1), os.SEEK_CUR)


def _blocks(file: BinaryIO) -> list[bytes]:
    blocks: list[bytes] = []
    room = _MOST
    while (length := file.read(1)) not in (b"", b"\0"):
        block = file.read(length[0])
        room -= len(block)
        if room >= 0:
            blocks.append(block)
    return blocks
