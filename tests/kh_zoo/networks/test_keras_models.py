"""Keras models of anyone's: trained, saved, loaded, whatever layers Keras has for them."""

import importlib
import inspect
import json
import pkgutil

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras.src import applications
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from kh_zoo import Colorizer, load_model, publish, save_model
from kh_zoo.errors import ModelError
from kh_zoo.networks.keras_folder import check_keras_folder
from kh_zoo.with_keras.keras_model import add_table


@pytest.fixture
def depth(random):
    """A model of depth from pictures, compiled and trained; it keeps states that are no weights."""
    picture = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same")(picture)
    y = StochasticDepth(0.1)(LayerScale(0.5, 8)(layers.BatchNormalization()(x)))
    x = layers.Dropout(0.2)(CustomScaleLayer(0.3)([x, y]))
    model = keras.Model(picture, layers.Conv2D(1, 1)(x))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(random.random((4, 16, 16, 3)), random.random((4, 16, 16, 1)), 2, verbose=0)
    return model


def predicted(model, random):
    pictures = np.random.default_rng(5).random((2, 16, 16, 3))
    return keras.ops.convert_to_numpy(model.predict_on_batch(pictures))


def test_a_compiled_model_comes_back(depth, random, tmp_path):
    save_model(depth, tmp_path / "ours")
    again = load_model(tmp_path / "ours")
    np.testing.assert_array_equal(predicted(again, random), predicted(depth, random))
    # Nothing of its training is in the files; and the model is still in training itself.
    text = (tmp_path / "ours" / "config.json").read_text()
    assert "compile" not in text
    with h5py.File(tmp_path / "ours" / "model.weights.h5") as file:
        assert "optimizer" not in file
    depth.fit(random.random((2, 16, 16, 3)), random.random((2, 16, 16, 1)), verbose=0)


def test_files_that_keras_itself_wrote_have_an_optimizer(depth, random, tmp_path):
    keras.saving.save_model(depth, tmp_path, zipped=False)
    add_table(tmp_path, {"format": 1, "architecture": "keras", "size": None})
    again = load_model(tmp_path)
    np.testing.assert_array_equal(predicted(again, random), predicted(depth, random))


def test_a_sequential_model_that_was_trained(random, tmp_path):
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(2, 3)])
    model.compile("adam", "mse")
    model.fit(random.random((2, 16, 16, 3)), random.random((2, 14, 14, 2)), verbose=0)
    save_model(model, tmp_path)
    np.testing.assert_array_equal(predicted(load_model(tmp_path), random), predicted(model, random))


def test_every_layer_of_keras_applications_is_known(tmp_path, depth):
    """Also of those models that nobody has time to build."""
    save_model(depth, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    found = []
    for module in pkgutil.iter_modules(applications.__path__):
        if module.name.endswith("_test"):
            continue
        members = vars(importlib.import_module(f"{applications.__name__}.{module.name}"))
        found += [
            cls
            for cls in members.values()
            if inspect.isclass(cls)
            and issubclass(cls, layers.Layer)
            and cls.__module__.startswith(applications.__name__)
        ]
    assert {cls.__name__ for cls in found} >= {"LayerScale", "CustomScaleLayer"}
    for cls in found:
        layer = config["config"]["layers"][1]
        layer |= {"class_name": cls.__name__, "module": cls.__module__}
        layer["registered_name"] = keras.saving.get_registered_name(cls)
        (tmp_path / "config.json").write_text(json.dumps(config))
        check_keras_folder(tmp_path)
    layer["module"] = "keras.src.applications.imagenet_utils"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="should have classes of Keras"):
        check_keras_folder(tmp_path)


def test_one_with_code_of_its_own_is_refused(tmp_path):
    class Own(keras.Model):
        pass

    with pytest.raises(ModelError, match="should be a functional or a built Sequential"):
        save_model(Own(), tmp_path)


@pytest.fixture
def colors():
    lightness = keras.Input((None, None, 1))
    return keras.Model(lightness, layers.Conv2D(2, 1, activation="tanh")(lightness))


def test_the_size_goes_along(hub, colors, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token_of("ada"))
    publish(colors, "ada/own", license="MIT", size=64)
    assert Colorizer("ada/own").size == 64
    with pytest.raises(ModelError, match="`size` should be given with a Keras model alone"):
        publish("lite", "ada/own", license="MIT", size=64)


def test_a_model_without_a_size_says_so(colors, tmp_path):
    save_model(colors, tmp_path)
    with pytest.raises(ModelError, match="does not say which size it predicts at"):
        Colorizer(tmp_path)
    assert Colorizer(tmp_path, size=32).size == 32
