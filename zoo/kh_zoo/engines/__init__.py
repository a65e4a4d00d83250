"""Engines: what computes the colours. Found by name; each module is imported only when used."""

from typing import Protocol

import numpy as np

from kh_zoo.errors import EngineError
from kh_zoo.model_folder import ModelFolder

ENGINE_NAMES = ("onnx", "keras")
DEFAULT_ENGINE = "onnx"


class Engine(Protocol):
    """Predicts colour from lightness."""

    def predict_ab(self, lightness: np.ndarray) -> np.ndarray:
        """Return AB `(height, width, 2)` in CIELAB units for L `(height, width)`, 0..100."""
        ...


def create_engine(name: str, folder: ModelFolder, head: str) -> Engine:
    """Load a variant of a model folder into the engine called `name`.

    Raises:
        EngineError: If there is no such engine, or its packages are not installed.
    """
    if name == "onnx":
        from kh_zoo.engines.onnx_engine import OnnxEngine

        return OnnxEngine(folder, head)
    if name == "keras":
        try:
            from kh_zoo.engines.keras_engine import KerasEngine
        except ImportError as error:
            raise EngineError(f"`engine` 'keras' can't be used: {error}") from None
        return KerasEngine(folder, head)
    raise EngineError(
        f"`engine` should be one of {', '.join(map(repr, ENGINE_NAMES))}. Received: {name!r}"
    )
