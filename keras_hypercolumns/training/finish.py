"""What follows the training: the plain network, with heads in closed form."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.graphs.fold_batch_norm import fold_batch_norm
from keras_hypercolumns.training.data.picture_dataset import PictureDataset, training_pictures
from keras_hypercolumns.training.heads.fit_heads import fit_heads, linear_heads
from keras_hypercolumns.training.heads.fit_hidden import fit_hidden_heads, hidden_heads
from keras_hypercolumns.training.heads.fit_vivid import fit_vivid
from keras_hypercolumns.training.initial_colorizer import (
    build_colorizer,
    is_vgg19,
    own_trunk,
    trunk_settings,
)
from keras_hypercolumns.training.recipe import Recipe


def finish(
    trained: ColorizerModel,
    recipe: Recipe,
    data: Sequence[str | Path],
    on_batch: Callable[[int], object] | None = None,
) -> ColorizerModel:
    """Fold the batch normalisation of a trained VGG-19, and fit the heads in closed form.

    Of hidden heads that is their last layer. Heads of other kinds (`layered`, `residual`), and all
    where `head_pictures` of the recipe is 0, are kept as they are.

    Args:
        trained: The `joint_colorizer` that `train` returned.
        recipe: Its `Recipe`.
        data: List of folders of colour pictures.
        on_batch: Called with the number of batches done, of `head_steps(recipe)`.

    Returns:
        A `joint_colorizer`; that of `lite` is `trained` itself.
    """
    plain = fold(trained, recipe)
    if not head_steps(recipe):
        return plain
    settings = (recipe.head_points, recipe.head_ridge, recipe.head_weighting, on_batch)
    for heads, fit in ((linear_heads, fit_heads), (hidden_heads, fit_hidden_heads)):
        if heads(plain):
            fit(plain, _batches(recipe, data, head_steps(recipe)), *settings)
    return plain


def add_vivid(
    plain: ColorizerModel,
    recipe: Recipe,
    data: Sequence[str | Path],
    on_batch: Callable[[int], object] | None = None,
) -> ColorizerModel:
    """Return a network with the vivid heads of the recipe beside its own, fitted on its trunk.

    Args:
        plain: As of `finish`.
        recipe: Its `Recipe`.
        data: List of folders of colour pictures.
        on_batch: Called with the number of batches done, of `vivid_steps(recipe)`.
    """
    model = build_colorizer(
        recipe,
        vivid=recipe.vivid,
        of_trunk=trunk_settings(plain),
        trunk=own_trunk(plain, recipe),
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


def fold(trained: ColorizerModel, recipe: Recipe) -> ColorizerModel:
    """Return a VGG-19 without batch normalisation, and another trunk as it is.

    For fitting heads on: what is written to a model folder is folded anyway.
    """
    if not is_vgg19(trained, recipe):
        return trained
    plain: ColorizerModel = build_colorizer(recipe, of_trunk=trunk_settings(trained))
    fold_batch_norm(trained, plain)
    return plain


def head_steps(recipe: Recipe) -> int:
    """Number of batches that the heads are fitted on; 0 where they are kept as trained."""
    return _steps(recipe, recipe.head_pictures) if recipe.head_pictures else 0


def vivid_steps(recipe: Recipe) -> int:
    """Number of batches that the vivid heads are fitted on; 0 where they are trained."""
    fitted = () if recipe.joint_vivid else recipe.vivid
    return _steps(recipe, recipe.vivid_pictures) * len(fitted)


def _steps(recipe: Recipe, pictures: int) -> int:
    return max(1, pictures // sum(recipe.stages[-1].batch.values()))


def _batches(recipe: Recipe, data: Sequence[str | Path], steps: int) -> PictureDataset:
    """Pictures for the heads, shared out as in the last stage."""
    batch, size = recipe.stages[-1].batch, recipe.head_size
    pictures = training_pictures(data, batch, recipe.augmentation.least_side(size))
    # Steps behind those of the training, so that the crops are new.
    return PictureDataset(
        pictures,
        batch,
        size,
        recipe.seed,
        recipe.steps,
        recipe.steps + steps,
        augmentation=recipe.augmentation,
    )
