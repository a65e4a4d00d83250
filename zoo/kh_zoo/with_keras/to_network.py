"""From a functional Keras model to a network, with batch normalisation folded."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_hypercolumns import (
    AnnealedMean,
    HyperColumn,
    HyperColumnProjection,
    LightnessToGray,
)
from keras_hypercolumns.graphs.model_graph import calls_of, is_functional
from kh_zoo.errors import ModelError
from kh_zoo.networks.network import INPUT, Network, Node

_ACTIVATIONS = {
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "swish": "silu",
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
    "hard_sigmoid": "hard_sigmoid",
    "sigmoid": "sigmoid",
    "gelu": "gelu",
    "softmax": "softmax",
}
# Nothing but in training.
_PASSED = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.SpatialDropout2D,
)
_OPERATORS = {"Add": "add", "Multiply": "multiply", "Concatenate": "concatenate"}
_ARITHMETIC = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide")
_POOLINGS = {
    layers.AveragePooling2D: "average_pooling",
    layers.MaxPooling2D: "max_pooling",
}


class NetworkFormatError(ModelError):
    """A model with something that the network format has no operation for."""


@dataclasses.dataclass(frozen=True)
class Written:
    """A Keras model as a network."""

    network: Network
    tensors: dict[str, np.ndarray]
    heads: dict[str, tuple[str, ...]]
    """Taps of each output: those of the hypercolumn before it that has the most."""
    vivid: tuple[str, ...]
    """Outputs that are the annealed mean of scores."""


def to_network(model: keras.Model, name: str | None = None) -> Written:
    """Write a functional colorizer as a network, as it predicts (not as it trains).

    Example:

    >>> import keras
    >>> from kh_zoo.with_keras.to_network import to_network
    >>> lightness = keras.Input((None, None, 1), name="lightness")
    >>> x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(lightness)
    >>> x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm")(x))
    >>> ab = keras.layers.Conv2D(2, 1, name="tint")(x)
    >>> written = to_network(keras.Model(lightness, ab))
    >>> [(node.name, node.op) for node in written.network.nodes]
    [('conv', 'convolution'), ('relu', 'relu'), ('tint', 'convolution')]

    Args:
        model: From L `(batch, height, width, 1)` to AB, or a dict of them by name. Maps are
            channels last.
        name: Of the output, where there is one. Defaults to `None`: the model's.

    Raises:
        NetworkFormatError: If a layer, or an argument of one, is none of the format's. The
            message names it.
        ModelError: If the model's input is not L.
    """
    return _Writer(model, name).written()


@dataclasses.dataclass
class _Value:
    """What a symbolic tensor is: a map times a factor plus an offset per channel, if any.

    So a batch normalisation that stands before 1x1 convolutions costs nothing.
    """

    name: str
    factor: np.ndarray | None = None
    offset: np.ndarray | None = None
    shared: bool = False
    """Whether more than one layer reads it, so that it can't be changed for one of them."""


class _Writer:
    def __init__(self, model: keras.Model, name: str | None) -> None:
        self.model, self.name = model, name
        self.nodes: dict[str, Node] = {}
        self.tensors: dict[str, np.ndarray] = {}
        self.columns: dict[str, tuple[str, ...]] = {}
        self.means: set[str] = set()

    def written(self) -> Written:
        model = self.model
        if not is_functional(model) or len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
            raise NetworkFormatError(
                "`model` should be functional, with one input. "
                f"Received: {getattr(model, 'name', model)!r}"
            )
        if model.inputs[0].shape[-1] != 1:
            raise NetworkFormatError(
                "`model` should take L, (batch, height, width, 1), to be written as a network. "
                f"Received: the input {tuple(model.inputs[0].shape)}"
            )
        values = self.walk(model, [_Value(INPUT)])
        outputs = model.output
        if isinstance(outputs, dict):
            names = list(outputs)
            flat = [
                next(v for v, x in zip(values, model.outputs, strict=True) if x is outputs[n])
                for n in names
            ]
        else:
            names, flat = [self.name or model.name.removeprefix("colorizer_")], values
        kept = {name: self.plain(value) for name, value in zip(names, flat, strict=True)}
        network = Network(tuple(self.nodes.values()), kept).part(kept)
        heads, vivid = {}, []
        for name in kept:
            part = [node.name for node in network.part([name]).nodes]
            columns = [self.columns[one] for one in part if one in self.columns]
            heads[name] = max(columns, key=len, default=(kept[name],))
            if self.means & set(part):
                vivid.append(name)
        shapes = network.tensor_shapes()
        tensors = {name: np.ascontiguousarray(self.tensors[name], np.float32) for name in shapes}
        return Written(network, tensors, heads, tuple(vivid))

    def walk(self, model: keras.Model, given: Sequence[_Value]) -> list[_Value]:
        """Write what `model` computes of such inputs; return its outputs."""
        known = dict(zip(map(id, model.inputs), given, strict=True))
        calls = calls_of(model)
        read = Counter(id(x) for call in calls for x in call.input_tensors)
        # What the model returns is read by somebody else.
        read.update(map(id, model.outputs))
        for x, value in zip(model.inputs, given, strict=True):
            value.shared |= read[id(x)] > 1
        for call in calls:
            if call.is_input:
                continue
            inputs = [known[id(x)] for x in call.input_tensors]
            if is_functional(call.operation):
                results = self.walk(call.operation, inputs)
            else:
                results = [self.write(call, inputs)]
            for x, value in zip(call.outputs, results, strict=True):
                known[id(x)] = value
                value.shared |= read[id(x)] > 1
        return [known[id(x)] for x in model.outputs]

    def write(self, call: Any, inputs: list[_Value]) -> _Value:
        layer, x = call.operation, inputs[0]
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            raise _refused(layer, "has the channels first")
        name = self.free_name(layer.name)
        kind = type(layer).__name__
        match layer:
            case HyperColumnProjection():
                return self.projection(layer, call, inputs)
            case HyperColumn():
                return self.column(layer, call, inputs)
            case AnnealedMean():
                return self.annealed_mean(layer, x, name)
            case layers.DepthwiseConv2D() | layers.Conv2D() if not isinstance(
                layer, layers.Conv2DTranspose
            ):
                return self.convolution(layer, x, name)
            case layers.Dense() if len(call.input_tensors[0].shape) == 4:
                kernel = _array(layer.kernel).T[:, :, None, None]
                bias = None if layer.bias is None else _array(layer.bias)
                x = self.pointwise(name, x, kernel, bias)
                return self.activated(x, layer.activation, layer)
            case layers.BatchNormalization():
                return self.batch_normalization(layer, x)
            case layers.Normalization():
                deviation = np.sqrt(_array(layer.variance).reshape(-1))
                factor = 1 / np.maximum(deviation, keras.config.epsilon())
                return self.affine(x, factor, -_array(layer.mean).reshape(-1) * factor)
            case layers.LayerNormalization():
                return self.layer_normalization(layer, x, name)
            case layers.Rescaling():
                return self.rescaling(layer, x, name)
            case layers.ZeroPadding2D():
                (top, bottom), (left, right) = layer.padding
                return self.node(name, "padding", [x], padding=[top, left, bottom, right])
            case layers.AveragePooling2D() | layers.MaxPooling2D():
                return self.node(
                    name,
                    _POOLINGS[type(layer)],
                    [x],
                    pool_size=list(layer.pool_size),
                    strides=list(layer.strides),
                    padding=layer.padding,
                )
            case layers.GlobalAveragePooling2D():
                return self.node(name, "global_average", [x])
            case layers.Reshape() if tuple(layer.target_shape[:2]) == (1, 1):
                return x  # a global average, with its place again
            case layers.ReLU():
                return self.rectified(layer, x, name)
            case layers.Activation():
                return self.activated(x, layer.activation, layer, name)
            case layers.Softmax():
                return self.node(name, "softmax", [x])
            case LightnessToGray():
                return self.node(name, "lightness_to_gray", [x])
            case _ if isinstance(layer, _PASSED) or kind == "StochasticDepth":
                return x
            case _ if kind == "LayerScale":
                gamma = _array(layer.gamma)
                return self.affine(x, gamma, np.zeros_like(gamma))
            case _ if kind in _OPERATORS and len(inputs) == len(call.input_tensors) > 1:
                return self.node(name, _OPERATORS[kind], inputs)
            case _ if kind in _ARITHMETIC and len(call.input_tensors) == 1:
                return self.arithmetic(layer, call, x, name)
            case _ if kind.lower() in _ACTIVATIONS:
                return self.node(name, _ACTIVATIONS[kind.lower()], [x])
        raise _refused(layer, "is none of the network format's operations")

    # Building blocks.

    def node(self, name: str, op: str, inputs: Sequence[_Value], **attributes: Any) -> _Value:
        self.nodes[name] = Node(name, op, tuple(map(self.plain, inputs)), attributes)
        return _Value(name)

    def free_name(self, name: str) -> str:
        """A name that no node has yet, such as Keras's layers in several models may share."""
        plain = "".join(c if (c.isalnum() and c.isascii()) or c in "_-" else "_" for c in name)
        plain = plain if plain[:1].isalpha() or plain[:1] == "_" else f"_{plain}"
        number, free = 2, plain
        while free in self.nodes or free == INPUT:
            number, free = number + 1, f"{plain}_{number}"
        return free

    def plain(self, value: _Value) -> str:
        """The name of a map that has the values, made where there is none yet."""
        if value.factor is None or value.offset is None:
            return value.name
        channels = len(value.factor)
        name = self.free_name(f"{value.name}_scaled")
        self.tensors[f"{name}.kernel"] = value.factor.reshape(-1, 1, 1, 1)
        self.tensors[f"{name}.bias"] = value.offset
        attributes = _window(channels, (1, 1), groups=channels)
        tensors = {"kernel": f"{name}.kernel", "bias": f"{name}.bias"}
        self.nodes[name] = Node(name, "convolution", (value.name,), attributes, tensors)
        value.name, value.factor, value.offset = name, None, None
        return name

    def affine(self, x: _Value, factor: np.ndarray, offset: np.ndarray) -> _Value:
        if x.factor is not None and x.offset is not None:
            factor, offset = x.factor * factor, x.offset * factor + offset
        return _Value(x.name, factor, offset)

    def pointwise(
        self, name: str, x: _Value, kernel: np.ndarray, bias: np.ndarray | None
    ) -> _Value:
        """A 1x1 convolution of a kernel `(filters, channels, 1, 1)`."""
        if x.factor is not None and x.offset is not None:
            added = kernel[:, :, 0, 0] @ x.offset
            bias = added if bias is None else bias + added
            kernel = kernel * x.factor[:, None, None]
        return self.stored(name, x.name, kernel, bias, _window(len(kernel), (1, 1)))

    def stored(
        self,
        name: str,
        x: str,
        kernel: np.ndarray,
        bias: np.ndarray | None,
        attributes: dict[str, Any],
    ) -> _Value:
        """A convolution, with its tensors."""
        tensors = {"kernel": f"{name}.kernel"}
        self.tensors[tensors["kernel"]] = kernel
        if bias is not None:
            tensors["bias"] = f"{name}.bias"
            self.tensors[tensors["bias"]] = bias
        self.nodes[name] = Node(name, "convolution", (x,), attributes, tensors)
        return _Value(name)

    # Layers.

    def convolution(self, layer: Any, x: _Value, name: str) -> _Value:
        kernel = _array(layer.kernel)
        groups = getattr(layer, "groups", 1)
        if isinstance(layer, layers.DepthwiseConv2D):
            groups = kernel.shape[2]
            kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
        kernel = kernel.transpose(3, 2, 0, 1)
        bias = None if layer.bias is None else _array(layer.bias)
        window, strides = tuple(layer.kernel_size), list(layer.strides)
        if window == (1, 1) and strides == [1, 1] and groups == 1:
            x = self.pointwise(name, x, kernel, bias)
            return self.activated(x, layer.activation, layer)
        attributes = _window(len(kernel), window, groups=groups)
        attributes |= {"strides": strides, "dilation": list(layer.dilation_rate)}
        reach = [(side - 1) * step for side, step in zip(window, layer.dilation_rate, strict=True)]
        if layer.padding == "same" and strides == [1, 1]:
            before = [cells // 2 for cells in reach]
            after = [cells - cells // 2 for cells in reach]
            attributes["padding"] = [*before, *after]
        elif layer.padding in ("same", "valid"):
            attributes["padding"] = layer.padding
        else:
            raise _refused(layer, f"has the padding {layer.padding!r}")
        given = self.plain(x)
        padded = self.nodes.get(given)
        if not x.shared and padded and padded.op == "padding" and attributes["padding"] == "valid":
            # What was padded for this convolution alone is its own padding.
            del self.nodes[given]
            (given,), attributes["padding"] = padded.inputs, padded.attributes["padding"]
        x = self.stored(name, given, kernel, bias, attributes)
        return self.activated(x, layer.activation, layer)

    def batch_normalization(self, layer: Any, x: _Value) -> _Value:
        if layer.axis not in (-1, 3):
            raise _refused(layer, "has the channels first")
        variance, mean = _array(layer.moving_variance), _array(layer.moving_mean)
        factor = 1 / np.sqrt(variance + layer.epsilon)
        if layer.scale:
            factor = factor * _array(layer.gamma)
        offset = -mean * factor
        if layer.center:
            offset = offset + _array(layer.beta)
        node = self.nodes.get(x.name)
        if x.shared or x.factor is not None or node is None or node.op != "convolution":
            return self.affine(x, factor, offset)
        # Into the convolution that nobody else reads.
        kernel = node.tensors["kernel"]
        self.tensors[kernel] = self.tensors[kernel] * factor[:, None, None, None]
        bias = node.tensors.get("bias", f"{node.name}.bias")
        self.tensors[bias] = self.tensors.get(bias, np.zeros(1)) * factor + offset
        tensors = {**node.tensors, "bias": bias}
        self.nodes[x.name] = dataclasses.replace(node, tensors=tensors)
        return x

    def layer_normalization(self, layer: Any, x: _Value, name: str) -> _Value:
        axis = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
        if axis not in ([-1], [3]):
            raise _refused(layer, f"is over the axes {axis}, not the channels alone")
        x = self.node(name, "layer_normalization", [x], epsilon=float(layer.epsilon))
        tensors = {}
        for role, weight in (("gamma", layer.gamma), ("beta", layer.beta)):
            if weight is not None:
                tensors[role] = f"{name}.{role}"
                self.tensors[tensors[role]] = _array(weight)
        self.nodes[name] = dataclasses.replace(self.nodes[name], tensors=tensors)
        return x

    def rescaling(self, layer: Any, x: _Value, name: str) -> _Value:
        factor, offset = np.asarray(layer.scale, float), np.asarray(layer.offset, float)
        if factor.ndim or offset.ndim:
            whole = np.broadcast_arrays(factor.reshape(-1), offset.reshape(-1))
            return self.affine(x, whole[0], whole[1])
        return self.node(name, "scaling", [x], factor=float(factor), offset=float(offset))

    def arithmetic(self, layer: Any, call: Any, x: _Value, name: str) -> _Value:
        """A map and a number, as in `x / 6` or `3 + x`."""
        given = [*call.arguments.args, *call.arguments.kwargs.values()]
        swapped = given[0] is not call.input_tensors[0]
        array = np.asarray(given[0] if swapped else given[1], float)
        kind = type(layer).__name__.removeprefix("True")
        if array.ndim or (kind == "Divide" and (swapped or not array)):
            raise _refused(layer, "computes with something else than a map and a number")
        number = float(array)
        factor, offset = {
            "Add": (1.0, number),
            "Subtract": (-1.0, number) if swapped else (1.0, -number),
            "Multiply": (number, 0.0),
            "Divide": (1 / (number or 1.0), 0.0),
        }[kind]
        return self.node(name, "scaling", [x], factor=factor, offset=offset)

    def rectified(self, layer: Any, x: _Value, name: str) -> _Value:
        if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
            raise _refused(layer, "is neither ReLU nor ReLU6")
        return self.node(name, "relu" if layer.max_value is None else "relu6", [x])

    def activated(self, x: _Value, activation: Any, layer: Any, name: str | None = None) -> _Value:
        known = getattr(activation, "__name__", str(activation))
        if known == "linear":
            return x
        if known not in _ACTIVATIONS:
            raise _refused(layer, f"has the activation {known!r}")
        name = name or self.free_name(f"{x.name}_{known}")
        return self.node(name, _ACTIVATIONS[known], [x])

    def annealed_mean(self, layer: Any, x: _Value, name: str) -> _Value:
        scaled = self.node(
            f"{name}_scores", "scaling", [x], factor=1 / layer.temperature, offset=0.0
        )
        shares = self.node(f"{name}_shares", "softmax", [scaled])
        self.means.add(name)
        bins = _array(layer.bins).T[:, :, None, None]
        return self.pointwise(name, shares, bins, None)

    def projection(self, layer: Any, call: Any, inputs: list[_Value]) -> _Value:
        maps = self.maps_of(layer, call, inputs)
        name = self.free_name(layer.name).removeprefix("head_")
        kernel = _array(layer.kernel)[0, 0].T
        starts = np.cumsum([0, *layer.tap_channels])
        bias = np.zeros(layer.filters) if layer.bias is None else _array(layer.bias)
        together: dict[tuple[int, float] | None, list[_Value]] = {}
        used = False
        for tap, start, end in zip(layer.taps, starts[:-1], starts[1:], strict=True):
            part, x = kernel[:, start:end], maps[tap]
            if x.factor is not None and x.offset is not None:
                bias = bias + part @ x.offset
                part = part * x.factor
                used = True
            placed = self.placed(layer, tap)
            projected = self.stored(
                self.free_name(f"{name}_{tap}"),
                x.name,
                part[:, :, None, None],
                None,
                _window(layer.filters, (1, 1)),
            )
            together.setdefault(placed, []).append(projected)
        self.add_bias(next(iter(together.values()))[0].name, bias, layer.bias is not None or used)
        # Its size is all that is asked of it.
        reference = _Value(maps[self.reference_of(layer)].name)
        parts: list[_Value] = []
        for at, summands in together.items():
            x = summands[0]
            if len(summands) > 1:
                x = self.node(self.free_name(f"{name}_sum_{len(parts)}"), "add", summands)
            parts.append(self.resized(x, reference, at, f"{name}_up_{len(parts)}"))
        total = parts[0]
        if len(parts) > 1:
            total = self.node(self.free_name(f"{name}_sum"), "add", parts)
        self.columns[total.name] = tuple(maps[tap].name for tap in layer.taps)
        return self.activated(total, layer.activation, layer)

    def add_bias(self, node: str, bias: np.ndarray, needed: bool) -> None:
        """Give a tap's convolution the bias of all: interpolation leaves a constant as it is."""
        if needed:
            self.tensors[f"{node}.bias"] = bias
            tensors = {**self.nodes[node].tensors, "bias": f"{node}.bias"}
            self.nodes[node] = dataclasses.replace(self.nodes[node], tensors=tensors)

    def column(self, layer: Any, call: Any, inputs: list[_Value]) -> _Value:
        maps = self.maps_of(layer, call, inputs)
        # Its size is all that is asked of it.
        reference = _Value(maps[self.reference_of(layer)].name)
        name = self.free_name(layer.name)
        many = len(layer.taps) > 1
        parts = [
            self.resized(
                maps[tap], reference, self.placed(layer, tap), f"{name}_{tap}" if many else name
            )
            for tap in layer.taps
        ]
        if not many:
            return parts[0]
        self.columns[name] = tuple(self.plain(maps[tap]) for tap in layer.taps)
        return self.node(name, "concatenate", parts)

    def maps_of(self, layer: Any, call: Any, inputs: list[_Value]) -> dict[str, _Value]:
        known = dict(zip(map(id, call.input_tensors), inputs, strict=True))
        given = call.arguments.args[0] if call.arguments.args else call.arguments.kwargs["inputs"]
        named = layer._by_name(given)
        return {name: known[id(x)] for name, x in named.items()}

    def reference_of(self, layer: Any) -> str:
        if (
            layer.strides is None
            or layer.coordinates == "align_corners"
            or (layer.interpolation != "bilinear")
        ):
            raise _refused(
                layer,
                "should have `strides`, bilinear interpolation and half-pixel or legacy "
                "coordinates, to be written as a network",
            )
        reference: str = layer.references[0]  # down as across, or `placed` refuses it
        return reference

    def placed(self, layer: Any, tap: str) -> tuple[int, float] | None:
        """Scale and offset of the `resize` of a tap; None for the reference itself."""
        reference = self.reference_of(layer)
        (scale, across), offsets = layer.placement(tap)
        if scale != round(scale):
            raise _refused(layer, f"has the tap {tap!r} at {scale} times the reference's cells")
        if scale != across or offsets[0] != offsets[1]:
            raise _refused(layer, f"has the tap {tap!r} otherwise placed down than across")
        if tap == reference:
            return None
        return round(scale), float(offsets[0])

    def resized(
        self, x: _Value, reference: _Value, placed: tuple[int, float] | None, name: str
    ) -> _Value:
        if placed is None:
            return x
        scale, offset = placed
        return self.node(self.free_name(name), "resize", [x, reference], scale=scale, offset=offset)


def _window(filters: int, window: Sequence[int], groups: int = 1) -> dict[str, Any]:
    return {
        "filters": filters,
        "kernel_size": list(window),
        "strides": [1, 1],
        "padding": "valid",
        "dilation": [1, 1],
        "groups": groups,
    }


def _array(variable: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(variable), np.float64)


def _refused(layer: Any, problem: str) -> NetworkFormatError:
    return NetworkFormatError(
        f"the layer {layer.name!r} ({type(layer).__name__}) {problem}; keep such a model with "
        "`kh_zoo.save_model`, and colour with `engine` keras"
    )
