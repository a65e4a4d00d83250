"""Hypercolumns of pictures as NumPy has them."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.graphs.pick_taps import pick_taps
from keras_hypercolumns.layers.hypercolumn import HyperColumn
from keras_hypercolumns.layers.hypercolumn_sampler import HyperColumnSampler


def features(
    backbone: keras.Model,
    pictures: Any,
    taps: Iterable[str] | None = None,
    *,
    strides: Iterable[int] | None = None,
    points: Any = None,
) -> np.ndarray:
    """Return the hypercolumns of pictures, at some points or at every pixel.

    To look at, to fit anything of scikit-learn on, or to match places of two pictures.

    Example, the hypercolumn at two points of a picture:

    >>> import keras
    >>> import numpy as np
    >>> from keras_hypercolumns import features
    >>> backbone = keras.applications.MobileNetV2(include_top=False, weights=None)
    >>> pictures = np.zeros((1, 64, 96, 3), "float32")
    >>> points = [(10, 20), (31.5, 47.5)]  # (y, x): a pixel, then the middle
    >>> features(backbone, pictures, strides=(2, 4, 8), points=points).shape
    (1, 2, 432)

    Args:
        backbone: A functional model with one picture as its input, or a built Sequential one.
        pictures: Array of what it sees, as for its own call.
        taps: Names of layers that give a feature map; `pick_taps` says which there are.
        strides: Instead of names, pixels per cell: the last map of each stride is taken.
        points: `(points, 2)`, the same for all pictures, or `(batch, points, 2)`: (y, x) in pixels,
            whose centres are whole numbers. Defaults to `None`: all pixels, which at a thousand
            channels take 4 GB a megapixel.

    Input shape:
        4D array:

        - `channels_last`: `(batch, height, width, channels)`
        - `channels_first`: `(batch, channels, height, width)`

    Output shape:
        Array of floats; channels are those of the taps, one after the other.

        - With `points`: `(batch, points, channels)` for both data formats.
        - Without, `channels_last`: `(batch, height, width, channels)`
        - Without, `channels_first`: `(batch, channels, height, width)`

    Raises:
        ValueError: If `pictures` isn't 4D, if `points` has another shape, or as `pick_taps` does.

    Reference:
        - [Hariharan et al., 2015](https://arxiv.org/abs/1411.5752), section 3.
    """
    extractor, settings = pick_taps(backbone, taps, strides=strides)
    pictures = check_pictures(pictures)
    if points is None:
        column = HyperColumn(**settings)
        return np.concatenate([_array(column(maps)) for maps in each(extractor, pictures)])
    points = np.asarray(points, "float32")
    if points.shape[-1:] != (2,) or points.ndim not in (2, 3):
        raise ValueError(
            "`points` should have the shape (points, 2) or (batch, points, 2): (y, x) in pixels. "
            f"Received: shape {points.shape}"
        )
    if points.ndim == 3 and len(points) != len(pictures):
        raise ValueError(
            f"`points` should be for as many pictures as `pictures` has, {len(pictures)}. "
            f"Received: shape {points.shape}"
        )
    sampler = HyperColumnSampler(**settings)
    shared = np.broadcast_to(points, (len(pictures), *points.shape[-2:]))
    found = zip(each(extractor, pictures), shared, strict=True)
    return np.concatenate([_array(sampler((maps, at[None]))) for maps, at in found])


def check_pictures(pictures: Any) -> np.ndarray:
    """Return pictures as an array of floats, if they are several."""
    found = np.asarray(pictures, "float32")
    if found.ndim != 4 or not len(found):
        raise ValueError(
            "`pictures` should be a 4D array of one or more: put `[None]` behind a single one. "
            f"Received: shape {found.shape}"
        )
    return found


def each(extractor: keras.Model, pictures: np.ndarray) -> Iterable[dict[str, Any]]:
    """The maps of one picture after the other, so that memory is that of one."""
    for number in range(len(pictures)):
        yield extractor(pictures[number : number + 1], training=False)


def _array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))
