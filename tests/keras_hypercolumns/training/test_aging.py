"""What is done to lightness: each effect has the one that it states, and no other."""

import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_hypercolumns import srgb_to_lab
from keras_hypercolumns.training.data import aging
from keras_hypercolumns.training.data.aging import lightness_of

EFFECTS = ("blurred", "faded", "unevenly_lit", "grainy", "scratched")
PAGES = ("flat", "gradient", "text", "glyphs", "line_art", "neutral_page")


@pytest.fixture
def rgb(random):
    patches = Image.fromarray(random.integers(0, 256, (6, 5, 3), "uint8"))
    return np.asarray(patches.resize((48, 64), Image.Resampling.BICUBIC))


def contrast(lightness):
    """Of neighbours."""
    return np.abs(np.diff(lightness, axis=1)).mean()


def test_lightness_is_that_of_the_colours(random):
    rgb = random.integers(0, 256, (40, 50, 3), "uint8")
    expected = ops.convert_to_numpy(srgb_to_lab(rgb.astype("float32") / 255))[..., 0]
    found = lightness_of(rgb)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_is_decided_by_the_generator_alone(name, rgb):
    effect, lightness = getattr(aging, name), lightness_of(rgb)
    before = lightness.copy()
    found = [effect(lightness, np.random.default_rng(seed)) for seed in (1, 1, *range(2, 30))]
    np.testing.assert_array_equal(found[0], found[1])
    assert any(np.abs(one - found[0]).max() > 0.1 for one in found[2:])
    np.testing.assert_array_equal(lightness, before)
    for one in found:
        assert one.shape == lightness.shape
        assert one.dtype == np.float32
        assert 0 <= one.min() <= one.max() <= 100


def test_blur_takes_the_contrast_of_neighbours_and_leaves_the_mean(random):
    lightness = random.uniform(20, 80, (64, 64)).astype("float32")
    for _ in range(10):
        found = aging.blurred(lightness, random)
        assert contrast(found) < 0.8 * contrast(lightness)
        assert found.mean() == pytest.approx(lightness.mean(), abs=1)


def test_what_is_faded_keeps_the_order_of_its_greys(random):
    ramp = np.linspace(0, 100, 101, dtype="float32")[None]
    for _ in range(20):
        [found] = aging.faded(ramp, random)
        assert np.all(np.diff(found) >= 0)
        assert 0 <= found[0] <= 30
        assert 65 <= found[-1] <= 100


def test_uneven_light_changes_slowly_and_dims_corners(random):
    lightness = np.full((64, 96), 50, "float32")
    found = [aging.unevenly_lit(lightness, random) for _ in range(40)]
    for one in found:
        assert np.abs(np.diff(one, axis=0)).max() < 2
    mean = np.mean(found, axis=0)
    corners = mean[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.mean() < mean[32, 48] - 5


def test_grain_is_noise_about_what_is_there(random):
    lightness = np.full((128, 128), 50, "float32")
    deviations = []
    for _ in range(20):
        found = aging.grainy(lightness, random)
        assert found.mean() == pytest.approx(50, abs=0.5)
        deviations.append(found.std())
    assert 0.2 < min(deviations) < 2
    assert 4 < max(deviations) < 9


def test_scratches_are_few_and_leave_the_rest(random):
    lightness = np.full((96, 96), 50, "float32")
    for _ in range(20):
        changed = aging.scratched(lightness, random) != 50
        assert 0 < changed.sum() < 0.2 * changed.size


def test_a_film_sees_white_as_white_and_red_as_dark(random):
    white, red = np.full((2, 2, 3), 255, "uint8"), np.full((2, 2, 3), (255, 0, 0), "uint8")
    for _ in range(10):
        assert aging.emulsion(white, random) == pytest.approx(100, abs=1e-3)
    dark = [aging.emulsion(red, random)[0, 0] for _ in range(200)]
    blue = [aging.emulsion(red[..., ::-1], random)[0, 0] for _ in range(200)]
    assert np.mean(dark) + 10 < np.mean(blue)


def test_some_pictures_are_aged_in_several_ways_and_some_hardly(rgb):
    lightness = lightness_of(rgb)
    found = [aging.aged(lightness, rgb, np.random.default_rng(seed)) for seed in range(60)]
    again = aging.aged(lightness, rgb, np.random.default_rng(0))
    np.testing.assert_array_equal(found[0], again)
    moved = [np.abs(one - lightness).mean() for one in found]
    assert min(moved) == 0
    assert max(moved) > 15
    assert all(one.min() >= 0 and one.max() <= 100 for one in found)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_a_lightness(name):
    page = getattr(aging, name)
    found = [page(48, np.random.default_rng(seed)) for seed in (0, *range(30))]
    np.testing.assert_array_equal(found[0], found[1])
    assert len({one.tobytes() for one in found}) == 30
    for one in found:
        assert one.shape == (48, 48)
        assert one.dtype == np.float32
        assert 0 <= one.min() <= one.max() <= 100


def test_pages_show_what_they_are_named_after(random):
    for _ in range(10):
        assert np.ptp(aging.flat(48, random)) == 0
        slope = aging.gradient(48, random)
        assert 0 < contrast(slope) + contrast(slope.T) < 4
        for drawn in (aging.text, aging.glyphs, aging.line_art):
            page = drawn(96, random)
            # Paper and ink, the one more than the other.
            assert np.ptp(page) > 20
            middle = (page.min() + page.max()) / 2
            assert min((page < middle).mean(), (page > middle).mean()) < 0.5


def test_a_mount_is_neutral_and_the_picture_on_it_untouched(random):
    # No pixel of it is neutral.
    rgb = random.integers(0, 100, (30, 30, 3)).astype("uint8") + np.uint8([0, 100, 50])
    places = set()
    for _ in range(40):
        found = aging.mounted(rgb, 48, random)
        inside = np.ptp(found.astype(int), axis=-1) > 0
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        top, left = rows[0], columns[0]
        np.testing.assert_array_equal(found[top : top + 30, left : left + 30], rgb)
        outside = np.ones((48, 48), bool)
        outside[top : top + 30, left : left + 30] = False
        assert np.ptp(found[outside].astype(int), axis=-1).max() == 0
        ab = ops.convert_to_numpy(srgb_to_lab(found.astype("float32") / 255))[..., 1:]
        assert np.abs(ab[outside]).max() < 0.02
        places.add((top, left))
    assert (9, 9) in places
    assert len(places) > 5


def test_what_is_mounted_is_smaller_than_the_mount(random):
    sides = [aging.mounted_side(100, random) for _ in range(200)]
    assert 50 <= min(sides) < 55
    assert 87 < max(sides) <= 92
