"""The engine that runs the Keras model, on whatever backend Keras is configured for."""

import keras
import numpy as np

from kh_zoo.errors import ModelError


class KerasEngine:
    """Runs a Keras model.

    Args:
        model: From L `(batch, height, width, 1)` to AB `(batch, height, width, 2)`, for heights and
            widths that are multiples of 16.

    Raises:
        ModelError: If it has other inputs or outputs.
    """

    def __init__(self, model: keras.Model):
        shapes = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
        if [len(shape) for shape in shapes] != [4, 4] or [s[3] for s in shapes] != [1, 2]:
            raise ModelError(
                "`model` should predict A and B, (batch, height, width, 2), from L, (batch, "
                f"height, width, 1), to colour pictures. Received: {shapes}"
            )
        self.model = model

    def predict_ab(self, lightness: np.ndarray) -> np.ndarray:
        """Return AB `(height, width, 2)` in CIELAB units for L `(height, width)`, 0..100."""
        batch = np.asarray(lightness, np.float32)[None, ..., None]
        ab: np.ndarray = keras.ops.convert_to_numpy(self.model.predict_on_batch(batch))[0]
        return ab
