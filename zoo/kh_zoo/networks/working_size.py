"""The size that a network sees a picture at."""

import math

MULTIPLE = 16
"""Networks of five blocks halve the size four times before their last features."""
MAX_SQUARES = 16
"""A working copy of a very long strip has at most so many times size * size pixels."""


def working_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Size of the copy on which colour is predicted.

    Example:

    >>> from kh_zoo.networks.working_size import working_size
    >>> working_size(768, 512, 256)
    (384, 256)

    Args:
        width: Width of the picture, in pixels.
        height: Height of the picture, in pixels.
        size: Short side wanted, in pixels.

    Returns:
        Width and height, multiples of 16 in about the proportion of the picture, not larger than it
        (but at least 16), with at most `16 * size * size` pixels.
    """
    most = MAX_SQUARES * size * size
    scale = min(1, size / min(width, height), math.sqrt(most / (width * height)))
    short, long = (_round(side, scale) for side in sorted((width, height)))
    long = min(long, most // short // MULTIPLE * MULTIPLE)
    return (long, short) if width >= height else (short, long)


def _round(side: int, scale: float) -> int:
    nearest = round(side * scale / MULTIPLE)
    return max(1, min(nearest, side // MULTIPLE)) * MULTIPLE
