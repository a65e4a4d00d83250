"""The closed set of operations of a network, and what each says of shapes and of tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kh_zoo.errors import ModelError

MAX_CHANNELS = 65_536
MAX_WINDOW = 64
"""Cells, at most, of a side of a kernel or a pool, of a stride, of a dilation and of a padding."""
MAX_SCALE = 128
SAME, VALID = "same", "valid"


class Map(NamedTuple):
    """What is known of a feature map: its channels, height and width."""

    channels: int
    height: int
    width: int


Attributes = Mapping[str, Any]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Operation:
    """One kind of node.

    Args:
        inputs: How many maps it takes; None for two or more.
        attributes: A check for each attribute, that raises ValueError. All are needed.
        result: From its input maps and attributes to its output map. Raises ValueError.
        tensors: From the same to the shapes of its tensors, by role.
        optional: The roles that may be left out.
    """

    inputs: int | None
    attributes: Mapping[str, Callable[[Any], None]]
    result: Callable[[Sequence[Map], Attributes], Map]
    tensors: Callable[[Sequence[Map], Attributes], Shapes] = lambda maps, attributes: {}
    optional: tuple[str, ...] = ()


def _whole(least: int, most: int) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"should be a whole number, {least}..{most}")

    return check


def _number(value: Any) -> None:
    # Compared, not converted: a whole number may have any length. NaN is not at most a million.
    if type(value) not in (int, float) or not abs(value) <= 1e6:
        raise ValueError("should be a finite number, at most a million")


def _pair(least: int) -> Callable[[Any], None]:
    one = _whole(least, MAX_WINDOW)

    def check(value: Any) -> None:
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError("should be a list of two, down and across")
        for part in value:
            one(part)

    return check


def _padding(value: Any) -> None:
    if isinstance(value, str) and value in (SAME, VALID):
        return
    _four(value)


def _same_or_valid(value: Any) -> None:
    if value not in (SAME, VALID):
        raise ValueError(f"should be {SAME!r} or {VALID!r}")


def _four(value: Any) -> None:
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError("should list the cells at the top, left, bottom and right")
    for part in value:
        _whole(0, MAX_WINDOW)(part)


def _epsilon(value: Any) -> None:
    _number(value)
    if value <= 0:
        raise ValueError("should be above 0")


def _cells(size: int, window: int, stride: int, before: int, after: int) -> int:
    cells = (size + before + after - window) // stride + 1
    if cells < 1:
        raise ValueError(f"has no cell left of a map of {size}")
    return cells


def _windowed(channels: int, given: Map, window: Sequence[int], attributes: Attributes) -> Map:
    """The map behind a window that moves by strides."""
    padding = attributes["padding"]
    sizes = []
    for axis, size in enumerate(given[1:]):
        stride = attributes["strides"][axis]
        if padding == SAME:
            sizes.append(-(-size // stride))
            continue
        pads = [0] * 4 if padding == VALID else padding
        sizes.append(_cells(size, window[axis], stride, pads[axis], pads[axis + 2]))
    return Map(channels, *sizes)


def _convolution(maps: Sequence[Map], attributes: Attributes) -> Map:
    filters, groups = attributes["filters"], attributes["groups"]
    if maps[0].channels % groups or filters % groups:
        raise ValueError(
            f"`groups` should divide its {maps[0].channels} channels and {filters} filters"
        )
    window = [
        (kernel - 1) * dilation + 1
        for kernel, dilation in zip(attributes["kernel_size"], attributes["dilation"], strict=True)
    ]
    return _windowed(filters, maps[0], window, attributes)


def _convolution_tensors(maps: Sequence[Map], attributes: Attributes) -> Shapes:
    filters = attributes["filters"]
    channels = maps[0].channels // attributes["groups"]
    return {"kernel": (filters, channels, *attributes["kernel_size"]), "bias": (filters,)}


def _pool(maps: Sequence[Map], attributes: Attributes) -> Map:
    return _windowed(maps[0].channels, maps[0], attributes["pool_size"], attributes)


def _same(maps: Sequence[Map], attributes: Attributes) -> Map:
    return maps[0]


def _broadcast(maps: Sequence[Map], attributes: Attributes) -> Map:
    """One map, and others of its size, or of one cell or one channel, which are repeated."""
    full = Map(*(max(sizes) for sizes in zip(*maps, strict=True)))
    if any(size not in (1, whole) for one in maps for size, whole in zip(one, full, strict=True)):
        raise ValueError(f"has inputs that don't fit together: {[tuple(one) for one in maps]}")
    return full


def _concatenate(maps: Sequence[Map], attributes: Attributes) -> Map:
    if len({one[1:] for one in maps}) > 1:
        raise ValueError(f"has inputs of several sizes: {[tuple(one) for one in maps]}")
    return Map(sum(one.channels for one in maps), *maps[0][1:])


def _pad(maps: Sequence[Map], attributes: Attributes) -> Map:
    channels, height, width = maps[0]
    top, left, bottom, right = attributes["padding"]
    return Map(channels, height + top + bottom, width + left + right)


def _per_channel(*roles: str) -> Callable[[Sequence[Map], Attributes], Shapes]:
    return lambda maps, attributes: dict.fromkeys(roles, (maps[0].channels,))


def _resize(maps: Sequence[Map], attributes: Attributes) -> Map:
    return Map(maps[0].channels, *maps[1][1:])


def resize_shift(scale: int, offset: float) -> tuple[bool, int] | None:
    """How a `resize` is one of ONNX, shifted: whether by half pixels, and the cells to shift by.

    Cell j of the result lies at `(j + offset) / scale` of the map. That is cell `j + shift` of a
    map that was brought up with pixels' areas aligned (half pixel), or their corners at zero.
    None where it is neither, which no network of a power of two as its strides has.
    """
    for half, start in ((True, (1 - scale) / 2), (False, 0.0)):
        shift = offset - start
        if shift == round(shift):
            return half, round(shift)
    return None


def _offset(value: Any) -> None:
    _number(value)
    if abs(value) > 4 * MAX_SCALE or value * 2 != round(value * 2):
        raise ValueError("should be a multiple of 1/2")


_WINDOW = {"strides": _pair(1), "padding": _padding}
_POOL = Operation(1, {"pool_size": _pair(1), "strides": _pair(1), "padding": _same_or_valid}, _pool)
_POINTWISE = Operation(1, {}, _same)

OPERATIONS: Mapping[str, Operation] = {
    "convolution": Operation(
        1,
        {
            "filters": _whole(1, MAX_CHANNELS),
            "kernel_size": _pair(1),
            "dilation": _pair(1),
            "groups": _whole(1, MAX_CHANNELS),
            **_WINDOW,
        },
        _convolution,
        _convolution_tensors,
        optional=("bias",),
    ),
    **dict.fromkeys(
        (
            "relu",
            "relu6",
            "silu",
            "hard_swish",
            "hard_sigmoid",
            "sigmoid",
            "gelu",
            "softmax",
            "lightness_to_gray",
        ),
        _POINTWISE,
    ),
    "add": Operation(None, {}, _broadcast),
    "multiply": Operation(None, {}, _broadcast),
    "concatenate": Operation(None, {}, _concatenate),
    "average_pooling": _POOL,
    "max_pooling": _POOL,
    "global_average": Operation(1, {}, lambda maps, attributes: Map(maps[0].channels, 1, 1)),
    "padding": Operation(1, {"padding": _four}, _pad),
    "scaling": Operation(1, {"factor": _number, "offset": _number}, _same),
    "layer_normalization": Operation(
        1, {"epsilon": _epsilon}, _same, _per_channel("gamma", "beta"), ("gamma", "beta")
    ),
    "resize": Operation(2, {"scale": _whole(1, MAX_SCALE), "offset": _offset}, _resize),
}
"""All operations, by name. Maps are `(batch, channels, height, width)`; kernels `(filters, channels
/ groups, height, width)`; `softmax` and `layer_normalization` are over the channels, `gelu` is
the exact one; poolings leave out what is padded. A `resize` of a map to the size of another one:
cell j of the result lies at `(j + offset) / scale` of the map, bilinear, continued by the edge."""


def unknown_operation(name: object) -> ModelError:
    """What is said of an operation that is none of these."""
    from kh_zoo.nearest import nearest

    return ModelError(
        f"`op` should be one of {', '.join(OPERATIONS)}.{nearest(str(name), OPERATIONS)} "
        f"Received: {name!r}"
    )
