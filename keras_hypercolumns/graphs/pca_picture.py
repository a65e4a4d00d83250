"""Hypercolumns as colours to look at."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.graphs.features import check_pictures, each
from keras_hypercolumns.graphs.pick_taps import pick_taps
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.layers.hypercolumn_sampler import HyperColumnSampler

TRIED, ITERATIONS = 12, 16
"""Of the subspace that the principal axes are found in: its dimensions, and how often."""
SHOWN = (1, 99)
"""Percentiles of a component that become 0 and 255."""


def pca_picture(
    backbone: keras.Model,
    pictures: Any,
    taps: Iterable[str] | None = None,
    *,
    strides: Iterable[int] | None = None,
    points: int = 4096,
    seed: int = 0,
) -> np.ndarray:
    """Draw what a backbone sees: the three principal components of the hypercolumns, as RGB.

    Pixels that the backbone takes for alike have like colours, in all of the pictures. The axes
    are those of some sampled pixels. Every tap counts alike: it is divided by the root of the sum
    of its channels' variances. The projection is that of `HyperColumnProjection`, so the
    hypercolumns of all pixels are never there at once.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_hypercolumns import pca_picture
    >>> backbone = keras.applications.MobileNetV2(include_top=False, weights=None)
    >>> pictures = np.random.default_rng(0).uniform(-1, 1, (1, 64, 96, 3))
    >>> drawn = pca_picture(backbone, pictures, strides=(2, 4, 8))
    >>> drawn.shape, str(drawn.dtype)
    ((1, 64, 96, 3), 'uint8')

    Args:
        backbone: A functional model with one picture as its input, or a built Sequential one.
        pictures: Array of what it sees, as for its own call.
        taps: Names of layers that give a feature map; `pick_taps` says which there are.
        strides: Instead of names, pixels per cell: the last map of each stride is taken.
        points: How many pixels are sampled, of all pictures together. A positive int.
        seed: Of where they lie.

    Input shape:
        4D array:

        - `channels_last`: `(batch, height, width, channels)`
        - `channels_first`: `(batch, channels, height, width)`

    Output shape:
        `(batch, height, width, 3)` for both data formats, uint8: the first component is red, the
        second green, the third blue.

    Raises:
        ValueError: If `points` isn't positive, if `pictures` isn't 4D, or as `pick_taps` does.

    Reference:
        - [Hariharan et al., 2015](https://arxiv.org/abs/1411.5752), section 3, on hypercolumns;
          [Oquab et al., 2023](https://arxiv.org/abs/2304.07193), section 7.5, on principal
          components of features as colours.
    """
    if points < 1:
        raise ValueError(f"`points` should be a positive int. Received: {points!r}")
    extractor, settings = pick_taps(backbone, taps, strides=strides)
    pictures = check_pictures(pictures)
    last = settings["data_format"] == "channels_last"
    size = pictures.shape[1:3] if last else pictures.shape[2:4]
    random = np.random.default_rng(seed)
    sampler = HyperColumnSampler(**settings)
    where = random.uniform(
        -0.5, np.array(size) - 0.5, (len(pictures), -(-points // len(pictures)), 2)
    )
    sampled = np.concatenate(
        [
            ops.convert_to_numpy(sampler((maps, at[None].astype("float32"))))[0]
            for maps, at in zip(each(extractor, pictures), where, strict=True)
        ]
    )
    layer = HyperColumnProjection(3, **settings)
    layer.build({name: x.shape for name, x in extractor.output.items()})
    kernel, mean = _axes(sampled.astype("float64"), layer.tap_channels)
    layer.set_weights([kernel[None, None], -mean @ kernel])
    drawn = np.concatenate(
        [ops.convert_to_numpy(layer(maps)) for maps in each(extractor, pictures)]
    )
    drawn = drawn if last else drawn.transpose(0, 2, 3, 1)
    low, high = np.percentile(drawn, SHOWN, axis=(0, 1, 2))
    shown = (drawn - low) / np.maximum(high - low, np.finfo("float32").tiny)
    return np.asarray((255 * shown.clip(0, 1)).round().astype("uint8"))


def _axes(rows: np.ndarray, channels: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """The kernel `(channels, 3)` that projects to the principal axes, and the mean."""
    mean = rows.mean(axis=0)
    ends = np.cumsum(list(channels))
    spread = np.concatenate(
        [
            np.full(part.shape[1], np.sqrt(part.var(axis=0).sum()) or 1.0)
            for part in np.split(rows, ends[:-1], axis=1)
        ]
    )
    axes = _principal((rows - mean) / spread)
    # An axis has no direction of its own: more of all channels is brighter.
    axes *= np.where(axes.sum(axis=1, keepdims=True) < 0, -1, 1)
    return axes.T / spread[:, None], mean


def _principal(rows: np.ndarray) -> np.ndarray:
    """The first three principal axes of centred rows, `(3, columns)`; zeros where there are fewer.

    By iterations of a subspace (Halko, Martinsson and Tropp 2011, algorithm 4.4), in a tenth
    of the time that all singular vectors take at a thousand columns.
    """
    width = min(TRIED, *rows.shape)
    found = np.random.default_rng(0).normal(size=(rows.shape[1], width))
    for _ in range(ITERATIONS):
        found = np.linalg.qr(rows.T @ np.linalg.qr(rows @ found)[0])[0]
    _, _, axes = np.linalg.svd(rows @ found, full_matrices=False)
    kept = (axes @ found.T)[:3]
    return np.pad(kept, ((0, 3 - len(kept)), (0, 0)))
