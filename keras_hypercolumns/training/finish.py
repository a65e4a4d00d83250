"""What follows the training: the plain network, with heads in closed form."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import keras

from keras_hypercolumns.colorizer import joint_colorizer
from keras_hypercolumns.fold_batch_norm import fold_batch_norm
from keras_hypercolumns.training.fit_heads import fit_heads, linear_heads
from keras_hypercolumns.training.fit_vivid import fit_vivid
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
    batches = _batches(recipe, data, head_steps(recipe))
    fit_heads(
        plain, batches, recipe.head_points, recipe.head_ridge, recipe.head_weighting, on_batch
    )
    return plain


def add_vivid(
    plain: keras.Model,
    recipe: Recipe,
    data: Sequence[str | Path],
    on_batch: Callable[[int], object] | None = None,
) -> keras.Model:
    """Return a plain network with the vivid heads of the recipe beside its own.

    Args:
        plain: As of `finish` or `linear_part`.
        recipe: Its `Recipe`.
        data: List of folders of colour pictures.
        on_batch: Called with the number of batches done, of `vivid_steps(recipe)`.
    """
    model = joint_colorizer(
        tuple(plain.output), recipe.pooling, trunk_input=trunk_input(plain), vivid=recipe.vivid
    )
    for layer in plain.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    steps = _steps(recipe, recipe.vivid_pictures)
    for number, variant in enumerate(recipe.vivid):
        fit_vivid(
            model,
            variant,
            _batches(recipe, data, steps),
            recipe.vivid_points,
            recipe.vivid_uniform,
            recipe.vivid_ridge,
            recipe.vivid_temperature,
            on_batch and partial(_count, on_batch, number * steps),
        )
    return model


def _count(on_batch: Callable[[int], object], before: int, done: int) -> None:
    on_batch(before + done)


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
    return _steps(recipe, recipe.head_pictures) if recipe.head_pictures else 0


def vivid_steps(recipe: Recipe) -> int:
    """Number of batches that the vivid heads are fitted on."""
    return _steps(recipe, recipe.vivid_pictures) * len(recipe.vivid)


def _steps(recipe: Recipe, pictures: int) -> int:
    return max(1, pictures // sum(recipe.stages[-1].batch.values()))


def _batches(recipe: Recipe, data: Sequence[str | Path], steps: int) -> PictureDataset:
    """Pictures for the heads, shared out as in the last stage."""
    batch, size = recipe.stages[-1].batch, recipe.head_size
    pictures = training_pictures(data, batch, size)
    # Steps behind those of the training, so that the crops are new.
    return PictureDataset(pictures, batch, size, recipe.seed, recipe.steps, recipe.steps + steps)
