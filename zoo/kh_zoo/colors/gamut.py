"""From CIELAB to sRGB files: colour that a screen can't show loses chroma, never lightness."""

import functools

import numpy as np

from kh_zoo.colors.lab import RGB_FROM_XYZ, encode_srgb

# Keeps the division defined at black and white, where there is no room for any colour.
LEAST_ROOM = np.float32(1e-6)
# Where CIELAB's cube root meets its line, the slope of the line there, and what it has too much.
_BEND = np.float32(6 / 29)
_SLOPE = np.float32(3 * (6 / 29) ** 2)
_BEND_LUMINANCE = _BEND * _SLOPE
# What A and B add to the cube roots of X and Z.
_AB_SCALES = (np.float32(1 / 500), np.float32(-1 / 200))
# Added to linear light, so that the bits of a float number even its darkest levels finely.
_BIAS = np.float32(2**-8)


def lab_to_srgb_pixels(
    lightness: np.ndarray, ab: np.ndarray, sixteen_bit: bool = False
) -> np.ndarray:
    """Convert CIELAB to sRGB pixels, with out-of-gamut colour desaturated at constant lightness.

    In linear light, colour moves on a straight line to the grey of its own luminance Y, by the
    least that brings all three channels into 0..1. Y, and so L, does not change on that line, where
    clipping each channel changes both L and hue.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.colors.gamut import lab_to_srgb_pixels
    >>> lightness = np.full((8, 8), 50.0, "float32")
    >>> lab_to_srgb_pixels(lightness, np.zeros((2, 8, 8), "float32"))[0, 0].tolist()
    [119, 119, 119]

    Args:
        lightness: L, float32 `(rows, width)`, in 0..100.
        ab: A and B, float32 `(2, rows, width)`, in CIELAB units.
        sixteen_bit: 16 bits a channel instead of 8.

    Returns:
        sRGB, `(rows, width, 3)`, uint8 or uint16.
    """
    # In place where it can be: most of the time goes into fetching and storing.
    f = lightness + np.float32(16)
    f *= np.float32(1 / 116)
    luminance = _from_cube_root(f)
    x, z = (_from_cube_root(f + ab[i] * scale) for i, scale in enumerate(_AB_SCALES))
    x -= luminance
    z -= luminance
    luminance -= _BEND_LUMINANCE
    # Of grey X, Y and Z are alike (divided by those of white): these are the distances from it.
    red, green, blue = (row[0] * x + row[2] * z for row in RGB_FROM_XYZ.astype(np.float32))
    # The channels that reach furthest up and down decide: 1 where one just reaches the border of
    # the gamut, more where it lies beyond.
    excess = np.maximum(red, green, out=x)
    np.maximum(excess, blue, out=excess)
    room = np.subtract(1, luminance, out=f)
    excess /= np.maximum(room, LEAST_ROOM, out=room)
    below = np.minimum(red, green, out=z)
    np.minimum(below, blue, out=below)
    below /= np.minimum(-luminance, -LEAST_ROOM, out=room)
    np.maximum(excess, below, out=excess)
    shrink = np.divide(1, np.maximum(excess, np.float32(1), out=excess), out=excess)
    luminance += _BIAS
    table, shift, first = _encoded(sixteen_bit)
    pixels = np.empty((*lightness.shape, 3), table.dtype)
    for i, channel in enumerate((red, green, blue)):
        channel *= shrink
        channel += luminance
        level = np.right_shift(channel.view(np.int32), shift)
        level -= first
        pixels[..., i] = np.take(table, level, mode="clip")
    return pixels


def _from_cube_root(f: np.ndarray) -> np.ndarray:
    """The inverse of CIELAB's f, plus `_BEND_LUMINANCE`: the cube, below the bend its tangent."""
    line: np.ndarray = np.minimum(f, _BEND)
    line *= _SLOPE
    f = np.maximum(f, _BEND)
    cube = f * f
    cube *= f
    line += cube
    return line


@functools.cache
def _encoded(sixteen_bit: bool) -> tuple[np.ndarray, int, np.int32]:
    """sRGB of linear light plus `_BIAS`, by the leading bits of its float.

    Returns:
        The table, the bits that are left out, and the leading bits of its first entry.
    """
    white, kind, shift = (65535, np.uint16, 8) if sixteen_bit else (255, np.uint8, 11)
    first, last = (int(np.float32(x).view(np.int32)) >> shift for x in (_BIAS, 1 + _BIAS))
    # The middle of all floats with these bits.
    levels = (np.arange(first, last + 1, dtype=np.int32) << shift) + (1 << shift >> 1)
    linear = np.clip(levels.view(np.float32).astype(np.float64) - _BIAS, 0, 1)
    return np.asarray(np.rint(encode_srgb(linear) * white), kind), shift, np.int32(first)
