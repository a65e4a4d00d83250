"""The header of a JPEG file: what it costs, and what libvips would refuse or not mention."""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal

from kh_zoo.errors import PictureError
from kh_zoo.pictures.headers.header import CREDENTIALS, Header

GAIN_MAP = "its gain map for HDR screens is not kept"
"""The note of a picture that has one."""

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE, _LOSSLESS = (0xC2, 0xC6, 0xCA, 0xCE), (0xC3, 0xC7, 0xCB, 0xCF)
_ARITHMETIC = range(0xC9, 0xD0)
_SCAN, _APP1, _APP2, _APP11 = 0xDA, 0xE1, 0xE2, 0xEB
_LABELS = 100  # bytes in which boxes of JUMBF say what they are
_END = b"\xff\xd9"
_LINES = b"\xff\xdc\0\4"
# Multi-picture format (CIPA DC-007): its index, in the manner of TIFF, and the tag of the entries.
_INDEX, _ENTRIES, _ENTRY = b"MPF\0", 0xB002, 16
_PREVIEW = 1  # the kind of a smaller copy of the picture
_COEFFICIENT = 4  # bytes: two, and libvips keeps those of the small copy while it has a cache
_MOST_SEGMENTS = 1_000_000
_CONVERTED = "save it as a JPEG of 8 bits or a TIFF with ImageMagick 7 or djpeg of libjpeg-turbo 3"
_LS = 0xF7  # begins a frame of JPEG-LS
_CONVERTED_LS = "save it as PNG with FFmpeg, or Pillow with pillow-jpls"
_SEARCHED = 2**20


def read(file: BinaryIO) -> Header:
    """Read the header of a JPEG file."""
    header = Header()
    frame, start, scanned, pixels, pictures = b"", 0, 0, 0, 1
    for kind, at, body in _segments(file):
        if kind in _FRAMES and len(body) >= 6:
            frame, start = bytes([kind]) + body, at
        elif (kind == _APP1 and b"hdrgm:Version" in body) or (
            kind == _APP2 and body.startswith(b"urn:iso:std:iso:ts:21496:-1\0")
        ):
            header.note(GAIN_MAP)
        elif kind == _APP11 and b"c2pa" in body[:_LABELS]:
            header.note(CREDENTIALS)
        elif kind == _APP2 and body.startswith(_INDEX):
            pictures = _pictures(body[len(_INDEX) :])
        elif kind == _SCAN and body:
            scanned, pixels = body[0], at + len(body)
        elif kind == _LS:
            header.rare = f"JPEG-LS: {_CONVERTED_LS}"
    # A gain map is a picture of the index.
    if pictures > 1 and GAIN_MAP not in header.notes:
        header.note(f"first of {pictures} pictures")
    if not frame:
        return header
    kind, bits, height, width, count = struct.unpack(">BBHHB", frame[:7])
    if bits != 8 or kind in _LOSSLESS:
        lossless = "lossless " if kind in _LOSSLESS else ""
        header.rare = f"{lossless}JPEG of {bits} bits a channel: {_CONVERTED}"
    elif kind in _ARITHMETIC:
        header.rare = f"JPEG with arithmetic coding: {_CONVERTED}"
    if not height:
        height = _later_height(file)
        header.patches[start + 1] = struct.pack(">H", height)
    header.width, header.height = width, height
    if kind in _PROGRESSIVE or scanned < count:
        header.memory = _coefficients(frame[7:], count, width, height) * _COEFFICIENT
    header.tail = _missing_end(file, pixels)
    return header


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Kind, position of the body and body of the segments up to the first scan."""
    file.seek(2)
    for _ in range(_MOST_SEGMENTS):
        marker = file.read(1)
        if marker != b"\xff":
            if not marker:
                return
            continue
        while marker == b"\xff":
            marker = file.read(1)
        if not marker or marker == _END[1:]:
            return
        if marker in (b"\0", b"\1") or 0xD0 <= marker[0] <= 0xD8:
            continue
        (length,) = struct.unpack(">H", file.read(2).rjust(2, b"\0"))
        at = file.tell()
        yield marker[0], at, file.read(max(length - 2, 0))
        if marker[0] == _SCAN:
            return
    raise PictureError(f"more than {_MOST_SEGMENTS:,} segments before its pixels (a bomb?)")


def _pictures(index: bytes) -> int:
    """How many pictures a file holds, by its index; smaller copies are none."""
    order: Literal["little", "big"] = "little" if index[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(index[at : at + size], order)

    directory = number(4, 4)
    for at in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if number(at, 2) == _ENTRIES:
            start, length = number(at + 8, 4), number(at + 4, 4)
            entries = range(start, min(start + length, len(index) - _ENTRY + 1), _ENTRY)
            return sum((number(entry, 4) >> 16) & 0xFF != _PREVIEW for entry in entries)
    return 1


def _coefficients(components: bytes, count: int, width: int, height: int) -> int:
    """How many are held of a picture that comes in several scans, each of the whole."""
    factors = [
        divmod(components[3 * i + 1], 16) for i in range(count) if len(components) > 3 * i + 1
    ]
    if not factors or 0 in (
        across := max(h for h, _ in factors),
        down := max(v for _, v in factors),
    ):
        return 0
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return sum(64 * h * v * units for h, v in factors)


def _later_height(file: BinaryIO) -> int:
    """The height of a picture that says it behind its pixels only; 0 if it does not."""
    end = file.seek(0, os.SEEK_END)
    before = b""
    # From behind: it follows the first scan, which mostly is the only one.
    while end > 0:
        begin = max(end - _SEARCHED, 0)
        file.seek(begin)
        piece = file.read(end - begin) + before
        found = piece.rfind(_LINES)
        if found >= 0 and len(piece) >= found + 6:
            return int.from_bytes(piece[found + 4 : found + 6])
        before, end = piece[:6], begin
    return 0


def _missing_end(file: BinaryIO, pixels: int) -> bytes:
    """What a file lacks whose last two bytes, which say that it ends, got lost."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 2, 0))
    last = file.read()
    if last == _END:
        return b""
    # Cameras and editors put further data behind the end.
    file.seek(pixels)
    before = b""
    while piece := file.read(_SEARCHED):
        if _END in before + piece:
            return b""
        before = piece[-1:]
    return b"\xd9" if before == b"\xff" else _END
