"""Measures of colour against scikit-image, published data, and direct sums."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.data import chelsea, coffee
from skimage.metrics import structural_similarity

from kh_zoo.measuring.metrics.auc import ColorPrior, auc, within
from kh_zoo.measuring.metrics.bootstrap import interval
from kh_zoo.measuring.metrics.ciede2000 import ciede2000
from kh_zoo.measuring.metrics.ssim import ssim

# Sharma, Wu and Dalal 2005, table 1: pairs that tell wrong formulas from right ones.
PAIRS = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (58, 24, 15), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("one", "other", "expected"), PAIRS)
def test_ciede2000_of_the_published_pairs(one, other, expected):
    for pair in ((one, other), (other, one)):
        assert ciede2000(*map(np.array, pair)) == pytest.approx(expected, abs=5e-5)


def test_ciede2000_against_scikit_image(random):
    one, other = random.uniform((0, -100, -100), (100, 100, 100), (2, 50, 60, 3))
    other[:10] = one[:10] + random.normal(0, 0.1, (10, 60, 3))
    one[20, :, 1:] = 0
    np.testing.assert_allclose(ciede2000(one, other), deltaE_ciede2000(one, other), atol=1e-6)
    lab = rgb2lab(coffee()[::8, ::8])
    assert ciede2000(lab, lab).max() == 0


@pytest.mark.parametrize("shape", [(16, 16), (37, 90)])
def test_ssim_against_scikit_image(random, shape):
    rgb = chelsea()[: shape[0], : shape[1]].astype(float)
    other = np.clip(rgb + random.normal(0, 12, rgb.shape), 0, 255)
    expected = structural_similarity(
        rgb,
        other,
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(rgb, other) == pytest.approx(expected, abs=1e-7)
    assert ssim(rgb, rgb) == pytest.approx(1)


def test_auc_against_a_direct_sum(random):
    truth = random.uniform(-90, 90, (20, 30, 2))
    ab = truth + random.normal(0, 40, truth.shape)
    weights = random.uniform(0.1, 5, truth.shape[:2])
    errors = np.linalg.norm(ab - truth, axis=-1)
    for given, each in ((None, np.ones_like(errors)), (weights, weights)):
        shares = [(each * (errors <= limit)).sum() / each.sum() for limit in range(151)]
        assert auc(within(ab, truth, given)) == pytest.approx(np.mean(shares))
    assert auc(within(truth, truth)) == 1
    # Of two pictures together, not the mean of each.
    both = within(ab[:5], truth[:5]) + within(ab[5:], truth[5:])
    assert auc(both) == pytest.approx(float(auc(within(ab, truth))))


def test_rare_colours_weigh_more():
    prior = ColorPrior()
    prior.add(np.full((900, 2), 4.0))
    prior.add(np.full((100, 2), [60.0, -35.0]))
    common, rare, unseen = prior.weights(np.array([[0.0, 9.9], [69.0, -31.0], [-129.0, 500.0]]))
    total = 1000 + 26 * 26
    assert (common, rare, unseen) == pytest.approx((total / 901, total / 101, total / 1))


def test_the_interval_is_that_of_the_mean(random):
    values = random.normal(3, 2, 400)
    low, high = interval(lambda mean: mean, values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert interval(lambda mean: mean, values) == (low, high)


def test_pictures_are_drawn_whole(random):
    # What a picture contributes to several samples is drawn together.
    squares = random.uniform(1, 2, (50, 3))
    low, high = interval(lambda one, other: (one / other)[:, 2], squares, 4 * squares)
    assert low == high == pytest.approx(0.25)
    # By hand, from pictures that are drawn one by one.
    drawn = np.random.default_rng(5).integers(0, 50, (20000, 50))
    direct = np.percentile(np.sqrt(squares[drawn, 1].mean(axis=1)), (2.5, 97.5))
    assert interval(lambda mean: np.sqrt(mean[:, 1]), squares) == pytest.approx(direct, abs=0.01)
