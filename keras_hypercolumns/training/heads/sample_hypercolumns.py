"""Hypercolumns at some pixels of some pictures, from the feature maps of VGG-19."""

from collections.abc import Mapping, Sequence

import numpy as np
from keras import ops

from keras_hypercolumns.backbones.vgg19.taps import tap_stride
from keras_hypercolumns.layers.interpolation import interpolation_matrix


def sample_hypercolumns(
    maps: Mapping[str, np.ndarray], taps: Sequence[str], where: np.ndarray, size: int
) -> list[np.ndarray]:
    """Return the hypercolumns of each picture, `(points, channels)`, in float32.

    Args:
        maps: Feature maps of a batch, `(batch, height, width, channels)`, by tap.
        taps: Those that are concatenated, in order.
        where: Rows and columns of the pixels, `(batch, 2, points)`.
        size: Height and width of the pictures, in pixels.
    """
    return [
        np.concatenate(
            [_sample(maps[tap][i], tap_stride(tap), size, *place) for tap in taps], axis=1
        )
        for i, place in enumerate(where)
    ]


def _sample(
    maps: np.ndarray, stride: int, size: int, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return one tap of the hypercolumn at some pixels, `(points, channels)`."""
    height, width, channels = maps.shape
    vertical = ops.convert_to_numpy(
        interpolation_matrix(size, height, "bilinear", "half_pixel", stride)
    )
    horizontal = ops.convert_to_numpy(
        interpolation_matrix(size, width, "bilinear", "half_pixel", stride)
    )
    weights = vertical[rows][:, :, None] * horizontal[columns][:, None, :]
    sampled: np.ndarray = weights.reshape(len(rows), -1) @ maps.reshape(-1, channels)
    return sampled
