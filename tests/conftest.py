"""Fixtures of the whole suite."""

import hashlib
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image


def pytest_configure(config):
    # Keras 3.15 itself: the `__array__` of its variables, and a NumPy-2 `np.array` of them.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    )


@pytest.fixture
def random():
    return np.random.default_rng(20261123)


@pytest.fixture
def output_and_gradients():
    """The output of a function of arrays, and the gradients of its sum weighted by `weight`."""

    def compute(function, arrays, weight):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tensors = [tf.constant(array) for array in arrays]
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                output = function(*tensors)
                total = keras.ops.sum(output * weight)
            gradients = tape.gradient(total, tensors)
        elif keras.backend.backend() == "jax":
            import jax

            output, pull_back = jax.vjp(jax.jit(function), *arrays)
            gradients = pull_back(jax.numpy.asarray(weight))
        else:
            import torch

            tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
            output = function(*tensors)
            gradients = torch.autograd.grad(output, tensors, torch.tensor(weight))
        to_numpy = keras.ops.convert_to_numpy
        return to_numpy(output), [to_numpy(gradient) for gradient in gradients]

    return compute


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A data folder of small colour pictures, some of each folder in each split.

    `folder` is the data folder; `splits[split][folder]` are the names in it. The split is computed
    here as the data's own description says, not by the code under test.
    """
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(7)
    wanted = {"train": 5, "validation": 3, "test": 2}
    splits = {split: {"flowers": [], "photos": []} for split in wanted}
    for group, subfolder in (("flowers", "flowers/daisy"), ("photos", "photos/street")):
        number = 0
        while any(len(splits[split][group]) < count for split, count in wanted.items()):
            name = f"{subfolder}/{number}.png"
            number += 1
            remainder = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") % 20
            split = {0: "test", 1: "validation"}.get(remainder, "train")
            if len(splits[split][group]) == wanted[split]:
                continue
            splits[split][group].append(name)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            size = random.integers(33, 60, 2)
            Image.fromarray(random.integers(0, 256, (*size, 3), "uint8")).save(path)
    return SimpleNamespace(folder=folder, splits=splits)
