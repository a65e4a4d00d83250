"""From CIELAB to sRGB files: colour that a screen can't show loses chroma, never lightness."""

import functools

import numpy as np

from kh_zoo.colors.lab import RGB_FROM_XYZ, encode_srgb

# Keeps the division defined at black and white, where there is no room for any colour.
LEAST_ROOM = np.float32(1e-6)
# Where CIELAB's cube root meets its line, and the slope of the line there.
_BEND = 6 / 29
_SLOPE = 3 * _BEND**2
# What A and B add to the cube roots of X and Z.
_A_SCALE, _B_SCALE = np.float32(1 / 500), np.float32(-1 / 200)
# To linear RGB, less luminance, from the curves of Y, X and Z without their lines, and from what A
# and B add to the cube roots.
_X, _Z = RGB_FROM_XYZ[:, 0], RGB_FROM_XYZ[:, 2]
_FROM_TERMS = np.stack([-_X - _Z, _X, _Z, _SLOPE * _X, _SLOPE * _Z], axis=1).astype(np.float32)


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
    terms = np.empty((5, *lightness.shape), np.float32)
    f, f_x, f_z, a, b = terms
    np.multiply(ab[0], _A_SCALE, out=a)
    np.multiply(ab[1], _B_SCALE, out=b)
    np.add(lightness, np.float32(16), out=f)
    f *= np.float32(1 / 116)
    np.add(f, a, out=f_x)
    np.add(f, b, out=f_z)
    # The inverse of CIELAB's f is the cube, below the bend its tangent: the line through 0 of the
    # tangent's slope, and what is left, which does not change below the bend.
    luminance = f * np.float32(_SLOPE)
    left = np.maximum(terms[:3], np.float32(_BEND), out=terms[:3])
    squares = left * left
    squares -= np.float32(_SLOPE)
    left *= squares
    luminance += f
    np.clip(luminance, 0, 1, out=luminance)
    # Of grey X, Y and Z are alike (divided by those of white): these are the distances from it.
    rgb = (_FROM_TERMS @ terms.reshape(5, -1)).reshape(3, *lightness.shape)
    # The channels that reach furthest up and down decide: 1 where one just reaches the border of
    # the gamut, more where it lies beyond.
    excess = np.maximum(rgb[0], rgb[1], out=f)
    np.maximum(excess, rgb[2], out=excess)
    room = np.subtract(1, luminance, out=f_z)
    excess /= np.maximum(room, LEAST_ROOM, out=room)
    below = np.minimum(rgb[0], rgb[1], out=f_x)
    np.minimum(below, rgb[2], out=below)
    below /= np.minimum(np.negative(luminance, out=room), -LEAST_ROOM, out=room)
    np.maximum(excess, below, out=excess)
    np.maximum(excess, np.float32(1), out=excess)
    # To the nearest of the table's entries, from which the fraction is cut off.
    table, last, kind = _encoded(sixteen_bit)
    rgb *= np.divide(last, excess, out=excess)
    luminance *= last
    luminance += np.float32(0.5)
    rgb += luminance
    entries = np.empty((*lightness.shape, 3), kind)
    for i, channel in enumerate(rgb):
        entries[..., i] = channel
    return np.take(table, entries)


@functools.cache
def _encoded(sixteen_bit: bool) -> tuple[np.ndarray, np.float32, type[np.unsignedinteger]]:
    """sRGB by linear light, in steps so fine that the darkest levels have at least one each.

    Returns:
        The table, the entry of white, and the type of its indices.
    """
    white, kind, last, index = (
        (65535, np.uint16, 2**20 - 1, np.uint32)
        if sixteen_bit
        else (255, np.uint8, 2**16 - 2, np.uint16)
    )
    # One more: of white, rounding may make a little more than that.
    linear = np.minimum(np.arange(last + 2) / last, 1)
    return np.rint(encode_srgb(linear) * white).astype(kind), np.float32(last), index
