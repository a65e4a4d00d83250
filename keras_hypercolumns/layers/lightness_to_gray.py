"""The `LightnessToGray` layer."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_hypercolumns")
class LightnessToGray(keras.layers.Layer):
    """The sRGB grey value, 0..255, of a lightness L of CIELAB, 0..100.

    What stands between the L of a picture and a network that was trained on sRGB pictures. The
    relation is not linear: the L of 50 is the grey 118.9, not 127.5. It is that of `lab_to_srgb`
    at A = B = 0, pixel for pixel, where all three channels are equal.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns import LightnessToGray
    >>> gray = LightnessToGray()(np.array([[0.0, 50.0, 100.0]], "float32"))
    >>> [round(float(value), 1) for value in np.asarray(gray)[0]]
    [0.0, 118.9, 255.0]

    Args:
        **kwargs: Those of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        Any, in both data formats: L of CIELAB, 0..100. What lies outside is clipped.

    Output shape:
        As the input: the gamma-encoded sRGB value, 0..255, not rounded.

    Reference:
        - IEC 61966-2-1 (sRGB); CIE 15:2004, section 8.2.1 (CIELAB).
    """

    def call(self, inputs: Any) -> Any:
        f = (inputs + 16) / 116
        linear = ops.where(f > 0.2068966, ops.power(f, 3), (f - 16 / 116) / 7.787)
        # The power is taken of a base bounded away from 0, where its gradient is not finite.
        curved = 1.055 * ops.power(ops.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
        return 255 * ops.clip(ops.where(linear > 0.0031308, curved, linear * 12.92), 0, 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
