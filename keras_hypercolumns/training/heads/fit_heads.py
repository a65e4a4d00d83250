"""The AB heads in closed form: linear least squares on a frozen trunk."""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.training.data.picture_dataset import PictureDataset, lab_of
from keras_hypercolumns.training.heads.gram_matrix import GramMatrix
from keras_hypercolumns.training.heads.hypercolumn_rows import hypercolumn_rows
from keras_hypercolumns.training.heads.picture_weights import picture_weights


def fit_heads(
    colorizer: ColorizerModel,
    batches: PictureDataset,
    points: int,
    ridge: float,
    weighting: float = 0.0,
    on_batch: Callable[[int], object] | None = None,
) -> GramMatrix:
    """Replace the linear heads of a `joint_colorizer` by the best ones, in closed form.

    Each batch is predicted once; the hypercolumns of all their taps at a few random pixels of each
    picture are added to one Gram matrix, and every head is solved from its sub-block.

    Args:
        colorizer: A `joint_colorizer` without batch normalisation. Its linear heads are
            overwritten; those of `layered` and `residual` stay as they are.
        batches: A `PictureDataset`.
        points: Pixels sampled from each picture.
        ridge: As for `GramMatrix.solve`.
        weighting: As for `picture_weights`, of the errors that the heads so far leave.
        on_batch: Called with the number of batches done.

    Returns:
        The `GramMatrix`.
    """
    channels = _channels(colorizer)
    heads = _kernels(colorizer)
    sampler = hypercolumn_rows(colorizer, list(channels))
    gram = GramMatrix(sum(channels.values()), 2)
    for index in range(len(batches)):
        lab = ops.convert_to_numpy(lab_of(batches[index][0]))
        random = np.random.default_rng((batches.seed, batches.first_step + index))
        where = random.integers(0, lab.shape[1], (len(lab), 2, points))
        pixels = where.transpose(0, 2, 1).astype("float32")
        rows = sampler.predict_on_batch([lab[..., :1], pixels])
        colors = [lab[i][tuple(where[i])][:, 1:] for i in range(len(lab))]
        errors = np.array([_error(heads, *pair) for pair in zip(rows, colors, strict=True)])
        weights = np.repeat(picture_weights(errors, weighting), points)
        gram.add(np.concatenate(rows), np.concatenate(colors), weights)
        if on_batch:
            on_batch(index + 1)
    solve_heads(colorizer, gram, ridge)
    return gram


def solve_heads(colorizer: ColorizerModel, gram: GramMatrix, ridge: float) -> None:
    """Replace the linear heads by the solutions of a `GramMatrix` that `fit_heads` returned."""
    columns = _columns(colorizer)
    for name, head in linear_heads(colorizer).items():
        kernel, bias = gram.solve(columns[name], ridge)
        unit = colorizer.unit(name)
        head.set_weights([(kernel / unit)[None, None], bias / unit])


def linear_heads(colorizer: ColorizerModel) -> dict[str, HyperColumnProjection]:
    """Return the heads of a `joint_colorizer` that are linear in their hypercolumn, by variant."""
    return {
        name: head
        for name, head in colorizer.heads.items()
        if isinstance(head, HyperColumnProjection)
    }


def _channels(colorizer: ColorizerModel) -> dict[str, int]:
    """Channels of each tap of the linear heads, in the order in which the Gram matrix has them."""
    used = {tap for head in linear_heads(colorizer).values() for tap in head.taps}
    maps = colorizer.trunk.output
    return {tap: maps[tap].shape[-1] for tap in maps if tap in used}


def _columns(colorizer: ColorizerModel) -> dict[str, np.ndarray]:
    """Where in the rows of the Gram matrix the inputs of each linear head are, by variant."""
    channels = _channels(colorizer)
    starts = dict(zip(channels, np.cumsum([0, *channels.values()]), strict=False))
    return {
        name: np.concatenate(
            [np.arange(starts[tap], starts[tap] + channels[tap]) for tap in head.taps]
        )
        for name, head in linear_heads(colorizer).items()
    }


def _kernels(colorizer: ColorizerModel) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Columns, kernel and bias of each linear head, whose product is AB in CIELAB units."""
    columns, found = _columns(colorizer), []
    for name, head in linear_heads(colorizer).items():
        unit = colorizer.unit(name)
        kernel, bias = head.get_weights()
        found.append((columns[name], kernel[0, 0] * unit, bias * unit))
    return found


def _error(
    heads: list[tuple[np.ndarray, np.ndarray, np.ndarray]], rows: np.ndarray, colors: np.ndarray
) -> float:
    """Mean squared error of AB that some heads, as of `_kernels`, leave on some pixels."""
    errors = [
        np.mean((rows[:, columns] @ kernel + bias - colors) ** 2) for columns, kernel, bias in heads
    ]
    return float(np.mean(errors))
