"""The `HyperColumnSampler` layer."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
from keras import ops

from keras_hypercolumns.layers.axes import GivenCenter, GivenStride
from keras_hypercolumns.layers.interpolation import coordinates_dtype, sample
from keras_hypercolumns.layers.tap_layer import TapLayer


@keras.saving.register_keras_serializable(package="keras_hypercolumns")
class HyperColumnSampler(TapLayer):
    """Takes the hypercolumns of some points, without building those of the others.

    Equal to reading the output of `HyperColumn` at the points, but only the cells around the
    points are interpolated. Neighbouring pixels have nearly the same hypercolumn, so a model
    learns as much from a few hundred points of a picture as from all of its pixels, in a fraction
    of the memory.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_hypercolumns import HyperColumnSampler
    >>> maps = {
    ...     "early": np.array([[1.0, 2.0], [3.0, 4.0]], "float32").reshape(1, 2, 2, 1),
    ...     "late": np.array([[10.0]], "float32").reshape(1, 1, 1, 1),
    ... }
    >>> points = np.array([[[1, 0], [0.5, 0.5]]], "float32")  # (y, x): a pixel, then the middle
    >>> y = HyperColumnSampler(taps=("early", "late"))((maps, points))
    >>> keras.ops.convert_to_numpy(y)[0].tolist()
    [[3.0, 10.0], [2.5, 10.0]]

    Args:
        taps: List or tuple of the names of the feature maps to sample, in this order.
        reference: Name of the map whose pixels the points are measured in: one of the taps, or a
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
        One tuple `(features, points)`; within `torch.compile(fullgraph=True)` a list of the two.

        `features` is a dict `{tap: map}` (further entries are ignored), or a tuple of the maps in
        the order of `taps`, followed by the reference where it is not a tap. Each map is 4D:

        - `channels_last`: `(batch, height_i, width_i, channels_i)`
        - `channels_first`: `(batch, channels_i, height_i, width_i)`

        `points` is `(batch, points, 2)` for both: (y, x), in pixels of the reference. Whole
        numbers (r, c) are the pixel of row r and column c, that is its centre, in each of the
        `coordinates`: `sampler((features, points))[b, n]` is
        `HyperColumn(...)(features)[b, r, c]`. (A position measured from the corner of the
        picture is half a pixel more.) In between, the maps are interpolated at that very place;
        a point outside takes the values of the nearest place at the edge. Keep points in float32,
        also in mixed precision: half precision can't tell neighbouring pixels apart beyond 256
        (bfloat16) or 2048 (float16).

        The number of points, heights and widths may be unknown when the model is built.

    Output shape:
        `(batch, points, sum of channels_i)` for both data formats, ready for a `Dense` layer.

    Raises:
        ValueError: If `points` is not `(batch, points, 2)`, and as `HyperColumn` does.

    Reference:
        - [Larsson et al., 2016](https://arxiv.org/abs/1603.06668), on sparse training;
          [Bansal et al., 2017](https://arxiv.org/abs/1702.06506), "PixelNet", on sampling.
    """

    def __init__(
        self,
        taps: Iterable[str],
        reference: str | None = None,
        interpolation: str = "bilinear",
        coordinates: str = "half_pixel",
        strides: Mapping[str, GivenStride] | None = None,
        centers: Mapping[str, GivenCenter] | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            taps, reference, interpolation, coordinates, strides, centers, data_format, **kwargs
        )
        # Keras would cast the points to the compute type, and half precision ruins coordinates.
        self.autocast = False

    def build(self, input_shape: Any) -> None:
        features, points = self._features_and_points(input_shape)
        shapes = self._shapes_by_name(features)
        self._channels(shapes)
        self._check_points(points, shapes)
        self.built = True

    def call(self, inputs: Any) -> Any:
        features, points = self._features_and_points(inputs)
        maps, size = self._maps_and_size(features)
        self._check_points(points.shape, {tap: x.shape for tap, x in maps.items()})
        points = ops.cast(points, coordinates_dtype(self.compute_dtype))
        settings = (*size, self.interpolation, self.coordinates)
        return ops.concatenate(
            [
                sample(
                    maps[tap],
                    points,
                    *settings,
                    self._scale(tap),
                    self.data_format,
                    self._offsets(tap, size),
                )
                for tap in self.taps
            ],
            axis=-1,
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        features, points = self._features_and_points(input_shape)
        shapes = self._shapes_by_name(features)
        self._check_points(points, shapes)
        batch = self._batch(shapes)
        return (points[0] if batch is None else batch, points[1], sum(self._channels(shapes)))

    def _features_and_points(self, inputs: Any) -> tuple[Any, Any]:
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                f"`inputs` of layer {self.name!r} should be one tuple, `(features, points)`, where "
                f"`features` is a dict of feature maps. Received: a {type(inputs).__name__} of "
                f"{len(inputs)}"
            )
        features, points = inputs
        return features, points

    def _check_points(self, shape: Any, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        shape = tuple(shape)
        if len(shape) != 3 or shape[2] != 2:
            raise ValueError(
                f"`points` of layer {self.name!r} should have the shape (batch, points, 2): (y, x) "
                f"in pixels of the reference. Received: shape {shape}"
            )
        batch = self._batch(shapes)
        if None not in (batch, shape[0]) and batch != shape[0]:
            raise ValueError(
                f"`points` of layer {self.name!r} should have the batch size of the feature maps, "
                f"{batch}, and as many points for each. Received: shape {shape}"
            )
