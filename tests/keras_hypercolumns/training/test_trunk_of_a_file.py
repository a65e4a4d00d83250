"""A training of a backbone of one's own, from a Keras file, with taps of one's own."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import HyperColumn, feature_info, joint_colorizer, srgb_to_lab, vgg19_gray
from keras_hypercolumns.training.data.picture_dataset import center_crop
from keras_hypercolumns.training.recipe import recipe_from_table
from keras_hypercolumns.training.train import train
from kh_cli.commands.train import train as command
from kh_zoo.catalog.find import open_model
from kh_zoo.engines.onnx_engine import OnnxEngine
from kh_zoo.publishing.repository import _recipe
from kh_zoo.with_keras.keras_model import write_colorizer

TAPS = ["block1_pool", "block3_out", "block2_pool"]
TABLE = {
    "seed": 3,
    "variants": ["garden"],
    "taps": {"garden": TAPS},
    "head": "hidden",
    "warmup_steps": 1,
    "checkpoint_steps": 2,
    "validation_size": 32,
    "validation_pictures": 1,
    "head_size": 32,
    "head_pictures": 6,
    "head_points": 200,
    "vivid": ["garden"],
    "vivid_pictures": 4,
    "vivid_points": 8,
    "stages": [{"size": 32, "steps": 3, "batch": {".": 2}}],
}


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """A file of a network of three channels, with a model in it, and statistics of its own."""
    random = np.random.default_rng(0)
    inside = keras.Sequential(
        [keras.Input((None, None, 8)), keras.layers.BatchNormalization(name="norm")], name="inside"
    )
    picture = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(picture)
    for block in (1, 2):
        x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = inside(x)
    x = keras.layers.Conv2D(6, 3, 2, "same", activation="relu", name="block3_out")(x)
    inside.get_layer("norm").set_weights([random.uniform(0.5, 1, 8) for _ in range(4)])
    path = tmp_path_factory.mktemp("trunk") / "mine.keras"
    keras.Model(picture, x).save(path)
    return path


def recipe(file, **keys):
    return recipe_from_table({**TABLE, "trunk": str(file), **keys}, "garden.toml")


def statistics(colorizer):
    return colorizer.trunk.get_layer("inside").get_layer("norm").get_weights()[2:]


@pytest.mark.parametrize("head", ["linear", "hidden"])
def test_is_trained_resumed_and_finished_and_runs_without_keras(head, trunk, pictures, tmp_path):
    def stop(what, done, total, loss):
        if done == 3 and not stopped:  # the checkpoint is that of step 2
            stopped.append(done)
            raise KeyboardInterrupt

    file = Path(shutil.copy(trunk, tmp_path))
    stopped, plan = [], recipe(file, head=head)
    with pytest.raises(KeyboardInterrupt):
        train(plan, pictures.folder, tmp_path / "run", on_progress=stop)
    file.unlink()
    done = train(plan, pictures.folder, tmp_path / "run")
    assert done.steps == 3
    assert done.model.taps == dict.fromkeys(("garden", "garden-vivid"), tuple(sorted(TAPS)))
    given = keras.saving.load_model(trunk).get_layer("inside").get_layer("norm").get_weights()
    for one, other in zip(statistics(done.model), given[2:], strict=True):
        np.testing.assert_array_equal(one, other)
    moved = json.loads((tmp_path / "run" / "layers.json").read_text("utf-8"))["layers"]
    assert 0 < moved["block3_out"] < 1

    write_colorizer(done.model, tmp_path / "run" / "model", 32)
    lightness = np.random.default_rng(1).uniform(0, 100, (40, 52)).astype("float32")
    expected = done.model.predict(lightness[None, ..., None], verbose=0)
    for name in ("garden", "garden-vivid"):
        folder, _ = open_model(str(tmp_path / "run"))
        found = OnnxEngine(folder, name).predict_ab(lightness)
        assert found.std() > 0
        np.testing.assert_allclose(found, expected[name][0], rtol=0, atol=1e-3)


def test_a_vgg19_from_a_file_is_no_other_and_the_file_is_not_needed_to_the_end(pictures, tmp_path):
    path = tmp_path / "vgg.keras"
    given = vgg19_gray(("pool1", "pool2"), batch_norm=True)
    given.save(path)

    def lose(what, done, total, loss):
        if what == "fitting the heads":
            path.unlink(missing_ok=True)

    plan = recipe(path, taps={"garden": ["pool1", "pool2"]}, head="linear")
    model = train(plan, pictures.folder, tmp_path / "run", on_progress=lose).model
    assert not path.exists()
    assert set(model.heads) == {"garden", "garden-vivid"}
    now, then = (one.get_layer("norm1_1").get_weights() for one in (model.trunk, given))
    moved = [not np.array_equal(one, other) for one, other in zip(now, then, strict=True)]
    # Gamma and beta learn; the mean and the variance are those of the file.
    assert moved == [True, True, False, False]


def test_a_run_whose_trunk_is_damaged_says_so(trunk, pictures, tmp_path):
    plan = recipe(trunk, vivid=[], head_pictures=0)
    train(plan, pictures.folder, tmp_path / "run")
    (tmp_path / "run" / "trunk.json").write_text('{"class_name": "Nothing"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"(?s)`run` should be .*Bring trunk.json back"):
        train(plan, pictures.folder, tmp_path / "run")


def test_a_linear_head_is_the_least_squares_one_of_the_dense_hypercolumn(trunk, pictures, tmp_path):
    plan = recipe(trunk, head="linear", head_points=3000, head_ridge=1e-6, vivid=[])
    model = train(plan, pictures.folder, tmp_path / "run").model
    backbone = keras.saving.load_model(trunk)
    places = feature_info(backbone, TAPS)
    # Maps of the trained trunk, in the places of the cells of the one that was given.
    column = HyperColumn(
        TAPS,
        reference="picture",
        strides={tap: places[tap].stride for tap in TAPS},
        centers={tap: places[tap].center for tap in TAPS},
    )
    names = [name for group in pictures.splits["train"].values() for name in group]
    rgb = np.stack([center_crop(pictures.folder / name, 32) for name in names])
    lab = ops.convert_to_numpy(srgb_to_lab(rgb.astype("float32") / 255))
    maps = keras.Model(model.input, model.maps)(lab[..., :1])
    rows = ops.convert_to_numpy(column({**maps, "picture": lab})).reshape(-1, 22)
    rows = np.c_[rows, np.ones(len(rows))].astype("float64")
    truth = lab[..., 1:].reshape(-1, 2)
    best = rows @ np.linalg.lstsq(rows, truth, rcond=None)[0]
    found = ops.convert_to_numpy(model(lab[..., :1])["garden"]).reshape(-1, 2)
    errors = [((ab - truth) ** 2).mean() for ab in (best, found)]
    assert errors[0] < errors[1] < 1.2 * errors[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"taps": {"garden": ["block7_out"]}}, r"block7_out.*block3_out|block3_out.*block7_out"),
        ({"taps": {"Garden": TAPS}}, r"`taps` should have names of small letters.*'Garden'"),
        ({"taps": {"a-vivid": TAPS}}, r"`taps` should have names.*'a-vivid'"),
        ({"taps": {"relu5": TAPS}}, r"`taps` should name variants that the library does not have"),
        ({"taps": {"gardens": TAPS}}, r"`variant` should be one of .*Did you mean 'gardens'"),
        ({"taps": {"garden": []}}, r"`taps of garden.toml` should be of the type"),
        ({"init": "imagenet"}, r"`init of garden.toml` should be 'random' for a trunk from a file"),
        ({"trunk": "missing.keras"}, r"`trunk` should be a file that.*missing.keras"),
        ({"trunk": "efficientnet_lite9"}, r"`trunk of garden.toml` .*Did you mean 'efficientnet"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_run(keys, message, trunk, pictures, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(recipe(trunk, **{"vivid": [], **keys}), pictures.folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_model_is_refused(pictures, tmp_path):
    (tmp_path / "text.keras").write_text("hello")
    with pytest.raises(ValueError, match=r"`trunk` should be a file that .*text.keras"):
        train(recipe(tmp_path / "text.keras"), pictures.folder, tmp_path / "run")


def test_the_command_trains_it_and_where_the_file_lay_is_not_published(
    trunk, pictures, tmp_path, capsys
):
    tables = ("taps", "stages")
    lines = [f"{key} = {json.dumps(value)}" for key, value in TABLE.items() if key not in tables]
    lines += [f"trunk = {json.dumps(str(trunk))}", f"taps.garden = {json.dumps(TAPS)}"]
    lines += ["[[stages]]", "size = 32", "steps = 3", 'batch = { "." = 2 }']
    (tmp_path / "garden.toml").write_text("\n".join(lines), encoding="utf-8")
    command(str(tmp_path / "garden.toml"), data=[pictures.folder], run=tmp_path / "run")
    assert "trained 3 steps" in capsys.readouterr().err
    assert set(open_model(str(tmp_path / "run"))[0].config.heads) == {"garden", "garden-vivid"}
    assert json.loads((tmp_path / "run" / "recipe.json").read_text("utf-8"))["trunk"] == str(trunk)
    assert _recipe(tmp_path / "run" / "model")["trunk"] == "mine.keras"


def test_the_library_takes_the_model_itself(trunk):
    backbone = keras.saving.load_model(trunk)
    model = joint_colorizer(
        ("garden", "walls"), trunk=backbone, taps={"garden": TAPS, "walls": TAPS[:1]}
    )
    assert model.taps == {"garden": tuple(sorted(TAPS)), "walls": ("block1_pool",)}
    assert {name: type(head).__name__ for name, head in model.heads.items()} == dict.fromkeys(
        ("garden", "walls"), "HyperColumnProjection"
    )
