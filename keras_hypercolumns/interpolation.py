"""Separable interpolation as two matrix products, for sizes known or unknown.

`keras.ops.image.resize` fails where a height or a width is unknown, and knows one coordinate
convention only. A product with a matrix that is built from the sizes runs on every backend,
exports everywhere, and gives all three.
"""

import numpy as np
from keras import ops

COORDINATES = ("half_pixel", "legacy", "align_corners")
INTERPOLATIONS = ("bilinear", "nearest")


def interpolation_matrix(output_size, input_size, interpolation, coordinates, scale=None):
    """Return the `(output_size, input_size)` matrix that interpolates along one axis.

    Computed in float64 with NumPy where both sizes are ints, else in the graph. `scale` is the
    number of output pixels per input cell; without it, the ratio of the sizes.
    """
    if isinstance(output_size, int) and isinstance(input_size, int):
        xp, dtype = np, "float64"
        outputs, inputs = output_size, input_size
    else:
        xp, dtype = ops, "float32"
        outputs, inputs = ops.cast(output_size, dtype), ops.cast(input_size, dtype)
    pixels = xp.arange(output_size, dtype=dtype)
    cells = xp.arange(input_size, dtype=dtype)

    if coordinates == "align_corners":
        last = outputs - 1 if scale is None else inputs * scale - 1
        # An output of a single pixel sits on the first cell.
        source = pixels * (inputs - 1) / xp.maximum(last, 1)
    else:
        shift = 0.5 if coordinates == "half_pixel" else 0.0
        pixels = pixels + shift
        source = pixels * inputs / outputs if scale is None else pixels / scale
        source = source - shift
    if interpolation == "nearest":
        # The cell that holds the sample; align_corners has cells centred on it.
        source = xp.floor(source + (0.0 if coordinates == "legacy" else 0.5))
    source = xp.clip(source, 0, inputs - 1)
    weights = xp.maximum(1 - xp.abs(source[:, None] - cells[None, :]), 0)
    return ops.convert_to_tensor(weights, dtype="float32")


def resize(maps, height, width, interpolation, coordinates, scale, data_format):
    """Interpolate `maps` to `height` x `width`; `scale` as in `interpolation_matrix`."""
    rows, columns = (1, 2) if data_format == "channels_last" else (2, 3)
    shape = ops.shape(maps)
    sizes = (shape[rows], shape[columns], height, width)
    known = all(isinstance(size, int) for size in sizes)
    if known and scale in (None, 1) and sizes[:2] == sizes[2:]:
        return maps
    vertical = interpolation_matrix(height, shape[rows], interpolation, coordinates, scale)
    horizontal = interpolation_matrix(width, shape[columns], interpolation, coordinates, scale)
    along_rows, along_columns = (
        ("bhwc,ph->bpwc", "bhwc,qw->bhqc")
        if data_format == "channels_last"
        else ("bchw,ph->bcpw", "bchw,qw->bchq")
    )
    maps = ops.einsum(along_columns, maps, ops.cast(horizontal, maps.dtype))
    return ops.einsum(along_rows, maps, ops.cast(vertical, maps.dtype))
