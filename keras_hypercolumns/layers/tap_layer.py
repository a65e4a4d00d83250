"""What the hypercolumn layers share: their taps, the reference, and how inputs are read."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import keras
from keras import ops

from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.layers.axes import (
    Center,
    GivenCenter,
    GivenStride,
    Stride,
    centers_of_axes,
    plain_center,
    plain_stride,
    strides_of_axes,
)
from keras_hypercolumns.layers.interpolation import (
    COORDINATES,
    INTERPOLATIONS,
    entry_of_remainder,
    resize,
)

SHARED = (
    "taps",
    "reference",
    "interpolation",
    "coordinates",
    "strides",
    "centers",
    "data_format",
)
"""The arguments that one hypercolumn layer takes over from another."""


class TapLayer(keras.layers.Layer):
    """Base of the layers that are called on named feature maps.

    Args: see `HyperColumn`.
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
        super().__init__(**kwargs)
        ordered = isinstance(taps, Iterable) and not isinstance(taps, (str, set, frozenset))
        # A tuple: Keras would wrap a list into a tracked one.
        self.taps = tuple(taps) if ordered else ()
        if not ordered or not all(isinstance(tap, str) for tap in self.taps):
            raise ValueError(
                "`taps` should be a list or tuple of names of feature maps, such as "
                f"('relu1_2', 'relu2_2'). Received: {taps!r}"
            )
        twice = sorted({tap for tap in self.taps if self.taps.count(tap) > 1})
        if not self.taps or twice:
            problem = f"{twice[0]!r} is there twice. " if twice else ""
            raise ValueError(
                "`taps` should name at least one feature map, and none of them twice. "
                f"{problem}Received: {taps!r}"
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
        # The maps whose cells the output's pixels are, down and across. Known here, since PyTorch's
        # compiler doesn't follow a search for the finest.
        down, across = (
            reference or min(self.taps, key=lambda tap: self._strides(tap)[axis]) for axis in (0, 1)
        )
        self.references = (down, across)
        self.centers = None if centers is None else self._check_centers(centers)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                unknown_name("data_format", data_format, ("channels_last", "channels_first"))
            )

    def _check_strides(self, strides: Mapping[str, GivenStride]) -> dict[str, Stride]:
        names = set(self.taps) | ({self.reference} if self.reference else set())
        given = strides if isinstance(strides, Mapping) else {}
        plain = {name: plain_stride(one) for name, one in given.items()}
        if (
            not isinstance(strides, Mapping)
            or not set(self.taps) <= set(strides) <= names
            or None in plain.values()
        ):
            raise ValueError(
                "`strides` should map each tap to its pixels per cell, a positive int or a pair of "
                "them, down and across (and may map the reference), with the taps "
                f"{list(self.taps)}. Received: {strides!r}"
            )
        return {name: stride for name, stride in plain.items() if stride is not None}

    def _check_centers(self, centers: Mapping[str, GivenCenter]) -> dict[str, Center]:
        names = set(self.taps) | ({self.reference} if self.reference else set())
        given = centers if isinstance(centers, Mapping) else {}
        plain = {
            name: center
            for name, one in given.items()
            if (center := plain_center(one)) is not None and name in names
        }
        if not isinstance(centers, Mapping) or len(plain) < len(centers):
            raise ValueError(
                "`centers` should map taps (and may map the reference) to the place of the centre "
                "of their first cell, a number in pixels of the network's input (or a list of "
                "them, one for each remainder of its size; or a pair of such lists, down and "
                f"across), with the taps {list(self.taps)}; leave out what isn't known. "
                f"Received: {centers!r}"
            )
        if self.strides is None or self.coordinates != "half_pixel":
            raise ValueError(
                "`centers` should be given along with `strides`, and with half-pixel coordinates. "
                f"Received: {centers!r} with the strides {self.strides!r} and the coordinates "
                f"{self.coordinates!r}"
            )
        several = [
            name
            for name, center in plain.items()
            if any(len(one) > 1 for one in centers_of_axes(center))
        ]
        if several and (self.reference is None or self.reference in (*self.strides, *plain)):
            raise ValueError(
                f"`centers` of {several[0]!r} should be one number where `reference` is not the "
                "picture itself, without a stride and a centre: only its size tells which of "
                f"several holds. Received: {centers!r} and reference={self.reference!r}"
            )
        return plain

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the maps that the layer reads: the taps, then a reference that is no tap."""
        extra = () if self.reference is None or self.reference in self.taps else (self.reference,)
        return self.taps + extra

    def _by_name(self, inputs: Any) -> dict[str, Any]:
        """Return `inputs` (maps or shapes; a dict, or a sequence in order) as a dict."""
        names = self.input_names
        if isinstance(inputs, Mapping):
            for place, name in enumerate(names):
                if name not in inputs:
                    argument = f"taps[{place}]" if name in self.taps else "reference"
                    raise ValueError(
                        f"`inputs` of layer {self.name!r} should hold a feature map for each of "
                        f"{list(names)}. Add the missing one, or construct the layer with other "
                        f"names: {unknown_name(argument, name, inputs)}"
                    )
            return {name: inputs[name] for name in names}
        sequence = isinstance(inputs, (list, tuple))
        if not sequence or _is_shape(inputs) or len(inputs) != len(names):
            received = f"{len(inputs)} of them" if sequence else type(inputs)
            if sequence and _is_shape(inputs):
                received = f"a single tensor of shape {tuple(inputs)}"
            raise ValueError(
                f"`inputs` of layer {self.name!r} should be a dict of feature maps with the keys "
                f"{list(names)}, or a tuple of their maps in that order. "
                f"Received: {received}"
            )
        return dict(zip(names, inputs, strict=True))

    def _shapes_by_name(self, input_shape: Any) -> dict[str, tuple[int | None, ...]]:
        shapes = {name: tuple(shape) for name, shape in self._by_name(input_shape).items()}
        for name, shape in shapes.items():
            if len(shape) != 4:
                layout = "(batch, height, width, channels)"
                if self.data_format == "channels_first":
                    layout = "(batch, channels, height, width)"
                raise ValueError(
                    f"`inputs[{name!r}]` of layer {self.name!r} should have rank 4, {layout}. "
                    f"Received: shape {shape}"
                )
            rows = 1 if self.data_format == "channels_last" else 2
            if 0 in shape[rows : rows + 2]:
                raise ValueError(
                    f"`inputs[{name!r}]` of layer {self.name!r} should have at least one row and "
                    f"one column. Received: shape {shape}"
                )
        # In no set: PyTorch's symbol of a size that is not known has no hash.
        batch = self._batch(shapes)
        if any(shape[0] not in (None, batch) for shape in shapes.values()):
            raise ValueError(
                f"`inputs` of layer {self.name!r} should share one batch size, the first of each "
                f"shape. Received: {shapes}"
            )
        return shapes

    def _maps_and_size(self, inputs: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
        """Return the maps of the taps in the compute type, and the output's height and width."""
        maps = self._by_name(inputs)
        # Others than the layer was built with, it may be.
        self._shapes_by_name({name: x.shape for name, x in maps.items()})
        size = self._output_size({name: ops.shape(x) for name, x in maps.items()})
        # Keras itself casts floats only, and no picture of bytes.
        return {tap: ops.cast(maps[tap], self.compute_dtype) for tap in self.taps}, size

    def _channels(self, shapes: Mapping[str, tuple[int | None, ...]]) -> list[int]:
        """Channels of each tap, in order; they have to be known."""
        axis = 3 if self.data_format == "channels_last" else 1
        channels = [size for tap in self.taps if (size := shapes[tap][axis]) is not None]
        if len(channels) < len(self.taps):
            raise ValueError(
                f"`inputs` of layer {self.name!r} should have a known number of channels, "
                f"axis {axis} ({self.data_format}). Received: {dict(shapes)}"
            )
        return channels

    def _output_size(self, shapes: Mapping[str, Any]) -> tuple[Any, Any]:
        """Height and width of the output, from shapes whose sizes are ints, None or tensors."""
        rows = 1 if self.data_format == "channels_last" else 2
        names = self.taps if self.reference is None else (self.reference,)
        height, width = (_largest([shapes[n][axis] for n in names]) for axis in (rows, rows + 1))
        return height, width

    def _strides(self, name: str) -> tuple[int, int]:
        """Of a tap or the reference, down and across."""
        # A reference that stands in no list of strides is the picture itself.
        return strides_of_axes((self.strides or {}).get(name, 1))

    def _scale(self, tap: str) -> tuple[float, float] | None:
        """Output pixels per cell of `tap`, or None where the ratio of the sizes decides."""
        if self.strides is None:
            return None
        down, across = (
            self._strides(tap)[axis] / self._strides(self.references[axis])[axis] for axis in (0, 1)
        )
        return down, across

    def placement(self, tap: str) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the output's pixels per cell of a tap, and what is added to a pixel's place.

        Both down and across: pixel i of the output lies at the cell `(i + offset) / scale` of the
        tap's map. For a layer with `strides` whose coordinates are not `"align_corners"`, and a
        picture whose size all of them divide.
        """
        scale = self._scale(tap)
        assert scale is not None  # there are strides
        if self.coordinates == "legacy":
            return scale, (0.0, 0.0)
        offsets = self._offsets_by_remainder(tap)
        if offsets is None:
            return scale, ((1 - scale[0]) / 2, (1 - scale[1]) / 2)
        return scale, (offsets[0][0], offsets[1][0])

    def _offsets_by_remainder(self, tap: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """As in `source_cells`, by the remainder of the output's size; None without `centers`."""
        if self.centers is None or self.strides is None:
            return None
        down, across = (self._offsets_of_axis(tap, axis) for axis in (0, 1))
        return down, across

    def _offsets_of_axis(self, tap: str, axis: int) -> tuple[float, ...]:
        reference = self.references[axis]
        stride = self._strides(reference)[axis]
        origin = self._centers(reference, axis)[0]  # the only one, see `_check_centers`
        return tuple((origin - one) / stride for one in self._centers(tap, axis))

    def _offsets(self, tap: str, size: tuple[Any, Any]) -> tuple[Any, Any] | None:
        """Down and across in an output of such a size, as in `source_cells`."""
        offsets = self._offsets_by_remainder(tap)
        if offsets is None:
            return None
        down, across = (
            entry_of_remainder(one, n) if len(one) > 1 else one[0]
            for one, n in zip(offsets, size, strict=True)
        )
        return down, across

    def _centers(self, name: str, axis: int) -> tuple[float, ...]:
        """Places of the centre of the first cell, in pixels of the network's input."""
        if self.centers is not None and name in self.centers:
            return centers_of_axes(self.centers[name])[axis]
        return ((self._strides(name)[axis] - 1) / 2,)

    def _resize(self, maps: Any, tap: str, size: tuple[Any, Any]) -> Any:
        if tap == self.reference:
            return maps
        return resize(
            maps,
            *size,
            self.interpolation,
            self.coordinates,
            self._scale(tap),
            self.data_format,
            self._offsets(tap, size),
        )

    def _batch(self, shapes: Mapping[str, tuple[int | None, ...]]) -> int | None:
        return next((shape[0] for shape in shapes.values() if shape[0] is not None), None)

    def _shape_with_channels(
        self, shapes: Mapping[str, tuple[int | None, ...]], channels: int
    ) -> tuple[int | None, ...]:
        batch = self._batch(shapes)
        height, width = self._output_size(shapes)
        if self.data_format == "channels_last":
            return (batch, height, width, channels)
        return (batch, channels, height, width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "taps": list(self.taps),
            "reference": self.reference,
            "interpolation": self.interpolation,
            "coordinates": self.coordinates,
            "strides": _listed(self.strides),
            "centers": _listed(self.centers),
            "data_format": self.data_format,
        }


def layer_name(tap: str) -> str:
    """A tap's name as TensorFlow takes it for a layer: `"encoder[0]"` is none."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", tap)


def _listed(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """With lists for tuples, as JSON has them."""

    def listed(value: Any) -> Any:
        return [listed(one) for one in value] if isinstance(value, tuple) else value

    return None if values is None else {name: listed(value) for name, value in values.items()}


def _is_shape(value: Any) -> bool:
    return len(value) > 0 and all(size is None or isinstance(size, int) for size in value)


def _largest(sizes: list[Any]) -> Any:
    if any(size is None for size in sizes):
        return None
    # Ints, or the symbolic sizes of an export from JAX.
    if not any(ops.is_tensor(size) for size in sizes):
        return max(sizes)
    largest = sizes[0]
    for size in sizes[1:]:
        largest = ops.maximum(largest, size)
    return largest
