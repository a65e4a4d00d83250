import numpy as np
import pytest
from skimage.color import rgb2lab

from kh_zoo.colors.gamut import lab_to_srgb_pixels


def _pixels(lab, sixteen_bit=False):
    lab = np.asarray(lab, np.float32)
    return lab_to_srgb_pixels(lab[..., 0], np.moveaxis(lab[..., 1:], -1, 0), sixteen_bit)


def _linear(srgb):
    return np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)


@pytest.mark.parametrize(("sixteen_bit", "white"), [(False, 255), (True, 65535)])
def test_colour_of_the_gamut_is_that_of_scikit_image(random, sixteen_bit, white):
    rgb = random.random((60, 50, 3))
    rgb[:10] *= 0.01  # near black, where the curve is a line
    pixels = _pixels(rgb2lab(rgb), sixteen_bit)
    assert pixels.dtype == (np.uint16 if sixteen_bit else np.uint8)
    # Half a level is rounding. Here white is D65 to the last digit, so that greys are exactly grey;
    # scikit-image's matrix is off by some 1e-5, which a dark channel beside a bright one feels.
    error = np.abs(pixels - rgb * white)
    assert error.max() < (0.75 if white == 255 else 65535 / 255 / 4)
    assert np.median(error) < 0.5


def test_greys_are_exact_in_8_bits():
    levels = np.tile(np.arange(256)[:, None, None], (1, 1, 3))
    np.testing.assert_array_equal(_pixels(rgb2lab(levels / 255)), levels)


def test_colour_beyond_the_gamut_moves_straight_to_its_grey_until_it_is_inside(random):
    lab = np.concatenate(
        [random.uniform(5, 95, (500, 1, 1)), random.uniform(-150, 150, (500, 1, 2))], -1
    )
    got = _pixels(lab, sixteen_bit=True) / 65535
    f = (lab[..., 0] + 16) / 116
    xyz = np.stack([f + lab[..., 1] / 500, f, f - lab[..., 2] / 200], -1)
    xyz = np.where(xyz > 6 / 29, xyz**3, (xyz - 4 / 29) * 3 * (6 / 29) ** 2)
    from_xyz = np.array([0.95047, 1.0, 1.08883]) * np.linalg.inv(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    grey = xyz[..., 1:2]
    wanted = xyz @ from_xyz.T
    outside = (wanted.min(-1) < 0) | (wanted.max(-1) > 1)
    assert outside.mean() > 0.5
    np.testing.assert_allclose(rgb2lab(got)[..., 0], lab[..., 0], atol=0.02)
    # It stops at the border.
    reach = np.minimum(got.min(-1), 1 - got.max(-1))[outside]
    assert reach.max() < 2e-4
    # In linear light it lies between grey and the colour wanted.
    way, kept = wanted - grey, _linear(got) - grey
    cosine = (way * kept).sum(-1) / np.linalg.norm(way, axis=-1) / np.linalg.norm(kept, axis=-1)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("sixteen_bit", [False, True])
def test_lightness_beyond_black_and_white_by_rounding_stays_there(sixteen_bit):
    pixels = _pixels([[[-0.01, 3, 5], [100.01, 3, 5], [101, -40, 0]]], sixteen_bit)
    white = 65535 if sixteen_bit else 255
    np.testing.assert_allclose(pixels[0] / white, [[0] * 3, [1] * 3, [1] * 3], atol=1e-4)


@pytest.mark.parametrize(("lightness", "level"), [(0, 0), (100, 255)])
def test_black_and_white_have_no_room_for_colour(lightness, level):
    pixels = _pixels([[[lightness, 80, -90]]])
    assert np.abs(pixels.astype(int) - level).max() <= 1
