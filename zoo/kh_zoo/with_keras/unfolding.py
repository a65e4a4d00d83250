"""From folded kernels back to normalised ones, which an optimizer turns all alike.

Folded kernels differ in length by a factor of a thousand. So the normalisations take the lengths
upon themselves (Salimans and Kingma 2016, "Weight Normalization").
"""

from collections.abc import Mapping

import numpy as np

from keras_hypercolumns import ColorizerModel
from keras_hypercolumns.layers.tap_layer import layer_name
from kh_zoo.networks.model_folder import VIVID, ModelFolder


def unfold(kernel: np.ndarray, bias: np.ndarray | None, depthwise: bool) -> list[list[np.ndarray]]:
    """Split a folded convolution.

    Args:
        kernel: As Keras has it, `(height, width, channels, filters)`.
        bias: Of each output, or `None`.
        depthwise: Whether each channel has filters of its own.

    Returns:
        The weights of the convolution, without a bias, and those of a batch normalisation behind
        it, of Keras's default `epsilon`.
    """
    lengths = _lengths(kernel, (0, 1) if depthwise else (0, 1, 2))
    offset = np.zeros(lengths.size, "float32") if bias is None else bias
    return [[kernel / lengths], _normalization(lengths.ravel(), offset, epsilon=1e-3)]


def fill_hidden(
    joint: ColorizerModel, variant: str, folder: ModelFolder, tensors: Mapping[str, np.ndarray]
) -> None:
    """Set the weights of a hidden head, of the normalisations in it, and of its vivid head.

    Args:
        joint: A `joint_colorizer`.
        variant: One of its variants, which the folder has too.
        folder: The model folder.
        tensors: Its arrays.
    """
    network = folder.config.network
    layer = joint.get_layer(f"head_{variant}_hidden")
    nodes = {node.name: node for node in network.nodes}
    factor, offset = np.ones(layer.filters, "float32"), np.zeros(layer.filters, "float32")
    scaled = nodes[nodes[f"head_{variant}_relu"].inputs[0]]
    if scaled.op == "convolution" and scaled.attributes["groups"] == layer.filters:
        factor, offset = (tensors[scaled.tensors[role]].ravel() for role in ("kernel", "bias"))
    kernels, bias = _projected(folder, variant, f"{variant}_hidden_", tensors)
    # The means of the taps are in the bias.
    offset = offset + factor * bias
    kernel = np.concatenate(kernels, axis=2) * factor
    # What has a small variance has long kernels: they come to be as long as they are wide.
    rows = _lengths(kernel, (0, 1, 3)) * np.sqrt(kernel.shape[2] / kernel.shape[3])
    lengths = _lengths(kernel / rows, (0, 1, 2))
    layer.set_weights([kernel / rows / lengths])
    norm = joint.get_layer(f"head_{variant}_norm")
    norm.set_weights(_normalization(lengths.ravel(), offset, norm.epsilon))
    ends = np.cumsum([part.shape[2] for part in kernels])
    for tap, row in zip(layer.taps, np.split(rows.ravel(), ends[:-1]), strict=True):
        norm = joint.get_layer(f"head_{variant}_norm_{layer_name(tap)}")
        norm.set_weights([0 * row, row**-2.0 - norm.epsilon])
    for name in (variant, f"{variant}{VIVID}"):
        if name in joint.heads:
            roles = ("kernel", "bias")
            kernel, bias = (tensors[f"head_{name}.{role}"] for role in roles)
            joint.heads[name].set_weights([kernel.transpose(2, 3, 1, 0), bias])
            if name != variant:
                mean = f"mean_{name}"
                joint.get_layer(mean).set_weights([tensors[f"{mean}.kernel"][:, :, 0, 0].T])


def fill_linear(
    joint: ColorizerModel, variant: str, folder: ModelFolder, tensors: Mapping[str, np.ndarray]
) -> None:
    """Set the weights of a linear head; the arguments are those of `fill_hidden`."""
    kernels, bias = _projected(folder, variant, f"{variant}_", tensors)
    # The file's heads may be in another unit.
    network = folder.config.network
    scaling = next(one for one in network.nodes if one.name == network.outputs[variant])
    unit = float(scaling.attributes["factor"]) / joint.unit(variant)
    joint.heads[variant].set_weights([np.concatenate(kernels, axis=2) * unit, bias * unit])


def _projected(
    folder: ModelFolder, variant: str, prefix: str, tensors: Mapping[str, np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
    """The kernel of each tap's part of a projection, and the bias of all."""
    found = {
        node.inputs[0]: node.tensors
        for node in folder.config.network.part([variant]).nodes
        if node.op == "convolution" and node.name.startswith(prefix)
    }
    parts = [found[one] for one in folder.config.heads[variant]]
    kernels = [tensors[part["kernel"]].transpose(2, 3, 1, 0) for part in parts]
    bias = sum(tensors[part["bias"]] for part in parts if "bias" in part)
    return kernels, np.zeros(kernels[0].shape[3], "float32") + bias


def _lengths(kernel: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The lengths of kernels, 1 where there is nothing."""
    lengths = np.sqrt(np.sum(kernel.astype("float64") ** 2, axes, keepdims=True))
    return np.where(lengths > 0, lengths, 1).astype("float32")


def _normalization(factor: np.ndarray, offset: np.ndarray, epsilon: float) -> list[np.ndarray]:
    """The weights of a normalisation that multiplies by a factor and adds an offset."""
    variance = np.maximum(factor**-2.0 - epsilon, 0)
    gamma = factor * np.sqrt(variance + epsilon)
    return [gamma, offset, 0 * variance, variance]
