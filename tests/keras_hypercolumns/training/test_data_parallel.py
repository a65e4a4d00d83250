"""Training on two devices against the same training on one, with JAX, whose CPU can be two."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras does it with JAX")

RECIPE = """
seed = 3
variants = ["pool1to4"]
learning_rate = 1e-3
warmup_steps = 1
checkpoint_steps = 2
validation_size = 32
validation_pictures = 3
head_pictures = 0
[[stages]]
size = 32
steps = 2
batch = { "." = 4 }
"""
TRAINING = """
    import sys
    import jax
    import keras
    import numpy as np
    from keras_hypercolumns.training.data_parallel import data_parallel
    from keras_hypercolumns.training.finish import finish
    from keras_hypercolumns.training.recipe import read_recipe
    from keras_hypercolumns.training.train_jointly import train_jointly

    recipe, three, data, runs = sys.argv[1:]
    recipe = read_recipe(recipe)
    two = keras.distribution.list_devices()
    for devices in (two[:1], two):
        keras.distribution.list_devices = lambda: devices
        with data_parallel(recipe) as count:
            assert count == len(devices)
        run = f"{runs}/{len(devices)}"
        trained, step = train_jointly(recipe, [data], run)
        assert step == 2
        assert keras.distribution.distribution() is None
        model = finish(trained, recipe, [data])
        np.savez(run + "/weights.npz", *[weight.numpy() for weight in model.weights])
    try:
        train_jointly(read_recipe(three), [data], f"{runs}/3")
    except ValueError as error:
        print(error)
"""


@pytest.mark.long
def test_two_devices_train_what_one_does(pictures, tmp_path):
    recipe, three = tmp_path / "recipe.toml", tmp_path / "three.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    three.write_text(RECIPE.replace("= 4", "= 3"), encoding="utf-8")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRAINING), recipe, three, pictures.folder, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "1/weights.npz") as one, np.load(tmp_path / "2/weights.npz") as two:
        for name in one:
            np.testing.assert_allclose(two[name], one[name], atol=1e-4)
    assert "`batch` of the recipe should have a multiple of 2 pictures" in result.stdout
    assert not list((tmp_path / "3").glob("checkpoint*"))
