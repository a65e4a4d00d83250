"""A network for LiteRT, which was TensorFlow Lite: what phones run."""

import os
from pathlib import Path

import keras

from kh_zoo.errors import EngineError
from kh_zoo.with_keras.keras_model import load_model

NAME = "model.tflite"


def export_litert(model: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Write the network of a variant as a file for LiteRT.

    It takes L, float32 `(batch, height, width, 1)` in 0..100, and gives A and B, `(batch, height,
    width, 2)`, in CIELAB units. Its sizes are set by the interpreter's `resize_tensor_input`, and
    its weights are float32.

    Example:

    >>> from kh_zoo.with_keras.litert import export_litert
    >>> export_litert("lite", "phone").name  # doctest: +SKIP
    'model.tflite'

    Args:
        model: Name of a variant; the path of a model or run folder, with `/VARIANT` behind it where
            it holds several; or `owner/repo[@revision]` on the Hugging Face Hub.
        target: The folder to write into; made if it is missing.

    Returns:
        The file.

    Raises:
        VariantError, ModelError: If there is no such model, or it is not sound.
        EngineError: If Keras runs on another backend than TensorFlow, which writes such files.
        HubError: If it is to be pulled, and the Hub can't be reached, or refuses.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise EngineError(
            "`to` 'litert' needs Keras on TensorFlow, which writes such files: set "
            "KERAS_BACKEND=tensorflow, after pip install 'keras-hypercolumns[tensorflow]'. "
            f"Received: {backend}"
        )
    path = Path(target) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    load_model(model).export(str(path), format="litert", verbose=False)
    return path
