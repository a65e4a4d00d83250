"""The plugin of the engines that ship with the package."""

from typing import TYPE_CHECKING

from kh_zoo.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from kh_zoo.engines import Engine
    from kh_zoo.hookspecs import EngineFactory
    from kh_zoo.model_folder import ModelFolder


@hookimpl
def register_engines(register: "Callable[[str, EngineFactory], None]") -> None:
    """Add `onnx` and `keras`."""
    register("onnx", _onnx)
    register("keras", _keras)


def _onnx(folder: "ModelFolder", head: str, device: str) -> "Engine":
    from kh_zoo.engines.onnx_engine import OnnxEngine

    return OnnxEngine(folder, head, device)


def _keras(folder: "ModelFolder", head: str, device: str) -> "Engine":
    from kh_zoo.engines.keras_engine import KerasEngine
    from kh_zoo.keras_model import build_model

    return KerasEngine(lambda: build_model(folder, head), device)
