"""Interpolation of feature maps: everywhere (`resize`) or at points (`sample`).

`keras.ops.image.resize` fails where a height or a width is unknown, and knows one coordinate
convention only. Interpolation is separable: a product with one matrix per axis, built from the
sizes, runs on every backend, exports everywhere, and gives all three conventions. Coordinates are
float64 or float32 throughout; only the weights take the type of the maps.
"""

from typing import Any

import numpy as np
from keras import ops

COORDINATES = ("half_pixel", "legacy", "align_corners")
INTERPOLATIONS = ("bilinear", "nearest")


def source_cells(
    pixels: Any,
    output_size: Any,
    input_size: Any,
    interpolation: str,
    coordinates: str,
    scale: float | None = None,
    offset: float | None = None,
) -> Any:
    """Return where `pixels` of the output fall among the cells of a map, along one axis.

    This is the one definition of the coordinate conventions. Pixel i and cell i have their
    centres at i. The cells are within the map, and whole numbers for nearest interpolation.

    `pixels` is an array of NumPy, where both sizes are ints, or a float32 tensor. `scale` is the
    number of output pixels per cell; without it, the ratio of the sizes. With a scale and an
    `offset`, in pixels of the output, pixel i lies at the cell `(i + offset) / scale`; without the
    offset, half-pixel coordinates have `(1 - scale) / 2`.
    """
    if isinstance(pixels, np.ndarray):
        xp, outputs, inputs = np, output_size, input_size
    else:
        xp, outputs, inputs = ops, ops.cast(output_size, "float32"), ops.cast(input_size, "float32")

    # The cell is `position / step - shift`.
    if coordinates == "align_corners":
        # An output of a single pixel sits on the first cell.
        step = xp.maximum((outputs if scale is None else inputs * scale) - 1, 1)
        position, shift = pixels * (inputs - 1), 0.0
    else:
        shift = 0.5 if coordinates == "half_pixel" else 0.0
        # An offset is counted from the centre of a cell, the position from where the cell begins.
        first = shift if offset is None or scale is None else offset + shift * scale
        position, step = pixels + first, scale
        if scale is None:
            position, step = position * inputs, outputs
    if interpolation == "nearest":
        if coordinates == "align_corners":
            position = position + step / 2
        source = xp.floor(position / step)
        # A compiler multiplies by the reciprocal, which falls short of some whole quotients.
        source = xp.where(position >= (source + 1) * step, source + 1, source)
    else:
        source = position / step - shift
    return xp.clip(source, 0, inputs - 1)


def interpolation_matrix(
    output_size: Any,
    input_size: Any,
    interpolation: str,
    coordinates: str,
    scale: float | None = None,
    offset: float | None = None,
) -> Any:
    """Return the `(output_size, input_size)` matrix that interpolates along one axis.

    Computed in float64 with NumPy where both sizes are ints, else in the graph. `scale` and
    `offset` as in `source_cells`.
    """
    known = isinstance(output_size, int) and isinstance(input_size, int)
    xp, dtype = (np, "float64") if known else (ops, "float32")
    pixels = xp.arange(output_size, dtype=dtype)
    cells = xp.arange(input_size, dtype=dtype)
    source = source_cells(
        pixels, output_size, input_size, interpolation, coordinates, scale, offset
    )
    weights = xp.maximum(1 - xp.abs(source[:, None] - cells[None, :]), 0)
    return ops.convert_to_tensor(weights, dtype="float32")


def resize(
    maps: Any,
    height: Any,
    width: Any,
    interpolation: str,
    coordinates: str,
    scale: float | None,
    data_format: str,
    offset: float | None = None,
) -> Any:
    """Interpolate `maps` to `height` x `width`; `scale` and `offset` as in `source_cells`."""
    rows, columns = (1, 2) if data_format == "channels_last" else (2, 3)
    shape = ops.shape(maps)
    sizes = (shape[rows], shape[columns], height, width)
    known = all(isinstance(size, int) for size in sizes)
    if known and scale in (None, 1) and not offset and sizes[:2] == sizes[2:]:
        return maps
    settings = (interpolation, coordinates, scale, offset)
    vertical = interpolation_matrix(height, shape[rows], *settings)
    horizontal = interpolation_matrix(width, shape[columns], *settings)
    along_rows, along_columns = (
        ("bhwc,ph->bpwc", "bhwc,qw->bhqc")
        if data_format == "channels_last"
        else ("bchw,ph->bcpw", "bchw,qw->bchq")
    )
    maps = ops.einsum(along_columns, maps, ops.cast(horizontal, maps.dtype))
    return ops.einsum(along_rows, maps, ops.cast(vertical, maps.dtype))


def sample(
    maps: Any,
    points: Any,
    height: Any,
    width: Any,
    interpolation: str,
    coordinates: str,
    scale: float | None,
    data_format: str,
    offset: float | None = None,
) -> Any:
    """Interpolate `maps` at `points`: `(batch, points, channels)`, in either data format.

    `points` is a float32 tensor `(batch, points, 2)` of (y, x), in pixels of an output of
    `height` x `width`: at whole numbers, the values are those of `resize`. Only the cells around
    the points are read.
    """
    last = data_format == "channels_last"
    shape = ops.shape(maps)
    rows, columns, channels = shape[1:] if last else (*shape[2:], shape[1])

    def neighbours(axis: int, output_size: Any, input_size: Any) -> tuple[Any, Any]:
        """The one or two cells around each point, and their weights, on a new axis 1."""
        # Beyond the edge of the output, its edge.
        pixels = ops.clip(points[:, :, axis], 0, ops.cast(output_size - 1, "float32"))
        source = source_cells(
            pixels, output_size, input_size, interpolation, coordinates, scale, offset
        )
        if interpolation == "nearest":
            return ops.cast(source, "int32")[:, None], ops.ones_like(source)[:, None]
        first = ops.floor(source)
        share = source - first
        first = ops.cast(first, "int32")
        return (
            ops.stack([first, ops.minimum(first + 1, input_size - 1)], axis=1),
            ops.stack([1 - share, share], axis=1),
        )

    y, y_weights = neighbours(0, height, rows)
    x, x_weights = neighbours(1, width, columns)
    batch, count = ops.shape(points)[:2]
    # (batch, 4, points); 1 instead of 4 for nearest.
    around = (batch, y.shape[1] * x.shape[1], count)
    cells = ops.reshape(y[:, :, None] * columns + x[:, None], around)
    weights = ops.reshape(y_weights[:, :, None] * x_weights[:, None], around)
    weights = ops.cast(weights, maps.dtype)
    if last:
        # A cell is a row of channels: gather the rows of all pictures at once.
        cells = cells + ops.arange(batch, dtype="int32")[:, None, None] * (rows * columns)
        values = ops.take(ops.reshape(maps, (-1, channels)), cells, axis=0)
        return ops.sum(values * weights[..., None], axis=1)
    maps = ops.reshape(maps, (batch, channels, -1))
    values = ops.take_along_axis(maps, ops.reshape(cells, (batch, 1, -1)), axis=2)
    values = ops.reshape(values, (batch, channels, *around[1:]))
    return ops.transpose(ops.sum(values * weights[:, None], axis=2), (0, 2, 1))
