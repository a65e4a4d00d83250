"""A trained colorizer with a backbone of one's own, trained on: from the folder alone."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_hypercolumns import efficientnet_lite, joint_colorizer
from keras_hypercolumns.training.initial_colorizer import initial_colorizer
from keras_hypercolumns.training.recipe import read_recipe
from keras_hypercolumns.training.train import train
from kh_cli.commands.train import train as command
from kh_zoo import load_model
from kh_zoo.catalog.find import open_model
from kh_zoo.errors import ModelError
from kh_zoo.with_keras.joint_model import load_joint_model, recipe_keys
from kh_zoo.with_keras.keras_model import write_colorizer

# A map behind a ReLU, sums of two, and one that comes straight out of a convolution.
TAPS = ("stem_relu", "sum", "narrow_norm")


def backbone(channels):
    """All that a mobile network has, of `channels` channels of the picture."""
    picture = keras.Input((None, None, channels))
    x = layers.Rescaling(1 / 127.5, offset=-1)(picture)
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="stem_norm")(x)
    x = y = layers.ReLU(6, name="stem_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="deep", depth_multiplier=2)(x)
    x = layers.ReLU(name="deep_relu")(x)
    x = layers.Conv2D(8, 1, use_bias=False, name="back")(x)
    x = layers.BatchNormalization(name="back_norm")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.Conv2D(6, 3, 2, padding="same", name="narrow")(x)
    x = layers.BatchNormalization(name="narrow_norm")(x)
    return keras.Model(picture, x)


def shuffled(model, random):
    """With weights, and statistics, of no special kind; a channel is dead."""
    for weight in model.weights:
        low, high = (0.3, 2) if "variance" in weight.name or "gamma" in weight.name else (-0.4, 0.4)
        weight.assign(random.uniform(low, high, weight.shape))
    kernel = model.trunk.get_layer("stem").kernel
    kernel.assign(np.asarray(keras.ops.convert_to_numpy(kernel)) * (np.arange(8) > 0))
    return model


def shuffled_head(model, random):
    head = model.heads["garden"]
    head.set_weights([random.normal(0, 0.1, weight.shape) for weight in head.get_weights()])
    return model


def own_model(path, random, head="hidden", taps=TAPS, vivid=(), channels=3):
    model = joint_colorizer(
        ("garden",), trunk=backbone(channels), taps={"garden": taps}, head=head, vivid=vivid
    )
    write_colorizer(shuffled(model, random), path, 64)
    return str(path)


@pytest.mark.parametrize("taps", [TAPS, ("stem_relu", "sum"), ("narrow_norm",)])
@pytest.mark.parametrize(
    ("head", "vivid", "channels"),
    [("linear", (), 1), ("hidden", (), 3), ("hidden", ("garden",), 1)],
)
def test_it_predicts_what_the_folder_does(head, vivid, channels, taps, random, tmp_path):
    path = own_model(tmp_path, random, head, taps, vivid, channels)
    joint = load_joint_model(path)
    lightness = random.uniform(0, 100, (1, 48, 61, 1)).astype("float32")
    found = joint.predict(lightness, verbose=0)
    assert set(found) == {"garden", *(f"{name}-vivid" for name in vivid)}
    for name, ab in found.items():
        expected = load_model(f"{path}/{name}").predict(lightness, verbose=0)
        assert expected.std() > 1e-3
        np.testing.assert_allclose(ab, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_what_is_trained_on_is_trained_on_again(pictures, random, tmp_path):
    """Three generations: the names of taps and layers do not grow, nor does anything else."""
    path = own_model(tmp_path / "0", random, vivid=("garden",))
    for generation in ("1", "2"):
        keys = recipe_keys(path)
        assert keys == {
            "variants": ("garden",),
            "taps": {"garden": ("stem_relu", "sum", "narrow_weight_norm")},
            "head": "hidden",
            "vivid": ("garden",),
        }
        stage = dataclasses.replace(
            read_recipe("lite-tune").stages[0], size=32, steps=2, batch={".": 2}
        )
        plan = dataclasses.replace(
            read_recipe("lite-tune"), **keys, stages=(stage,), checkpoint_steps=1, warmup_steps=1
        )
        plan = dataclasses.replace(plan, validation_pictures=1, validation_size=32, head_size=32)
        run = tmp_path / f"run-{generation}"
        done = train(plan, pictures.folder, run, init=path, load_model=load_joint_model)
        moved = json.loads((run / "layers.json").read_text("utf-8"))["layers"]
        assert 0 < moved["narrow"] < 1
        # What it began with is not needed to go on.
        again = train(plan, pictures.folder, run, init=path)
        assert again.steps == done.steps == 2
        for one, other in zip(again.model.weights, done.model.weights, strict=True):
            np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)))
        path = str(tmp_path / generation)
        write_colorizer(done.model, tmp_path / generation, 32)
    names = [
        {node.name for node in open_model(str(tmp_path / one))[0].config.network.nodes}
        for one in "12"
    ]
    assert names[0] == names[1]


def test_the_command_fits_its_head_anew(pictures, random, tmp_path, capsys):
    path = own_model(tmp_path / "own", random)
    for file in pictures.folder.rglob("*.*"):
        larger = tmp_path / "data" / file.relative_to(pictures.folder)
        larger.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            image.resize((64, 64)).save(larger)
    command(data=[tmp_path / "data"], run=tmp_path / "run", solver="head", init=path, quiet=True)
    before, after = open_model(path)[0], open_model(str(tmp_path / "run"))[0]
    assert set(after.config.heads) == {"garden"}
    lightness = random.uniform(0, 100, (1, 32, 32, 1)).astype("float32")
    colors = [
        load_model(f"{folder.path}/garden").predict(lightness, verbose=0)
        for folder in (before, after)
    ]
    assert abs(colors[1]).max() > 0
    assert abs(colors[0] - colors[1]).max() > 1


@pytest.mark.parametrize("kind", ["efficientnet", "vgg"])
def test_a_backbone_with_names_of_the_librarys_is_trained_on(kind, random, tmp_path):
    """Each convolution has its normalisation here, so neither is what is built by a name."""
    if kind == "efficientnet":
        taps = ("stage1", "stage2")
        trunk = efficientnet_lite(0, taps, data_format="channels_last")
    else:
        taps = ("act", "last")
        picture = keras.Input((None, None, 1))
        x = layers.Conv2D(4, 3, 2, padding="same", name="conv1_1")(picture)
        x = layers.Conv2D(4, 3, 2, padding="same", name="conv1_2")(layers.ReLU(name="act")(x))
        trunk = keras.Model(picture, layers.ReLU(name="last")(x))
    model = joint_colorizer(("garden",), trunk=trunk, taps={"garden": taps}, head="hidden")
    write_colorizer(shuffled_head(model, random), tmp_path, 64)
    keys = recipe_keys(str(tmp_path))
    recipe = dataclasses.replace(read_recipe("lite-tune"), **keys, init=str(tmp_path))
    begun = initial_colorizer(recipe, load_joint_model, lambda: None)
    lightness = random.uniform(0, 100, (1, 32, 48, 1)).astype("float32")
    expected = model.predict(lightness, verbose=0)["garden"]
    found = begun.predict(lightness, verbose=0)["garden"]
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_recipe_for_another_trunk_is_refused(random, tmp_path):
    recipe = dataclasses.replace(read_recipe("tune"), init=own_model(tmp_path / "own", random))
    with pytest.raises(ValueError, match=r"`init` should be .*`--solver` takes.*own'; `taps`"):
        initial_colorizer(recipe, load_joint_model, lambda: None)


def test_a_model_of_another_make_is_refused_with_the_reason(random, tmp_path):
    lightness = keras.Input((None, None, 1), name="lightness")
    x = layers.Conv2D(4, 3, padding="same", name="first")(lightness)
    x = layers.Conv2D(2, 1, name="tint")(layers.ReLU()(x))
    write_colorizer(keras.Model(lightness, x, name="mine"), tmp_path, 64)
    with pytest.raises(ModelError, match=r"as `joint_colorizer` builds it.*Received: 'mine'"):
        load_joint_model(str(tmp_path))
