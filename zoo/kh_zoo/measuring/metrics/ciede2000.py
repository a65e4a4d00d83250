"""The colour difference CIEDE2000."""

import numpy as np


def ciede2000(lab: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the colour difference CIEDE2000 of every pixel; about 1 can just be seen.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.measuring.metrics.ciede2000 import ciede2000
    >>> round(float(ciede2000(np.array([50, 2.6772, -79.7751]), np.array([50, 0, -82.7485]))), 4)
    2.0425

    Args:
        lab: CIELAB, `(..., 3)`.
        other: CIELAB, `(..., 3)`.

    Returns:
        float64 array `(...)`, 0 or more.

    Reference:
        - Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes",
          Color Research and Application 30(1), 2005, equations 2 to 22.
    """
    (lightness1, a1, b1), (lightness2, a2, b2) = (np.moveaxis(one, -1, 0) for one in (lab, other))
    mean_seventh = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(mean_seventh / (mean_seventh + 25.0**7))
    chroma1, chroma2 = np.hypot(a1 * stretch, b1), np.hypot(a2 * stretch, b2)
    hue1 = np.arctan2(b1, a1 * stretch) % (2 * np.pi)
    hue2 = np.arctan2(b2, a2 * stretch) % (2 * np.pi)
    # Where one has no hue, the difference is none, and the mean is the other's.
    colorless = chroma1 * chroma2 == 0
    turn = np.where(colorless, 0, (hue2 - hue1 + np.pi) % (2 * np.pi) - np.pi)
    far = ~colorless & (np.abs(hue2 - hue1) > np.pi)
    hue = np.where(colorless, hue1 + hue2, (hue1 + hue2) / 2 + np.where(far, np.pi, 0))
    lightness, chroma = (lightness1 + lightness2) / 2, (chroma1 + chroma2) / 2
    weight = (
        1
        - 0.17 * np.cos(hue - np.pi / 6)
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.radians(6))
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    middle = (lightness - 50) ** 2
    d_lightness = (lightness2 - lightness1) / (1 + 0.015 * middle / np.sqrt(20 + middle))
    d_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    d_hue = 2 * np.sqrt(chroma1 * chroma2) * np.sin(turn / 2) / (1 + 0.015 * chroma * weight)
    angle = np.radians(60) * np.exp(-(((np.degrees(hue) % 360 - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(angle)
    square = d_lightness**2 + d_chroma**2 + d_hue**2 + rotation * d_chroma * d_hue
    return np.asarray(np.sqrt(np.maximum(square, 0)))
