"""Measures of colour against direct sums."""

import numpy as np
import pytest

from kh_zoo.measuring.metrics.auc import ColorPrior, auc, within
from kh_zoo.measuring.metrics.bootstrap import interval


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
