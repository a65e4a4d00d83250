"""The vivid heads: multinomial logistic regression on a frozen trunk."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import layers, ops

from keras_hypercolumns.ab_bins import ab_bins, rebalancing, soft_encoding
from keras_hypercolumns.color import srgb_to_lab
from keras_hypercolumns.colorizer import VIVID, VIVID_STRIDE, coarse_maps, coarse_placing
from keras_hypercolumns.hypercolumn_sampler import HyperColumnSampler
from keras_hypercolumns.training.picture_dataset import PictureDataset

BATCH = 512
"""Cells of a step."""
EPOCHS = 8
LEARNING_RATE = 2e-3
"""At first; it falls to zero along a cosine."""
LEAST_DEVIATION = 1e-3
"""Part of the mean deviation of a channel, below which a channel is not scaled up any more."""


def fit_vivid(
    colorizer: keras.Model,
    variant: str,
    batches: PictureDataset,
    points: int,
    uniform: float,
    decay: float,
    on_batch: Callable[[int], object] | None = None,
) -> float:
    """Fit the vivid head of a variant, by the cross-entropy with the softly encoded colours.

    Each batch is predicted once, and kept at a few random cells of each picture. The loss is
    convex; Adam goes through the cells several times, in random order.

    Args:
        colorizer: A `joint_colorizer` without batch normalisation. Its `"VARIANT-vivid"` head is
            overwritten, all else stays as it is.
        variant: The variant.
        batches: A `PictureDataset` of crops whose size is a multiple of 16.
        points: Cells sampled from each picture, of 4 x 4 pixels.
        uniform: As for `rebalancing`.
        decay: Weight decay: a part of each weight of a standardised channel, at each step and
            times the learning rate.
        on_batch: Called with the number of batches done.

    Returns:
        The loss that is left, the mean over the last time through the cells.
    """
    head = colorizer.get_layer(f"head_{variant}{VIVID}")
    bins = ab_bins()
    rows, colors = vivid_rows(colorizer, head.taps, batches, points, on_batch)
    nearest, shares = soft_encoding(colors, bins)
    frequencies = np.bincount(nearest[:, 0], minlength=len(bins)) / len(colors)
    weights = rebalancing(frequencies, bins, uniform)[nearest[:, 0]]

    # In float32: a mean in half precision overflows.
    mean = rows.mean(axis=0, dtype="float32")
    deviation = np.sqrt(np.mean([np.var(part, axis=0, dtype="float32") for part in _parts(rows)]))
    raise NotImplementedError(mean, deviation, weights, shares)


def vivid_rows(
    colorizer: keras.Model,
    variant: str,
    batches: PictureDataset,
    points: int,
    on_batch: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a vivid head sees at random cells, in half precision, and their mean colours.

    The arguments are those of `fit_vivid`.

    Returns:
        Two arrays `(cells, channels)` of float16, `(cells, 2)` of A and B.
    """
    sampler = _sampler(colorizer, variant)
    random = np.random.default_rng((batches.seed, batches.first_step))
    rows, colors = [], []
    for index in range(len(batches)):
        lab = srgb_to_lab(batches[index][0].astype("float32") / 255)
        cells = ops.convert_to_numpy(
            ops.average_pool(lab[..., 1:], VIVID_STRIDE, data_format="channels_last")
        )
        where = random.integers(0, cells.shape[1:3], (len(cells), points, 2))
        seen = sampler.predict_on_batch(
            {"lightness": ops.convert_to_numpy(lab[..., :1]), "where": where.astype("float32")}
        )
        rows.append(seen.reshape(-1, seen.shape[-1]).astype("float16"))
        colors.append(cells[np.arange(len(cells))[:, None], where[..., 0], where[..., 1]])
        if on_batch:
            on_batch(index + 1)
    return np.concatenate(rows), np.concatenate(colors).reshape(-1, 2)


def _sampler(colorizer: keras.Model, variant: str) -> keras.Model:
    """From lightness and cells to the hypercolumns that the vivid head of a variant sees there."""
    head = colorizer.get_layer(f"head_{variant}{VIVID}")
    maps = {tensor.name: tensor for tensor in ()}
    return head, maps
