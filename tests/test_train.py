"""Training: interrupted and resumed, it ends where it would have ended; what it writes."""

import dataclasses
import json
import subprocess
import sys
import textwrap

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from keras_hypercolumns.training.recipe import read_recipe
from keras_hypercolumns.training.train import train

# Two variants that need the whole trunk; a checkpoint in the middle of a stage and at its end.
RECIPE = """
seed = 11
variants = ["relu3to5", "pool1to4"]
learning_rate = 1e-3
warmup_steps = 1
checkpoint_steps = 4
validation_size = 32
validation_pictures = 2
[[stages]]
size = 32
steps = 5
batch = { flowers = 1, photos = 1 }
[[stages]]
size = 32
steps = 1
batch = { "." = 2 }
"""

# Ctrl-C in the first step, which no checkpoint falls on.
INTERRUPTED = """
    import os, signal, sys
    from keras_hypercolumns.training.recipe import read_recipe
    from keras_hypercolumns.training.train import train

    def interrupt(step, loss):
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    recipe, data, run = sys.argv[1:]
    _, step = train(read_recipe(recipe), [data], run, interrupt)
    print(step)
"""


def arrays_of(run):
    """Every array of the run's checkpoint, by its path in the file."""
    state = json.loads((run / "state.json").read_text(encoding="utf-8"))
    assert [path.name for path in run.glob("checkpoint-*")] == [state["checkpoint"]]
    arrays = {}
    with h5py.File(run / state["checkpoint"]) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return arrays


def rows_of(run):
    return [json.loads(line) for line in (run / "curves.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def uninterrupted(recipe_file, pictures, tmp_path_factory):
    """The folder of a whole run, its model, and what was told of each step."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    told = []
    model, step = train(
        read_recipe(recipe_file), [pictures.folder], run, lambda *news: told.append(news)
    )
    assert step == 6
    return run, model, told


@pytest.fixture(scope="module")
def interrupted(recipe_file, pictures, tmp_path_factory):
    """The folder of a run that Ctrl-C ended in another process."""
    run = tmp_path_factory.mktemp("runs") / "interrupted"
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), recipe_file, pictures.folder, run],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == "1"
    return run


def test_every_step_is_told_and_every_checkpoint_has_a_row_and_a_sheet(uninterrupted):
    run, model, told = uninterrupted
    assert [step for step, _ in told] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(loss) and loss > 0 for _, loss in told)
    rows = rows_of(run)
    assert [row["step"] for row in rows] == [4, 5, 6]
    for row in rows:
        assert {"loss", "seconds", "size", "validation/./gray", "validation/./relu3to5"} <= set(row)
    sheets = sorted(path.name for path in (run / "sheets").iterdir())
    assert sheets == ["step-000004.jpg", "step-000005.jpg", "step-000006.jpg"]
    # Two validation pictures; gray, both variants, and the truth.
    with Image.open(run / "sheets" / sheets[0]) as sheet:
        assert sheet.size == (4 * 32, 2 * 32)
    assert list(model.output) == ["relu3to5", "pool1to4"]


def test_the_checkpoint_holds_what_training_changed(uninterrupted, recipe_file):
    run, model, _ = uninterrupted
    arrays = arrays_of(run)
    kernel = keras.ops.convert_to_numpy(model.get_layer("head_pool1to4").kernel)
    assert any(
        array.shape == kernel.shape and np.array_equal(array, kernel) for array in arrays.values()
    )
    moments = [array for name, array in arrays.items() if name.startswith("optimizer/")]
    assert sum(array.size for array in moments) > 2 * model.count_params() * 0.99
    assert 6 in [array for array in moments if array.shape == ()]


def test_an_interrupted_run_keeps_what_it_learnt_and_resumes_exactly(
    uninterrupted, interrupted, recipe_file, pictures
):
    assert json.loads((interrupted / "state.json").read_text(encoding="utf-8"))["step"] == 1
    assert [row["step"] for row in rows_of(interrupted)] == [1]
    assert (interrupted / "sheets" / "step-000001.jpg").exists()

    told = []
    _, step = train(
        read_recipe(recipe_file), [pictures.folder], interrupted, lambda *news: told.append(news)
    )
    assert step == 6
    assert [number for number, _ in told] == [2, 3, 4, 5, 6]
    assert [row["step"] for row in rows_of(interrupted)] == [1, 4, 5, 6]

    expected, found = arrays_of(uninterrupted[0]), arrays_of(interrupted)
    assert found.keys() == expected.keys()
    exact = keras.backend.backend() == "jax"
    for name, array in expected.items():
        np.testing.assert_allclose(
            found[name], array, rtol=0, atol=0 if exact else 1e-6, err_msg=name
        )


def test_a_finished_run_is_left_as_it_is(uninterrupted, recipe_file, pictures):
    run, model, _ = uninterrupted
    before = rows_of(run)
    told = []
    again, step = train(
        read_recipe(recipe_file), [pictures.folder], run, lambda *news: told.append(news)
    )
    assert step == 6
    assert told == []
    assert rows_of(run) == before
    for weight, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_the_folder_of_another_recipe_is_refused(uninterrupted, recipe_file, pictures):
    run, _, _ = uninterrupted
    other = dataclasses.replace(read_recipe(recipe_file), seed=12)
    with pytest.raises(ValueError, match=r"`run` should be a new folder.* of another recipe"):
        train(other, [pictures.folder], run)
