"""The joint training of a trunk and the heads of several variants."""

import contextlib
import dataclasses
import json
import signal
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.color import srgb_to_lab
from keras_hypercolumns.colorizer import joint_colorizer
from keras_hypercolumns.training.joint_trainer import JointTrainer
from keras_hypercolumns.training.picture_dataset import (
    PictureDataset,
    center_crop,
    training_pictures,
    validation_pictures,
)
from keras_hypercolumns.training.sheet import sheet

SHEET_PICTURES = 4
"""Validation pictures of each folder on a sheet."""


def train(recipe, data, run, on_step=None):
    """Train as `recipe` says, or go on where the run folder left off.

    The run folder holds the last checkpoint (weights and optimizer), `state.json` (its name and
    step), `curves.jsonl` (a row per checkpoint), and `sheets/`. Ctrl-C, once, ends the training
    after the step at hand, with a checkpoint.

    Args:
        recipe: A `Recipe`.
        data: List of folders of colour pictures.
        run: The run folder; made if it is not there.
        on_step: Called with the number of steps done and the loss, after every step.

    Returns:
        The trained `joint_colorizer` and the number of steps done; fewer than `recipe.steps` when
        the training was interrupted.

    Raises:
        ValueError: If the data lacks what the recipe asks for, or the run folder is of another
            recipe.
    """
    run = Path(run)
    (run / "sheets").mkdir(parents=True, exist_ok=True)
    _check_recipe(recipe, run / "recipe.json")
    trainer = _build(recipe)
    step = _restore(trainer, run)
    last = recipe.stages[-1]
    judges = validation_pictures(
        data, last.batch, recipe.validation_size, recipe.validation_pictures
    )
    judges = {
        folder: np.stack([center_crop(path, recipe.validation_size) for path in paths])
        for folder, paths in judges.items()
    }

    watch = _Watch(on_step, step)
    begin = 0
    with _interruptible(watch):
        for stage in recipe.stages:
            end = begin + stage.steps
            pictures = None
            while begin <= step < end and not watch.interrupted:
                pictures = pictures or training_pictures(data, stage.batch, stage.size)
                # Checkpoints fall on the same steps whether or not the run was interrupted.
                until = min(end, (step // recipe.checkpoint_steps + 1) * recipe.checkpoint_steps)
                batches = PictureDataset(
                    pictures, stage.batch, stage.size, recipe.seed, step, until
                )
                started = time.monotonic()
                # By default, fit shuffles the batches of a dataset.
                history = trainer.fit(batches, shuffle=False, verbose=0, callbacks=[watch]).history
                seconds, step = time.monotonic() - started, watch.step
                _save(trainer, run, step)
                row = {"step": step, "size": stage.size, "seconds": round(seconds, 1)}
                row |= {name: float(values[-1]) for name, values in history.items()}
                _judge(trainer, judges, row, run)
            begin = end
    return trainer.colorizer, step


class _Watch(keras.callbacks.Callback):
    """Counts steps, tells of each, and remembers whether the training was interrupted."""

    def __init__(self, on_step, step):
        super().__init__()
        self.on_step = on_step
        self.step = step
        self.interrupted = False

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.on_step:
            self.on_step(self.step, float(logs["loss"]))
        # Set here, because fit clears it when it begins.
        if self.interrupted:
            self.model.stop_training = True


@contextlib.contextmanager
def _interruptible(watch):
    """Turn the first Ctrl-C into an end after the step at hand."""

    def stop(signum, frame):
        watch.interrupted = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check_recipe(recipe, path):
    text = json.dumps(dataclasses.asdict(recipe), indent=2)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(
            "`run` should be a new folder, or one of the same recipe, which goes on where it "
            f"left off. Received: {path.parent}, of another recipe; see {path.name} in it"
        )
    path.write_text(text, encoding="utf-8")


def _build(recipe):
    keras.utils.set_random_seed(recipe.seed)
    colorizer = joint_colorizer(recipe.variants, recipe.pooling, recipe.batch_norm)
    trainer = JointTrainer(colorizer)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(recipe.steps - recipe.warmup_steps, 1),
        warmup_target=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=recipe.weight_decay, global_clipnorm=recipe.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    trainer.compile(optimizer=optimizer)
    trainer(np.zeros((1, 32, 32, 3), "uint8"))
    optimizer.build(trainer.trainable_variables)
    return trainer


def _save(trainer, run, step):
    """Write a checkpoint whole or not at all: `state.json` names the file that counts."""
    name = f"checkpoint-{step:06d}.weights.h5"
    trainer.save_weights(run / name)
    state = run / "state.json"
    temporary = state.with_suffix(".tmp")
    temporary.write_text(json.dumps({"step": step, "checkpoint": name}), encoding="utf-8")
    temporary.replace(state)
    for old in run.glob("checkpoint-*.weights.h5"):
        if old.name != name:
            old.unlink()


def _restore(trainer, run):
    state = run / "state.json"
    if not state.exists():
        return 0
    state = json.loads(state.read_text(encoding="utf-8"))
    trainer.load_weights(run / state["checkpoint"])
    return state["step"]


def _judge(trainer, judges, row, run):
    """Predict the validation pictures: a row of the curves, and a sheet."""
    lightness, columns = [], {}
    for folder, rgb in judges.items():
        predicted = trainer.predict(rgb, batch_size=8, verbose=0)
        truth = predicted["truth"]
        row[f"validation/{folder}/gray"] = float(np.mean(truth**2))
        for name, ab in predicted.items():
            columns.setdefault(name, []).append(ab[:SHEET_PICTURES])
            if name != "truth":
                row[f"validation/{folder}/{name}"] = float(np.mean((ab - truth) ** 2))
        lab = srgb_to_lab(rgb[:SHEET_PICTURES].astype("float32") / 255)
        lightness.append(ops.convert_to_numpy(lab)[..., :1])
    with (run / "curves.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    colors = [np.concatenate(ab) for ab in columns.values()]
    sheet(np.concatenate(lightness), colors).save(
        run / "sheets" / f"step-{row['step']:06d}.jpg", quality=90
    )
