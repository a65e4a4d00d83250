"""Training: interrupted and resumed, it ends where it would have ended; what it writes."""

import dataclasses
import io
import json
import shutil
import subprocess
import sys
import textwrap
import threading

import keras
import numpy as np
import pytest
from PIL import Image

from keras_hypercolumns import joint_colorizer, srgb_to_lab
from keras_hypercolumns.training.data.picture_dataset import (
    PictureDataset,
    center_crop,
    training_pictures,
)
from keras_hypercolumns.training.finish import add_vivid, finish, fold, head_steps, vivid_steps
from keras_hypercolumns.training.heads.fit_hidden import fit_hidden_heads
from keras_hypercolumns.training.initial_colorizer import freeze_statistics, initial_colorizer
from keras_hypercolumns.training.joint_trainer import JointTrainer
from keras_hypercolumns.training.optimizer import TrunkAdamW
from keras_hypercolumns.training.recipe import read_recipe
from keras_hypercolumns.training.train import train
from keras_hypercolumns.training.train_jointly import train_jointly
from kh_zoo.catalog.find import open_model
from kh_zoo.engines.onnx_engine import OnnxEngine
from kh_zoo.with_keras.joint_model import load_joint_model
from kh_zoo.with_keras.keras_model import load_model, write_colorizer

# Two variants on two blocks of the trunk; a checkpoint in the middle of a stage and at its end.
RECIPE = """
seed = 11
variants = ["near", "far"]
taps = { near = ["relu1_2", "relu2_2"], far = ["pool1", "pool2"] }
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
    from keras_hypercolumns.training.train_jointly import train_jointly

    def interrupt(step, loss):
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    recipe, data, run = sys.argv[1:]
    _, step = train_jointly(read_recipe(recipe), [data], run, interrupt)
    print(step)
"""


def arrays_of(run):
    """Every array of the run's checkpoint, by its path in the file."""
    state = json.loads((run / "state.json").read_text(encoding="utf-8"))
    assert [path.name for path in run.glob("checkpoint-*")] == [state["checkpoint"]]
    with np.load(run / state["checkpoint"]) as file:
        return dict(file)


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
    model, step = train_jointly(
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
        assert {"loss", "seconds", "size", "validation/./gray", "validation/./near"} <= set(row)
    sheets = sorted(path.name for path in (run / "sheets").iterdir())
    assert sheets == ["step-000004.jpg", "step-000005.jpg", "step-000006.jpg"]
    # Two validation pictures; gray, both variants, and the truth.
    with Image.open(run / "sheets" / sheets[0]) as sheet:
        assert sheet.size == (4 * 32, 2 * 32)
    assert list(model.output) == ["near", "far"]


def test_the_checkpoint_holds_what_training_changed(uninterrupted, recipe_file):
    run, model, _ = uninterrupted
    arrays = arrays_of(run)
    kernel = keras.ops.convert_to_numpy(model.get_layer("head_far").kernel)
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
    _, step = train_jointly(
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
    again, step = train_jointly(
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
        train_jointly(other, [pictures.folder], run)


# What follows needs three blocks of the trunk.
SHALLOW = """
seed = 5
variants = ["relu1to3"]
learning_rate = 1e-3
warmup_steps = 1
checkpoint_steps = 2
validation_size = 32
validation_pictures = 1
head_size = 32
head_pictures = 2
head_points = 16
[[stages]]
size = 32
steps = 4
batch = { "." = 2 }
"""


class Killed(Exception):  # noqa: N818
    """Stands for the end of a process in the middle of a run."""


def kill_at(last):
    def on_step(step, loss):
        if step == last:
            raise Killed

    return on_step


@pytest.fixture(scope="module")
def shallow(tmp_path_factory):
    """The recipe, with some keys replaced."""
    path = tmp_path_factory.mktemp("recipe") / "shallow.toml"
    path.write_text(SHALLOW, encoding="utf-8")
    recipe = read_recipe(path)
    return lambda **keys: dataclasses.replace(recipe, **keys)


@pytest.fixture(scope="module")
def killed_and_resumed(shallow, pictures, tmp_path_factory):
    """Folder and model of a run with logs, in another thread, that died and was gone on with."""
    run = tmp_path_factory.mktemp("runs") / "logged"
    ends = []

    def begin():
        try:
            train_jointly(shallow(), [pictures.folder], run, kill_at(3), tensorboard=True)
        except Killed:
            ends.append("killed")

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    assert ends == ["killed"]
    model, step = train_jointly(shallow(), [pictures.folder], run, tensorboard=True)
    assert step == 4
    return run, model


@pytest.fixture(scope="module")
def trained(killed_and_resumed, shallow, tmp_path_factory):
    """The model folder of a run, and its model."""
    folder = tmp_path_factory.mktemp("models") / "trained"
    # With its batch normalisation, as the program writes it.
    write_colorizer(killed_and_resumed[1], folder, size=32)
    return folder, fold(killed_and_resumed[1], shallow())


def test_ends_with_a_finished_model(shallow, pictures, tmp_path, random):
    """From the pictures to heads in closed form and vivid ones; interrupted, with neither."""
    keys = {"head_pictures": 4, "vivid": ("relu1to3",), "vivid_pictures": 4, "vivid_points": 16}
    recipe = shallow(**keys, batch_norm=False, checkpoint_steps=1)
    with pytest.raises(Killed):
        train(
            recipe, pictures.folder, tmp_path, on_progress=lambda _, done, *__: kill_at(3)(done, 0)
        )
    told = []
    found = train(recipe, [pictures.folder], tmp_path, on_progress=lambda *news: told.append(news))
    assert (found.recipe, found.steps) == (recipe, 4)
    assert [news[:3] for news in told] == [
        *(("training", step, 4) for step in (3, 4)),
        *(("fitting the heads", done, 2) for done in (1, 2)),
        *(("fitting the vivid heads", done, 2) for done in (1, 2)),
    ]
    assert [loss is None for *_, loss in told] == [False] * 2 + [True] * 4
    trained, _ = train_jointly(recipe, [pictures.folder], tmp_path)
    expected = finish(trained, recipe, [pictures.folder])
    lightness = random.uniform(0, 100, (1, 32, 32, 1)).astype("float32")
    colors = colors_of(found.model, lightness)
    assert set(colors) == {"relu1to3", "relu1to3-vivid"}
    for model, same in ((expected, True), (trained, False)):
        ab = colors_of(model, lightness)["relu1to3"]
        assert np.allclose(colors["relu1to3"], ab, atol=1e-2) == same


def test_a_recipe_has_the_head_that_it_names(shallow, pictures, tmp_path, random):
    keys = {"head_pictures": 2, "vivid": ("relu1to3",), "vivid_pictures": 2, "vivid_points": 16}
    recipe = shallow(head="hidden", **keys)
    found = train(recipe, pictures.folder, tmp_path / "run").model
    names = {layer.name for layer in found.layers}
    assert names >= {"head_relu1to3_hidden", "head_relu1to3-vivid"}
    write_colorizer(found, tmp_path / "model", size=32)
    lightness = random.uniform(0, 100, (1, 48, 32, 1)).astype("float32")
    for name, ab in colors_of(found, lightness).items():
        engine = OnnxEngine(*open_model(str(tmp_path / "model" / name)))
        np.testing.assert_allclose(engine.predict_ab(lightness[0, ..., 0]), ab[0], atol=1e-3)


def copy_of(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("tensorboard"))


def colors_of(model, lightness, training=False):
    """A and B by variant."""
    found = model(lightness, training=training)
    return {name: keras.ops.convert_to_numpy(ab) for name, ab in found.items()}


def events_of(run):
    """What the event files say, by tag: `{step: value}`, read by TensorFlow."""
    tensorflow = pytest.importorskip("tensorflow")
    found = {}
    for path in sorted((run / "tensorboard").iterdir()):
        for record in tensorflow.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tensorflow.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                steps = found.setdefault(value.tag, {})
                assert event.step not in steps
                steps[event.step] = getattr(value, value.WhichOneof("value"))
    return found


def test_event_files_say_what_the_curves_say(killed_and_resumed):
    run, _ = killed_and_resumed
    assert len(list((run / "tensorboard").iterdir())) == 2
    events = events_of(run)
    rows = rows_of(run)
    assert [row["step"] for row in rows] == [2, 4]
    tags = {"loss": "training/loss", "relu1to3": "training/relu1to3"}
    tags |= {name: name for name in rows[0] if name.startswith("validation/")}
    assert len(tags) == 4
    for name, tag in tags.items():
        expected = {row["step"]: np.float32(row[name]) for row in rows}
        assert events[tag] == expected, tag
    # Warmed up for one step, then a cosine over the other three.
    rates = {step: 1e-3 * (1 + np.cos(np.pi * (step - 1) / 3)) / 2 for step in (2, 4)}
    assert events["learning_rate"] == pytest.approx(rates, abs=1e-9)
    histograms = {tag for tag in events if tag.startswith(("conv", "norm", "head"))}
    assert set(events) - histograms == {*tags.values(), "learning_rate", "sheet"}


def test_event_files_have_the_sheets_and_the_weights(killed_and_resumed, pictures):
    run, model = killed_and_resumed
    events = events_of(run)
    assert list(events["sheet"]) == [2, 4]
    with Image.open(io.BytesIO(events["sheet"][4].encoded_image_string)) as sheet:
        pixels = np.asarray(sheet)
    with Image.open(run / "sheets" / "step-000004.jpg") as sheet:
        assert pixels.shape == (sheet.height, sheet.width, 3)
    # The last column is the truth.
    names = [name for group in pictures.splits["validation"].values() for name in group]
    truths = [center_crop(pictures.folder / name, 32).astype(int) for name in names]
    assert min(np.abs(pixels[:, -32:] - truth).max() for truth in truths) <= 1
    for weight in model.trainable_variables:
        values = keras.ops.convert_to_numpy(weight)
        histogram = events[weight.path][4]
        assert histogram.num == sum(histogram.bucket) == values.size
        assert (histogram.min, histogram.max) == pytest.approx((values.min(), values.max()))


def test_logs_need_a_package_and_nothing_is_begun_without_it(
    shallow, pictures, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-hypercolumns\[tensorboard\]'"):
        train_jointly(shallow(), [pictures.folder], tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_the_change_of_every_layer_is_that_from_the_weights_of_the_seed(killed_and_resumed):
    run, model = killed_and_resumed
    found = json.loads((run / "layers.json").read_text(encoding="utf-8"))
    keras.utils.set_random_seed(5)
    start = joint_colorizer(("relu1to3",), batch_norm=True)
    expected = {}
    for first, last in (
        (start, model),
        (start.get_layer("trunk"), model.get_layer("trunk")),
    ):
        for layer in first.layers:
            if layer.name.startswith(("conv", "head")):
                then, now = (m.get_layer(layer.name).get_weights()[0] for m in (first, last))
                expected[layer.name] = np.sqrt(((now - then) ** 2).sum() / (then**2).sum())
    assert found["step"] == 4
    assert len(expected) == 9
    assert found["layers"] == pytest.approx(expected, rel=1e-4)
    assert all(change > 0 for change in expected.values())
    # From the input to the head.
    assert list(found["layers"])[::8] == ["conv1_1", "head_relu1to3"]


def test_the_changes_of_a_resumed_run_are_those_of_an_uninterrupted_one(
    uninterrupted, interrupted, recipe_file, pictures
):
    train_jointly(read_recipe(recipe_file), [pictures.folder], interrupted)
    one, other = (
        json.loads((run / "layers.json").read_text(encoding="utf-8"))
        for run in (uninterrupted[0], interrupted)
    )
    if keras.backend.backend() == "jax":
        assert one == other
    assert one["layers"] == pytest.approx(other["layers"], rel=1e-3)


def test_a_run_of_an_older_release_goes_on(killed_and_resumed, shallow, pictures, tmp_path):
    run = copy_of(killed_and_resumed[0], tmp_path)
    for name, keys in (
        ("recipe.json", ["init", "first_convolution", "optimizer", "schedule"]),
        ("state.json", ["trunk_input"]),
    ):
        table = json.loads((run / name).read_text(encoding="utf-8"))
        for key in keys:
            del table[key]
        (run / name).write_text(json.dumps(table), encoding="utf-8")
    for name in ("initial-kernels.npz", "layers.json"):
        (run / name).unlink()
    again, step = train_jointly(shallow(), [pictures.folder], run)
    assert step == 4
    for one, other in zip(killed_and_resumed[1].weights, again.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)))
    for name in ("recipe.json", "layers.json"):
        text = (killed_and_resumed[0] / name).read_text(encoding="utf-8")
        assert (run / name).read_text(encoding="utf-8") == text


def test_adam_at_a_constant_rate(shallow, pictures, tmp_path):
    """Adam divides a gradient by its own magnitude: at first, a step is as long as the rate."""
    recipe = shallow(
        batch_norm=False,
        optimizer="adam",
        learning_rate=1e-4,
        schedule="constant",
        warmup_steps=0,
        clip_norm=0.0,
        checkpoint_steps=1,
        stages=(dataclasses.replace(shallow().stages[0], steps=2),),
    )
    model, _ = train_jointly(recipe, [pictures.folder], tmp_path / "run", tensorboard=True)
    keras.utils.set_random_seed(recipe.seed)
    start = joint_colorizer(recipe.variants)
    for then, now, variable in zip(
        start.get_weights(), model.get_weights(), model.weights, strict=True
    ):
        moved = np.abs(now - then).max()
        assert moved <= 2.02e-4
        if variable.name == "kernel":
            assert moved == pytest.approx(2e-4, rel=2e-2)
    rates = events_of(tmp_path / "run")["learning_rate"]
    assert rates == pytest.approx({1: 1e-4, 2: 1e-4}, rel=1e-6)


@pytest.mark.long
def test_a_trunk_in_mixed_precision_ends_near_one_in_float32(shallow, pictures, tmp_path):
    seen, models = [], []
    for precision in ("float32", "mixed_bfloat16"):
        recipe = shallow(precision=precision)
        losses = []
        model, _ = train_jointly(
            recipe,
            [pictures.folder],
            tmp_path / precision,
            lambda step, loss, losses=losses: losses.append(loss),
        )
        seen.append(losses)
        models.append(model)
    assert seen[0] != seen[1]
    np.testing.assert_allclose(seen[1], seen[0], rtol=2e-2)
    # What is kept computes and is stored in float32, whatever it was trained in.
    for layer in models[1].get_layer("trunk").layers:
        assert layer.compute_dtype == "float32"
        assert {weight.dtype for weight in layer.weights} <= {"float32"}


def test_without_steps_only_the_heads_are_fitted(shallow, pictures, tmp_path):
    """Least squares on the trunk that is there, with pictures that no validation is made of."""
    keras.utils.set_random_seed(3)
    recipe = shallow(
        batch_norm=False,
        init="mine",
        head_pictures=12,
        head_points=500,
        head_ridge=1.0,
        validation_size=4096,
        stages=(dataclasses.replace(shallow().stages[0], steps=0),),
    )
    given = joint_colorizer(recipe.variants)
    trained, step = train_jointly(
        recipe, [pictures.folder], tmp_path / "run", load_model=lambda name: given
    )
    assert step == 0
    fitted = finish(trained, recipe, [pictures.folder])
    for before, after in zip(
        given.get_layer("trunk").get_weights(), fitted.get_layer("trunk").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    paths = training_pictures([pictures.folder], ["."], 32)["."]
    lab = srgb_to_lab(np.stack([center_crop(path, 32) for path in paths]).astype("float32") / 255)
    name = recipe.variants[0]
    errors = [
        np.mean((model.predict_on_batch(lab[..., :1])[name] - lab[..., 1:]) ** 2)
        for model in (given, fitted)
    ]
    assert errors[1] < errors[0]


def test_heads_stay_as_trained_where_none_are_to_be_fitted(killed_and_resumed, shallow, pictures):
    _, model = killed_and_resumed
    for head_pictures, same in ((0, True), (2, False)):
        recipe = shallow(head_pictures=head_pictures)
        assert head_steps(recipe) == (0 if same else 1)
        plain = finish(model, recipe, [pictures.folder])
        one, other = (m.get_layer("head_relu1to3").get_weights()[0] for m in (model, plain))
        assert np.array_equal(one, other) == same


def test_what_is_not_linear_is_kept_out_of_the_fit_and_written_as_it_is(
    shallow, pictures, random, tmp_path
):
    recipe = shallow(variants=("layered", "relu1to3"), batch_norm=False)
    model = joint_colorizer(recipe.variants)
    plain = finish(model, recipe, [pictures.folder])
    lightness = random.uniform(0, 100, (1, 32, 32, 1)).astype("float32")
    before, after = colors_of(model, lightness), colors_of(plain, lightness)
    np.testing.assert_allclose(after["layered"], before["layered"], atol=1e-4)
    assert np.abs(after["relu1to3"] - before["relu1to3"]).max() > 1

    write_colorizer(plain, tmp_path / "model", size=32)
    for variant, expected in after.items():
        found = load_model(tmp_path / "model" / variant).predict_on_batch(lightness)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_what_is_written_is_folded_whether_or_not_the_model_is(trained, killed_and_resumed, random):
    folder, _ = trained
    lightness = random.uniform(0, 100, (1, 32, 32, 1)).astype("float32")
    normalized = colors_of(killed_and_resumed[1], lightness)["relu1to3"]
    found = load_model(folder).predict_on_batch(lightness)
    np.testing.assert_allclose(found, normalized, rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def applications(tmp_path_factory):
    """The VGG-19 of Keras Applications with random weights, and a file of them."""
    model = keras.applications.VGG19(weights=None, include_top=False)
    path = tmp_path_factory.mktemp("applications") / "vgg19.weights.h5"
    model.save_weights(path)
    return path, model


def kernels_of(model, name="conv{}_{}"):
    """The first and the last kernel that the taps of `relu1to3` need."""
    trunk = model.get_layer("trunk") if name.startswith("conv") else model
    return [trunk.get_layer(name.format(*at)).get_weights()[0] for at in ((1, 1), (3, 4))]


def seen_by(model):
    """What the trunk sees of black, of L = 50 and of white."""
    lightness = np.float32([0, 50, 100]).reshape(1, 1, 3, 1)
    return keras.ops.convert_to_numpy(model.get_layer("scale_lightness")(lightness)).ravel()


class TestInit:
    def test_a_variant_of_the_zoo_gives_trunk_and_heads(self, shallow, pictures):
        recipe = shallow(init="relu1to5", variants=("pool1to4", "relu1to5", "relu5"))
        assert recipe.batch_norm
        batch = PictureDataset(
            training_pictures([pictures.folder], {".": 2}, 32), {".": 2}, 32, 0, 0, 1
        )[0][0]
        model = initial_colorizer(recipe, load_joint_model, lambda: batch)
        lab = keras.ops.convert_to_numpy(srgb_to_lab(batch.astype("float32") / 255))
        any_size = np.linspace(0, 100, 33 * 47).reshape(1, 33, 47, 1)
        # In the training's own mode, on the batch that it begins with.
        passes = [(any_size, False), (lab[..., :1], True)]
        found = [colors_of(model, lightness, training) for lightness, training in passes]
        for variant in ("pool1to4", "relu1to5"):
            source = load_model(variant)
            for (lightness, _), colors in zip(passes, found, strict=True):
                expected = source.predict_on_batch(lightness)
                assert expected.std() > 0.1
                np.testing.assert_allclose(colors[variant], expected, rtol=0, atol=1e-3)
        # A head that the model lacks is new.
        assert not model.get_layer("head_relu5").get_weights()[1].any()

    def test_without_a_rate_a_training_ends_where_it_began(
        self, trained, shallow, pictures, tmp_path, random
    ):
        folder, source = trained
        recipe = shallow(learning_rate=0.0, batch_norm=False)
        run = tmp_path / "run"
        names = []

        def load(name):
            names.append(name)
            return load_joint_model(name)

        with pytest.raises(Killed):
            # Before there is a checkpoint.
            train_jointly(recipe, [pictures.folder], run, kill_at(1), str(folder), load)
        with pytest.raises(ValueError, match=r"`run` .* of another recipe.* differs in init$"):
            train_jointly(recipe, [pictures.folder], run, init="imagenet")
        begun = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
        assert begun["init"] == str(folder)
        # Without an init, it begins again with the same.
        with pytest.raises(Killed):
            train_jointly(recipe, [pictures.folder], run, kill_at(3), load_model=load)
        assert names == [str(folder)] * 2
        model, step = train_jointly(recipe, [pictures.folder], run)
        assert step == 4
        lightness = random.uniform(0, 100, (1, 33, 47, 1)).astype("float32")
        found, expected = colors_of(model, lightness), colors_of(source, lightness)
        np.testing.assert_allclose(found["relu1to3"], expected["relu1to3"], rtol=0, atol=1e-3)
        changes = json.loads((run / "layers.json").read_text(encoding="utf-8"))["layers"]
        assert set(changes.values()) == {0.0}

    def test_a_file_of_weights_for_colour_gives_the_trunk(
        self, applications, shallow, pictures, tmp_path
    ):
        path, source = applications
        weights = tmp_path / "vgg19.h5"
        weights.symlink_to(path)
        recipe = shallow(init=str(weights), batch_norm=False, learning_rate=0.0)
        run = tmp_path / "run"
        with pytest.raises(Killed):
            train_jointly(recipe, [pictures.folder], run, kill_at(3))
        # The checkpoint is all that is needed, also to know what the trunk sees.
        weights.unlink()
        model, _ = train_jointly(recipe, [pictures.folder], run)
        for network in (model, fold(model, recipe)):
            first, last = kernels_of(network)
            color, expected = kernels_of(source, "block{}_conv{}")
            np.testing.assert_allclose(first, color.sum(axis=2, keepdims=True), atol=1e-6)
            np.testing.assert_array_equal(last, expected)
            np.testing.assert_allclose(seen_by(network), [0, 118.9, 255], atol=0.1)

    def test_the_first_convolution_may_be_new(self, applications, shallow):
        path, source = applications
        recipe = shallow(init=str(path), first_convolution="new", batch_norm=False)
        model = initial_colorizer(recipe, None, None)
        first, last = kernels_of(model)
        assert (first.mean(), first.std()) == pytest.approx((0, 0.02), abs=0.003)
        np.testing.assert_array_equal(last, kernels_of(source, "block{}_conv{}")[1])
        np.testing.assert_allclose(seen_by(model), [-1, 0, 1], atol=1e-6)

    def test_the_pooling_is_that_of_the_trained_model(self, shallow, pictures, tmp_path):
        source = joint_colorizer(("relu1to3",), pooling="max")
        recipe = dataclasses.replace(shallow(init="mine"), batch_norm=False)
        run = tmp_path / "run"
        with pytest.raises(Killed):
            train_jointly(recipe, [pictures.folder], run, kill_at(3), load_model=lambda _: source)
        # The checkpoint is all that is needed to go on.
        model, _ = train_jointly(recipe, [pictures.folder], run)
        for network in (model, fold(model, recipe)):
            kinds = {type(layer).__name__ for layer in network.trunk.layers if "pool" in layer.name}
            assert kinds == {"MaxPooling2D"}

    def test_what_is_nothing_to_start_from_is_told(self, trained, shallow, pictures, tmp_path):
        folder, _ = trained
        for keys, message in (
            ({"init": "relu1to9"}, r"`init` should be 'random', .*'relu1to9'.*'relu1to5'"),
            ({"init": "gone.mat"}, r"`init` should be there.*'gone\.mat'"),
            (
                {"init": str(folder), "pooling": "max"},
                "`pooling` of the recipe should be that of `init`, 'average', or be left out. "
                "Received: 'max'",
            ),
            ({"init": str(folder), "variants": ("relu5",)}, "reaches as deep .*'(conv4_1|pool3)'"),
        ):
            with pytest.raises(ValueError, match=message):
                train_jointly(
                    shallow(**keys), [pictures.folder], tmp_path / "run",
                    load_model=load_joint_model,
                )  # fmt: skip
            # So that a better one can be given.
            assert not (tmp_path / "run" / "recipe.json").exists()
        plain = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 1)])
        with pytest.raises(ValueError, match="`load_model` should return a `joint_colorizer`"):
            train_jointly(
                shallow(init="mine"), [pictures.folder], tmp_path / "run",
                load_model=lambda _: plain,
            )  # fmt: skip
        with pytest.raises(ValueError, match="need the argument `load_model`"):
            train_jointly(shallow(init="relu1to5"), [pictures.folder], tmp_path / "run")


LITE = """
seed = 3
variants = ["lite"]
learning_rate = 2e-3
trunk_rate = 0.15
final_rate = 0.01
beta_2 = 0.99
ema = 0.9
warmup_steps = 2
loss = "root"
vivid = ["lite"]
vivid_loss = 0.05
vivid_uniform = 0.5
crop = 0.7
aged = 0.3
mounted = 0.2
neutral = 0.1
checkpoint_steps = 5
validation_size = 64
validation_pictures = 2
head_pictures = 0
[[stages]]
size = 64
steps = 10
batch = { flowers = 2, photos = 2 }
"""


@pytest.fixture(scope="module")
def lite_recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "lite.toml"
    path.write_text(LITE, encoding="utf-8")
    return read_recipe(path)


@pytest.fixture(scope="module")
def lite_run(lite_recipe, pictures, tmp_path_factory):
    """Run folder and model of ten steps, on pictures that are enlarged."""
    run = tmp_path_factory.mktemp("runs") / "lite"
    model, step = train_jointly(lite_recipe, [pictures.folder], run)
    assert step == 10
    return run, model


@pytest.fixture(scope="module")
def lite_folder(tmp_path_factory):
    """A model folder of a `lite` whose every weight is random, and its model."""
    random = np.random.default_rng(4)
    model = joint_colorizer(("lite",), vivid=("lite",))
    for layer in (*model.get_layer("trunk").layers, *model.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                positive = weight.name in ("gamma", "moving_variance")
                low = 0.5 if positive else -0.5
                weight.assign(random.uniform(low, low + 1, weight.shape))
        elif layer.name in ("head_lite", "head_lite-vivid"):
            layer.set_weights([random.normal(0, 0.05, w.shape) for w in layer.get_weights()])
    folder = tmp_path_factory.mktemp("models") / "lite"
    write_colorizer(model, folder, size=64)
    return folder, model


@pytest.mark.long
class TestLite:
    def test_a_run_resumes_exactly_its_averages_too(
        self, lite_run, lite_recipe, pictures, tmp_path
    ):
        whole, model = lite_run
        with pytest.raises(Killed):
            train_jointly(lite_recipe, [pictures.folder], tmp_path / "run", kill_at(7))
        assert json.loads((tmp_path / "run" / "state.json").read_text("utf-8"))["step"] == 5
        again, step = train_jointly(lite_recipe, [pictures.folder], tmp_path / "run")
        assert step == 10
        # TensorFlow sums in another order each time, and Adam makes much of that.
        exact = keras.backend.backend() == "jax"
        for one, other in zip(model.weights, again.weights, strict=True):
            one, other = map(keras.ops.convert_to_numpy, (one, other))
            np.testing.assert_allclose(one, other, rtol=0, atol=0 if exact else 2e-3)
        for one, other in zip(rows_of(whole), rows_of(tmp_path / "run"), strict=True):
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)

    def test_what_is_kept_and_judged_is_the_average_and_a_run_goes_on_without(self, lite_run):
        run, model = lite_run
        row = rows_of(run)[-1]
        assert {"cross_entropy", "lite", "lite-vivid", "validation/photos/lite"} <= set(row)
        kernel = keras.ops.convert_to_numpy(model.get_layer("head_lite").kernel)
        same = [array for array in arrays_of(run).values() if np.array_equal(array, kernel)]
        assert len(same) == 1  # in the optimizer, not among the weights

    def test_the_model_is_read_by_onnx_runtime(self, lite_run, tmp_path, random):
        _, model = lite_run
        write_colorizer(model, tmp_path / "model", size=64)
        lightness = random.uniform(0, 100, (64, 80)).astype("float32")
        for name, expected in colors_of(model, lightness[None, ..., None]).items():
            engine = OnnxEngine(*open_model(f"{tmp_path / 'model'}/{name}"))
            found = np.asarray(engine.predict_ab(lightness))
            np.testing.assert_allclose(found, expected[0], rtol=0, atol=1e-3)

    def test_a_folder_becomes_the_model_that_it_came_from(self, lite_folder, random):
        folder, model = lite_folder
        lightness = random.uniform(0, 100, (2, 64, 80, 1)).astype("float32")
        expected, found = (
            one.predict(lightness, verbose=0) for one in (model, load_joint_model(str(folder)))
        )
        assert set(found) == {"lite", "lite-vivid"}
        for name, ab in expected.items():
            assert ab.std() > 0.5
            np.testing.assert_allclose(found[name], ab, rtol=0, atol=1e-3)

    def test_a_trained_one_is_where_a_training_begins(
        self, lite_folder, lite_recipe, pictures, tmp_path, random
    ):
        """Without a rate it ends there, too: no statistics are taken of the pictures."""
        folder, source = lite_folder
        [stage] = lite_recipe.stages
        recipe = dataclasses.replace(
            lite_recipe,
            learning_rate=0.0,
            init=str(folder),
            stages=(dataclasses.replace(stage, steps=1),),
            warmup_steps=0,
        )
        model, _ = train_jointly(
            recipe, [pictures.folder], tmp_path / "run", load_model=load_joint_model
        )
        lightness = random.uniform(0, 100, (1, 64, 64, 1)).astype("float32")
        expected = colors_of(source, lightness)
        for name, ab in colors_of(model, lightness).items():
            np.testing.assert_allclose(ab, expected[name], rtol=0, atol=1e-3)

    def test_its_last_layers_are_fitted_to_pictures_of_ones_own(
        self, lite_folder, pictures, tmp_path, random
    ):
        folder, source = lite_folder
        recipe = dataclasses.replace(
            read_recipe("lite-head"),
            init=str(folder),
            head_size=64,
            head_pictures=16,
            head_points=500,
            vivid_pictures=8,
        )
        trained, _ = train_jointly(
            recipe, [pictures.folder], tmp_path / "run", load_model=load_joint_model
        )
        lab = srgb_to_lab(
            np.stack(
                [
                    center_crop(pictures.folder / name, 64)
                    for name in pictures.splits["train"]["flowers"]
                ]
            ).astype("float32")
            / 255
        )
        lab = keras.ops.convert_to_numpy(lab)
        before = colors_of(trained, lab[..., :1])["lite"]
        assert vivid_steps(recipe) == 1
        model = add_vivid(finish(trained, recipe, [pictures.folder]), recipe, [pictures.folder])
        after = colors_of(model, lab[..., :1])
        truth = lab[..., 1:]
        error, fitted = (((ab - truth) ** 2).mean() for ab in (before, after["lite"]))
        assert fitted < error
        assert fitted < 1.1 * (truth - truth.mean(axis=(0, 1, 2))).var()
        assert set(after) == {"lite", "lite-vivid"}
        other = colors_of(source, lab[..., :1])["lite-vivid"]
        assert np.abs(after["lite-vivid"] - other).max() > 1


class TestSmallTrunk:
    """With a trunk of two convolutions: what depends on no particular one."""

    @pytest.fixture
    def small(self):
        picture = keras.Input((None, None, 1))
        x, taps = picture, []
        for number, stride in ((1, 2), (2, 2)):
            x = keras.layers.Conv2D(
                8, 3, stride, padding="same", use_bias=False, name=f"conv_{number}"
            )(x)
            x = keras.layers.BatchNormalization(name=f"norm_{number}")(x)
            x = keras.layers.ReLU(name=f"tap_{number}")(x)
            taps.append(f"tap_{number}")
        return joint_colorizer(
            ("custom",), trunk=keras.Model(picture, x), head="hidden", taps={"custom": taps}
        )

    def test_statistics_that_came_with_the_weights_stay_and_their_scales_learn(
        self, small, shallow, random
    ):
        freeze_statistics(small, shallow(init="imagenet"))
        norm = small.get_layer("trunk").get_layer("norm_1")
        own = small.get_layer("head_custom_norm")
        before = [[w.copy() for w in layer.get_weights()] for layer in (norm, own)]
        trainer = JointTrainer(small)
        trainer.compile(keras.optimizers.Adam(1e-2))
        rgb = random.integers(0, 256, (4, 32, 32, 3), "uint8")
        trainer.fit(rgb, epochs=2, verbose=0)
        after = [layer.get_weights() for layer in (norm, own)]
        moved = [
            [not np.array_equal(a, b) for a, b in zip(one, other, strict=True)]
            for one, other in zip(before, after, strict=True)
        ]
        assert moved == [[True, True, False, False], [True, True, True, True]]

    def test_a_few_pictures_are_learnt(self, small, random):
        patches = random.integers(0, 256, (4, 4, 4, 3), "uint8").repeat(8, axis=1)
        rgb = patches.repeat(8, axis=2)
        trainer = JointTrainer(small, loss="root")
        trainer.compile(
            TrunkAdamW(
                small.get_layer("trunk").trainable_variables,
                0.5,
                memory=0.5,
                learning_rate=1e-2,
                weight_decay=0.0,
            )
        )
        losses = trainer.fit(rgb, epochs=60, batch_size=4, verbose=0).history["loss"]
        assert losses[-1] < 0.75 * losses[0]

    def test_the_last_layer_is_the_least_squares_one(self, small, tmp_path, random):
        for number in range(2):
            patches = Image.fromarray(random.integers(0, 256, (5, 5, 3), "uint8"))
            patches.resize((32, 32), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.png")
        paths = {".": sorted(tmp_path.glob("*.png"))}
        batches = PictureDataset(paths, {".": 2}, 32, seed=0, first_step=0, last_step=1)
        head = small.get_layer("head_custom")
        shape = head.kernel.shape
        fit_hidden_heads(small, batches, points=4000, ridge=1e-6)
        lab = keras.ops.convert_to_numpy(srgb_to_lab(batches[0][0].astype("float32") / 255))
        fitted = colors_of(small, lab[..., :1])["custom"]
        # What each unit of the hidden map adds to A, by itself, at full size.
        columns = []
        for unit in range(shape[2]):
            kernel = np.zeros(shape, "float32")
            kernel[0, 0, unit, 0] = 1 / 50
            head.set_weights([kernel, np.zeros(2)])
            columns.append(colors_of(small, lab[..., :1])["custom"][..., 0].ravel())
        rows = np.stack([*columns, np.ones_like(columns[0])], axis=1).astype("float64")
        truth = lab[..., 1:].reshape(-1, 2)
        best = rows @ np.linalg.lstsq(rows, truth, rcond=None)[0]
        errors = [((ab - truth) ** 2).mean() for ab in (best, fitted.reshape(-1, 2))]
        assert errors[0] < 0.9 * truth.var(axis=0).mean()
        assert errors[0] <= errors[1] < 1.1 * errors[0]
