"""The plugin of the engines and the runners that ship with the package."""

from typing import TYPE_CHECKING

from kh_zoo.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from kh_zoo.engines import Engine
    from kh_zoo.hookspecs import EngineFactory, RunnerFactory
    from kh_zoo.networks.model_folder import ModelFolder
    from kh_zoo.runners import Runner
    from kh_zoo.workers.settings import Settings


@hookimpl
def register_engines(register: "Callable[[str, EngineFactory], None]") -> None:
    """Add `onnx` and `keras`."""
    register("onnx", _onnx)
    register("keras", _keras)


@hookimpl
def register_runners(register: "Callable[[str, RunnerFactory], None]") -> None:
    """Add `local` and `ray`."""
    register("local", _local)
    register("ray", _ray)


def _onnx(folder: "ModelFolder", head: str, device: str) -> "Engine":
    from kh_zoo.engines.onnx_engine import OnnxEngine

    return OnnxEngine(folder, head, device)


def _keras(folder: "ModelFolder", head: str, device: str) -> "Engine":
    from kh_zoo.engines.keras_engine import KerasEngine
    from kh_zoo.with_keras.keras_model import build_model

    return KerasEngine(lambda: build_model(folder, head), device)


def _local(settings: "Settings", workers: int | None, timeout: float) -> "Runner":
    from kh_zoo.runners.local_runner import LocalRunner

    return LocalRunner(settings, workers, timeout)


def _ray(settings: "Settings", workers: int | None, timeout: float) -> "Runner":
    from kh_zoo.runners.ray_runner import RayRunner

    return RayRunner(settings, workers, timeout)
