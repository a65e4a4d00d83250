"""sRGB and CIELAB (D65, 2 degree observer) in NumPy, on the last axis."""

import numpy as np

# IEC 61966-2-1; each row is normalised by the white point that CIELAB divides by.
XYZ_FROM_RGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])
RGB_FROM_XYZ = np.linalg.inv(XYZ_FROM_RGB)


def srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB to CIELAB.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.colors.lab import srgb_to_lab
    >>> np.round(srgb_to_lab(np.array([[255.0, 0.0, 0.0]]) / 255)).tolist()
    [[53.0, 80.0, 67.0]]

    Args:
        rgb: Array `(..., 3)`, gamma-encoded sRGB in 0..1.

    Returns:
        float64 array `(..., 3)`: L in 0..100, A and B in about -128..127.

    Reference:
        - IEC 61966-2-1 (sRGB); CIE 15:2004, section 8.2.1 (CIELAB).
    """
    xyz = decode_srgb(np.asarray(rgb, dtype=np.float64)) @ XYZ_FROM_RGB.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Convert CIELAB to sRGB; what lies outside of the sRGB gamut is clipped to it.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.colors.lab import lab_to_srgb
    >>> np.round(lab_to_srgb(np.array([[50.0, 0.0, 0.0]])) * 255).tolist()
    [[119.0, 119.0, 119.0]]

    Args:
        lab: Array `(..., 3)`: L in 0..100, A and B in about -128..127.

    Returns:
        float64 array `(..., 3)`, gamma-encoded sRGB in 0..1.

    Reference:
        - IEC 61966-2-1 (sRGB); CIE 15:2004, section 8.2.1 (CIELAB).
    """
    lab = np.asarray(lab, dtype=np.float64)
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, np.maximum(y - lab[..., 2] / 200, 0)], axis=-1)
    xyz = np.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    return np.asarray(np.clip(encode_srgb(xyz @ RGB_FROM_XYZ.T), 0, 1))


def decode_srgb(rgb: np.ndarray) -> np.ndarray:
    """Linear light, where white is 1, of values on the curve of sRGB."""
    # The power is taken of a base bounded away from 0, so that no negative value reaches it.
    curved = ((np.maximum(rgb, 0.04045) + 0.055) / 1.055) ** 2.4
    return np.where(rgb > 0.04045, curved, rgb / 12.92)


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """The curve of sRGB, from linear light, where white is 1."""
    # The power is taken of a base bounded away from 0, so that no negative value reaches it.
    curved = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear > 0.0031308, curved, linear * 12.92)


def colorfulness(rgb: np.ndarray) -> float:
    """Measure how colourful a picture looks: 0 is grey, above 80 is extremely colourful.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.colors.lab import colorfulness
    >>> colorfulness(np.full((4, 4, 3), 0.5))
    0.0

    Args:
        rgb: Array `(H, W, 3)`, gamma-encoded sRGB in 0..1.

    Returns:
        The measure M3, on the scale of 8-bit values on which the paper states it.

    Reference:
        - Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003.
    """
    red, green, blue = np.moveaxis(np.asarray(rgb, dtype=np.float64) * 255, -1, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))
