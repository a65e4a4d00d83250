"""How much memory the decoding of one picture may take, known from its header."""

import os

from kh_zoo.errors import PictureError, ZooError

SETTING = "KH_MAX_MEMORY"
"""The variable of the environment that allows more or less, in megabytes."""
MAX_MEMORY = 1000
"""Megabytes, by default: a photograph of 40 megapixels in AVIF, of 100 in HEIC."""
# Of a picture that is read in strips: so many rows of its width, each pixel a colour of floats.
_ROWS, _FEWEST_ROWS, _PIXEL = 256, 100, 12


def check_memory(needed: float, width: int, height: int) -> None:
    """Refuse a picture that would take too much.

    Example:

    >>> from kh_zoo.pictures.memory import check_memory
    >>> check_memory(10 * 40e6, 8000, 5000)

    Args:
        needed: Bytes that are held at once while it is decoded, beside strips.
        width: Its width, in pixels.
        height: Its height, in pixels.

    Raises:
        PictureError: That is more than `KH_MAX_MEMORY`.
    """
    most = max_memory()
    strips = width * max(min(height, _ROWS), _FEWEST_ROWS) * _PIXEL
    megabytes = -(-(needed + strips) // 1_000_000)
    if megabytes > most:
        raise PictureError(
            f"{width} x {height} pixels of this kind take about {megabytes:,.0f} MB of memory to "
            f"decode, where at most {most:,} are taken: {SETTING}={megabytes:.0f} allows it"
        )


def max_memory() -> int:
    """Megabytes that the decoding of one picture may take.

    Example:

    >>> from kh_zoo.pictures.memory import max_memory
    >>> max_memory()
    1000

    Raises:
        ZooError: `KH_MAX_MEMORY` is no number.
    """
    text = os.environ.get(SETTING, "") or str(MAX_MEMORY)
    if not text.isdecimal():
        raise ZooError(f"`{SETTING}` should be a number of megabytes. Received: {text!r}")
    return int(text)
