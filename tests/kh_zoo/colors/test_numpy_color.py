import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from kh_zoo.colors.lab import colorfulness, lab_to_srgb, srgb_to_lab


@pytest.fixture
def grid():
    steps = np.linspace(0, 1, 18)  # of 15 in 255: the dark ones lie on the linear part of sRGB
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)


def test_agrees_with_scikit_image_over_the_cube(grid):
    np.testing.assert_allclose(srgb_to_lab(grid), rgb2lab(grid), atol=1e-3)


def test_inverse_agrees_with_scikit_image_and_returns_to_the_start(grid):
    lab = rgb2lab(grid)
    np.testing.assert_allclose(lab_to_srgb(lab), lab2rgb(lab), atol=1e-3)
    np.testing.assert_allclose(lab_to_srgb(srgb_to_lab(grid)), grid, atol=1e-3)


def test_colour_out_of_gamut_is_clipped():
    rgb = lab_to_srgb([[50, 150, -150], [99, -80, 90], [2, 0, 120]])
    assert rgb.min() == 0
    assert rgb.max() == 1


def test_colorfulness_of_two_halves():
    # Pure red and pure green: rg = +-255 (mean 0, deviation 255), yb = 127.5 throughout.
    halves = np.zeros((2, 2, 3))
    halves[0, :, 0] = 1
    halves[1, :, 1] = 1
    assert colorfulness(halves) == pytest.approx(255 + 0.3 * 127.5)
