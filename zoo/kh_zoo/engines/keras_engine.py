"""The engine that runs the Keras model, on whatever backend Keras is configured for."""

import contextlib
from collections.abc import Callable
from typing import Any

# Before Keras: it says what is missing where there is no backend.
import keras_hypercolumns  # noqa: F401

# isort: split
import keras
import numpy as np

from kh_zoo.engines import DEFAULT_DEVICE, gpu_number
from kh_zoo.errors import EngineError, ModelError


class KerasEngine:
    """Runs a Keras model.

    Args:
        build: Returns a model from L `(batch, height, width, 1)` to AB `(batch, height, width, 2)`,
            for heights and widths that are multiples of 16.
        device: As for `create_engine`.

    Raises:
        ModelError: If the model has other inputs or outputs.
        EngineError: The backend of Keras can't use the device.
    """

    def __init__(self, build: Callable[[], keras.Model], device: str = DEFAULT_DEVICE):
        self.device = _default_device() if device == DEFAULT_DEVICE else "cpu"
        if device.startswith("gpu"):
            self.device = f"gpu:{gpu_number(device)}"
            if self.device not in _gpus():
                raise EngineError(
                    f"`device` should be one that Keras finds with {keras.config.backend()}: "
                    f"{', '.join(('cpu', *_gpus()))}. Received: {device!r}"
                )
        self._scope = contextlib.nullcontext if device == DEFAULT_DEVICE else self._device_scope
        with self._scope():
            model = build()
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
        with self._scope():
            predicted = self.model.predict_on_batch(batch)
        ab: np.ndarray = keras.ops.convert_to_numpy(predicted)[0]
        return ab

    def _device_scope(self) -> Any:
        return keras.device("cpu:0" if self.device == "cpu" else self.device)


def _default_device() -> str:
    """What the backend computes on where nothing is said."""
    if keras.config.backend() == "torch":
        return str(keras.ops.zeros(1).device)
    device: str = keras.distribution.list_devices()[0]
    return "cpu" if device == "cpu:0" else device


def _gpus() -> list[str]:
    if keras.config.backend() != "torch":
        try:
            devices: list[str] = keras.distribution.list_devices("gpu")
        except RuntimeError:  # JAX, where there is none
            return []
        return devices
    # There Keras has no list: one after the other is tried.
    found: list[str] = []
    while True:
        try:
            with keras.device(f"gpu:{len(found)}"):
                keras.ops.zeros(1)
        except (AssertionError, RuntimeError):
            return found
        found.append(f"gpu:{len(found)}")
