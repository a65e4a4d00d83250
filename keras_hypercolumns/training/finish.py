"""What follows the training: the plain network, with heads in closed form."""

from keras_hypercolumns.colorizer import joint_colorizer
from keras_hypercolumns.fold_batch_norm import fold_batch_norm
from keras_hypercolumns.training.fit_heads import fit_heads
from keras_hypercolumns.training.picture_dataset import PictureDataset, training_pictures


def finish(trained, recipe, data, on_batch=None):
    """Fold the batch normalisation of a trained network, and fit its heads in closed form.

    Args:
        trained: The `joint_colorizer` that `train` returned.
        recipe: Its `Recipe`.
        data: List of folders of colour pictures.
        on_batch: Called with the number of batches done, of `head_steps(recipe)`.

    Returns:
        A `joint_colorizer` without batch normalisation.
    """
    plain = fold(trained, recipe)
    last = recipe.stages[-1]
    pictures = training_pictures(data, last.batch, recipe.head_size)
    end = recipe.steps + head_steps(recipe)
    # Steps behind those of the training, so that the crops are new.
    batches = PictureDataset(pictures, last.batch, recipe.head_size, recipe.seed, recipe.steps, end)
    fit_heads(plain, batches, recipe.head_points, recipe.head_ridge, on_batch)
    return plain


def fold(trained, recipe):
    """Return `trained` without batch normalisation; its heads are kept as they are."""
    plain = joint_colorizer(recipe.variants, recipe.pooling)
    return fold_batch_norm(trained, plain)


def head_steps(recipe):
    """Number of batches that the heads are fitted on."""
    return max(1, recipe.head_pictures // sum(recipe.stages[-1].batch.values()))
