"""From a network to a Keras model."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_hypercolumns import HyperColumn, LightnessToGray
from kh_zoo.networks.network import INPUT, Network, Node
from kh_zoo.with_keras.unfolding import unfold

LAST = "channels_last"
WEIGHT_NORM = "_weight_norm"
"""Ends the name of the normalisation behind a convolution."""


def keras_model(
    network: Network,
    tensors: Mapping[str, np.ndarray],
    normalized: bool = False,
    name: str = "colorizer",
) -> keras.Model:
    """Build the functional Keras model of a network, a layer or two for each node.

    Args:
        network: The network.
        tensors: Dict from name to float32 array, as the file has them.
        normalized: Whether each convolution gets a batch normalisation with the lengths of its
            kernels, as `unfold` does it, for a training.
        name: Of the model.

    Returns:
        A `keras.Model` from L `(batch, height, width, 1)` to the one output, or to a dict of them.
    """
    maps = {INPUT: keras.Input((None, None, 1), name=INPUT)}
    filled: list[tuple[Any, list[np.ndarray]]] = []
    for node in network.nodes:
        given = [maps[one] for one in node.inputs]
        maps[node.name] = _call(node, network, given, tensors, filled, normalized)
    for layer, weights in filled:
        layer.set_weights(weights)
    outputs = {output: maps[one] for output, one in network.outputs.items()}
    only = next(iter(outputs.values())) if len(outputs) == 1 else outputs
    return keras.Model(maps[INPUT], only, name=name)


def _call(
    node: Node,
    network: Network,
    given: list[Any],
    tensors: Mapping[str, np.ndarray],
    filled: list[tuple[Any, list[np.ndarray]]],
    normalized: bool,
) -> Any:
    attributes, name, x = node.attributes, node.name, given[0]
    match node.op:
        case "convolution":
            x, padding = _padded(node, x)
            biased = "bias" in node.tensors and not normalized
            layer = _convolution(node, network.channels[node.inputs[0]], padding, biased)
            kernel = tensors[node.tensors["kernel"]].transpose(2, 3, 1, 0)
            if isinstance(layer, layers.DepthwiseConv2D):
                kernel = kernel.reshape(*kernel.shape[:2], -1, layer.depth_multiplier)
            bias = tensors[node.tensors["bias"]] if "bias" in node.tensors else None
            if not normalized:
                filled.append((layer, [kernel] if bias is None else [kernel, bias]))
                return layer(x)
            norm = layers.BatchNormalization(name=f"{name}{WEIGHT_NORM}")
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            filled += zip((layer, norm), unfold(kernel, bias, depthwise), strict=True)
            return norm(layer(x))
        case "average_pooling" | "max_pooling":
            kind = layers.AveragePooling2D if node.op == "average_pooling" else layers.MaxPooling2D
            pool = kind(
                tuple(attributes["pool_size"]),
                strides=tuple(attributes["strides"]),
                padding=attributes["padding"],
                data_format=LAST,
                name=name,
            )
            return pool(x)
        case "layer_normalization":
            layer = layers.LayerNormalization(
                epsilon=attributes["epsilon"],
                scale="gamma" in node.tensors,
                center="beta" in node.tensors,
                name=name,
            )
            roles = [role for role in ("gamma", "beta") if role in node.tensors]
            filled.append((layer, [tensors[node.tensors[role]] for role in roles]))
            return layer(x)
        case "padding":
            top, left, bottom, right = attributes["padding"]
            return layers.ZeroPadding2D(((top, bottom), (left, right)), LAST, name=name)(x)
        case "scaling":
            return layers.Rescaling(
                attributes["factor"], attributes["offset"], dtype="float32", name=name
            )(x)
        case "resize":
            strides, centers = {"map": attributes["scale"]}, {"map": -attributes["offset"]}
            layer = HyperColumn(
                ("map",),
                reference="reference",
                strides=strides,
                centers=centers,
                data_format=LAST,
                name=name,
            )
            return layer({"map": x, "reference": given[1]})
        case "global_average":
            return layers.GlobalAveragePooling2D(LAST, keepdims=True, name=name)(x)
        case "add" | "multiply" | "concatenate":
            return getattr(layers, node.op.capitalize())(name=name)(given)
        case "relu":
            return layers.ReLU(name=name)(x)
        case "relu6":
            return layers.ReLU(max_value=6, name=name)(x)
        case "lightness_to_gray":
            return LightnessToGray(name=name)(x)
        case _:
            # The rest has Keras's names.
            activation = {"hard_swish": "hard_silu"}.get(node.op, node.op)
            return layers.Activation(activation, name=name)(x)


def _padded(node: Node, x: Any) -> tuple[Any, str]:
    """Pad what a convolution is given, where Keras's own padding would be another one."""
    padding = node.attributes["padding"]
    if isinstance(padding, str):
        return x, padding
    reach = [
        (kernel - 1) * dilation
        for kernel, dilation in zip(
            node.attributes["kernel_size"], node.attributes["dilation"], strict=True
        )
    ]
    even = node.attributes["strides"] == [1, 1] and all(cells % 2 == 0 for cells in reach)
    if even and padding == [reach[0] // 2, reach[1] // 2] * 2:
        return x, "same"
    top, left, bottom, right = padding
    if not any(padding):
        return x, "valid"
    pad = layers.ZeroPadding2D(((top, bottom), (left, right)), LAST, name=f"{node.name}_padding")
    return pad(x), "valid"


def _convolution(node: Node, channels: int, padding: str, biased: bool) -> Any:
    attributes = node.attributes
    common = {
        "kernel_size": tuple(attributes["kernel_size"]),
        "strides": tuple(attributes["strides"]),
        "padding": padding,
        "dilation_rate": tuple(attributes["dilation"]),
        "use_bias": biased,
        "data_format": LAST,
        "name": node.name,
    }
    filters, groups = attributes["filters"], attributes["groups"]
    if groups == channels and groups > 1:
        return layers.DepthwiseConv2D(depth_multiplier=filters // channels, **common)
    return layers.Conv2D(filters, groups=groups, **common)
