"""Colours as classes: the bins of A and B, how a colour is spread over them, and how rare it is."""

from functools import cache

import numpy as np
from keras import ops

from keras_hypercolumns.colors.lab import srgb_to_lab

GRID = 10
"""CIELAB units from a bin to the next."""
NEIGHBOURS = 5
"""Bins that a colour is spread over."""
SIGMA = 5.0
"""Of the Gaussians, in CIELAB units."""
_REACH = 13.5
_LEVELS = 33


@cache
def ab_bins() -> np.ndarray:
    """Return the colours that stand for the bins, `(313, 2)`: A and B in CIELAB units.

    They are the points of a grid of 10 units that lie within 13.5 units of a colour of sRGB,
    of whatever lightness: a little less than the diagonal of a square of the grid, so that a
    colour has all four corners of its square but the most far-fetched. The distance is chosen so
    that their number is that of the paper, which gives no rule.

    Example:

    >>> from keras_hypercolumns.colors.ab_bins import ab_bins
    >>> bins = ab_bins()
    >>> bins.shape, bins[0].tolist(), bins.max(axis=0).tolist()
    ((313, 2), [-90.0, 50.0], [110.0, 100.0])

    Reference:
        - [Zhang et al., 2016](https://arxiv.org/abs/1603.08511), section 2.1.
    """
    levels = np.linspace(0, 1, _LEVELS, dtype="float32")
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    colors = np.unique(ops.convert_to_numpy(srgb_to_lab(cube))[:, 1:].round(), axis=0)
    steps = np.arange(-120.0, 121, GRID)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    near = _squared_distances(grid, colors).min(axis=1) <= _REACH**2
    bins: np.ndarray = grid[near].astype("float32")
    bins.flags.writeable = False
    return bins


def soft_encoding(ab: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spread colours over their nearest bins, by a Gaussian of the distance.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns.colors.ab_bins import ab_bins, soft_encoding
    >>> nearest, shares = soft_encoding(np.array([[22.0, 30.0]]), ab_bins())
    >>> ab_bins()[nearest[0, :2]].tolist(), shares[0].round(2).tolist()
    ([[20.0, 30.0], [30.0, 30.0]], [0.61, 0.18, 0.08, 0.08, 0.04])

    Args:
        ab: Colours, `(colours, 2)`, in CIELAB units.
        bins: As of `ab_bins`.

    Returns:
        Two arrays `(colours, 5)`: the indices of the bins, the nearest first, and the shares,
        which add up to 1.

    Reference:
        - [Zhang et al., 2016](https://arxiv.org/abs/1603.08511), section 2.1, "soft-encoding".
    """
    squares = _squared_distances(ab, bins)
    nearest = np.argsort(squares, axis=1)[:, :NEIGHBOURS]
    squares = np.take_along_axis(squares, nearest, axis=1)
    # Less the least, so that a colour far from all bins has shares too.
    shares = np.exp((squares[:, :1] - squares) / (2 * SIGMA**2))
    return nearest, shares / shares.sum(axis=1, keepdims=True)


def rebalancing(frequencies: np.ndarray, bins: np.ndarray, uniform: float) -> np.ndarray:
    """Return how much a pixel counts by the bin of its colour: rare colours more.

    The frequencies are smoothed, mixed with a uniform distribution, and inverted; a pixel counts
    1 in the mean.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns.colors.ab_bins import rebalancing
    >>> bins = np.array([[0.0, 0.0], [50.0, 0.0]])
    >>> rebalancing(np.array([0.9, 0.1]), bins, 0.5).round(3).tolist()
    [0.882, 2.059]

    Args:
        frequencies: How frequent each bin is, `(bins,)`; adds up to 1.
        bins: As of `ab_bins`.
        uniform: Part of the uniform distribution in the mixture, 0..1: 1 leaves all pixels alike.

    Reference:
        - [Zhang et al., 2016](https://arxiv.org/abs/1603.08511), section 2.2.
    """
    smooth = np.exp(-_squared_distances(bins, bins) / (2 * SIGMA**2))
    smoothed = (smooth / smooth.sum(axis=0)) @ frequencies
    weights = 1 / ((1 - uniform) * smoothed + uniform / len(bins))
    return np.asarray(weights / (frequencies @ weights))


def _squared_distances(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    ones, others = np.asarray(ones, np.float64), np.asarray(others, np.float64)
    products = ones @ others.T
    squares = (ones**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * products
    return np.asarray(np.maximum(squares, 0))
