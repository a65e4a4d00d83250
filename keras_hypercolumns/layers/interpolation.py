"""Interpolation of feature maps: everywhere (`resize`) or at points (`sample`).

`keras.ops.image.resize` fails where a height or a width is unknown, and knows one coordinate
convention only. Interpolation is separable: a product with one matrix per axis, built from the
sizes, runs on every backend, exports everywhere, and gives all three conventions. Coordinates are
float64 or float32 throughout; only the weights take the type of the maps.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

COORDINATES = ("half_pixel", "legacy", "align_corners")
INTERPOLATIONS = ("bilinear", "nearest", "bicubic")


def source_cells(
    pixels: Any,
    output_size: Any,
    input_size: Any,
    interpolation: str,
    coordinates: str,
    scale: float | None = None,
    offset: Any = None,
) -> tuple[Any, Any]:
    """Return where `pixels` of the output fall among the cells of a map, along one axis.

    This is the one definition of the coordinate conventions. Pixel i and cell i have their
    centres at i. The place is a cell of the map, a whole number, and the share of the way from
    there to the next one, 0 for nearest interpolation: apart, so that float32 is exact enough for
    large maps. For bicubic interpolation the cell may lie beyond the edge of the map.

    `pixels` is an array of NumPy, where both sizes are ints, or a tensor of floats. `scale` is the
    number of output pixels per cell; without it, the ratio of the sizes. With a scale and an
    `offset`, in pixels of the output, pixel i lies at the cell `(i + offset) / scale`; without the
    offset, half-pixel coordinates have `(1 - scale) / 2`.
    """
    xp = np if isinstance(pixels, np.ndarray) else ops
    outputs, inputs = (
        ops.cast(size, pixels.dtype) if ops.is_tensor(size) else size
        for size in (output_size, input_size)
    )
    # The cell is `position / step - shift`.
    if coordinates == "align_corners":
        # An output of a single pixel sits on the first cell.
        step = _at_least_one((outputs if scale is None else inputs * scale) - 1)
        position, shift = pixels * (inputs - 1), 0.0
    else:
        shift = 0.5 if coordinates == "half_pixel" else 0.0
        # An offset is counted from the centre of a cell, the position from where the cell begins.
        first = shift if offset is None or scale is None else offset + shift * scale
        position, step = pixels + first, scale
        if scale is None:
            position, step = position * inputs, outputs
    if interpolation == "nearest":
        position = position + step / 2 if coordinates == "align_corners" else position
    else:
        position = position - shift * step
    cell = xp.floor(position / step)
    if xp is ops:
        cell = ops.cast(cell, pixels.dtype)  # with PyTorch, Keras makes single precision of double
    # A quotient is rounded, also to the next whole number; so is the product with a reciprocal, by
    # which a compiler divides.
    cell = xp.where(position >= (cell + 1) * step, cell + 1, cell)
    cell = xp.where(position < cell * step, cell - 1, cell)
    share = (position - cell * step) / step
    if interpolation == "bicubic":
        return cell, share  # see `cells_around`
    # Beyond the edge of the map, its edge.
    last = inputs - 1
    share = xp.where((cell < 0) | (cell >= last), 0, share)
    if interpolation == "nearest":
        share = xp.zeros_like(share)
    return _at_most(_at_least_zero(cell), last), share


def cells_around(
    cell: Any, share: Any, input_size: Any, interpolation: str
) -> list[tuple[Any, Any]]:
    """Return the cells that a place is interpolated from, each with its weight.

    `cell` and `share` are those of `source_cells`. Beyond the edge of the map is its edge.

    Reference:
        - Keys, Cubic convolution interpolation for digital image processing, 1981, equation 15.
    """
    last = input_size - 1
    last = ops.cast(last, cell.dtype) if ops.is_tensor(last) else last
    if interpolation == "nearest":
        return [(cell, 1 - share)]
    if interpolation == "bilinear":
        return [(cell, 1 - share), (_at_most(cell + 1, last), share)]
    weights = (
        ((1 - share / 2) * share - 0.5) * share,
        (1.5 * share - 2.5) * share * share + 1,
        ((2 - 1.5 * share) * share + 0.5) * share,
        (share / 2 - 0.5) * share * share,
    )
    return [
        (_at_most(_at_least_zero(cell + i - 1), last), weight) for i, weight in enumerate(weights)
    ]


def _at_most(x: Any, most: Any) -> Any:
    """The minimum, in the type of `x`, for a size that is a number, a tensor or PyTorch's symbol.

    `ops` make a tensor of a number that they compare, and so a constant of a symbol; and with
    PyTorch `ops.minimum` makes single precision of double.
    """
    xp = np if isinstance(x, np.ndarray) else ops
    return xp.where(x > most, xp.zeros_like(x) + most, x)


def _at_least_zero(x: Any) -> Any:
    """The maximum with 0, likewise."""
    xp = np if isinstance(x, np.ndarray) else ops
    return xp.where(x < 0, xp.zeros_like(x), x)


def _at_least_one(size: Any) -> Any:
    if ops.is_tensor(size):
        return ops.maximum(size, 1)
    return max(size, 1)


def interpolation_matrix(
    output_size: Any,
    input_size: Any,
    interpolation: str,
    coordinates: str,
    scale: float | None = None,
    offset: Any = None,
    dtype: str = "float32",
) -> Any:
    """Return the `(output_size, input_size)` matrix that interpolates along one axis.

    Computed with NumPy where both sizes are ints, else in the graph; so it is with PyTorch, whose
    compiler takes no NumPy, and to which a size that changes looks like an int. `scale` and
    `offset` as in `source_cells`.
    """
    known = isinstance(output_size, int) and isinstance(input_size, int)
    xp = np if known and keras.backend.backend() != "torch" else ops
    compute = "float64" if xp is np else dtype
    pixels = xp.arange(output_size, dtype=compute)
    cells = xp.arange(input_size, dtype=compute)
    cell, share = source_cells(
        pixels, output_size, input_size, interpolation, coordinates, scale, offset
    )
    total = 0.0
    for index, weight in cells_around(cell, share, input_size, interpolation):
        # 1 where a column is that cell, 0 elsewhere: they are whole numbers.
        there = _at_least_zero(1 - xp.abs(index[:, None] - cells[None, :]))
        total = total + there * weight[:, None]
    return ops.convert_to_tensor(total, dtype=dtype)


def entry_of_remainder(table: Sequence[float], size: Any) -> Any:
    """Return `table[size % len(table)]`, of a size that may be known in the graph only.

    With PyTorch it is a tensor always, see `interpolation_matrix`.
    """
    remainder = size % len(table)
    if isinstance(size, int) and keras.backend.backend() != "torch":
        return table[remainder]
    if ops.is_tensor(remainder):
        remainder = ops.cast(remainder, "float32")
    distance = ops.arange(len(table), dtype="float32") - remainder
    weights = _at_least_zero(1 - ops.abs(distance))
    return ops.sum(weights * ops.convert_to_tensor(table, dtype="float32"))


def coordinates_dtype(dtype: str) -> str:
    """The type that places are computed in, for maps of a type: never less than float32."""
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"


def resize(
    maps: Any,
    height: Any,
    width: Any,
    interpolation: str,
    coordinates: str,
    scales: tuple[float, float] | None,
    data_format: str,
    offsets: tuple[Any, Any] | None = None,
) -> Any:
    """Interpolate `maps` to `height` x `width`.

    `scales` and `offsets` are like the `scale` and `offset` of `source_cells`, down and across.
    """
    rows, columns = (1, 2) if data_format == "channels_last" else (2, 3)
    shape = ops.shape(maps)
    sizes = (shape[rows], shape[columns], height, width)
    known = all(isinstance(size, int) for size in sizes)
    down, across = offsets or (None, None)
    still = not any(ops.is_tensor(offset) or offset for offset in (down, across))
    if known and scales in (None, (1, 1)) and still and sizes[:2] == sizes[2:]:
        return maps
    settings, dtype = (interpolation, coordinates), coordinates_dtype(maps.dtype)
    stretch, widen = scales or (None, None)
    vertical = interpolation_matrix(height, shape[rows], *settings, stretch, down, dtype)
    horizontal = interpolation_matrix(width, shape[columns], *settings, widen, across, dtype)
    vertical, horizontal = (ops.cast(matrix, maps.dtype) for matrix in (vertical, horizontal))
    maps = ops.convert_to_tensor(maps)
    # By "@", since with PyTorch `ops.matmul` makes single precision of double. Of whole rows: with
    # `einsum` PyTorch leaves the maps in another order in memory, and all that is added to them
    # takes many times as long.
    if data_format == "channels_first":
        return vertical @ (maps @ ops.transpose(horizontal))
    maps = horizontal @ maps
    batch, _, _, channels = ops.shape(maps)
    maps = vertical @ ops.reshape(maps, (batch, shape[rows], width * channels))
    return ops.reshape(maps, (batch, height, width, channels))


def sample(
    maps: Any,
    points: Any,
    height: Any,
    width: Any,
    interpolation: str,
    coordinates: str,
    scales: tuple[float, float] | None,
    data_format: str,
    offsets: tuple[Any, Any] | None = None,
) -> Any:
    """Interpolate `maps` at `points`: `(batch, points, channels)`, in either data format.

    `points` is a tensor `(batch, points, 2)` of floats of (y, x), in pixels of an output of
    `height` x `width`: at whole numbers, the values are those of `resize`. Only the cells around
    the points are read.
    """
    if data_format == "channels_first":
        # A cell is to be a row of channels.
        maps = ops.transpose(maps, (0, 2, 3, 1))
    rows, columns, channels = ops.shape(maps)[1:]

    def neighbours(axis: int, output_size: Any, input_size: Any) -> tuple[Any, Any]:
        """The cells around each point, and their weights, on a new axis 1."""
        # Beyond the edge of the output, its edge.
        last = output_size - 1
        last = ops.cast(last, points.dtype) if ops.is_tensor(last) else last
        pixels = _at_most(_at_least_zero(points[:, :, axis]), last)
        cell, share = source_cells(
            pixels,
            output_size,
            input_size,
            interpolation,
            coordinates,
            None if scales is None else scales[axis],
            None if offsets is None else offsets[axis],
        )
        around = cells_around(ops.cast(cell, "int32"), share, input_size, interpolation)
        return tuple(ops.stack(each, axis=1) for each in zip(*around, strict=True))

    y, y_weights = neighbours(0, height, rows)
    x, x_weights = neighbours(1, width, columns)
    batch, count = ops.shape(points)[:2]
    # (batch, 4, points); 1 for nearest, 16 for bicubic.
    around = (batch, y.shape[1] * x.shape[1], count)
    cells = ops.reshape(y[:, :, None] * columns + x[:, None], around)
    weights = ops.reshape(y_weights[:, :, None] * x_weights[:, None], around)
    weights = ops.cast(weights, maps.dtype)
    # The rows of all pictures are gathered at once, as a list: JAX forgets the shape of what is
    # taken from nothing, and no size can be inferred of it.
    cells = cells + ops.arange(batch, dtype="int32")[:, None, None] * (rows * columns)
    flat = ops.reshape(maps, (batch * rows * columns, channels))
    values = ops.take(flat, ops.reshape(cells, (batch * around[1] * count,)), axis=0)
    values = ops.reshape(values, (*around, channels))
    return ops.sum(values * weights[..., None], axis=1)
