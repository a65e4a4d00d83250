"""The area under the curve of how many pixels are coloured within a distance of the truth."""

import numpy as np

THRESHOLDS = 150
"""The largest distance, in CIELAB units."""
_CELL = 10
_EDGES = np.arange(-130, 131, _CELL)


class ColorPrior:
    """How frequent colours are, in cells of 10 x 10 units of A and B.

    Reference:
        - Zhang, Isola and Efros, "Colorful Image Colorization", ECCV 2016, sections 2.1 and 2.2.
    """

    def __init__(self) -> None:
        # One pixel in each cell: none is impossible.
        self.counts = np.ones((len(_EDGES) - 1, len(_EDGES) - 1))

    def add(self, ab: np.ndarray) -> None:
        """Count the pixels of `ab` `(..., 2)`."""
        np.add.at(self.counts, self._cells(ab), 1)

    def weights(self, ab: np.ndarray) -> np.ndarray:
        """Return for each pixel of `ab` `(..., 2)` how rare its colour is: 1 / frequency."""
        return np.asarray(self.counts.sum() / self.counts[self._cells(ab)])

    @staticmethod
    def _cells(ab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cells = np.clip((np.asarray(ab) - _EDGES[0]) // _CELL, 0, len(_EDGES) - 2).astype(int)
        return cells[..., 0], cells[..., 1]


def within(ab: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return how many pixels have an error of at most 0, 1, ..., 150 units, by their weights.

    The last of the 152 values is that of all pixels. Values of several pictures may be added.
    """
    distance = np.sqrt(np.sum((ab - truth) ** 2, axis=-1)).ravel()
    bins = np.minimum(np.ceil(distance), THRESHOLDS + 1).astype(int)
    flat = None if weights is None else weights.ravel()
    return np.cumsum(np.bincount(bins, flat, minlength=THRESHOLDS + 2).astype(np.float64))


def auc(counts: np.ndarray) -> np.ndarray:
    """Return the area under the curve, 0..1, of what `within` returned, on the last axis.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.measuring.metrics.auc import auc, within
    >>> truth = np.zeros((2, 2, 2))
    >>> round(float(auc(within(truth + [30, 40], truth))), 4)  # 50 units off everywhere
    0.6689

    Reference:
        - Deshpande, Rock and Forsyth, "Learning large-scale automatic image colorization", ICCV
          2015, section 5; rebalanced: Zhang, Isola and Efros, ECCV 2016, section 3.1.
    """
    return np.asarray(counts[..., :-1].mean(axis=-1) / counts[..., -1])
