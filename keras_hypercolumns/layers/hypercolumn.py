"""The `HyperColumn` layer."""

from typing import Any

import keras
from keras import ops

from keras_hypercolumns.layers.tap_layer import TapLayer


@keras.saving.register_keras_serializable(package="keras_hypercolumns")
class HyperColumn(TapLayer):
    """Upsamples named feature maps of a network to one size and concatenates them.

    The hypercolumn of a pixel is the vector of the activations of all taps above that pixel: fine
    detail from the early layers, meaning from the late ones.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns import HyperColumn
    >>> maps = {
    ...     "early": np.array([[1.0, 2.0], [3.0, 4.0]], "float32").reshape(1, 2, 2, 1),
    ...     "late": np.array([[10.0]], "float32").reshape(1, 1, 1, 1),
    ... }
    >>> y = HyperColumn(taps=("early", "late"))(maps)
    >>> tuple(y.shape)
    (1, 2, 2, 2)
    >>> [[float(v) for v in pixel] for pixel in np.asarray(y)[0, 1]]
    [[3.0, 10.0], [4.0, 10.0]]

    In most backbones the cells of a map lie elsewhere than in the middle of as many pixels as the
    stride; `feature_info` tells where. Here, at every second pixel, from the first one on:

    >>> maps = {
    ...     "deep": np.array([0.0, 10.0, 20.0], "float32").reshape(1, 1, 3, 1),
    ...     "picture": np.zeros((1, 1, 6, 1), "float32"),
    ... }
    >>> settings = {"taps": ("deep",), "reference": "picture", "strides": {"deep": 2}}
    >>> y = HyperColumn(**settings, centers={"deep": 0}, data_format="channels_last")(maps)
    >>> [float(v) for v in np.asarray(y)[0, 0, :, 0]]
    [0.0, 5.0, 10.0, 15.0, 20.0, 20.0]
    >>> y = HyperColumn(**settings, data_format="channels_last")(maps)  # (2 - 1) / 2
    >>> [float(v) for v in np.asarray(y)[0, 0, :, 0]]
    [0.0, 2.5, 7.5, 12.5, 17.5, 20.0]

    Args:
        taps: List or tuple of the names of the feature maps to concatenate, in this order.
        reference: Name of the map whose height and width the output takes: one of the taps, or a
            further entry of the input, such as the picture itself. Defaults to `None`: the
            largest height and width among the taps.
        interpolation: `"bilinear"` (default), `"nearest"`, or `"bicubic"`: Keys's convolution with
            a of -1/2. Beyond the edge of a map is its edge.
        coordinates: How pixels of the output are mapped to cells of a map. `"half_pixel"`
            (default) aligns the areas that pixels cover; `"legacy"` aligns their corners at zero,
            as the first version of TensorFlow did, which shifts a map of stride s by
            (s - 1) / 2 pixels; `"align_corners"` aligns the centres of the corner pixels.
        strides: Dict from tap to its stride, in pixels of the network's input per cell, an int or a
            pair of them, down and across (and the reference's where it is neither a tap nor the
            input itself, whose stride is 1). With
            it a map is upsampled by the ratio of the strides, then cropped, or continued by its
            edge, to the output's size: then maps are aligned also where a pooling dropped an odd
            row. Defaults to `None`: upsampled by the ratio of the sizes.
        centers: Dict from tap (and the reference, where it is neither a tap nor the input itself)
            to the place of the centre of its first cell, down and across, in pixels of the
            network's input, whose pixel i has its centre at i; `FeatureInfo.center` is that. Only
            along with `strides`, and for half-pixel coordinates. A tap that it leaves out has
            (stride - 1) / 2, as poolings have it; strided convolutions of padded maps move the
            cells by up to 15 pixels at a stride of 32. Where the picture is the reference it may be
            a list, of which a height or width of n has `center[n % len(center)]`: padding "same"
            moves cells at odd sizes. Where they differ down and across, a pair of such lists,
            `([0.5], [0.0])`. Defaults to `None`: all have (stride - 1) / 2.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.

    Input shape:
        A dict `{tap: map}` (further entries are ignored), or a tuple of the maps in the order of
        `taps`, followed by the reference where it is not a tap. Each map is 4D:

        - `channels_last`: `(batch, height_i, width_i, channels_i)`
        - `channels_first`: `(batch, channels_i, height_i, width_i)`

        Heights and widths may be unknown when the model is built. Maps of whole numbers, such as
        a picture of bytes, are cast to the layer's compute type, as Keras casts floats.

    Output shape:
        4D, with the reference's height and width, and the sum of the taps' channels:

        - `channels_last`: `(batch, height, width, sum of channels_i)`
        - `channels_first`: `(batch, sum of channels_i, height, width)`

    Raises:
        ValueError: If `taps` is empty, or names a map twice; if `strides` leaves out a tap; if
            `centers` is given without `strides` or for other coordinates, or names something
            else; if an input is missing, is not 4D, or differs from the others in its batch size.

    Reference:
        - [Hariharan et al., 2015](https://arxiv.org/abs/1411.5752), "Hypercolumns for Object
          Segmentation and Fine-grained Localization", section 3.
    """

    def build(self, input_shape: Any) -> None:
        self._channels(self._shapes_by_name(input_shape))
        self.built = True

    def call(self, inputs: Any) -> Any:
        maps, size = self._maps_and_size(inputs)
        axis = -1 if self.data_format == "channels_last" else 1
        return ops.concatenate([self._resize(maps[tap], tap, size) for tap in self.taps], axis=axis)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shapes = self._shapes_by_name(input_shape)
        return self._shape_with_channels(shapes, sum(self._channels(shapes)))
