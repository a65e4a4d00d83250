"""IPTC: its records alone, as TIFF has them, and in Photoshop's block, as JPEG and PNG do."""

import struct
from fractions import Fraction

HEADER = b"Photoshop 3.0\0"
"""Begins the segments of JPEG that hold Photoshop's resources."""
RESOLUTION = 0x03ED
"""The number of the resource that has the resolution."""
_SIGNATURE, _IPTC = b"8BIM", 0x0404
_RECORD = b"\x1c"
# Numbers of 16 and 16 bits an inch, whatever the units are that they are shown in.
_RESOLUTION = struct.Struct(">IHHIHH")


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
    content = resource(content, _IPTC) or content
    if content[3:4] == _RECORD != content[:1]:
        # Some programs write records to TIFF as if they were numbers, in the other order.
        whole = len(content) - len(content) % 4
        content = b"".join(content[i : i + 4][::-1] for i in range(0, whole, 4))
    return content if content.startswith(_RECORD) else b""


def resource(content: bytes, wanted: int) -> bytes:
    """One of Photoshop's resources, by its number; nothing if it is not there.

    Example:

    >>> from kh_zoo.pictures.metadata.photoshop import block_of, resource
    >>> resource(block_of(b"records"), 0x0404)
    b'records'

    Args:
        content: Resources, without `HEADER`.
        wanted: The number.
    """
    at = 0
    while content[at : at + 4] == _SIGNATURE and at + 8 <= len(content):
        number, name = struct.unpack_from(">HB", content, at + 4)
        at += 6 + (name + 2) // 2 * 2  # the length and the name, in an even number of bytes
        if at + 4 > len(content):
            break
        (length,) = struct.unpack_from(">I", content, at)
        at += 4
        if number == wanted:
            return content[at : at + length]
        at += length + length % 2
    return b""


def resolution_of(content: bytes) -> tuple[Fraction, Fraction] | None:
    """Pixels an inch, to the right and down, in the resource of the resolution; None for none.

    Example:

    >>> import struct
    >>> from kh_zoo.pictures.metadata.photoshop import resolution_of
    >>> x, y = resolution_of(struct.pack(">IHHIHH", 300 << 16, 1, 2, 150 << 16, 1, 2))
    >>> int(x), int(y)
    (300, 150)

    Args:
        content: The resource.
    """
    if len(content) < _RESOLUTION.size:
        return None
    x, _, _, y, _, _ = _RESOLUTION.unpack_from(content)
    return (Fraction(x, 2**16), Fraction(y, 2**16)) if x and y else None


def block_of(records: bytes) -> bytes:
    """Photoshop's resource of IPTC, without a name."""
    length = struct.pack(">I", len(records))
    return _SIGNATURE + struct.pack(">HH", _IPTC, 0) + length + records + bytes(len(records) % 2)
