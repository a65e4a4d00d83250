"""Boxes, of which JPEG 2000, AVIF and HEIF files consist: length, kind, body."""

import struct
from collections.abc import Iterator


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes that lie side by side, ISO/IEC 15444-1, annex I, and 14496-12, section 4.

    Example:

    >>> from kh_zoo.pictures.headers.boxes import boxes
    >>> list(boxes(b"\\0\\0\\0\\x0bnameAda\\0\\0\\0\\x09nameB"))
    [(b'name', b'Ada'), (b'name', b'B')]

    Args:
        content: Boxes; it ends before one that is damaged.
    """
    start = 0
    while start + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        header = 8
        if length == 1 and start + 16 <= len(content):
            length, header = struct.unpack_from(">Q", content, start + 8)[0], 16
        length = length or len(content) - start
        if length < header:
            return
        yield kind, content[start + header : start + length]
        start += length
