"""How far a figure would be another with other pictures."""

from collections.abc import Callable, Sequence

import numpy as np

RESAMPLES = 1000
_SEED = 20261126


def interval(
    figure: Callable[..., np.ndarray], *samples: Sequence[float] | np.ndarray
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a figure over pictures.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.metrics.bootstrap import interval
    >>> low, high = interval(lambda values: values.mean(axis=1), np.arange(100.0))
    >>> 43 < low < 45 and 54 < high < 56
    True

    Args:
        figure: Function of arrays `(resamples, pictures, ...)`, one for each of `samples`, that
            returns `(resamples,)`.
        samples: What each picture contributes, `(pictures, ...)`.

    Reference:
        - Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    arrays = [np.asarray(sample) for sample in samples]
    random = np.random.default_rng(_SEED)
    found = []
    # In parts, so that memory stays small.
    for _ in range(10):
        chosen = random.integers(0, len(arrays[0]), (RESAMPLES // 10, len(arrays[0])))
        found.append(figure(*(array[chosen] for array in arrays)))
    low, high = np.percentile(np.concatenate(found), (2.5, 97.5))
    return float(low), float(high)
