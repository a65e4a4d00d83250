"""A trained model as the start of a training: it computes the same, and all of it can learn."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns.training.joint_trainer import JointTrainer
from kh_zoo import load_model
from kh_zoo.catalog.records import BUNDLES
from kh_zoo.with_keras.joint_model import load_joint_model


@pytest.fixture
def joint():
    return load_joint_model("lite")


def kernels_of(joint):
    """Each kernel with a normalisation behind it, as rows for each of its outputs."""
    found = {}
    for layer in (*joint.trunk.layers, joint.get_layer("head_lite_hidden")):
        if layer.name.endswith(("_depthwise", "_expand", "_project", "stem", "_hidden")):
            kernel = ops.convert_to_numpy(layer.kernel)
            last = -2 if layer.name.endswith("_depthwise") else -1
            found[layer.name] = np.moveaxis(kernel, last, 0).reshape(kernel.shape[last], -1)
    return found


def test_it_predicts_what_the_folded_model_does(joint, random):
    lightness = random.uniform(0, 100, (1, 96, 128, 1)).astype("float32")
    found = joint.predict(lightness, verbose=0)
    for name in ("lite", "lite-vivid"):
        expected = load_model(BUNDLES / "lite" / name).predict(lightness, verbose=0)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-3)


def test_its_kernels_are_of_length_one(joint):
    kernels = kernels_of(joint)
    assert len(kernels) == 1 + 20 * 3 + 2 + 1
    for name, kernel in kernels.items():
        lengths = np.linalg.norm(kernel, axis=1)
        alive = lengths[lengths != 0]
        np.testing.assert_allclose(alive, 1, rtol=1e-4, err_msg=name)
        assert alive.size > 0.8 * lengths.size, name


def test_a_step_moves_all_of_its_kernels_alike(joint, random):
    """Folded, the first step moves some of them three hundred times as far as others."""
    trainer = JointTrainer(joint)
    # To trace one step of so many weights takes half a minute.
    trainer.compile(optimizer=keras.optimizers.AdamW(1e-3), run_eagerly=True)
    before = kernels_of(joint)
    trainer.train_on_batch(random.integers(0, 255, (2, 64, 64, 3)).astype("uint8"))
    moved = [
        np.linalg.norm(kernel - before[name]) / np.linalg.norm(before[name])
        for name, kernel in kernels_of(joint).items()
    ]
    assert max(moved) < 20 * min(moved)
