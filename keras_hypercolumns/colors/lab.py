"""sRGB and CIELAB (D65, 2 degree observer) in `keras.ops`, on the last axis."""

from typing import Any

import numpy as np
from keras import ops

# IEC 61966-2-1; each row is normalised by the white point that CIELAB divides by.
_XYZ_FROM_RGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])
_RGB_FROM_XYZ = np.linalg.inv(_XYZ_FROM_RGB)


def srgb_to_lab(rgb: Any) -> Any:
    """Convert sRGB to CIELAB.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns import srgb_to_lab
    >>> np.round(np.asarray(srgb_to_lab(np.array([[255.0, 0.0, 0.0]]) / 255))).tolist()
    [[53.0, 80.0, 67.0]]

    Args:
        rgb: Float tensor `(..., 3)`, gamma-encoded sRGB in 0..1.

    Returns:
        Float tensor `(..., 3)`: L in 0..100, A and B in about -128..127.

    Reference:
        - IEC 61966-2-1 (sRGB); CIE 15:2004, section 8.2.1 (CIELAB).
    """
    rgb = ops.convert_to_tensor(rgb, dtype="float32")
    # The power is taken of a base bounded away from 0, where its gradient is not finite.
    curved = ops.power((ops.maximum(rgb, 0.04045) + 0.055) / 1.055, 2.4)
    linear = ops.where(rgb > 0.04045, curved, rgb / 12.92)
    xyz = ops.matmul(linear, ops.convert_to_tensor(_XYZ_FROM_RGB.T, dtype="float32"))
    root = ops.power(ops.maximum(xyz, 0.008856), 1 / 3)
    f = ops.where(xyz > 0.008856, root, 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return ops.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_srgb(lab: Any) -> Any:
    """Convert CIELAB to sRGB; what lies outside of the sRGB gamut is clipped to it.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns import lab_to_srgb
    >>> np.round(np.asarray(lab_to_srgb(np.array([[50.0, 0.0, 0.0]]))) * 255).tolist()
    [[119.0, 119.0, 119.0]]

    Args:
        lab: Float tensor `(..., 3)`: L in 0..100, A and B in about -128..127.

    Returns:
        Float tensor `(..., 3)`, gamma-encoded sRGB in 0..1.

    Reference:
        - IEC 61966-2-1 (sRGB); CIE 15:2004, section 8.2.1 (CIELAB).
    """
    lab = ops.convert_to_tensor(lab, dtype="float32")
    y = (lab[..., 0] + 16) / 116
    f = ops.stack([y + lab[..., 1] / 500, y, ops.maximum(y - lab[..., 2] / 200, 0)], axis=-1)
    xyz = ops.where(f > 0.2068966, ops.power(ops.maximum(f, 0.2), 3), (f - 16 / 116) / 7.787)
    linear = ops.matmul(xyz, ops.convert_to_tensor(_RGB_FROM_XYZ.T, dtype="float32"))
    curved = 1.055 * ops.power(ops.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return ops.clip(ops.where(linear > 0.0031308, curved, linear * 12.92), 0, 1)
