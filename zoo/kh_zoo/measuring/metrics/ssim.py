"""The structural similarity of two pictures."""

import numpy as np
from scipy.ndimage import gaussian_filter

_SIGMA = 1.5
_RADIUS = 5


def ssim(rgb: np.ndarray, other: np.ndarray) -> float:
    """Return the structural similarity (SSIM) of two pictures, 1 for equal ones.

    With a Gaussian window of 11 pixels, the mean over the pixels that it fits around and over the
    three channels.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.measuring.metrics.ssim import ssim
    >>> picture = np.tile(np.arange(0, 256, 16.0)[:, None, None], (1, 16, 3))
    >>> ssim(picture, picture), round(ssim(picture, picture[::-1]), 2)
    (1.0, -0.82)

    Args:
        rgb: `(height, width, 3)`, 0..255; at least 11 x 11.
        other: `(height, width, 3)`, 0..255.

    Reference:
        - Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
          structural similarity", IEEE Transactions on Image Processing 13(4), 2004, section 3.B.
    """

    def blur(values: np.ndarray) -> np.ndarray:
        return np.asarray(
            gaussian_filter(values, (_SIGMA, _SIGMA, 0), radius=(_RADIUS, _RADIUS, 0))
        )

    x, y = np.asarray(rgb, np.float64), np.asarray(other, np.float64)
    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    inside = similarity[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    return float(inside.mean())
