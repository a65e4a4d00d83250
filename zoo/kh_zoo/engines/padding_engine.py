"""An engine for pictures smaller than the cells of its network."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kh_zoo.engines import Engine


class PaddingEngine:
    """Continues what is too small for a network by its edge, and cuts the colours again.

    Args:
        engine: What predicts.
        least: The least height and width, in pixels, that it can predict on.
    """

    def __init__(self, engine: "Engine", least: int) -> None:
        self.engine = engine
        self.least = least
        self.device = getattr(engine, "device", "")

    def predict_ab(self, lightness: np.ndarray) -> np.ndarray:
        """Return AB `(height, width, 2)` in CIELAB units for L `(height, width)`, 0..100."""
        height, width = lightness.shape
        missing = [(0, max(self.least - side, 0)) for side in (height, width)]
        if any(after for _, after in missing):
            lightness = np.pad(lightness, missing, mode="edge")
        return self.engine.predict_ab(lightness)[:height, :width]
