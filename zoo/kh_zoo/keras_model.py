"""From what is on disk, or on the Hub, to a Keras model, and back."""

import copy
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import global_state

from keras_hypercolumns import HyperColumnProjection, colorizer
from keras_hypercolumns.colorizer import COARSE
from keras_hypercolumns.training.initial_colorizer import trunk_input
from kh_zoo.errors import ModelError
from kh_zoo.keras_folder import KerasFolder, check_keras_folder
from kh_zoo.model_folder import (
    AB_SCALE,
    CONFIG,
    FORMAT,
    KEY,
    ModelConfig,
    ModelFolder,
    read_table,
)
from kh_zoo.resolve import fetch, find, open_source
from kh_zoo.store import KERAS_FILES, KERAS_WEIGHTS
from kh_zoo.tensors import read_tensors, write_model_folder

DEFAULT_SIZE = 256
"""Short side, in pixels, that a colorizer predicts at where nothing else is known."""


def load_model(model: str | os.PathLike[str] = "relu1to5") -> keras.Model:
    """Load a trained colorizer as a Keras model.

    Example:

    >>> import numpy as np
    >>> from kh_zoo import load_model
    >>> model = load_model("relu1to5")
    >>> lightness = np.full((1, 32, 48, 1), 50.0, "float32")
    >>> model.predict(lightness, verbose=0).shape
    (1, 32, 48, 2)

    Args:
        model: Name of a variant; the path of a model or run folder, with `/VARIANT` behind it where
            it holds several; or `owner/repo[@revision]` on the Hugging Face Hub, which is fetched
            unless it is in the cache. Also what `save_model` has written.

    Returns:
        A `keras.Model`. A colorizer is one from L `(batch, height, width, 1)` to AB
        `(batch, height, width, 2)`, in CIELAB units.

    Raises:
        VariantError: If there is no such variant or folder.
        ModelError: If the folder is no model, or not sound.
        HubError: If the Hub can't be reached, or refuses.
    """
    source = fetch(find(model))
    folder = Path(source.folder or "")
    if read_table(folder / CONFIG)["architecture"] == "vgg19_gray":
        return build_model(*open_source(source))
    return build_keras_model(check_keras_folder(folder))


def save_model(model: keras.Model, path: str | os.PathLike[str], size: int | None = None) -> None:
    """Write a Keras model to a folder that `load_model`, `Colorizer` and `publish` take.

    A plain colorizer of this package, with one head or several, becomes a model folder that runs
    without Keras; any other model, such as one with a backbone and a head of your own, a directory
    as `keras.Model.save` writes it.

    Example:

    >>> import keras, tempfile
    >>> from keras_hypercolumns import HyperColumnProjection, tap_extractor
    >>> from kh_zoo import load_model, save_model
    >>> backbone = keras.applications.MobileNetV2(weights=None, include_top=False, alpha=0.35)
    >>> maps = tap_extractor(backbone, ["block_1_expand_relu", "block_3_expand_relu"])
    >>> picture = keras.Input((64, 64, 3))
    >>> depth = HyperColumnProjection(1, ["block_1_expand_relu", "block_3_expand_relu"])
    >>> model = keras.Model(picture, depth(maps(picture)))
    >>> folder = tempfile.mkdtemp()
    >>> save_model(model, folder)
    >>> load_model(folder).output_shape
    (None, 32, 32, 1)

    Args:
        model: The model. Its layers are those of Keras and of this package; one with others opens
            only where their classes are registered.
        path: The folder; files of a model in it are overwritten.
        size: Short side, in pixels, that colours are best predicted at, 16..4096; None if the model
            predicts none.

    Raises:
        ModelError: If the model is neither functional nor sequential, or not sound.
    """
    path = Path(path)
    if _is_plain(model):
        write_colorizer(model, path, size or DEFAULT_SIZE)
        return
    write_keras(model, path)
    add_table(path, {"format": FORMAT, "architecture": "keras", "size": size})
    check_keras_folder(path)


def write_keras(model: keras.Model, path: Path) -> None:
    """Write Keras's own files of a model, the same bytes for the same model."""
    path.mkdir(parents=True, exist_ok=True)
    keras.saving.save_model(model, path, zipped=False, include_optimizer=False)
    if (path / "assets").is_dir() and not any((path / "assets").iterdir()):
        (path / "assets").rmdir()
    # When it was saved is of no use, and would make another file of it each time.
    text = json.dumps({"keras_version": keras.__version__})
    (path / KERAS_FILES[1]).write_text(text + "\n", encoding="utf-8")


def add_table(path: Path, table: Mapping[str, Any]) -> None:
    """Add our configuration to that of Keras, which keeps it without looking at it."""
    config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    config.pop("compile_config", None)
    _number_shared(config, {})
    config[KEY] = dict(table)
    (path / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _number_shared(node: Any, numbers: dict[int, int]) -> None:
    """Number the objects that layers share from 1 on: Keras writes where they lay in memory."""
    if isinstance(node, list):
        for part in node:
            _number_shared(part, numbers)
    if isinstance(node, dict):
        if "shared_object_id" in node:
            number = node["shared_object_id"]
            node["shared_object_id"] = numbers.setdefault(number, len(numbers) + 1)
        for part in node.values():
            _number_shared(part, numbers)


def build_keras_model(folder: KerasFolder) -> keras.Model:
    """Build a model of the user's own, as `save_model` has written it.

    Raises:
        ModelError: If its weights are not those that its configuration asks for.
    """
    try:
        asked = _count_weights(folder)
        if asked != folder.parameters:
            raise ModelError(
                f"{folder.path / CONFIG}: should describe a model of as many weights as "
                f"{KERAS_WEIGHTS} holds, {folder.parameters:,}. Received: one of {asked:,}"
            )
        model = keras.saving.deserialize_keras_object(folder.config)
        model.load_weights(folder.path / KERAS_WEIGHTS)
    except ModelError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise ModelError(f"{folder.path}: Keras can't build it: {text[:300]}") from error
    return model


def _count_weights(folder: KerasFolder) -> int:
    """Count the weights that a configuration asks for, without memory for any of them."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            # Keras takes the dict apart.
            model = keras.saving.deserialize_keras_object(copy.deepcopy(folder.config))
            return sum(math.prod(weight.shape) for weight in model.weights)
    finally:
        # Or else Keras would make them up for later, when it leaves another such scope.
        global_state.set_global_attribute("uninitialized_variables", [])


def build_model(folder: ModelFolder, head: str) -> keras.Model:
    """Build the Keras model of one variant of a `ModelFolder`."""
    config = folder.config
    model = colorizer(
        config.heads[head],
        pooling=config.pooling,
        trunk_input=config.input,
        head="vivid" if head in config.vivid else "ab",
    )
    fill_model(model, folder, {"custom": head})
    return model


def fill_model(model: keras.Model, folder: ModelFolder, heads: Mapping[str, str]) -> None:
    """Set the weights of a plain colorizer; `heads` maps its heads to those of the folder."""
    tensors = read_tensors(folder)
    for layer in model.get_layer("trunk").layers:
        if layer.weights:
            kernel = tensors[f"{layer.name}.kernel"].transpose(2, 3, 1, 0)
            layer.set_weights([kernel, tensors[f"{layer.name}.bias"]])
    for name, head in heads.items():
        taps = folder.config.heads[head]
        kernels = [tensors[f"{head}.{tap}.kernel"].transpose(2, 3, 1, 0) for tap in taps]
        # The file's heads are all in one unit, the model's each in its own.
        factor = head_factor(model, name)
        if head in folder.config.vivid:
            bins = tensors[f"{head}.bins"][:, :, 0, 0].T
            model.get_layer(f"mean_{name}").set_weights([bins])
        model.get_layer(f"head_{name}").set_weights(
            [np.concatenate(kernels, axis=2) * factor, tensors[f"{head}.bias"] * factor]
        )


def head_factor(model: keras.Model, name: str) -> float:
    """What the weights of a head in a file are multiplied by, to be those of the model's head."""
    if _is_vivid(model, name):
        return float(model.get_layer(f"mean_{name}").temperature)
    return AB_SCALE / float(model.get_layer(f"ab_{name}").scale)


def write_colorizer(model: keras.Model, path: Path, size: int) -> None:
    """Write a plain colorizer (no batch normalisation) as a model folder, in float32.

    Args:
        model: A `joint_colorizer`, or a `colorizer`.
        path: The folder; its files are overwritten.
        size: Short side, in pixels, that colours are best predicted at.

    Raises:
        ModelError: If a head is not linear: those of `layered` and `residual` can't be stored.
    """
    tensors, heads, vivid = {}, {}, []
    trunk = model.get_layer("trunk")
    is_max = isinstance(trunk.get_layer("pool1"), keras.layers.MaxPooling2D)
    for layer in trunk.layers:
        if layer.weights:
            kernel, bias = (ops.convert_to_numpy(weight) for weight in layer.weights)
            tensors[f"{layer.name}.kernel"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
            tensors[f"{layer.name}.bias"] = bias
    # In their order, where there are several: the first is the one that is taken by default.
    for name in model.output if isinstance(model.output, dict) else _heads(model):
        layer = model.get_layer(f"head_{name}")
        if not isinstance(layer, HyperColumnProjection):
            raise ModelError(
                "`model` should have linear heads on the taps of its trunk, as every variant but "
                "'layered' and 'residual' has; leave those out, or keep the model with Keras's "
                f"`model.save`. Received: {name!r}"
            )
        factor = 1 / head_factor(model, name)
        kernel, bias = (ops.convert_to_numpy(weight) * factor for weight in layer.weights)
        parts = np.split(kernel, np.cumsum(layer.tap_channels)[:-1], axis=2)
        heads[name] = tuple(tap.removeprefix(COARSE) for tap in layer.taps)
        for tap, part in zip(heads[name], parts, strict=True):
            tensors[f"{name}.{tap}.kernel"] = np.ascontiguousarray(part.transpose(3, 2, 0, 1))
        tensors[f"{name}.bias"] = bias
        if _is_vivid(model, name):
            bins = ops.convert_to_numpy(model.get_layer(f"mean_{name}").bins)
            tensors[f"{name}.bins"] = np.ascontiguousarray(bins.T[:, :, None, None])
            vivid.append(name)
    config = ModelConfig(
        pooling="max" if is_max else "average",
        size=size,
        heads=heads,
        input=trunk_input(model),
        vivid=tuple(vivid),
    )
    write_model_folder(path, config, tensors)


def _heads(model: keras.Model) -> list[str]:
    return [layer.name[5:] for layer in model.layers if layer.name.startswith("head_")]


def _is_vivid(model: keras.Model, head: str) -> bool:
    return any(layer.name == f"mean_{head}" for layer in model.layers)


def _is_plain(model: keras.Model) -> bool:
    """Whether a model is nothing but what a model folder can hold."""
    names = {layer.name for layer in model.layers if not layer.name.startswith(COARSE)}
    heads = _heads(model)
    own = {
        "lightness",
        "scale_lightness",
        "trunk",
        *(f"{p}_{h}" for h in heads for p in ("head", "ab")),
        *(f"mean_{h}" for h in heads if _is_vivid(model, h)),
    }
    return (
        bool(heads)
        and names == own
        and all(isinstance(model.get_layer(f"head_{h}"), HyperColumnProjection) for h in heads)
        and not any(
            isinstance(layer, keras.layers.BatchNormalization)
            for layer in model.get_layer("trunk").layers
        )
    )
