"""The vivid heads: multinomial logistic regression on a frozen trunk."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from keras_hypercolumns.colorizers.colorizer import (
    VIVID,
    coarse_maps,
    coarse_placing,
)
from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.colorizers.hidden_head import VIVID_STRIDE
from keras_hypercolumns.colors.ab_bins import ab_bins, rebalancing, soft_encoding
from keras_hypercolumns.graphs.feature_info import feature_info
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.layers.hypercolumn_sampler import HyperColumnSampler
from keras_hypercolumns.training.data.picture_dataset import PictureDataset, lab_of

BATCH = 512
"""Cells of a step."""
EPOCHS = 4
LEARNING_RATE = 1e-3
"""At first; it falls to zero along a cosine."""


def fit_vivid(
    colorizer: ColorizerModel,
    variant: str,
    batches: PictureDataset,
    points: int,
    uniform: float,
    ridge: float,
    temperature: float,
    on_batch: Callable[[int], object] | None = None,
) -> None:
    """Fit the vivid head of a variant, by the cross-entropy with the softly encoded colours.

    Each batch is predicted once, and kept at a few random cells of each picture. The loss is
    convex; Adam goes through the cells several times, in another order each time.

    Args:
        colorizer: A `joint_colorizer` without batch normalisation. Its head `"VARIANT-vivid"` is
            overwritten, all else stays as it is.
        variant: The variant.
        batches: A `PictureDataset`.
        points: Cells, of 4 x 4 pixels, sampled from each picture.
        uniform: As for `rebalancing`.
        ridge: Times the squares of the weights on standardised channels, added to the loss.
        temperature: That of the mean of the colours. The scores are scaled, so that the head's own
            temperature has the effect of this one.
        on_batch: Called with the number of batches done.

    Reference:
        - [Zhang et al., 2016](https://arxiv.org/abs/1603.08511), section 2.
    """
    rows, colors = vivid_rows(colorizer, variant, batches, points, on_batch)
    kernel, bias = fit_scores(rows, colors, uniform, ridge, batches.seed)
    name = f"{variant}{VIVID}"
    scale = colorizer.get_layer(f"mean_{name}").temperature / temperature
    colorizer.heads[name].set_weights([kernel[None, None] * scale, bias * scale])


def vivid_rows(
    colorizer: ColorizerModel,
    variant: str,
    batches: PictureDataset,
    points: int,
    on_batch: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the vivid head sees at random cells, and the mean colours of these cells.

    The arguments are those of `fit_vivid`.

    Returns:
        Two arrays, `(cells, channels)` of float16 and `(cells, 2)`, A and B.
    """
    head = colorizer.heads[f"{variant}{VIVID}"]
    linear = isinstance(head, HyperColumnProjection)  # in the hypercolumn, not in a hidden map
    sampler = (_sampler if linear else _hidden_sampler)(colorizer, variant)
    random = np.random.default_rng((batches.seed, batches.first_step))
    rows, colors = [], []
    for index in range(len(batches)):
        lab = lab_of(batches[index][0])
        # The strides are given, because JAX's default of them fails (Keras 3.15).
        cells = ops.average_pool(
            lab[..., 1:], VIVID_STRIDE, strides=VIVID_STRIDE, data_format="channels_last"
        )
        cells = ops.convert_to_numpy(cells)
        where = random.integers(0, cells.shape[1:3], (len(cells), points, 2))
        lightness = ops.convert_to_numpy(lab[..., :1])
        seen = sampler.predict_on_batch([lightness, where.astype("float32")])
        rows.append(seen.reshape(-1, seen.shape[-1]).astype("float16"))
        picture = np.arange(len(cells))[:, None]
        colors.append(cells[picture, where[..., 0], where[..., 1]].reshape(-1, 2))
        if on_batch:
            on_batch(index + 1)
    return np.concatenate(rows), np.concatenate(colors)


def fit_scores(
    rows: np.ndarray, colors: np.ndarray, uniform: float, ridge: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and the bias of the scores that fit the colours of some cells best.

    Args:
        rows: `(cells, channels)`.
        colors: `(cells, 2)`, A and B.
        uniform: As for `rebalancing`.
        ridge: As for `fit_vivid`.
        seed: Of the order of the cells.
    """
    bins = ab_bins()
    cells = _Cells(rows, colors, uniform, seed)
    channels = rows.shape[1]
    start = np.log(np.maximum(cells.targets(slice(None)).mean(axis=0), 1e-6))
    regression = keras.Sequential(
        [
            keras.Input((channels,)),
            layers.Dense(
                len(bins),
                kernel_initializer="zeros",
                kernel_regularizer=keras.regularizers.L2(ridge),
            ),
        ]
    )
    regression.layers[0].set_weights([np.zeros((channels, len(bins))), start])
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, EPOCHS * len(cells))
    regression.compile(
        keras.optimizers.Adam(schedule), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    # The cells shuffle themselves.
    regression.fit(cells, epochs=EPOCHS, shuffle=False, verbose=0)
    kernel, bias = regression.layers[0].get_weights()
    kernel = kernel / cells.deviation[:, None]
    return kernel, bias - cells.mean @ kernel


class _Cells(keras.utils.PyDataset):
    """Batches of standardised rows, of the shares of the bins, and of the weights of the cells."""

    def __init__(self, rows: np.ndarray, colors: np.ndarray, uniform: float, seed: int) -> None:
        super().__init__()
        bins = ab_bins()
        self.rows = rows
        self.nearest, self.shares = soft_encoding(colors, bins)
        counts = np.bincount(self.nearest[:, 0], minlength=len(bins))
        self.weights = rebalancing(counts / len(rows), bins, uniform)[self.nearest[:, 0]]
        # In double precision: the rows are in half, which overflows.
        self.mean = rows.mean(axis=0, dtype="float64")
        squares = np.einsum("ij,ij->j", rows, rows, dtype="float64") / len(rows)
        deviation = np.sqrt(np.maximum(squares - self.mean**2, 0))
        # A channel that hardly ever answers is not made loud.
        self.deviation = np.maximum(deviation, 0.1 * deviation.mean() + 1e-6)
        self.random = np.random.default_rng(seed)
        self.order = self.random.permutation(len(rows))

    def __len__(self) -> int:
        return -(-len(self.rows) // BATCH)

    def targets(self, which: slice | np.ndarray) -> np.ndarray:
        """Shares of all bins, `(cells, bins)`."""
        nearest = self.nearest[which]
        targets = np.zeros((len(nearest), len(ab_bins())), "float32")
        np.put_along_axis(targets, nearest, self.shares[which].astype("float32"), axis=1)
        return targets

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        which = np.sort(self.order[index * BATCH : (index + 1) * BATCH])
        rows = (self.rows[which] - self.mean) / self.deviation
        return rows.astype("float32"), self.targets(which), self.weights[which].astype("float32")

    def on_epoch_end(self) -> None:
        self.order = self.random.permutation(len(self.rows))


def _hidden_sampler(colorizer: ColorizerModel, variant: str) -> keras.Model:
    """From lightness and cells to what the head of a variant sees of the hidden map there."""
    cells = colorizer.heads[f"{variant}{VIVID}"].input
    where = keras.Input((None, 2), name="where")
    rows = HyperColumnSampler(("cells",), data_format="channels_last")(({"cells": cells}, where))
    return keras.Model([colorizer.input, where], rows)


def _sampler(colorizer: ColorizerModel, variant: str) -> keras.Model:
    """From lightness and cells to the hypercolumns that the vivid head of a variant sees there."""
    scaled = colorizer.scaling.output
    taps = colorizer.taps[variant]
    maps = {**colorizer.maps, "lightness": scaled}
    places = feature_info(colorizer.trunk, taps)
    maps |= coarse_maps(maps, taps, places)
    sampler = HyperColumnSampler(**coarse_placing(taps, places))
    where = keras.Input((None, 2), name="where")
    rows = sampler(({name: maps[name] for name in sampler.input_names}, where))
    return keras.Model([colorizer.input, where], rows)
