"""How far every layer moved during a training."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.training.run_files import write_arrays


def save_kernels(colorizer: keras.Model, path: Path) -> None:
    """Keep the kernels of every layer in a file `.npz`, whole or not at all."""
    write_arrays(path, ((name, _array(kernel)) for name, kernel in _kernels(colorizer)))


def layer_changes(colorizer: keras.Model, path: Path) -> dict[str, float | None]:
    """Compare the kernels of a network with those that `save_kernels` kept.

    Batch normalisations and biases are left out. Where a batch normalisation follows, the length
    of a kernel does not change what the network computes, but its drift counts here as well.

    Args:
        colorizer: The `joint_colorizer`, as it is now.
        path: The file, of which one kernel at a time is read.

    Returns:
        A dict from layer to `||now - then|| / ||then||` of its kernel (Frobenius), from the input
        to the heads; `None` where the kernel was zero, or is no longer finite.
    """
    changes: dict[str, float | None] = {}
    with np.load(path) as before:
        for name, kernel in _kernels(colorizer):
            then = before[name].astype(np.float64)
            length = np.linalg.norm(then)
            moved = np.linalg.norm(_array(kernel).astype(np.float64) - then)
            with np.errstate(divide="ignore", invalid="ignore"):
                change = float(moved / length)
            changes[name] = change if math.isfinite(change) else None
    return changes


def _kernels(colorizer: keras.Model) -> Iterator[tuple[str, Any]]:
    """Name of the layer, and kernel: one at a time, so that only one is copied."""
    for weight in colorizer.weights:
        if weight.name == "kernel":
            yield weight.path.split("/")[-2], weight


def _array(variable: Any) -> Any:
    return ops.convert_to_numpy(variable)
