"""The engine that runs the Keras model, on whatever backend Keras is configured for."""

import keras
import numpy as np

from kh_zoo.keras_model import build_model
from kh_zoo.model_folder import ModelFolder


class KerasEngine:
    """Runs a variant with Keras.

    Args:
        folder: Of `open_model_folder`.
        head: One of its variants.
    """

    def __init__(self, folder: ModelFolder, head: str):
        self.model = build_model(folder, head)

    def predict_ab(self, lightness: np.ndarray) -> np.ndarray:
        """Return AB `(height, width, 2)` in CIELAB units for L `(height, width)`, 0..100."""
        batch = np.asarray(lightness, np.float32)[None, ..., None]
        ab: np.ndarray = keras.ops.convert_to_numpy(self.model.predict_on_batch(batch))[0]
        return ab
