"""A contact sheet: what the variants make of a few validation pictures."""

from collections.abc import Sequence

import numpy as np
from keras import ops
from PIL import Image

from keras_hypercolumns.colors.lab import lab_to_srgb


def sheet(lightness: np.ndarray, colors: Sequence[np.ndarray]) -> Image.Image:
    """Draw one row per picture: gray, then each of `colors`.

    Args:
        lightness: `(pictures, height, width, 1)`: L.
        colors: List of `(pictures, height, width, 2)`: AB of one column each.

    Returns:
        A `PIL.Image.Image`.
    """
    columns = [
        ops.convert_to_numpy(lab_to_srgb(np.concatenate([lightness, ab], axis=-1)))
        for ab in (np.zeros_like(colors[0]), *colors)
    ]
    # (picture, height, column, width, rgb)
    grid = np.stack(columns, axis=2)
    pictures, height, count, width, _ = grid.shape
    rows = grid.reshape(pictures * height, count * width, 3)
    return Image.fromarray(np.round(rows * 255).astype("uint8"))
