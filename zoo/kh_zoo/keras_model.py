"""From a model folder to a Keras model, and back."""

import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_hypercolumns import HyperColumnProjection, colorizer
from keras_hypercolumns.training.initial_colorizer import trunk_input
from kh_zoo.errors import ModelError
from kh_zoo.model_folder import AB_SCALE, ModelConfig, ModelFolder
from kh_zoo.resolve import resolve
from kh_zoo.tensors import read_tensors, write_model_folder


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
        model: Name of a variant, or the path of a model or run folder, with `/VARIANT` behind it
            where it holds several.

    Returns:
        A `keras.Model` from L `(batch, height, width, 1)` to AB `(batch, height, width, 2)`, in
        CIELAB units.

    Raises:
        VariantError: If there is no such variant or folder.
        ModelError: If the folder is no model.
    """
    return build_model(*resolve(model))


def build_model(folder: ModelFolder, head: str) -> keras.Model:
    """Build the Keras model of one variant of a `ModelFolder`."""
    config = folder.config
    model = colorizer(config.heads[head], pooling=config.pooling, trunk_input=config.input)
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
        factor = AB_SCALE / model.get_layer(f"ab_{name}").scale
        model.get_layer(f"head_{name}").set_weights(
            [np.concatenate(kernels, axis=2) * factor, tensors[f"{head}.bias"] * factor]
        )


def save_model(model: keras.Model, path: Path, size: int) -> None:
    """Write a plain `joint_colorizer` (no batch normalisation) as a model folder, in float32.

    Args:
        model: The `joint_colorizer`.
        path: The folder; its files are overwritten.
        size: Short side, in pixels, that colours are best predicted at.

    Raises:
        ModelError: If a head is not linear: those of `layered` and `residual` can't be stored.
    """
    tensors, heads = {}, {}
    trunk = model.get_layer("trunk")
    is_max = isinstance(trunk.get_layer("pool1"), keras.layers.MaxPooling2D)
    for layer in trunk.layers:
        if layer.weights:
            kernel, bias = (ops.convert_to_numpy(weight) for weight in layer.weights)
            tensors[f"{layer.name}.kernel"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
            tensors[f"{layer.name}.bias"] = bias
    for name in model.output:
        layer = model.get_layer(f"head_{name}")
        if not isinstance(layer, HyperColumnProjection):
            raise ModelError(
                "`model` should have linear heads on the taps of its trunk, as every variant but "
                "'layered' and 'residual' has; leave those out, or keep the model with Keras's "
                f"`model.save`. Received: {name!r}"
            )
        factor = model.get_layer(f"ab_{name}").scale / AB_SCALE
        kernel, bias = (ops.convert_to_numpy(weight) * factor for weight in layer.weights)
        parts = np.split(kernel, np.cumsum(layer.tap_channels)[:-1], axis=2)
        for tap, part in zip(layer.taps, parts, strict=True):
            tensors[f"{name}.{tap}.kernel"] = np.ascontiguousarray(part.transpose(3, 2, 0, 1))
        tensors[f"{name}.bias"] = bias
        heads[name] = layer.taps
    config = ModelConfig(
        pooling="max" if is_max else "average",
        size=size,
        heads=heads,
        input=trunk_input(model),
    )
    write_model_folder(path, config, tensors)
