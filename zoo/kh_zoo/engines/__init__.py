"""Engines: what computes the colours. Found by name; each is imported only when it is used."""

from typing import TYPE_CHECKING, Protocol

from kh_zoo.errors import EngineError
from kh_zoo.nearest import nearest
from kh_zoo.plugins import plugins

if TYPE_CHECKING:
    import numpy as np

    from kh_zoo.model_folder import ModelFolder

DEFAULT_ENGINE = "onnx"


class Engine(Protocol):
    """Predicts colour from lightness."""

    def predict_ab(self, lightness: "np.ndarray") -> "np.ndarray":
        """Return AB `(height, width, 2)` in CIELAB units for L `(height, width)`, 0..100."""
        ...


def create_engine(name: str, folder: "ModelFolder", head: str) -> Engine:
    """Load a variant of a model folder into the engine called `name`, built in or of a plugin.

    Raises:
        EngineError: If there is no such engine, or its packages are not installed.
    """
    engines = plugins().engines
    if name not in engines:
        raise EngineError(
            f"`engine` should be one of {', '.join(map(repr, engines))}.{nearest(name, engines)} "
            f"Received: {name!r}"
        )
    try:
        return engines[name](folder, head)
    except ImportError as error:
        raise EngineError(f"`engine` {name!r} can't be used: {error}") from error
