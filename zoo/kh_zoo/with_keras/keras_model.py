"""From what is on disk, or on the Hub, to a Keras model, and back."""

import copy
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Before Keras: it says what is missing where there is no backend.
import keras_hypercolumns  # noqa: F401

# isort: split
import keras

from keras_hypercolumns.graphs.keras_private import forget_postponed_variables
from keras_hypercolumns.graphs.model_graph import calls_of, inputs_of, is_functional, outputs_of
from kh_zoo.catalog.find import find, open_source, pull_source
from kh_zoo.catalog.records import DEFAULT_VARIANT
from kh_zoo.errors import ModelError
from kh_zoo.networks.keras_folder import KerasFolder, check_keras_folder
from kh_zoo.networks.memory import MAX_BYTES, Step, bytes_at_once
from kh_zoo.networks.model_folder import (
    CONFIG,
    KERAS,
    KERAS_FILES,
    KERAS_WEIGHTS,
    KEY,
    ModelConfig,
    ModelFolder,
    read_table,
)
from kh_zoo.networks.tensors import read_tensors, write_model_folder
from kh_zoo.with_keras.from_network import keras_model
from kh_zoo.with_keras.to_network import NetworkFormatError, to_network

_BOLD = r"\x1b\[\d*m"
"""How Keras marks what matters in a message."""
DEFAULT_SIZE = 256
"""Short side, in pixels, that a colorizer predicts at where nothing else is known."""


def load_model(model: str | os.PathLike[str] = DEFAULT_VARIANT) -> keras.Model:
    """Load a trained colorizer as a Keras model.

    Example:

    >>> import numpy as np
    >>> from kh_zoo import load_model
    >>> model = load_model("lite")
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
    source = pull_source(find(model))
    folder = Path(source.folder or "")
    table = read_table(folder / CONFIG)
    if table["architecture"] == KERAS:
        return build_keras_model(check_keras_folder(folder))
    return build_model(*open_source(source, table))


def save_model(model: keras.Model, path: str | os.PathLike[str], size: int | None = None) -> None:
    """Write a Keras model to a folder that `load_model`, `Colorizer` and `publish` take.

    A colorizer becomes a model folder that runs without Keras, whatever its backbone and its head
    are, if all of its layers are such as the network format has; batch normalisation is folded.
    Any other model becomes a directory as `keras.Model.save` writes it.

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
    try:
        write_colorizer(model, path, size or DEFAULT_SIZE)
    except NetworkFormatError:
        write_keras(model, path)
        add_table(path, {"format": 1, "architecture": KERAS, "size": size})
        check_keras_folder(path)


def write_keras(model: keras.Model, path: Path) -> None:
    """Write Keras's own files of a model, the same bytes for the same model.

    Raises:
        ModelError: If the model is neither functional nor sequential.
    """
    if not is_functional(model):
        raise ModelError(
            "`model` should be a functional or a built Sequential Keras model; one that is "
            "subclassed says only in its own code how it is built. "
            f"Received: {getattr(model, 'name', model)!r}"
        )
    path.mkdir(parents=True, exist_ok=True)
    # A model of its own around the same layers: that of a training has its optimizer and metrics
    # saved with it (`include_optimizer` has no effect on this format).
    bare = keras.Model(inputs_of(model), outputs_of(model), name=model.name)
    # By way of an archive, which Python writes: the HDF5 library itself fails oddly on a full disk.
    archive = path / ".model.keras"
    try:
        keras.saving.save_model(bare, archive)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(path)
    finally:
        archive.unlink(missing_ok=True)
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
    # Without any space: a configuration that anyone may send has a limit (see `read_json`), and the
    # largest of `keras.applications`, indented, is twice above it.
    text = json.dumps(config, separators=(",", ":"))
    (path / CONFIG).write_text(text + "\n", encoding="utf-8")


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
        # Keras checks each of them later, when memory is taken. The file may hold more than them:
        # what an optimizer knew, where Keras itself has written it.
        asked, needed = _measure(folder)
        if asked > folder.parameters:
            raise ModelError(
                f"{folder.path / CONFIG}: should describe a model of no more weights than "
                f"{KERAS_WEIGHTS} holds, {folder.parameters:,}. Received: one of {asked:,}"
            )
        if needed > MAX_BYTES:
            raise ModelError(
                f"{folder.path / CONFIG}: should describe a model whose maps take at most "
                f"{MAX_BYTES / 1e9:.1f} GB at once, at its own size of {_size(folder)} pixels a "
                f"side. Received: one that would take {needed / 1e9:.1f} GB"
            )
        model = keras.saving.deserialize_keras_object(folder.config)
        model.load_weights(folder.path / KERAS_WEIGHTS)
    except ModelError:
        raise
    except Exception as error:
        text = " ".join(re.sub(_BOLD, "", str(error)).split())
        raise ModelError(f"{folder.path}: Keras can't build it: {text[:300]}") from error
    return model


def _measure(folder: KerasFolder) -> tuple[int, int]:
    """Return how many weights a configuration asks for, and how many bytes its maps take at once.

    Without memory for any of them.
    """
    try:
        with keras.StatelessScope(initialize_variables=False):
            # Keras takes the dict apart.
            model = keras.saving.deserialize_keras_object(copy.deepcopy(folder.config))
            weights = sum(math.prod(weight.shape) for weight in model.weights)
            if not is_functional(model):
                raise ModelError(
                    f"{folder.path / CONFIG}: should describe a model with inputs of a known shape"
                )
            size = _size(folder)
            given = [
                keras.KerasTensor([x.shape[0] or 1, *(n or size for n in x.shape[1:])], x.dtype)
                for x in model.inputs
            ]
            return weights, _bytes_at_once(model, given)
    finally:
        forget_postponed_variables()


def _size(folder: KerasFolder) -> int:
    return folder.size or DEFAULT_SIZE


def _bytes_at_once(model: keras.Model, given: list[keras.KerasTensor]) -> int:
    """Bytes of the maps of a functional model, and of those in it, for inputs of such shapes."""
    calls = calls_of(model)
    outputs = [tensor for call in calls for tensor in call.outputs]
    specs = keras.Function(model.inputs, outputs).compute_output_spec(given)
    found = dict(zip(map(id, outputs), specs, strict=True))
    steps = []
    for call in calls:
        within = 0
        if is_functional(call.operation):
            within = _bytes_at_once(call.operation, [found[id(x)] for x in call.input_tensors])
        for tensor in call.outputs:
            inputs = [id(x) for x in call.input_tensors]
            steps.append(Step(id(tensor), inputs, _bytes(found[id(tensor)]), within))
    return bytes_at_once(steps, map(id, model.outputs))


def _bytes(tensor: keras.KerasTensor) -> int:
    cells: int = math.prod(tensor.shape)
    return cells * (8 if str(tensor.dtype).endswith("64") else 4)


def build_model(folder: ModelFolder, head: str) -> keras.Model:
    """Build the Keras model of one variant of a `ModelFolder`."""
    network = folder.config.network.part([head])
    return keras_model(network, read_tensors(folder), name=f"colorizer_{head}")


def write_colorizer(model: keras.Model, path: Path, size: int, name: str | None = None) -> None:
    """Write a colorizer as a model folder, in float32, with batch normalisation folded.

    Args:
        model: A `joint_colorizer`, a `colorizer`, or another such model.
        path: The folder; its files are overwritten.
        size: Short side, in pixels, that colours are best predicted at.
        name: Of the variant, where the model has one output. Defaults to `None`: the model's.

    Raises:
        NetworkFormatError: If the network format has no operation for a layer of it, or it predicts
            something else than A and B at the size of the picture.
    """
    written = to_network(model, name)
    network = written.network
    for output, one in network.outputs.items():
        found = tuple(network.maps(128, 160)[one])
        if found != (2, 128, 160):
            raise NetworkFormatError(
                "`model` should predict A and B at the size of the picture. "
                f"Received: the output {output!r}, {found} where it has 128 x 160 pixels"
            )
    write_model_folder(
        path, ModelConfig(size, network, written.heads, written.vivid), written.tensors
    )
