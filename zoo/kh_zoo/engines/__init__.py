"""Engines: what computes the colours. Found by name; each is imported only when it is used."""

import re
from typing import TYPE_CHECKING, Protocol

from kh_zoo.errors import EngineError
from kh_zoo.nearest import nearest
from kh_zoo.plugins.registry import plugins

if TYPE_CHECKING:
    import numpy as np

    from kh_zoo.networks.model_folder import ModelFolder

DEFAULT_ENGINE = "onnx"
DEFAULT_DEVICE = "auto"


class Engine(Protocol):
    """Predicts colour from lightness. May have a `device`, the name of what it computes on."""

    def predict_ab(self, lightness: "np.ndarray") -> "np.ndarray":
        """Return AB `(height, width, 2)` in CIELAB units for L `(height, width)`, 0..100."""
        ...


def create_engine(
    name: str, folder: "ModelFolder", head: str, device: str = DEFAULT_DEVICE
) -> Engine:
    """Load a variant of a model folder into an engine, built in or of a plugin.

    Args:
        name: Of the engine.
        folder: Of `open_model_folder`.
        head: One of its variants.
        device: `"cpu"`; `"gpu"`, the first one; `"gpu:1"`, the second one, and so on; or `"auto"`:
            the first GPU that the engine can use, or else the CPU.

    Raises:
        EngineError: If there is no such engine or device, or its packages are not installed.
    """
    check_device(device)
    check_engine(name)
    try:
        engine = plugins().engines[name](folder, head, device)
    except ImportError as error:
        raise EngineError(f"`engine` {name!r} can't be used: {error}") from error
    least = folder.config.least_side(head)
    if least == 1:
        return engine
    from kh_zoo.engines.padding_engine import PaddingEngine

    return PaddingEngine(engine, least)


def check_engine(name: str) -> None:
    """Raise `EngineError` for what is no name of an engine."""
    engines = plugins().engines
    if name not in engines:
        raise EngineError(
            f"`engine` should be one of {', '.join(map(repr, engines))}.{nearest(name, engines)} "
            f"Received: {name!r}"
        )


def check_keras_engine(name: str | None) -> None:
    """Raise `EngineError` for what does not run a Keras model of its own."""
    if name not in (None, "keras"):
        raise EngineError(
            f"`engine` should be 'keras' for a Keras model of its own. Received: {name!r}"
        )


def check_device(device: str) -> None:
    """Raise `EngineError` for what is no name of a device."""
    if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", device):
        raise EngineError(
            f"`device` should be 'auto', 'cpu', 'gpu' or a GPU by its number, such as 'gpu:1'. "
            f"Received: {device!r}"
        )


def gpu_number(device: str) -> int:
    """The number of a GPU, from 0; 0 for `"auto"`."""
    return int(device.partition(":")[2] or 0)
