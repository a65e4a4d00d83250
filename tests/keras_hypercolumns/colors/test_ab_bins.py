"""Colour bins against the definitions of the paper, colour by colour."""

import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from keras_hypercolumns.colors.ab_bins import ab_bins, rebalancing, soft_encoding


def test_bins_are_the_313_grid_points_around_the_gamut_of_srgb():
    bins = ab_bins()
    assert bins.shape == (313, 2) == np.unique(bins, axis=0).shape
    assert not (bins % 10).any()
    # By scikit-image: the faces of the RGB cube, finer than the rule has them.
    side = np.linspace(0, 1, 60)
    faces = [
        np.insert(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), axis, value, axis=1)
        for axis, value in itertools.product(range(3), (0, 1))
    ]
    colors = rgb2lab(np.concatenate(faces))[:, 1:]
    # Every colour is within half a diagonal of a bin: its square of the grid has bins.
    nearest = np.sqrt(((colors[:, None] - bins) ** 2).sum(-1)).min(1)
    assert nearest.max() <= np.hypot(5, 5) + 1e-3
    # And no bin stands for colours that there are not.
    nearest = np.sqrt(((bins[:, None] - colors) ** 2).sum(-1)).min(1)
    assert nearest.max() < 14


def test_a_colour_is_spread_over_its_five_nearest_bins(random):
    bins = ab_bins()
    colors = np.concatenate([random.uniform(-60, 60, (20, 2)), [[0, 0], [-250, 300]]])
    nearest, shares = soft_encoding(colors, bins)
    for color, which, share in zip(colors, nearest, shares, strict=True):
        distances = np.sqrt(((bins - color) ** 2).sum(axis=1))
        np.testing.assert_allclose(np.sort(distances)[:5], distances[which], rtol=1e-6)
        assert share[0] == share.max()
        assert share.sum() == pytest.approx(1)
    gaussian = np.exp(-(((bins[nearest[0]] - colors[0]) ** 2).sum(axis=1)) / (2 * 5**2))
    np.testing.assert_allclose(shares[0], gaussian / gaussian.sum(), rtol=1e-6)


def test_rare_colours_count_more_and_a_pixel_one_in_the_mean(random):
    bins = ab_bins()
    frequencies = random.dirichlet(np.full(len(bins), 0.1))
    kernel = np.array(
        [[np.exp(-((one - other) ** 2).sum() / 50) for other in bins] for one in bins]
    )
    smoothed = kernel / kernel.sum(axis=0) @ frequencies
    assert smoothed.sum() == pytest.approx(1)
    expected = 1 / (0.5 * smoothed + 0.5 / 313)
    expected /= (frequencies * expected).sum()
    np.testing.assert_allclose(rebalancing(frequencies, bins, 0.5), expected, rtol=1e-6)
    np.testing.assert_allclose(rebalancing(frequencies, bins, 1.0), 1, rtol=1e-6)
