"""The joint training of a trunk and the heads of several variants, step by step."""

import contextlib
import dataclasses
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.colors.lab import srgb_to_lab
from keras_hypercolumns.training.data.augmentation import Augmentation
from keras_hypercolumns.training.data.picture_dataset import (
    PictureDataset,
    center_crop,
    check_colors,
    training_pictures,
    validation_pictures,
)
from keras_hypercolumns.training.data_parallel import data_parallel
from keras_hypercolumns.training.initial_colorizer import (
    build_colorizer,
    freeze_statistics,
    initial_colorizer,
    own_trunk,
    trunk_settings,
)
from keras_hypercolumns.training.joint_trainer import JointTrainer
from keras_hypercolumns.training.layer_changes import layer_changes, save_kernels
from keras_hypercolumns.training.optimizer import TrunkAdamW
from keras_hypercolumns.training.recipe import Recipe, Stage, recipe_from_table
from keras_hypercolumns.training.run_files import (
    damaged,
    load_checkpoint,
    read_state,
    save_checkpoint,
    whole_file,
    write_json,
)
from keras_hypercolumns.training.sheet import sheet
from keras_hypercolumns.training.tensor_board import TensorBoard

SHEET_PICTURES = 4
"""Validation pictures of each folder on a sheet."""
KERNELS = "initial-kernels.npz"
RECIPE = "recipe.json"
TRUNK = "trunk.json"
FREQUENCY_PICTURES = 2000
"""Pictures that the frequencies of colours are counted on, for vivid heads."""


def train_jointly(
    recipe: Recipe,
    data: Sequence[str | Path],
    run: str | Path,
    on_step: Callable[[int, float], object] | None = None,
    init: str | None = None,
    load_model: Callable[[str], ColorizerModel] | None = None,
    tensorboard: bool = False,
    in_memory: bool = False,
) -> tuple[ColorizerModel, int]:
    """Train as `recipe` says, or go on where the run folder left off.

    The run folder holds the recipe, the last checkpoint (weights and optimizer), `state.json` (its
    name, hash and step), `curves.jsonl` (a row per checkpoint), `sheets/`, the first kernels and
    how far they moved (`layers.json`). Each file is written whole or not at all. Ctrl-C, once, ends
    the training after the step at hand, with a checkpoint; in a thread other than the main one
    there is no Ctrl-C.

    Args:
        recipe: A `Recipe`.
        data: List of folders of colour pictures.
        run: The run folder; made if it is not there.
        on_step: Called with the number of steps done and the loss, after every step.
        init: What to start from, instead of the recipe's `init`. Defaults to `None`: what the run
            began with, or the recipe's.
        load_model: Function from the name of a trained model to a `joint_colorizer` without batch
            normalisation, for an `init` that is such a name.
        tensorboard: Whether to write logs for TensorBoard to `run/tensorboard`.
        in_memory: Whether to keep all pictures decoded in memory, as for `PictureDataset`, so that
            an accelerator does not wait for them.

    Returns:
        The trained `joint_colorizer`, with the average of its weights if the recipe has one, and
        the number of steps done; fewer than `recipe.steps` when the training was interrupted.

    Raises:
        ValueError: If the data lacks what the recipe asks for, or has no colours; if the run folder
            is of another recipe, or its checkpoint is damaged; if `init` is nothing to start from.
            A run folder that isn't there is not made then.
        OSError: If the run folder can't be written, as on a full disk. Called again, it goes on
            from the last checkpoint.
        ImportError: If `tensorboard` is asked for and tensorboardX is not installed.
    """
    run = Path(run)
    board = TensorBoard(run / "tensorboard") if tensorboard else None
    recipe = _recipe_of(run, recipe, init)
    judges = _look_at(data, recipe)
    decoded: dict[Path, Image.Image] | None = {} if in_memory else None

    with data_parallel(recipe) as devices:
        trainer, step = _begin(recipe, data, run, load_model)
        watch = _Watch(on_step, step)
        begin = 0
        with (
            _interruptible(watch),
            contextlib.closing(board) if board else contextlib.nullcontext(),
        ):
            for stage in recipe.stages:
                end = begin + stage.steps
                pictures = None
                while begin <= step < end and not watch.interrupted:
                    pictures = pictures or _training_pictures(recipe, data, stage)
                    # Checkpoints fall on the same steps whether or not the run was interrupted.
                    until = min(
                        end, (step // recipe.checkpoint_steps + 1) * recipe.checkpoint_steps
                    )
                    batches = PictureDataset(
                        pictures,
                        stage.batch,
                        stage.size,
                        recipe.seed,
                        step,
                        until,
                        decoded,
                        recipe.augmentation,
                    )
                    started = time.monotonic()
                    # By default, fit shuffles the batches of a dataset.
                    history = trainer.fit(
                        batches, shuffle=False, verbose=0, callbacks=[watch]
                    ).history
                    seconds, step = time.monotonic() - started, watch.step
                    row = {"step": step, "size": stage.size, "seconds": round(seconds, 1)}
                    row |= {name: float(values[-1]) for name, values in history.items()}
                    with _averaged(trainer):
                        picture = _judge(trainer, judges, row, devices)
                    with whole_file(run / "sheets" / f"step-{step:06d}.jpg") as file:
                        picture.save(file, "JPEG", quality=90)
                    save_checkpoint(run, trainer, row, **trunk_settings(trainer.colorizer))
                    if board:
                        rate = float(ops.convert_to_numpy(trainer.optimizer.learning_rate))
                        board.write(row, rate, picture, trainer.trainable_variables)
                begin = end
    if isinstance(trainer.optimizer, TrunkAdamW):
        trainer.optimizer.keep_averages()
    _set_precision(trainer.colorizer, "float32")
    if recipe.steps:
        changes = {"step": step, "layers": layer_changes(trainer.colorizer, run / KERNELS)}
        write_json(run / "layers.json", changes)
    return trainer.colorizer, step


def _look_at(data: Sequence[str | Path], recipe: Recipe) -> dict[str, np.ndarray]:
    """Return the pictures that the training is judged by, after checking those that it learns from.

    Raises:
        ValueError: If there are none, or they have no colours.
    """
    last = recipe.stages[-1]
    least_side = recipe.augmentation.least_side
    shown = [(stage.size, stage.batch) for stage in recipe.stages if stage.steps]
    for size, batch in shown or [(recipe.head_size, last.batch)]:
        check_colors(training_pictures(data, batch, least_side(size)))
    if not recipe.steps:
        # It shows no pictures: few may be enough for heads alone.
        return {}
    found = validation_pictures(
        data, last.batch, least_side(recipe.validation_size), recipe.validation_pictures
    )
    return {
        folder: np.stack([center_crop(path, recipe.validation_size) for path in paths])
        for folder, paths in found.items()
    }


class _Watch(keras.callbacks.Callback):
    """Counts steps, tells of each, and remembers whether the training was interrupted."""

    def __init__(self, on_step: Callable[[int, float], object] | None, step: int) -> None:
        super().__init__()
        self.on_step = on_step
        self.step = step
        self.interrupted = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        if self.on_step:
            self.on_step(self.step, float(logs["loss"]))
        # Set here, because fit clears it when it begins.
        if self.interrupted:
            self.model.stop_training = True


@contextlib.contextmanager
def _interruptible(watch: _Watch) -> Iterator[None]:
    """Turn the first Ctrl-C into an end after the step at hand."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may say what becomes of signals.
        yield
        return

    def stop(signum: int, frame: object) -> None:
        watch.interrupted = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def recipe_of(run: str | Path) -> Recipe | None:
    """Return the recipe of a run, None where there is no run yet."""
    path = Path(run) / RECIPE
    if not path.is_file():
        return None
    return recipe_from_table(json.loads(path.read_text(encoding="utf-8")), str(path))


def _recipe_of(run: Path, recipe: Recipe, init: str | None) -> Recipe:
    """Return the recipe with its `init` replaced, after checking that it is that of the run."""
    begun = recipe_of(run)
    if init is not None:
        recipe = dataclasses.replace(recipe, init=init)
    if begun is None:
        return recipe
    if init is None:
        # It may have been given only when the run began.
        recipe = dataclasses.replace(recipe, init=begun.init)
    # Recipes once had to say it.
    recipe = dataclasses.replace(recipe, pooling=recipe.pooling or begun.pooling)
    one, other = dataclasses.asdict(recipe), dataclasses.asdict(begun)
    different = [key for key in one if one[key] != other[key]]
    if different:
        raise ValueError(
            "`run` should be a new folder, or one of the same recipe, which goes on where it "
            f"left off. Received: {run}, of another recipe; {RECIPE} in it differs in "
            f"{', '.join(different)}"
        )
    return recipe


def _begin(
    recipe: Recipe,
    data: Sequence[str | Path],
    run: Path,
    load_model: Callable[[str], ColorizerModel] | None,
) -> tuple[JointTrainer, int]:
    """Build the trainer, in the state that the run folder holds, or at the beginning."""
    keras.utils.set_random_seed(recipe.seed)
    state = read_state(run)
    if state and (run / KERNELS).exists():
        trunk = _read_trunk(run)
        colorizer = build_colorizer(recipe, recipe.batch_norm, of_trunk=state, trunk=trunk)
    else:
        colorizer = initial_colorizer(recipe, load_model, lambda: _first_batch(recipe, data))
        # Not before: what can't be begun with can be given anew, and leaves no folder behind.
        (run / "sheets").mkdir(parents=True, exist_ok=True)
        if recipe.steps:
            own = own_trunk(colorizer, recipe)
            if own is not None:
                # Where it came from may be gone when the run goes on.
                write_json(run / TRUNK, json.loads(own.to_json()))
            save_kernels(colorizer, run / KERNELS)
        write_json(run / RECIPE, dataclasses.asdict(recipe))
    freeze_statistics(colorizer, recipe)
    _set_precision(colorizer, recipe.precision)
    trainer = JointTrainer(colorizer, recipe.weighting, recipe.loss, recipe.vivid_loss)
    _compile(trainer, recipe)
    if not state:
        if recipe.joint_vivid and recipe.steps:
            trainer.rebalance(_some_pictures(recipe, data), recipe.vivid_uniform)
        return trainer, 0
    load_checkpoint(run, trainer, state)
    return trainer, int(state["step"])


def _read_trunk(run: Path) -> keras.Model | None:
    """Build the trunk that a run has written down, without its weights; None if it has none."""
    path = run / TRUNK
    if not path.is_file():
        return None
    try:
        trunk = keras.models.model_from_json(path.read_text(encoding="utf-8"))
        if not isinstance(trunk, keras.Model):
            raise ValueError("no model")
        return trunk
    except Exception as error:  # Keras raises whatever is wrong with a file
        raise ValueError(damaged(path, f"it can't be understood ({error})")) from None


def _set_precision(colorizer: ColorizerModel, precision: str) -> None:
    """Set what the trunk computes in; its weights are in float32 either way."""
    for layer in colorizer.trunk.layers:
        layer.dtype_policy = precision


def _training_pictures(
    recipe: Recipe, data: Sequence[str | Path], stage: Stage
) -> dict[str, list[Path]]:
    return training_pictures(data, stage.batch, recipe.augmentation.least_side(stage.size))


def _first_batch(recipe: Recipe, data: Sequence[str | Path]) -> np.ndarray:
    """The first batch, as clean pictures."""
    stage = recipe.stages[0]
    pictures = _training_pictures(recipe, data, stage)
    clean = Augmentation(crop=recipe.crop)
    batches = PictureDataset(
        pictures, stage.batch, stage.size, recipe.seed, 0, 1, augmentation=clean
    )
    return np.asarray(batches[0][0])


def _some_pictures(recipe: Recipe, data: Sequence[str | Path]) -> PictureDataset:
    """Pictures of the last stage, as it will see them, for counting their colours."""
    stage = recipe.stages[-1]
    pictures = _training_pictures(recipe, data, stage)
    steps = -(-FREQUENCY_PICTURES // sum(stage.batch.values()))
    return PictureDataset(
        pictures,
        stage.batch,
        stage.size,
        recipe.seed,
        0,
        min(steps, recipe.steps),
        augmentation=recipe.augmentation,
    )


def _compile(trainer: JointTrainer, recipe: Recipe) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(recipe.steps - recipe.warmup_steps, 1),
        # The part of the peak that is left at the end.
        alpha=1.0 if recipe.schedule == "constant" else recipe.final_rate,
        warmup_target=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
    )
    settings = {"beta_2": recipe.beta_2, "global_clipnorm": recipe.clip_norm or None}
    if recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(schedule, **settings)
    else:
        settings |= {"weight_decay": recipe.weight_decay}
        if recipe.trunk_rate != 1 or recipe.ema:
            trunk = trainer.colorizer.trunk.trainable_variables
            optimizer = TrunkAdamW(
                trunk, recipe.trunk_rate, recipe.ema, learning_rate=schedule, **settings
            )
        else:
            optimizer = keras.optimizers.AdamW(schedule, **settings)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    trainer.compile(optimizer=optimizer)
    trainer(np.zeros((1, 32, 32, 3), "uint8"))
    optimizer.build(trainer.trainable_variables)


def _averaged(trainer: JointTrainer) -> contextlib.AbstractContextManager[None]:
    """Inside of this the network has the averages of its weights, if they are taken."""
    if isinstance(trainer.optimizer, TrunkAdamW):
        return trainer.optimizer.averaged()
    return contextlib.nullcontext()


def _judge(
    trainer: JointTrainer, judges: Mapping[str, np.ndarray], row: dict[str, float], devices: int
) -> Image.Image:
    """Predict the validation pictures: their errors are added to the row; return a sheet."""
    lightness: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {}
    for folder, rgb in judges.items():
        # As many as can be shared out over the devices; what is too much is dropped again.
        whole = np.resize(rgb, (-(-len(rgb) // devices) * devices, *rgb.shape[1:]))
        predicted = trainer.predict(whole, batch_size=8 * devices, verbose=0)
        predicted = {name: ab[: len(rgb)] for name, ab in predicted.items()}
        truth = predicted["truth"]
        row[f"validation/{folder}/gray"] = float(np.mean(truth**2))
        for name, ab in predicted.items():
            columns.setdefault(name, []).append(ab[:SHEET_PICTURES])
            if name != "truth":
                row[f"validation/{folder}/{name}"] = float(np.mean((ab - truth) ** 2))
        lab = srgb_to_lab(rgb[:SHEET_PICTURES].astype("float32") / 255)
        lightness.append(ops.convert_to_numpy(lab)[..., :1])
    colors = [np.concatenate(ab) for ab in columns.values()]
    return sheet(np.concatenate(lightness), colors)
