"""The colorizer: from L to AB, at any size, saved and loaded."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import VARIANTS, HyperColumn, colorizer, fold_batch_norm, joint_colorizer
from keras_hypercolumns.taps import tap_channels, tap_names, tap_stride

CHANNELS = {"full": 5440, "relu1to5": 1472, "relu3to5": 1280, "pool1to4": 960}


def lightness_of(size, random, batch=1):
    return random.uniform(0, 100, size=(batch, *size, 1)).astype("float32")


def enlarge_head(model, random):
    """Heads start near zero; make colours that differ by more than rounding."""
    for layer in model.layers:
        if layer.name.startswith("head_"):
            shapes = [weight.shape for weight in layer.get_weights()]
            layer.set_weights([random.normal(scale=0.1, size=shape) for shape in shapes])
    return model


@pytest.fixture(scope="module")
def model():
    return enlarge_head(colorizer("pool1to4"), np.random.default_rng(3))


def test_variants_have_the_channels_of_their_names():
    assert {variant: sum(map(tap_channels, taps)) for variant, taps in VARIANTS.items()} == CHANNELS
    for taps in VARIANTS.values():
        assert set(taps) <= set(tap_names())


def test_every_variant_gives_two_channels_at_the_size_of_the_picture(random):
    joint = joint_colorizer()
    assert list(joint.output) == list(CHANNELS)
    for size in ((16, 16), (33, 47)):
        for ab in joint(lightness_of(size, random, batch=2)).values():
            assert tuple(ab.shape) == (2, *size, 2)
    for variant, channels in CHANNELS.items():
        assert tuple(joint.get_layer(f"head_{variant}").kernel.shape) == (1, 1, channels, 2)


def test_is_trunk_then_hypercolumn_then_1x1_with_the_scaling_inside(model, random):
    lightness = lightness_of((33, 47), random)
    taps = VARIANTS["pool1to4"]
    # Average pooling and strides, as in the founding code and the design.
    maps = model.get_layer("trunk")(lightness / 50 - 1)
    column = HyperColumn(
        taps,
        reference="lightness",
        strides={tap: tap_stride(tap) for tap in taps},
        data_format="channels_last",
    )
    column = ops.convert_to_numpy(column({**maps, "lightness": lightness})).astype("float64")
    kernel, bias = model.get_layer("head_pool1to4").get_weights()
    # A wider head is scaled down: 128 * 50 over its channels.
    expected = 128 * 50 / 960 * (column @ kernel[0, 0] + bias)
    found = ops.convert_to_numpy(model(lightness))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert expected.std() > 1


def test_taps_of_ones_own(random):
    own = colorizer(["relu1_1", "conv2_1"])
    assert tuple(own(lightness_of((17, 19), random)).shape) == (1, 17, 19, 2)
    assert tuple(own.get_layer("head_custom").kernel.shape) == (1, 1, 64 + 128, 2)


def test_a_model_alone_predicts_what_the_joint_one_does(random):
    joint = enlarge_head(joint_colorizer(("relu3to5", "pool1to4")), random)
    alone = fold_batch_norm(joint, colorizer("relu3to5"))
    lightness = lightness_of((32, 48), random)
    expected = ops.convert_to_numpy(joint(lightness)["relu3to5"])
    assert expected.std() > 1
    np.testing.assert_allclose(
        ops.convert_to_numpy(alone(lightness)), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_training_starts_near_gray(random):
    ab = ops.convert_to_numpy(colorizer("relu1to5")(lightness_of((32, 32), random)))
    assert 0 < np.abs(ab).max() < 50


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
def test_runs_in_a_tf_function_of_unknown_height_and_width(model, random):
    import tensorflow as tf

    traces = []

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32)])
    def predict(lightness):
        traces.append(lightness.shape)
        return model(lightness)

    for size, batch in (((33, 47), 1), ((37, 51), 2), ((16, 16), 1), ((64, 48), 1)):
        lightness = lightness_of(size, random, batch)
        expected = model(lightness).numpy()
        np.testing.assert_allclose(
            predict(lightness).numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
        )
    assert len(traces) == 1


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit")
def test_runs_jitted_on_jax(model, random):
    import jax

    weights = [weight.value for weight in model.trainable_variables]
    predict = jax.jit(lambda weights, lightness: model.stateless_call(weights, [], lightness)[0])
    lightness = lightness_of((33, 47), random)
    expected = ops.convert_to_numpy(model(lightness))
    np.testing.assert_allclose(
        predict(weights, lightness), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_loads_in_a_process_that_only_imported_the_package(model, tmp_path, random):
    lightness = lightness_of((33, 47), random)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "lightness.npy", lightness)
    program = """
        import sys, keras, keras_hypercolumns, numpy
        folder = sys.argv[1]
        model = keras.saving.load_model(f"{folder}/model.keras")
        ab = model(numpy.load(f"{folder}/lightness.npy"))
        numpy.save(f"{folder}/ab.npy", keras.ops.convert_to_numpy(ab))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], check=True)
    expected = ops.convert_to_numpy(model(lightness))
    np.testing.assert_allclose(
        np.load(tmp_path / "ab.npy"), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_unknown_variants_and_taps_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`variant` .*Did you mean 'relu1to5'.* 'relu1to6'"):
        colorizer("relu1to6")
    with pytest.raises(ValueError, match=r"`variant` .*Did you mean 'pool1to4'"):
        joint_colorizer(("full", "pool1to3"))
    with pytest.raises(ValueError, match=r"`taps` .*Did you mean 'relu5_4'"):
        colorizer(["relu5_5"])
