"""Comments of GIF files."""

import os
from typing import BinaryIO

from kh_zoo.pictures.metadata.metadata import COMMENT, Text

_HEADER = 6  # bytes
_EXTENSION, _COMMENT, _FRAME = b"!", b"\xfe", b","
_MOST_BLOCKS = 100_000
_MOST = 2**20


def read_comments(file: BinaryIO) -> list[Text]:
    """Read the comments that stand before the first frame, or behind all.

    Args:
        file: A GIF file.
    """
    file.seek(_HEADER)
    flags = file.read(7)[4:5]
    _skip_colors(file, flags)
    found = []
    for _ in range(_MOST_BLOCKS):
        kind = file.read(1)
        if kind == _EXTENSION:
            label = file.read(1)
            content = _blocks(file)
            if label == _COMMENT:
                found.append(Text(COMMENT, content.decode(errors="replace")))
        elif kind == _FRAME:
            _skip_colors(file, file.read(9)[8:])
            file.read(1)
            _blocks(file)
        else:
            break
    return found


def _skip_colors(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << ((flags[0] & 7) + 1), os.SEEK_CUR)


def _blocks(file: BinaryIO) -> bytes:
    content = b""
    while (length := file.read(1)) not in (b"", b"\0"):
        block = file.read(length[0])
        content = content + block if len(content) < _MOST else content
    return content
