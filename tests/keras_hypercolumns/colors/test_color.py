"""Colour conversion in `keras.ops`, against scikit-image."""

import numpy as np
import pytest
from keras import ops
from skimage import color, data

from keras_hypercolumns import lab_to_srgb, srgb_to_lab


def to_lab(rgb):
    return ops.convert_to_numpy(srgb_to_lab(rgb.astype("float32")))


def to_srgb(lab):
    return ops.convert_to_numpy(lab_to_srgb(lab.astype("float32")))


@pytest.fixture(scope="module")
def grid():
    """Every combination of 18 values of each channel, 0 and 255 among them."""
    values = np.arange(0, 256, 15) / 255
    return np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1)


def test_srgb_to_lab_is_that_of_scikit_image(grid):
    np.testing.assert_allclose(to_lab(grid), color.rgb2lab(grid), rtol=0, atol=1e-3)


def test_lab_to_srgb_is_that_of_scikit_image(grid):
    lab = color.rgb2lab(grid)
    np.testing.assert_allclose(to_srgb(lab), color.lab2rgb(lab), rtol=0, atol=1e-3)


def test_there_and_back_is_the_same_picture(grid):
    np.testing.assert_allclose(to_srgb(to_lab(grid)), grid, rtol=0, atol=1e-3)


def test_a_photograph_comes_back_with_the_same_bytes():
    photograph = data.cat()[::4, ::4]
    back = to_srgb(to_lab(photograph / 255))
    np.testing.assert_array_equal(np.round(back * 255).astype("uint8"), photograph)


# scikit-image warns of the negative Z that it clips.
@pytest.mark.filterwarnings("ignore:.*negative Z values:UserWarning")
def test_colours_outside_of_the_gamut_are_clipped_to_it(random):
    lab = np.concatenate(
        [random.uniform(0, 100, (500, 1)), random.uniform(-128, 128, (500, 2))], axis=1
    )
    srgb = to_srgb(lab)
    assert srgb.min() == 0
    assert srgb.max() == 1
    np.testing.assert_allclose(srgb, color.lab2rgb(lab), rtol=0, atol=1e-3)


def test_gradients_are_finite_at_black_and_white(output_and_gradients):
    rgb = np.array([[0, 0, 0], [1, 1, 1], [0, 0.5, 1]], "float32")
    for function, values in ((srgb_to_lab, rgb), (lab_to_srgb, to_lab(rgb))):
        weight = np.ones_like(values)
        _, (gradient,) = output_and_gradients(function, [values], weight)
        assert np.isfinite(gradient).all()
