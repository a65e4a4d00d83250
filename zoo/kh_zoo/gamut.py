"""From CIELAB to sRGB files: colour that a screen can't show loses chroma, never lightness."""

import pyvips

# Keeps the division defined at black and white, where there is no room for any colour.
_LEAST_ROOM = 1e-6
_MOST = 1e12


def lab_to_srgb_pixels(lab: pyvips.Image, sixteen_bit: bool = False) -> pyvips.Image:
    """Convert CIELAB to sRGB pixels, with out-of-gamut colour desaturated at constant lightness.

    In linear light, colour moves on a straight line to the grey of its own luminance Y, by the
    least that brings all three channels into 0..1. Y, and so L, does not change on that line, where
    clipping each channel changes both L and hue. It is a closed form per pixel, so it streams.

    Example:

    >>> import pyvips
    >>> from kh_zoo.gamut import lab_to_srgb_pixels
    >>> lab = (pyvips.Image.black(8, 8) + [50.0, 0.0, 0.0]).cast("float")
    >>> lab_to_srgb_pixels(lab)(0, 0)
    [119.0, 119.0, 119.0]

    Args:
        lab: Image of three float bands: L in 0..100, A and B in CIELAB units.
        sixteen_bit: 16 bits a channel instead of 8.

    Returns:
        An sRGB image of three bands, unsigned, of 8 or 16 bits, computed when it is read.
    """
    xyz = lab.copy(interpretation="lab").colourspace("xyz")
    linear, luminance = xyz.colourspace("scrgb"), xyz[1] / 100
    # The channels that reach furthest up and down decide; one band each is less work than three.
    red, green, blue = linear.bandsplit()
    above = red.maxpair(green).maxpair(blue) - luminance
    below = luminance - red.minpair(green).minpair(blue)
    # 1 where a channel just reaches the border of the gamut, more where it lies beyond.
    excess = above / _at_least(1 - luminance, _LEAST_ROOM)
    worst = excess.maxpair(below / _at_least(luminance, _LEAST_ROOM))
    inside = luminance + (linear - luminance) / _at_least(worst, 1)
    space = "rgb16" if sixteen_bit else "srgb"
    return inside.copy(interpretation="scrgb").colourspace(space)


def _at_least(image: pyvips.Image, least: float) -> pyvips.Image:
    return image.clamp(min=least, max=_MOST)
