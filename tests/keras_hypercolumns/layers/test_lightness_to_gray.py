"""L of CIELAB to the sRGB grey value, against scikit-image."""

import keras
import numpy as np
import pytest
from keras import ops
from skimage.color import lab2rgb

from keras_hypercolumns import lab_to_srgb
from keras_hypercolumns.layers.lightness_to_gray import LightnessToGray


def run(lightness):
    return ops.convert_to_numpy(LightnessToGray()(np.asarray(lightness, "float32")))


@pytest.mark.parametrize("shape", [(1, 23, 87, 1), (1, 1, 23, 87)])
def test_it_is_the_gray_that_scikit_image_computes(shape):
    lightness = np.linspace(0, 100, 23 * 87)
    zero = np.zeros_like(lightness)
    expected = 255 * lab2rgb(np.stack([lightness, zero, zero], axis=-1))
    found = run(lightness.reshape(shape))
    assert found.shape == shape
    # The published matrix is rounded, so that the three channels differ by 0.01 of 255.
    np.testing.assert_allclose(found.ravel(), expected.mean(axis=-1), atol=0.01)


def test_it_is_that_of_lab_to_srgb():
    lightness = np.linspace(0, 100, 301)
    lab = np.stack([lightness, 0 * lightness, 0 * lightness], axis=-1)
    expected = 255 * ops.convert_to_numpy(lab_to_srgb(lab))
    np.testing.assert_allclose(run(lightness), expected.mean(axis=-1), atol=0.01)


def test_what_lies_outside_is_clipped():
    assert run([-200.0, -5.0, 105.0, 1e4]).tolist() == [0, 0, 255, 255]


def test_the_gradient_is_positive_and_finite_from_black_to_white(output_and_gradients):
    lightness = np.linspace(0.001, 99.99, 50).astype("float32")
    _, (gradient,) = output_and_gradients(LightnessToGray(), [lightness], np.ones_like(lightness))
    numeric = (run(lightness + 0.005) - run(lightness - 0.005)) / 0.01
    np.testing.assert_allclose(gradient[1:-1], numeric[1:-1], rtol=0.02)
    assert np.isfinite(gradient).all()
    assert (gradient > 0).all()


def test_it_is_saved_and_loaded_by_its_registered_name():
    layer = LightnessToGray(name="gray", dtype="float32")
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"] == "keras_hypercolumns>LightnessToGray"
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, LightnessToGray)
    assert again.name == "gray"
    assert again.compute_output_shape((None, None, None, 1)) == (None, None, None, 1)
