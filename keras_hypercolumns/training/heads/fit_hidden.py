"""The last layer of hidden heads in closed form: linear least squares on the hidden map."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.layers.hypercolumn_sampler import HyperColumnSampler
from keras_hypercolumns.layers.tap_layer import SHARED
from keras_hypercolumns.training.data.picture_dataset import PictureDataset, lab_of
from keras_hypercolumns.training.heads.gram_matrix import GramMatrix
from keras_hypercolumns.training.heads.picture_weights import picture_weights


def fit_hidden_heads(
    colorizer: ColorizerModel,
    batches: PictureDataset,
    points: int,
    ridge: float,
    weighting: float = 0.0,
    on_batch: Callable[[int], object] | None = None,
) -> None:
    """Replace the last layers of the hidden heads of a `joint_colorizer` by the best ones.

    A and B are linear in the hidden map, and bilinear interpolation commutes with that: so the map
    is sampled at a few random pixels of each picture, and the layer solved for.

    Args:
        colorizer: A `joint_colorizer`. Its trunk, and all of its heads but their last layers, stay
            as they are.
        batches: A `PictureDataset`.
        points: Pixels sampled from each picture.
        ridge: As for `GramMatrix.solve`.
        weighting: As for `picture_weights`, of the errors that the heads so far leave.
        on_batch: Called with the number of batches done.
    """
    names = hidden_heads(colorizer)
    sampler = _sampler(colorizer, names)
    grams = {name: GramMatrix(colorizer.heads[name].input.shape[-1], 2) for name in names}
    for index in range(len(batches)):
        lab = ops.convert_to_numpy(lab_of(batches[index][0]))
        random = np.random.default_rng((batches.seed, batches.first_step + index))
        where = random.integers(0, lab.shape[1], (len(lab), points, 2))
        found = sampler.predict_on_batch([lab[..., :1], where.astype("float32")])
        picture = np.arange(len(lab))[:, None]
        colors = lab[picture, where[..., 0], where[..., 1], 1:]
        for name in names:
            kernel, bias = colorizer.heads[name].get_weights()
            unit = colorizer.unit(name)
            left = (found[name] @ kernel[0, 0] + bias) * unit - colors
            weights = picture_weights(np.mean(left**2, axis=(1, 2)), weighting)
            rows = found[name].reshape(-1, len(kernel[0, 0]))
            grams[name].add(rows, colors.reshape(-1, 2), np.repeat(weights, points))
        if on_batch:
            on_batch(index + 1)
    for name, gram in grams.items():
        kernel, bias = gram.solve(np.arange(len(gram.input_sum)), ridge)
        unit = colorizer.unit(name)
        colorizer.heads[name].set_weights([(kernel / unit)[None, None], bias / unit])


def hidden_heads(colorizer: ColorizerModel) -> list[str]:
    """Return the variants of a `joint_colorizer` with hidden heads, without the vivid ones."""
    known = {layer.name for layer in colorizer.layers}
    return [name for name in colorizer.heads if f"head_{name}_hidden" in known]


def _sampler(colorizer: ColorizerModel, names: list[str]) -> keras.Model:
    """From lightness and pixels to the hidden maps there."""
    where = keras.Input((None, 2), name="where")
    rows = {}
    for name in names:
        # What brings A and B up to the picture says where the cells are.
        config = colorizer.get_layer(f"up_{name}").get_config()
        sample = HyperColumnSampler(**{key: config[key] for key in SHARED})
        maps = {"ab": colorizer.heads[name].input, "lightness": colorizer.input}
        rows[name] = sample((maps, where))
    return keras.Model([colorizer.input, where], rows)
