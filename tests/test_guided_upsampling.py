import numpy as np
import pytest
import pyvips
from scipy.ndimage import zoom
from skimage import data
from skimage.color import rgb2lab

from kh_zoo.guided_upsampling import guided_upsampling


def _image(array):
    return pyvips.Image.new_from_array(np.asarray(array, dtype=np.float32))


def test_is_a_plain_unshifted_interpolation_where_the_lightness_is_flat():
    small = np.full((16, 32), 50.0)
    ramp = np.tile(np.arange(32.0), (16, 1))
    result = guided_upsampling(small, np.stack([ramp, -ramp], -1), _image(np.full((40, 80), 50)))
    # Pixel centres aligned: x at full size lies at (x + 0.5) * 32 / 80 - 0.5.
    expected = np.tile((np.arange(80) + 0.5) * 32 / 80 - 0.5, (40, 1))
    inside = np.s_[:, 5:-5]
    np.testing.assert_allclose(result.numpy()[inside][..., 0], expected[inside], atol=0.02)
    np.testing.assert_allclose(result.numpy()[inside][..., 1], -expected[inside], atol=0.02)


def test_puts_a_colour_edge_where_the_lightness_has_it():
    # The edge lies within a small pixel, where no interpolation can know its place.
    column = np.arange(96) >= 50
    lightness = np.tile(np.where(column, 90.0, 10.0), (96, 1))
    truth = np.stack([np.where(column, 40, -40) + 0 * lightness, 0 * lightness], -1)
    small = [x.reshape(16, 6, 16, 6).mean((1, 3)) for x in (lightness, truth[..., 0])]
    small_ab = np.stack([small[1], 0 * small[1]], -1)
    guided = guided_upsampling(small[0], small_ab, _image(lightness)).numpy()
    linear = zoom(small[1], 6, order=1, mode="nearest", grid_mode=True)
    error = np.abs(guided - truth)[..., 0].mean()
    assert error < 0.5 * np.abs(linear - truth[..., 0]).mean()
    assert not guided[..., 1].any()


@pytest.mark.parametrize("size", [64, 128])
def test_is_closer_to_a_photograph_than_bilinear(size):
    lab = rgb2lab(data.astronaut())
    factor = 512 // size
    small = lab.reshape(size, factor, size, factor, 3).mean((1, 3))
    guided = guided_upsampling(small[..., 0], small[..., 1:], _image(lab[..., 0])).numpy()
    linear = zoom(small[..., 1:], (factor, factor, 1), order=1, mode="nearest", grid_mode=True)
    rms = [np.sqrt(np.mean((ab - lab[..., 1:]) ** 2)) for ab in (guided, linear)]
    assert rms[0] < 0.9 * rms[1]


def test_one_pixel_and_other_proportions():
    result = guided_upsampling(np.full((16, 16), 50.0), np.full((16, 16, 2), 7.0), _image([[50]]))
    np.testing.assert_allclose(result.numpy(), [[[7, 7]]], atol=1e-4)
    strip = guided_upsampling(
        np.full((16, 64), 50.0), np.full((16, 64, 2), 7.0), _image([[9] * 999])
    )
    assert (strip.width, strip.height) == (999, 1)
