"""How the cells of a tensor lie over the pixels of the input, carried through layers."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, tree

from keras_hypercolumns.layers.lightness_to_gray import LightnessToGray


class Reach(NamedTuple):
    """Along one axis: cell i sees the pixels from `first + i * stride` to `last + i * stride`.

    `axis` is the axis of the input. `first`, `last` and `cells`, how many there are, are arrays
    with an entry for each size of the input that is looked at. The first two are infinite where
    they aren't known; the number is then None.
    """

    axis: int
    stride: Fraction
    first: np.ndarray
    last: np.ndarray
    cells: np.ndarray | None

    def widened(self, first: Any, last: Any, stride: Fraction, cells: Any) -> "Reach":
        """The reach of `cells` cells that see those from `first` to `last`, from their own on."""
        step = float(self.stride)
        return Reach(self.axis, stride, self.first + first * step, self.last + last * step, cells)

    def moved(self, before: int, after: int) -> "Reach":
        """Behind a padding by so many cells; negative ones are cropped away."""
        cells = None if self.cells is None else self.cells + before + after
        return self.widened(-before, -before, self.stride, cells)


# A reach for each axis of a tensor; None for an axis that has no place in the input: the batch,
# channels behind a convolution, all of them behind a global pooling.
Reaches = tuple[Reach | None, ...]

_WINDOWS = (
    layers.Conv2D,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
    layers.AveragePooling2D,
    layers.MaxPooling2D,
)
_POINTWISE = (
    layers.Activation,
    layers.ActivityRegularization,
    layers.Add,
    layers.AlphaDropout,
    layers.Average,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.GroupNormalization,
    layers.Identity,
    layers.LayerNormalization,
    layers.LeakyReLU,
    layers.Maximum,
    layers.Minimum,
    layers.Multiply,
    layers.Normalization,
    layers.PReLU,
    layers.ReLU,
    layers.RMSNormalization,
    layers.Rescaling,
    layers.Softmax,
    layers.SpatialDropout2D,
    layers.Subtract,
    layers.UnitNormalization,
    LightnessToGray,
    # Augmentations: they do nothing but in training. A crop has a size of its own.
    *(
        getattr(layers, name)
        for name in dir(layers)
        if name.startswith("Random") and name != "RandomCrop"
    ),
)
# Operations of Keras that its layers don't offer: arithmetic on symbolic tensors, and the layers
# of Keras's own applications.
_POINTWISE_NAMES = {
    "Absolute",
    "Add",
    "Cast",
    "Clip",
    "CustomScaleLayer",
    "Divide",
    "Elu",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSilu",
    "LayerScale",
    "LeakyRelu",
    "Log",
    "Maximum",
    "Minimum",
    "Multiply",
    "Negative",
    "Power",
    "Relu",
    "Relu6",
    "Selu",
    "Sigmoid",
    "Silu",
    "Softplus",
    "Sqrt",
    "Square",
    "StochasticDepth",
    "Subtract",
    "Tanh",
    "TrueDivide",
}
_INTERPOLATION_RADIUS = {"nearest": 0.5, "bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def through(call: Any, inputs: list[Reaches]) -> list[Reaches] | None:
    """The reaches of the outputs of a call (a node of a model's graph) from those of its inputs.

    None where there is no rule for it.
    """
    layer = call.operation
    shapes = [x.shape for x in call.input_tensors]
    if not any(reach for reaches in inputs for reach in reaches):
        outputs = [_nowhere(x) for x in call.outputs]
    elif isinstance(layer, _WINDOWS):
        outputs = [_through_window(layer, inputs[0])]
    elif isinstance(layer, layers.Conv2DTranspose):
        outputs = [_through_transposed(layer, inputs[0])]
    elif isinstance(layer, layers.UpSampling2D):
        outputs = [_through_upsampling(layer, inputs[0])]
    elif isinstance(layer, layers.ZeroPadding2D):
        outputs = [_padded(layer, inputs[0], layer.padding)]
    elif _is_named(layer, {"Pad"}):
        outputs = [_through_pad(layer, inputs[0])]
    elif isinstance(layer, layers.Cropping2D):
        outputs = [_padded(layer, inputs[0], [(-cut[0], -cut[1]) for cut in layer.cropping])]
    elif isinstance(layer, layers.Permute):
        outputs = [(None, *(inputs[0][axis] for axis in layer.dims))]
    elif isinstance(layer, layers.Dense):
        outputs = [(*inputs[0][:-1], None)]
    elif _is_named(layer, {"Concatenate"}):
        joined = list(_union(inputs, shapes, call.outputs[0].shape))
        joined[layer.axis] = None
        outputs = [tuple(joined)]
    elif isinstance(layer, _POINTWISE) or _is_named(layer, _POINTWISE_NAMES):
        outputs = [_union(inputs, shapes, call.outputs[0].shape)]
    else:
        return None
    return outputs


def _nowhere(x: Any) -> Reaches:
    return (None,) * len(x.shape)


def _is_named(operation: object, names: set[str]) -> bool:
    """Whether it is one of Keras's operations of such a name; only their functions are public."""
    kind = type(operation)
    return kind.__module__.startswith("keras.") and kind.__name__ in names


def _spatial(layer: Any) -> tuple[int, int]:
    return (1, 2) if layer.data_format == "channels_last" else (2, 3)


def _replaced(
    reaches: Reaches, axes: tuple[int, int], new: Callable[[Reach, int], Reach]
) -> list[Reach | None]:
    """`reaches` with those of `axes` replaced by `new(reach, i)` where there is one."""
    replaced = list(reaches)
    for i, axis in enumerate(axes):
        if (reach := reaches[axis]) is not None:
            replaced[axis] = new(reach, i)
    return replaced


def depends_on_size(operation: Any) -> bool:
    """Whether where the cells of its output lie is decided by how many there are in its input."""
    return (
        isinstance(operation, _WINDOWS)
        and operation.padding.lower() == "same"
        and max(operation.strides) > 1
    )


def _through_window(layer: Any, reaches: Reaches) -> Reaches:
    pooling = not hasattr(layer, "kernel_size")
    sizes = layer.pool_size if pooling else layer.kernel_size
    dilations = (1, 1) if pooling else layer.dilation_rate
    axes = _spatial(layer)

    def slide(reach: Reach, i: int) -> Reach:
        window, stride, cells = (sizes[i] - 1) * dilations[i] + 1, layer.strides[i], reach.cells
        before: Any = 0
        if layer.padding.lower() == "same":
            # As TensorFlow pads, on every backend; an unknown number as if the stride divided it.
            rest = 0 if cells is None else cells % stride
            before = np.maximum(window - np.where(rest, rest, stride), 0) // 2
            cells = None if cells is None else -(-cells // stride)
        elif cells is not None:
            cells = (cells - window) // stride + 1
        return reach.widened(-before, window - 1 - before, reach.stride * stride, cells)

    replaced = _replaced(reaches, axes, slide)
    if not pooling:
        replaced[_channels(axes)] = None
    return tuple(replaced)


def _channels(axes: tuple[int, int]) -> int:
    return 3 if axes == (1, 2) else 1


def _through_transposed(layer: Any, reaches: Reaches) -> Reaches:
    def spread(reach: Reach, i: int) -> Reach:
        window = (layer.kernel_size[i] - 1) * layer.dilation_rate[i] + 1
        stride = layer.strides[i]
        # Zeros before the input, once zeros stand between its cells.
        before = window - 1
        added = None if layer.output_padding is None else layer.output_padding[i]
        more = max(window - stride, 0) if added is None else window - stride + added
        if layer.padding == "same":
            padding = stride + window - 2
            more = 0
            if added is not None:
                padding = window + window % 2 - 2 + added
                more = window % 2 - stride + added
            before = min(math.ceil(padding / 2), before)
        return _spread(
            reach,
            stride,
            more,
            lambda phase: (
                math.ceil(Fraction(phase - before, stride)),
                (phase - before + window - 1) // stride,
            ),
        )

    axes = _spatial(layer)
    replaced = _replaced(reaches, axes, spread)
    replaced[_channels(axes)] = None
    return tuple(replaced)


def _through_upsampling(layer: Any, reaches: Reaches) -> Reaches:
    radius = _INTERPOLATION_RADIUS[layer.interpolation]

    def spread(reach: Reach, i: int) -> Reach:
        def cells(phase: int) -> tuple[int, int]:
            centre = Fraction(2 * phase + 1, 2 * layer.size[i]) - Fraction(1, 2)
            return math.floor(centre - radius) + 1, math.ceil(centre + radius) - 1

        return _spread(reach, layer.size[i], 0, cells)

    return tuple(_replaced(reaches, _spatial(layer), spread))


def _spread(reach: Reach, factor: int, more: int, cells: Callable[[int], tuple[int, int]]) -> Reach:
    """Through an upsampling: cell `factor * i + phase` sees the cells `cells(phase)` from i.

    There are `factor` times as many, and `more`.
    """
    seen = [cells(phase) for phase in range(factor)]
    return reach.widened(
        float(min(first - Fraction(phase, factor) for phase, (first, _) in enumerate(seen))),
        float(max(last - Fraction(phase, factor) for phase, (_, last) in enumerate(seen))),
        reach.stride / factor,
        None if reach.cells is None else reach.cells * factor + more,
    )


def _padded(layer: Any, reaches: Reaches, widths: Sequence[tuple[int, int]]) -> Reaches:
    return tuple(_replaced(reaches, _spatial(layer), lambda reach, i: reach.moved(*widths[i])))


def _through_pad(operation: Any, reaches: Reaches) -> Reaches:
    """Through `ops.pad`; what it puts before the cells is nothing, or cells that see others."""
    widths = list(operation.pad_width)
    if len(widths) == 1:
        widths *= len(reaches)
    return tuple(
        None if reach is None else reach.moved(*width)
        for reach, width in zip(reaches, widths, strict=True)
    )


def _union(
    inputs: Sequence[Reaches],
    shapes: Sequence[Sequence[int | None]],
    output_shape: Sequence[int | None],
) -> Reaches:
    """Reaches of cells that see the same cell of each input; sizes of 1 are broadcast."""
    rank = len(output_shape)
    united: list[Reach | None] = []
    for axis in range(rank):
        seen = [
            reach
            for reaches, shape in zip(inputs, shapes, strict=True)
            if len(shape) == rank
            and (reach := reaches[axis]) is not None
            and (shape[axis] != 1 or output_shape[axis] == 1)
        ]
        places = {(reach.axis, reach.stride) for reach in seen}
        if len(places) == 1:
            first = reduce(np.minimum, [reach.first for reach in seen])
            last = reduce(np.maximum, [reach.last for reach in seen])
            cells = next((reach.cells for reach in seen if reach.cells is not None), None)
            united.append(Reach(*places.pop(), first, last, cells))
        else:
            united.append(None)
    return tuple(united)


def probed(call: Any, inputs: Sequence[Reaches]) -> list[Reaches]:
    """Through an operation of which nothing is known but the shapes that it computes.

    The axis that grows along with an axis of the picture carries it on, by what both grow.
    """
    outputs = [_nowhere(x) for x in call.outputs]
    reached = [reach for reaches in inputs for reach in reaches if reach is not None]
    coarsest = max(reach.stride for reach in reached)
    growth = 672 * coarsest  # a multiple of strides 1 to 4, 6 to 8, 14, 16 and 32
    for axis in {reach.axis for reach in reached}:
        try:
            before = _computed_shapes(call, inputs, 64 * coarsest)
            after = _computed_shapes(call, inputs, 64 * coarsest, axis, growth)
        except Exception:  # A layer of anyone's; it may insist on a size, or on its channels.
            continue
        outputs = [
            tuple(
                _grown(reach, axis, growth, old, new)
                for reach, old, new in zip(reaches, old_shape, new_shape, strict=True)
            )
            for reaches, old_shape, new_shape in zip(outputs, before, after, strict=True)
        ]
    return outputs


def _computed_shapes(
    call: Any,
    inputs: Sequence[Reaches],
    size: Fraction,
    grown_axis: int | None = None,
    growth: Fraction | int = 0,
) -> list[tuple[int | None, ...]]:
    """Shapes of the outputs, for a picture (of `size` where unknown) that grows along an axis."""
    tensors = {}
    for x, reaches in zip(call.input_tensors, inputs, strict=True):
        shape = [1, *x.shape[1:]]
        for i, reach in enumerate(reaches):
            if reach is not None:
                shape[i] = shape[i] or math.ceil(size / reach.stride)
                shape[i] += int(growth / reach.stride) if reach.axis == grown_axis else 0
        tensors[id(x)] = keras.KerasTensor(shape, dtype=x.dtype)
    args, kwargs = call.arguments.fill_in(tensors)
    return [x.shape for x in tree.flatten(call.operation.compute_output_spec(*args, **kwargs))]


def _grown(
    reach: Reach | None, axis: int, growth: Fraction, old: int | None, new: int | None
) -> Reach | None:
    if old is None or new is None or new <= old:
        return reach
    # An axis that grows with two, such as tokens, has no place in either.
    if reach is not None:
        return None
    return Reach(axis, growth / (new - old), np.array([-math.inf]), np.array([math.inf]), None)
