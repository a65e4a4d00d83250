"""IPTC: its records alone, as TIFF has them, and in Photoshop's block, as JPEG and PNG do."""

import struct

HEADER = b"Photoshop 3.0\0"
"""Begins the segments of JPEG that hold Photoshop's resources."""
_SIGNATURE, _IPTC = b"8BIM", 0x0404
_RECORD = b"\x1c"


def records_in(content: bytes) -> bytes:
    """The IPTC records in content of any of these kinds; nothing if there are none.

    Example:

    >>> from kh_zoo.pictures.metadata.photoshop import block_of, records_in
    >>> records_in(block_of(b"\\x1c\\x02\\x5a\\0\\4Rome"))
    b'\\x1c\\x02Z\\x00\\x04Rome'

    Args:
        content: Records, or resources of Photoshop, with or without `HEADER`.
    """
    content = content.removeprefix(HEADER)
    at = 0
    while content[at : at + 4] == _SIGNATURE and at + 8 <= len(content):
        number, name = struct.unpack_from(">HB", content, at + 4)
        at += 6 + (name + 2) // 2 * 2  # the length and the name, in an even number of bytes
        if at + 4 > len(content):
            break
        (length,) = struct.unpack_from(">I", content, at)
        at += 4
        if number == _IPTC:
            content = content[at : at + length]
            break
        at += length + length % 2
    if content[3:4] == _RECORD != content[:1]:
        # Some programs write records to TIFF as if they were numbers, in the other order.
        whole = len(content) - len(content) % 4
        content = b"".join(content[i : i + 4][::-1] for i in range(0, whole, 4))
    return content if content.startswith(_RECORD) else b""


def block_of(records: bytes) -> bytes:
    """Photoshop's resource of IPTC, without a name."""
    length = struct.pack(">I", len(records))
    return _SIGNATURE + struct.pack(">HH", _IPTC, 0) + length + records + bytes(len(records) % 2)
