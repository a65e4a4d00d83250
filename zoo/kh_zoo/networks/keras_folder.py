"""A Keras model of any kind on disk, from anywhere: checked before Keras sees it.

It is what `keras.Model.save` writes to a directory: `config.json`, `metadata.json` and
`model.weights.h5`, with a table of ours in `config.json`. Only classes of Keras and of this package
are built from it, and those that the running program has registered itself.
"""

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kh_zoo.errors import ModelError
from kh_zoo.networks.model_folder import (
    CONFIG,
    KERAS_FILES,
    KERAS_WEIGHTS,
    KEY,
    inside,
    read_json,
    read_table,
)

CLASSES = (
    "AnnealedMean",
    "HyperColumn",
    "HyperColumnProjection",
    "HyperColumnSampler",
    "LightnessToGray",
)
"""The classes that `keras_hypercolumns` registers."""
_MODULES = (
    "builtins",
    "keras",
    "keras.activations",
    "keras.constraints",
    "keras.initializers",
    "keras.layers",
    "keras.ops",
    "keras.regularizers",
    "keras.src.models.functional",
    "keras.src.models.sequential",
    "keras.src.ops.image",
    "keras.src.ops.nn",
    "keras.src.ops.numpy",
)
# Layers that `keras.applications` has for itself.
_APPLICATIONS = {
    "keras.src.applications.convnext": ("LayerScale", "StochasticDepth"),
    "keras.src.applications.inception_resnet_v2": ("CustomScaleLayer",),
}
# They run code that is in the configuration or in a file.
_NEVER = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__")
# Of `builtins` Keras writes functions, which are looked up by name among the registered ones.
_BUILTINS = ("function",)


@dataclasses.dataclass(frozen=True)
class KerasFolder:
    """A Keras model on disk that was checked."""

    path: Path
    config: dict[str, Any]
    """What Keras builds the model from."""
    size: int | None
    """Short side, in pixels, that colours are best predicted at; None if it predicts none."""
    parameters: int
    """Numbers in the weights' file: the model has no more of them."""


def check_keras_folder(path: Path) -> KerasFolder:
    """Check the files of a Keras model, without Keras and without building anything.

    Raises:
        ModelError: If anything is missing, could run code, or is not sound.
    """
    table = read_table(path / CONFIG)
    size = table.get("size")
    if size is not None and (not isinstance(size, int) or not 16 <= size <= 4096):
        raise ModelError(f"{path / CONFIG}: `size` should be 16 to 4096. Received: {size!r}")
    config = read_json(path / CONFIG)
    # How it was compiled is of no use here.
    config = {key: value for key, value in config.items() if key not in (KEY, "compile_config")}
    if config.get("class_name") not in ("Functional", "Sequential"):
        raise ModelError(
            f"{path / CONFIG}: should describe a functional or a sequential Keras model. "
            f"Received: {config.get('class_name')!r}"
        )
    _check_classes(path / CONFIG, config)
    for name in KERAS_FILES:
        if not inside(path / name).is_file():
            raise ModelError(f"{path / name}: is missing")
    return KerasFolder(path, config, size, _count_parameters(path / KERAS_WEIGHTS))


def _check_classes(path: Path, node: Any) -> None:
    if isinstance(node, list):
        for part in node:
            _check_classes(path, part)
    if not isinstance(node, dict):
        return
    if "class_name" in node:
        name, module = node["class_name"], node.get("module")
        registered = node.get("registered_name")
        if name in _NEVER:
            raise ModelError(f"{path}: has the class {name!r}, which could run any code")
        own = registered in [f"keras_hypercolumns>{known}" for known in CLASSES]
        tensor = module is None and name in (
            "__keras_tensor__",
            "__tensor__",
            "__numpy__",
            "__tuple__",
        )
        builtin = module == "builtins" and name in _BUILTINS
        keras = module in _MODULES and module != "builtins" and registered in (None, name)
        keras |= name in _APPLICATIONS.get(str(module), ()) and registered in (None, name)
        if not (own or tensor or builtin or keras or _is_registered(registered)):
            raise ModelError(
                f"{path}: should have classes of Keras and of this package, or such as the program "
                f"has registered. Received: {name!r} of {module!r}"
            )
    for part in node.values():
        _check_classes(path, part)


def _is_registered(name: Any) -> bool:
    """Whether the running program has a class of that name; then nothing is imported for it."""
    keras = sys.modules.get("keras")
    return bool(keras and name and keras.saving.get_registered_object(name))


def _count_parameters(path: Path) -> int:
    """Check the weights' file, without following what leads out of it, and count its numbers."""
    count = 0
    try:
        with h5py.File(inside(path), "r") as file:
            groups = [file]
            while groups:
                group = groups.pop()
                for name in group:
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise ModelError(f"{path}: {name!r} is a link, which could lead out of it")
                    found = group[name]
                    if isinstance(found, h5py.Group):
                        groups.append(found)
                        continue
                    if found.external or found.is_virtual:
                        raise ModelError(f"{path}: {name!r} keeps its numbers in another file")
                    if math.prod(found.shape) * found.dtype.itemsize > path.stat().st_size:
                        raise ModelError(f"{path}: {name!r} is larger than its file")
                    if found.dtype.kind == "f" and not np.isfinite(found[()]).all():
                        raise ModelError(f"{path}: {name!r} is not finite")
                    count += math.prod(found.shape)
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelError(f"{path}: is no weights' file of Keras ({error})") from None
    return count
