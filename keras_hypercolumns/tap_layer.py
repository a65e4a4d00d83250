"""What the hypercolumn layers share: their taps, the reference, and how inputs are read."""

from collections.abc import Mapping

import keras
from keras import ops

from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.interpolation import COORDINATES, INTERPOLATIONS, resize


class TapLayer(keras.layers.Layer):
    """Base of the layers that are called on named feature maps.

    Args: see `HyperColumn`.
    """

    def __init__(
        self,
        taps,
        reference=None,
        interpolation="bilinear",
        coordinates="half_pixel",
        strides=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(taps, str) or not all(isinstance(tap, str) for tap in taps):
            raise ValueError(
                "`taps` should be a list or tuple of names of feature maps, such as "
                f"('relu1_2', 'relu2_2'). Received: {taps!r}"
            )
        # A tuple: Keras would wrap a list into a tracked one.
        self.taps = tuple(taps)
        if not self.taps or len(set(self.taps)) != len(self.taps):
            raise ValueError(
                "`taps` should name at least one feature map, and none of them twice. "
                f"Received: {taps!r}"
            )
        if reference is not None and not isinstance(reference, str):
            raise ValueError(
                "`reference` should be the name of the feature map whose size the output takes, "
                f"or None for the largest tap. Received: {reference!r}"
            )
        if interpolation not in INTERPOLATIONS:
            raise ValueError(unknown_name("interpolation", interpolation, INTERPOLATIONS))
        if coordinates not in COORDINATES:
            raise ValueError(unknown_name("coordinates", coordinates, COORDINATES))
        self.reference = reference
        self.interpolation = interpolation
        self.coordinates = coordinates
        self.strides = None if strides is None else self._check_strides(strides)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                unknown_name("data_format", data_format, ("channels_last", "channels_first"))
            )

    def _check_strides(self, strides):
        names = set(self.taps) | ({self.reference} if self.reference else set())
        if (
            not isinstance(strides, Mapping)
            or not set(self.taps) <= set(strides) <= names
            or not all(isinstance(stride, int) and stride > 0 for stride in strides.values())
        ):
            raise ValueError(
                "`strides` should map each tap to its pixels per cell, a positive int (and may "
                f"map the reference), with the taps {list(self.taps)}. Received: {strides!r}"
            )
        return dict(strides)

    @property
    def input_names(self):
        """Names of the maps that the layer reads: the taps, then a reference that is no tap."""
        extra = () if self.reference is None or self.reference in self.taps else (self.reference,)
        return self.taps + extra

    def _by_name(self, inputs):
        """Return `inputs` (maps or shapes; a dict, or a sequence in order) as a dict."""
        names = self.input_names
        if isinstance(inputs, Mapping):
            missing = [name for name in names if name not in inputs]
            if missing:
                raise ValueError(
                    f"`inputs` of layer {self.name!r} should hold a feature map for each of "
                    f"{list(names)}. Missing: {missing}. Add them, or construct the layer with "
                    f"other `taps`. Received: {sorted(inputs)}"
                )
            return {name: inputs[name] for name in names}
        if not isinstance(inputs, (list, tuple)) or len(inputs) != len(names):
            received = (
                f"{len(inputs)} of them" if isinstance(inputs, (list, tuple)) else type(inputs)
            )
            raise ValueError(
                f"`inputs` of layer {self.name!r} should be a dict of feature maps with the keys "
                f"{list(names)}, or a tuple of {len(names)} maps in that order. "
                f"Received: {received}"
            )
        return dict(zip(names, inputs, strict=True))

    def _shapes_by_name(self, input_shape):
        shapes = self._by_name(input_shape)
        for name, shape in shapes.items():
            if len(shape) != 4:
                layout = "(batch, height, width, channels)"
                if self.data_format == "channels_first":
                    layout = "(batch, channels, height, width)"
                raise ValueError(
                    f"`inputs[{name!r}]` of layer {self.name!r} should have rank 4, {layout}. "
                    f"Received: shape {tuple(shape)}"
                )
        batches = {shape[0] for shape in shapes.values() if shape[0] is not None}
        if len(batches) > 1:
            raise ValueError(
                f"`inputs` of layer {self.name!r} should share one batch size. "
                f"Received: { ({name: tuple(shape) for name, shape in shapes.items()}) }"
            )
        return shapes

    def _channels(self, shapes):
        """Channels of each tap, in order; they have to be known."""
        axis = 3 if self.data_format == "channels_last" else 1
        channels = [shapes[tap][axis] for tap in self.taps]
        if None in channels:
            raise ValueError(
                f"`inputs` of layer {self.name!r} should have a known number of channels. "
                f"Received: { ({tap: tuple(shapes[tap]) for tap in self.taps}) }"
            )
        return channels

    def _output_size(self, shapes):
        """Height and width of the output, from shapes whose sizes are ints, None or tensors."""
        rows = 1 if self.data_format == "channels_last" else 2
        names = self.taps if self.reference is None else (self.reference,)
        return tuple(_largest([shapes[name][axis] for name in names]) for axis in (rows, rows + 1))

    def _scale(self, tap):
        """Output pixels per cell of `tap`, or None where the ratio of the sizes decides."""
        if self.strides is None:
            return None
        if self.reference is None:
            return self.strides[tap] / min(self.strides.values())
        # A reference that stands in no list of strides is the picture itself.
        return self.strides[tap] / self.strides.get(self.reference, 1)

    def _resize(self, maps, tap, size):
        return resize(
            maps, *size, self.interpolation, self.coordinates, self._scale(tap), self.data_format
        )

    def _shape_with_channels(self, shapes, channels):
        batch = next((shape[0] for shape in shapes.values() if shape[0] is not None), None)
        height, width = self._output_size(shapes)
        if self.data_format == "channels_last":
            return (batch, height, width, channels)
        return (batch, channels, height, width)

    def get_config(self):
        return {
            **super().get_config(),
            "taps": list(self.taps),
            "reference": self.reference,
            "interpolation": self.interpolation,
            "coordinates": self.coordinates,
            "strides": self.strides,
            "data_format": self.data_format,
        }


def _largest(sizes):
    if all(isinstance(size, int) for size in sizes):
        return max(sizes)
    if any(size is None for size in sizes):
        return None
    largest = sizes[0]
    for size in sizes[1:]:
        largest = ops.maximum(largest, size)
    return largest
