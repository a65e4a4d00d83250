"""The ONNX graph of a network whose tensors lie in a safetensors file."""

from typing import Any

import numpy as np

from kh_zoo.files.whole_files import write_whole
from kh_zoo.networks.model_folder import ModelFolder, scale_of
from kh_zoo.networks.network import INPUT, Network, Node
from kh_zoo.networks.onnx_file import (
    FLOAT,
    INT8,
    OnnxGraph,
    OnnxNode,
    OnnxTensor,
    OnnxValue,
    tensor_of,
)
from kh_zoo.networks.operations import resize_shift

GRAPH = "model.onnx"
OUTPUT = "ab"


def onnx_graph(folder: ModelFolder, head: str) -> OnnxGraph:
    """Build the graph of one variant: L `(batch, 1, height, width)` in, AB of 2 channels out.

    The weights stay in the safetensors file, as external data.

    Example:

    >>> from kh_zoo.catalog.records import find_variant
    >>> from kh_zoo.networks.model_folder import open_model_folder
    >>> folder = open_model_folder(find_variant("pool1to4").folder)
    >>> graph = onnx_graph(folder, "pool1to4")
    >>> sum(node.kind == "Conv" for node in graph.nodes)
    16

    Args:
        folder: Of `open_model_folder`.
        head: One of its variants.

    Returns:
        An `OnnxGraph`.
    """
    return _Builder(folder, folder.config.network.part([head]), head).build()


def write_graph(folder: ModelFolder, head: str) -> None:
    """Write the graph of one variant beside the tensors that it refers to."""
    write_whole(folder.path / GRAPH, onnx_graph(folder, head).to_bytes())


class _Builder:
    def __init__(self, folder: ModelFolder, network: Network, head: str) -> None:
        self.folder, self.network, self.head = folder, network, head
        self.nodes: list[OnnxNode] = []
        self.tensors: dict[str, OnnxTensor] = {}

    def build(self) -> OnnxGraph:
        for node in self.network.nodes:
            getattr(self, f"on_{node.op}")(node)
        # What is returned may be read by others too.
        self._add("Identity", [self.network.outputs[self.head]], OUTPUT)
        return OnnxGraph(
            self.head,
            tuple(self.nodes),
            {INPUT: _value(1)},
            {OUTPUT: _value(2)},
            self.tensors,
        )

    # One method for each operation, of its name.

    def on_convolution(self, node: Node) -> None:
        attributes = node.attributes
        inputs = [node.inputs[0], self._kernel(node)]
        if "bias" in node.tensors:
            inputs.append(self._stored(node.tensors["bias"]))
        self._add(
            "Conv",
            inputs,
            node.name,
            kernel_shape=attributes["kernel_size"],
            dilations=attributes["dilation"],
            group=attributes["groups"],
            **_window(attributes),
        )

    def on_relu(self, node: Node) -> None:
        self._add("Relu", node.inputs, node.name)

    def on_relu6(self, node: Node) -> None:
        self._add("Clip", [*node.inputs, self._scalar(0), self._scalar(6)], node.name)

    def on_silu(self, node: Node) -> None:
        self._gated("Sigmoid", node)

    def on_hard_swish(self, node: Node) -> None:
        self._gated("HardSigmoid", node, alpha=1 / 6, beta=0.5)

    def _gated(self, gate: str, node: Node, **attributes: Any) -> None:
        gated = self._add(gate, node.inputs, f"{node.name}:gate", **attributes)
        self._add("Mul", [node.inputs[0], gated], node.name)

    def on_hard_sigmoid(self, node: Node) -> None:
        self._add("HardSigmoid", node.inputs, node.name, alpha=1 / 6, beta=0.5)

    def on_sigmoid(self, node: Node) -> None:
        self._add("Sigmoid", node.inputs, node.name)

    def on_gelu(self, node: Node) -> None:
        self._add("Gelu", node.inputs, node.name)

    def on_softmax(self, node: Node) -> None:
        self._add("Softmax", node.inputs, node.name, axis=1)

    def on_lightness_to_gray(self, node: Node) -> None:
        """As the layer `LightnessToGray` computes it."""
        f = self._linear(node.inputs[0], 1 / 116, 16 / 116, f"{node.name}:f")
        cube = self._add("Pow", [f, self._scalar(3)], f"{node.name}:cube")
        line = self._linear(f, 1 / 7.787, -16 / 116 / 7.787, f"{node.name}:line")
        luminance = self._above(f, 0.2068966, cube, line, f"{node.name}:luminance")
        base = self._add("Max", [luminance, self._scalar(0.0031308)], f"{node.name}:base")
        power = self._add("Pow", [base, self._scalar(1 / 2.4)], f"{node.name}:power")
        curve = self._linear(power, 1.055, -0.055, f"{node.name}:curve")
        straight = self._linear(luminance, 12.92, 0, f"{node.name}:straight")
        gray = self._above(luminance, 0.0031308, curve, straight, f"{node.name}:gray")
        gray = self._add("Clip", [gray, self._scalar(0), self._scalar(1)], f"{node.name}:clipped")
        self._linear(gray, 255, 0, node.name)

    def _above(self, x: str, threshold: float, above: str, below: str, name: str) -> str:
        """`above` where `x` is above `threshold`, else `below`."""
        is_above = self._add("Greater", [x, self._scalar(threshold)], f"{name}:above")
        return self._add("Where", [is_above, above, below], name)

    def on_add(self, node: Node) -> None:
        self._pairs("Add", node)

    def on_multiply(self, node: Node) -> None:
        self._pairs("Mul", node)

    def _pairs(self, kind: str, node: Node) -> None:
        """Two at a time: the operators of ONNX take no more."""
        x = node.inputs[0]
        for number, other in enumerate(node.inputs[1:], start=2):
            last = number == len(node.inputs)
            x = self._add(kind, [x, other], node.name if last else f"{node.name}:{number}")

    def on_concatenate(self, node: Node) -> None:
        self._add("Concat", node.inputs, node.name, axis=1)

    def on_average_pooling(self, node: Node) -> None:
        self._pooling("AveragePool", node)

    def on_max_pooling(self, node: Node) -> None:
        self._pooling("MaxPool", node)

    def _pooling(self, kind: str, node: Node) -> None:
        window = _window(node.attributes)
        self._add(kind, node.inputs, node.name, kernel_shape=node.attributes["pool_size"], **window)

    def on_global_average(self, node: Node) -> None:
        self._add("GlobalAveragePool", node.inputs, node.name)

    def on_padding(self, node: Node) -> None:
        top, left, bottom, right = node.attributes["padding"]
        pads = self._constant(f"{node.name}:pads", [0, 0, top, left, 0, 0, bottom, right], np.int64)
        self._add("Pad", [node.inputs[0], pads], node.name)

    def on_scaling(self, node: Node) -> None:
        self._linear(
            node.inputs[0], node.attributes["factor"], node.attributes["offset"], node.name
        )

    def _linear(self, x: str, factor: float, offset: float, name: str) -> str:
        if not offset:
            return self._add("Mul", [x, self._scalar(factor)], name)
        scaled = self._add("Mul", [x, self._scalar(factor)], f"{name}:scaled")
        return self._add("Add", [scaled, self._scalar(offset)], name)

    def on_layer_normalization(self, node: Node) -> None:
        """Over the channels of each cell, which ONNX's own has last."""
        x, name = node.inputs[0], node.name
        axis = self._constant("axis_of_channels", [1], np.int64)
        mean = self._add("ReduceMean", [x, axis], f"{name}:mean")
        centred = self._add("Sub", [x, mean], f"{name}:centred")
        square = self._add("Mul", [centred, centred], f"{name}:square")
        variance = self._add("ReduceMean", [square, axis], f"{name}:variance")
        epsilon = self._scalar(node.attributes["epsilon"])
        variance = self._add("Add", [variance, epsilon], f"{name}:above_zero")
        deviation = self._add("Sqrt", [variance], f"{name}:deviation")
        steps = [("Div", deviation)]
        if "gamma" in node.tensors:
            steps.append(("Mul", self._per_channel(node.tensors["gamma"])))
        if "beta" in node.tensors:
            steps.append(("Add", self._per_channel(node.tensors["beta"])))
        x = centred
        for number, (kind, other) in enumerate(steps, start=1):
            last = number == len(steps)
            x = self._add(kind, [x, other], name if last else f"{name}:{kind.lower()}")

    def on_resize(self, node: Node) -> None:
        """Bring up by a whole number; what is missing is continued by the edge, the rest cut."""
        scale, offset = node.attributes["scale"], node.attributes["offset"]
        found = resize_shift(scale, offset)
        assert found is not None  # such a network can't be made
        half, shift = found
        x, reference = node.inputs
        if scale > 1:
            scales = self._constant(f"scale_{scale}", [1, 1, scale, scale])
            x = self._add(
                "Resize",
                [x, "", scales],
                f"{node.name}:large",
                mode="linear",
                coordinate_transformation_mode="half_pixel" if half else "asymmetric",
            )
        there = self._add("Shape", [x], f"{node.name}:there", start=2)
        wanted = self._add("Shape", [reference], f"{node.name}:wanted", start=2)
        missing = self._add("Sub", [wanted, there], f"{node.name}:missing")
        if shift:
            moved = self._constant(f"cells_{shift}", [shift, shift], np.int64)
            missing = self._add("Add", [missing, moved], f"{node.name}:behind")
        before = self._constant(f"before_{shift}", [0, 0, -shift, -shift, 0, 0], np.int64)
        pads = self._add("Concat", [before, missing], f"{node.name}:pads", axis=0)
        self._add("Pad", [x, pads], node.name, mode="edge")

    # What they are made of.

    def _kernel(self, node: Node) -> str:
        kernel = self._stored(node.tensors["kernel"])
        if self.folder.tensors[kernel].dtype != "I8":
            return kernel
        name = f"{kernel}:expanded"
        if all(name not in made.outputs for made in self.nodes):
            scale = self._stored(scale_of(kernel))
            self._add("DequantizeLinear", [kernel, scale], name, axis=0)
        return name

    def _per_channel(self, tensor: str) -> str:
        """In a shape that is added to a map, or multiplied by it."""
        name = f"{tensor}:channels"
        if all(name not in made.outputs for made in self.nodes):
            shape = self._constant("per_channel", [1, -1, 1, 1], np.int64)
            self._add("Reshape", [self._stored(tensor), shape], name)
        return name

    def _stored(self, name: str) -> str:
        """Refer to a tensor of the safetensors file."""
        entry = self.folder.tensors[name]
        place: dict[str, str | int] = {
            "location": self.folder.tensors_path.name,
            "offset": entry.offset,
            "length": entry.bytes,
        }
        kind = INT8 if entry.dtype == "I8" else FLOAT
        self.tensors[name] = OnnxTensor(kind, tuple(entry.shape), None, place)
        return name

    def _scalar(self, value: float) -> str:
        return self._constant(f"scalar_{value}", value)

    def _constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        self.tensors[name] = tensor_of(np.asarray(value, dtype))
        return name

    def _add(self, kind: str, inputs: Any, output: str, **attributes: Any) -> str:
        self.nodes.append(OnnxNode(kind, tuple(inputs), (output,), attributes))
        return output


def _window(attributes: Any) -> dict[str, Any]:
    padding = attributes["padding"]
    window: dict[str, Any] = {"strides": attributes["strides"]}
    if padding == "same":
        window["auto_pad"] = "SAME_UPPER"
    elif padding != "valid":
        window["pads"] = padding
    return window


def _value(channels: int) -> OnnxValue:
    return OnnxValue(FLOAT, ("batch", channels, "height", "width"))
