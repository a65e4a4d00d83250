"""An engine that was asked before."""

import numpy as np


class KeptEngine:
    """Answers with what was predicted before, for the same picture.

    Args:
        ab: A and B `(height, width, 2)`, in CIELAB units.
    """

    def __init__(self, ab: np.ndarray) -> None:
        self._ab = ab

    def predict_ab(self, lightness: np.ndarray) -> np.ndarray:
        return self._ab
