import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom
from skimage import data
from skimage.color import rgb2lab

from kh_zoo.colors.guided_upsampling import GuidedUpsampling


def _upsampled(small_lightness, small_ab, lightness):
    lightness = np.asarray(lightness, np.float32)
    upsampling = GuidedUpsampling(small_lightness, small_ab, *lightness.shape[::-1])
    return np.moveaxis(upsampling.rows(0, lightness), 0, -1)


def test_is_a_plain_unshifted_interpolation_where_the_lightness_is_flat():
    small = np.full((16, 32), 50.0)
    ramp = np.tile(np.arange(32.0), (16, 1))
    result = _upsampled(small, np.stack([ramp, -ramp], -1), np.full((40, 80), 50))
    # Pixel centres aligned: x at full size lies at (x + 0.5) * 32 / 80 - 0.5.
    expected = np.tile((np.arange(80) + 0.5) * 32 / 80 - 0.5, (40, 1))
    inside = np.s_[:, 5:-5]
    np.testing.assert_allclose(result[inside][..., 0], expected[inside], atol=0.02)
    np.testing.assert_allclose(result[inside][..., 1], -expected[inside], atol=0.02)


def test_puts_a_colour_edge_where_the_lightness_has_it():
    # The edge lies within a small pixel, where no interpolation can know its place.
    column = np.arange(96) >= 50
    lightness = np.tile(np.where(column, 90.0, 10.0), (96, 1))
    truth = np.stack([np.where(column, 40, -40) + 0 * lightness, 0 * lightness], -1)
    small = [x.reshape(16, 6, 16, 6).mean((1, 3)) for x in (lightness, truth[..., 0])]
    small_ab = np.stack([small[1], 0 * small[1]], -1)
    guided = _upsampled(small[0], small_ab, lightness)
    linear = zoom(small[1], 6, order=1, mode="nearest", grid_mode=True)
    error = np.abs(guided - truth)[..., 0].mean()
    assert error < 0.5 * np.abs(linear - truth[..., 0]).mean()
    assert not guided[..., 1].any()


@pytest.mark.parametrize("size", [64, 128])
def test_is_closer_to_a_photograph_than_bilinear(size):
    lab = rgb2lab(data.astronaut())
    factor = 512 // size
    small = lab.reshape(size, factor, size, factor, 3).mean((1, 3))
    guided = _upsampled(small[..., 0], small[..., 1:], lab[..., 0])
    linear = zoom(small[..., 1:], (factor, factor, 1), order=1, mode="nearest", grid_mode=True)
    rms = [np.sqrt(np.mean((ab - lab[..., 1:]) ** 2)) for ab in (guided, linear)]
    assert rms[0] < 0.9 * rms[1]


def test_one_pixel_and_other_proportions():
    result = _upsampled(np.full((16, 16), 50.0), np.full((16, 16, 2), 7.0), [[50]])
    np.testing.assert_allclose(result, [[[7, 7]]], atol=1e-4)
    strip = _upsampled(np.full((16, 64), 50.0), np.full((16, 64, 2), 7.0), [[9] * 999])
    np.testing.assert_allclose(strip, np.full((1, 999, 2), 7.0), atol=1e-4)


def test_brings_coefficients_up_bicubically_and_the_same_in_any_rows(random):
    # Pillow's bicubic is Keys' with the same parameter, -1/2, centres of pixels aligned.
    small = random.normal(0, 20, (16, 24)).astype(np.float32)
    flat = np.full((16, 24), 50.0)
    lightness = np.full((75, 110), 50, np.float32)
    upsampling = GuidedUpsampling(flat, np.stack([small, -small], -1), 110, 75)
    whole = upsampling.rows(0, lightness)
    expected = np.asarray(Image.fromarray(small).resize((110, 75), Image.Resampling.BICUBIC))
    inside = np.s_[10:-10, 10:-10]  # Pillow leaves out what lies beyond the border
    np.testing.assert_allclose(whole[0][inside], expected[inside], atol=1e-3)
    strips = [upsampling.rows(top, lightness[top : top + 7]) for top in range(0, 75, 7)]
    np.testing.assert_array_equal(np.concatenate(strips, axis=1), whole)
