"""The ONNX graph of a model folder, built from its checked configuration."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kh_zoo.model_folder import (
    AB_SCALE,
    LIGHTNESS_OFFSET,
    LIGHTNESS_SCALE,
    VIVID_STRIDE,
    ModelFolder,
    Tap,
)

OPSET = 18


def onnx_graph(folder: ModelFolder, head: str) -> onnx.ModelProto:
    """Build the graph of one variant: L `(batch, 1, height, width)` in, AB of 2 channels out.

    Each tap is projected at its own size, taps of one stride are added, and each sum is upsampled
    by its stride; an odd last row or column, which a pooling dropped, is continued by the edge.
    A vivid head does so on cells of 4 x 4 pixels, to which finer taps are averaged, and brings up
    the mean of its colours.
    The weights stay in the safetensors file, as external data.

    Example:

    >>> from kh_zoo.catalog import find_variant
    >>> from kh_zoo.model_folder import open_model_folder
    >>> folder = open_model_folder(find_variant("pool1to4").folder)
    >>> graph = onnx_graph(folder, "pool1to4").graph
    >>> sum(node.op_type == "Conv" for node in graph.node)
    16

    Args:
        folder: Of `open_model_folder`.
        head: One of its variants.

    Returns:
        An `onnx.ModelProto`.
    """
    return _Builder(folder, head).build()


class _Builder:
    def __init__(self, folder: ModelFolder, head: str) -> None:
        self.folder, self.config, self.head = folder, folder.config, head
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []

    def build(self) -> onnx.ModelProto:
        config = self.config
        x = self._gray() if config.input == "gray" else self._scaled()
        maps = {}
        for layer in config.layers([self.head]):
            if layer.startswith("pool"):
                kind = "AveragePool" if config.pooling == "average" else "MaxPool"
                x = maps[layer] = self._node(kind, x, kernel_shape=[2, 2], strides=[2, 2])
                continue
            x = maps[layer] = self._node(
                "Conv", x, self._kernel(layer), self._stored(f"{layer}.bias"), pads=[1, 1, 1, 1]
            )
            x = maps[layer.replace("conv", "relu")] = self._node("Relu", x)
        if self.head in config.vivid:
            cells = self._average("lightness", VIVID_STRIDE)
            scores = self._head(maps, cells, VIVID_STRIDE)
            shares = self._node("Softmax", scores, axis=1)
            mean = self._node("Conv", shares, self._stored(f"{self.head}.bins"))
            self._upsample(mean, VIVID_STRIDE, "lightness", output="ab")
        else:
            total = self._head(maps, "lightness", 1)
            self._node("Mul", total, self._scalar(AB_SCALE), output="ab")
        graph = helper.make_graph(
            self.nodes,
            self.head,
            [_value("lightness", 1)],
            [_value("ab", 2)],
            initializer=self.initializers,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9
        )

    def _scaled(self) -> str:
        """L in -1..1."""
        return self._linear("lightness", LIGHTNESS_SCALE, LIGHTNESS_OFFSET)

    def _gray(self) -> str:
        """The sRGB grey value of L, 0..255, as the layer `LightnessToGray` computes it."""
        f = self._linear("lightness", 1 / 116, 16 / 116)
        cube = self._node("Pow", f, self._scalar(3))
        luminance = self._above(f, 0.2068966, cube, self._linear(f, 1 / 7.787, -16 / 116 / 7.787))
        power = self._node("Max", luminance, self._scalar(0.0031308))
        power = self._node("Pow", power, self._scalar(1 / 2.4))
        curve, line = self._linear(power, 1.055, -0.055), self._linear(luminance, 12.92, 0)
        gray = self._above(luminance, 0.0031308, curve, line)
        gray = self._node("Clip", gray, self._scalar(0), self._scalar(1))
        return self._linear(gray, 255, 0)

    def _linear(self, x: str, factor: float, offset: float) -> str:
        x = self._node("Mul", x, self._scalar(factor))
        return self._node("Add", x, self._scalar(offset)) if offset else x

    def _above(self, x: str, threshold: float, above: str, below: str) -> str:
        """`above` where `x` is above `threshold`, else `below`."""
        return self._node("Where", self._node("Greater", x, self._scalar(threshold)), above, below)

    def _head(self, maps: Mapping[str, str], reference: str, pixels: int) -> str:
        """The head, on cells of some pixels, of which `reference` has as many."""
        by_stride: dict[int, list[str]] = {}
        for tap in self.config.heads[self.head]:
            stride = Tap(tap).stride
            x = self._average(maps[tap], pixels // stride) if stride < pixels else maps[tap]
            x = self._node("Conv", x, self._kernel(f"{self.head}.{tap}"))
            by_stride.setdefault(max(stride // pixels, 1), []).append(x)
        parts = []
        for stride, projected in by_stride.items():
            x = projected[0]
            for other in projected[1:]:
                x = self._node("Add", x, other)
            parts.append(x if stride == 1 else self._upsample(x, stride, reference))
        total = parts[0]
        for part in parts[1:]:
            total = self._node("Add", total, part)
        return self._node("Add", total, self._bias())

    def _average(self, x: str, cells: int) -> str:
        return self._node("AveragePool", x, kernel_shape=[cells] * 2, strides=[cells] * 2)

    def _upsample(self, x: str, stride: int, reference: str, output: str | None = None) -> str:
        scales = self._constant(f"stride_{stride}", [1, 1, stride, stride])
        x = self._node(
            "Resize",
            x,
            "",
            scales,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        missing = self._node("Sub", self._shape(reference), self._shape(x))
        zeros = self._constant("no_pads", [0] * 6, np.int64)
        pads = self._node("Concat", zeros, missing, axis=0)
        return self._node("Pad", x, pads, mode="edge", output=output)

    def _shape(self, x: str) -> str:
        """Height and width of `x`, in the graph."""
        return self._node("Shape", x, start=2)

    def _kernel(self, layer: str) -> str:
        kernel = self._stored(f"{layer}.kernel")
        if self.folder.tensors[kernel].dtype != "I8":
            return kernel
        return self._node("DequantizeLinear", kernel, self._stored(f"{layer}.scale"), axis=0)

    def _bias(self) -> str:
        """The head's bias, in a shape that is added to a map."""
        shape = self._constant("per_channel", [1, -1, 1, 1], np.int64)
        return self._node("Reshape", self._stored(f"{self.head}.bias"), shape)

    def _stored(self, name: str) -> str:
        """Refer to a tensor of the safetensors file."""
        entry = self.folder.tensors[name]
        tensor = TensorProto(
            name=name,
            data_type=TensorProto.INT8 if entry.dtype == "I8" else TensorProto.FLOAT,
            dims=entry.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (
            ("location", self.folder.tensors_path.name),
            ("offset", entry.offset),
            ("length", entry.bytes),
        ):
            tensor.external_data.add(key=key, value=str(value))
        self.initializers.append(tensor)
        return name

    def _scalar(self, value: float) -> str:
        return self._constant(f"scalar_{value}", value)

    def _constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        if all(tensor.name != name for tensor in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def _node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output


def _value(name: str, channels: int) -> onnx.ValueInfoProto:
    shape: list[str | int] = ["batch", channels, "height", "width"]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
