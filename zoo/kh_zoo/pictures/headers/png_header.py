"""The header of a PNG file: what its numbers mean, and what an interlaced one costs."""

import struct
import zlib
from typing import BinaryIO

from kh_zoo.errors import PictureError
from kh_zoo.pictures.headers.header import CREDENTIALS, Header
from kh_zoo.pictures.metadata import png
from kh_zoo.pictures.signal_color import SRGB, Signal, signal_of

_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_CHUNKS = 100_000  # before the pixels: no encoder writes as many
_TEXTS = (b"zTXt", b"iTXt")
_MOST_TEXT = 2**17
"""Bytes of texts, packed a thousandfold in a bomb: further ones are hidden from libpng, which would
unpack them all."""
_LONGEST = 64  # bytes of a chunk that is looked at
# The exponent that is meant where a file says nothing, and how far others are still the same.
_USUAL, _NEAR = 2.2, 0.05


def read(file: BinaryIO) -> Header:
    """Read the header of a PNG file, whose first bytes are known."""
    header = Header()
    chunks = _chunks(file, header.patches)
    if len(chunks.get(b"IHDR", b"")) != 13:
        return header
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    header.width, header.height = width, height
    if interlaced:
        # Rows of the whole picture, in whole bytes.
        header.memory = width * height * _SAMPLES.get(kind, 4) * max(depth, 8) / 8
    header.signal = _signal(chunks)
    if len(animation := chunks.get(b"acTL", b"")) == 8:
        frames = int.from_bytes(animation[:4])
        if frames > 1:
            header.note(f"its animation of {frames} frames is not kept")
    if b"caBX" in chunks:
        header.note(CREDENTIALS)
    # Also behind the pixels, where libvips does not look.
    header.orientation = png.read(file).exif.orientation
    return header


def _signal(chunks: dict[bytes, bytes]) -> Signal | None:
    """What counts most of what the file says, in the order of the specification."""
    if len(code := chunks.get(b"cICP", b"")) == 4:
        primaries, transfer, matrix, full_range = code
        # Others than full RGB are no PNG that can be shown.
        if (matrix, full_range) == (0, 1) and (signal := signal_of(primaries, transfer, False)):
            return signal
    if b"iCCP" in chunks or b"sRGB" in chunks or len(chunks.get(b"gAMA", b"")) != 4:
        return None
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 100_000
    if not gamma:
        return None
    exponent = 1 / gamma
    if len(chunks.get(b"cHRM", b"")) == 32:
        white_x, white_y, *colors = (x / 100_000 for x in struct.unpack(">8I", chunks[b"cHRM"]))
        signal = Signal((*colors, white_x, white_y), exponent)
        return signal if signal.possible else None
    return None if abs(gamma * _USUAL - 1) <= _NEAR else Signal(SRGB, exponent)


def _chunks(file: BinaryIO, patches: dict[int, bytes]) -> dict[bytes, bytes]:
    """The small chunks before the pixels; a damaged one is none, as for libpng.

    Args:
        file: The file.
        patches: What is to be read in place of the file's own bytes, by position; added to.
    """
    chunks: dict[bytes, bytes] = {}
    texts = 0
    file.seek(8)
    for _ in range(_CHUNKS):
        start = file.read(8)
        if len(start) < 8 or start[4:] == b"IDAT":
            return chunks
        length, kind = struct.unpack(">I4s", start)
        if kind in _TEXTS:
            texts += length
            if texts > _MOST_TEXT:
                patches[file.tell() - 4] = kind[:3] + b"x"  # of no known kind
        if length > _LONGEST:
            chunks.setdefault(kind, b"")
            file.seek(length + 4, 1)
            continue
        body, check = file.read(length), file.read(4)
        if check == struct.pack(">I", zlib.crc32(kind + body)):
            chunks.setdefault(kind, body)
    raise PictureError(f"more than {_CHUNKS:,} chunks before its pixels (a bomb?)")
