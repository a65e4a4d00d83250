"""How far a figure would be another with other pictures."""

from collections.abc import Callable, Sequence

import numpy as np

RESAMPLES = 1000
_PARTS = 10
_SEED = 20261126


def interval(
    figure: Callable[..., np.ndarray], *samples: Sequence[float] | np.ndarray
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a figure over pictures.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.measuring.metrics.bootstrap import interval
    >>> low, high = interval(np.sqrt, np.arange(100.0) ** 2)  # root of the mean square
    >>> 52 < low < 53 and 62 < high < 63
    True

    Args:
        figure: Function of means over pictures, `(resamples, ...)`, one for each of `samples`,
            that returns `(resamples,)`.
        samples: What each picture contributes, `(pictures, ...)`.

    Reference:
        - Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    arrays = [np.asarray(sample, np.float64) for sample in samples]
    pictures = len(arrays[0])
    random = np.random.default_rng(_SEED)
    found = []
    # In parts, so that memory stays small.
    for _ in range(_PARTS):
        chosen = random.integers(0, pictures, (RESAMPLES // _PARTS, pictures))
        # Each picture's share of the draws: sums of products need no copy of what was drawn.
        shares = np.stack([np.bincount(row, minlength=pictures) for row in chosen]) / pictures
        found.append(figure(*(np.tensordot(shares, array, 1) for array in arrays)))
    low, high = np.percentile(np.concatenate(found), (2.5, 97.5))
    return float(low), float(high)
