"""What follows the training: the plain network, with heads in closed form."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from keras_hypercolumns.colorizer import joint_colorizer
from keras_hypercolumns.fold_batch_norm import fold_batch_norm
from keras_hypercolumns.training.fit_heads import fit_heads, linear_heads
from keras_hypercolumns.training.initial_colorizer import trunk_input
from keras_hypercolumns.training.picture_dataset import PictureDataset, training_pictures
from keras_hypercolumns.training.recipe import Recipe


def finish(
    trained: keras.Model,
    recipe: Recipe,
    data: Sequence[str | Path],
    on_batch: Callable[[int], object] | None = None,
) -> keras.Model:
    """Fold the batch normalisation of a trained network, and fit its heads in closed form.

    Heads that are not linear (`layered`, `residual`), and all where `head_pictures` of the recipe
    is 0, are kept as they are.

    Args:
        trained: The `joint_colorizer` that `train` returned.
        recipe: Its `Recipe`.
        data: List of folders of colour pictures.
        on_batch: Called with the number of batches done, of `head_steps(recipe)`.

    Returns:
        A `joint_colorizer` without batch normalisation.
    """
    plain = fold(trained, recipe)
    if not head_steps(recipe) or not linear_heads(plain):
        return plain
    last = recipe.stages[-1]
    pictures = training_pictures(data, last.batch, recipe.head_size)
    end = recipe.steps + head_steps(recipe)
    # Steps behind those of the training, so that the crops are new.
    batches = PictureDataset(pictures, last.batch, recipe.head_size, recipe.seed, recipe.steps, end)
    fit_heads(
        plain, batches, recipe.head_points, recipe.head_ridge, recipe.head_weighting, on_batch
    )
    return plain


def fold(trained: keras.Model, recipe: Recipe) -> keras.Model:
    """Return `trained` without batch normalisation; its heads are kept as they are."""
    plain = joint_colorizer(recipe.variants, recipe.pooling, trunk_input=trunk_input(trained))
    return fold_batch_norm(trained, plain)


def linear_part(plain: keras.Model, recipe: Recipe) -> keras.Model | None:
    """Return what a model folder can hold of a plain network: the variants with linear heads.

    Returns:
        `plain` itself where that is all of it, `None` where it is nothing.
    """
    variants = tuple(linear_heads(plain))
    if variants == recipe.variants:
        return plain
    return fold(plain, dataclasses.replace(recipe, variants=variants)) if variants else None


def head_steps(recipe: Recipe) -> int:
    """Number of batches that the heads are fitted on; 0 where they are kept as trained."""
    if not recipe.head_pictures:
        return 0
    return max(1, recipe.head_pictures // sum(recipe.stages[-1].batch.values()))
