"""Reading and writing the tensors of a model folder, and their int8 form."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from kh_zoo.files.whole_files import make_folder, write_whole
from kh_zoo.networks.model_folder import CONFIG, TENSORS, ModelConfig, ModelFolder


def quantize(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Replace the kernels of the trunk and of vivid heads by int8, a scale per output channel.

    The largest magnitude of a channel becomes 127. Rounding is to the nearest, but for so many
    weights of each window that its sum is off by half a step at most: feature maps are smooth, so
    it is the sum that counts. Where windows are of one weight, so is it for all of an output
    channel: what they read is positive, about as large everywhere. That leaves an eighth to two
    thirds of the difference in AB.

    Args:
        tensors: Dict from name to float32 array, kernels `(filters, channels, height, width)`.

    Returns:
        A new dict, with `LAYER.scale` beside each `LAYER.kernel` that is int8.

    Reference:
        - Guo et al., SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation,
          ICLR 2022, section 3.3: its kernel-wise step, for kernels of 1 x 1 its channel-wise one.
    """
    quantized = {}
    for name, value in tensors.items():
        # A head of A and B is too small to be worth it.
        if not name.endswith(".kernel") or len(value) == 2:
            quantized[name] = value
            continue
        largest = np.abs(value).max(axis=(1, 2, 3))
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        steps = value / scale[:, None, None, None]
        weights = steps[0, 0].size
        groups = _round(steps.reshape(-1, weights if weights > 1 else steps[0].size))
        quantized[name] = groups.reshape(steps.shape).astype(np.int8)
        quantized[name.replace(".kernel", ".scale")] = scale
    return quantized


def _round(groups: np.ndarray) -> np.ndarray:
    """Round `(groups, weights)`: each sum as near as can be, and each weight nearly so."""
    rounded = np.round(groups)
    left = groups - rounded
    missing = np.round(left.sum(axis=1, keepdims=True))
    # Those that were rounded furthest in the wrong direction are rounded in the other one.
    place = np.argsort(np.argsort(-left * np.sign(missing), axis=1), axis=1)
    changed = rounded + np.sign(missing) * (place < np.abs(missing))
    return np.asarray(np.clip(changed, -127, 127))


def expand(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undo `quantize`, up to its rounding: float32 kernels, no scales."""
    with np.errstate(over="ignore"):  # what is predicted is checked
        return {
            name: value.astype(np.float32) * tensors[f"{name[:-7]}.scale"][:, None, None, None]
            if value.dtype == np.int8
            else value
            for name, value in tensors.items()
            if not name.endswith(".scale")
        }


def read_tensors(folder: ModelFolder) -> dict[str, np.ndarray]:
    """Read the tensors of a `ModelFolder` as float32."""
    return expand(load_file(folder.tensors_path))


def write_model_folder(path: Path, config: ModelConfig, tensors: Mapping[str, np.ndarray]) -> None:
    """Write `config.json` and `model.safetensors` to the folder `path`, made if it is missing."""
    make_folder(path)
    # Written from bytes: `save_file` makes a file that only its owner may read.
    write_whole(path / TENSORS, save(dict(tensors)))
    write_whole(path / CONFIG, f"{config.to_json()}\n".encode())
