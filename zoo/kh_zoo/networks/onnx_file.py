"""ONNX files, written: the few messages of their protocol buffers that our graphs have.

The package `onnx` would bring 30 MB, and take a tenth of a second at each start, to write the same
bytes. What the fields are called and numbered is in its `onnx.proto`.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7
"""Types of numbers, as ONNX counts them."""
IR_VERSION, OPSET = 10, 20
_TYPES = {"float32": FLOAT, "uint8": UINT8, "int8": INT8, "int32": INT32, "int64": INT64}
_EXTERNAL = 1
_OF_FLOAT, _OF_INT, _OF_STRING, _OF_FLOATS, _OF_INTS = 1, 2, 3, 6, 7
"""Kinds of attributes."""


@dataclass(frozen=True)
class OnnxNode:
    """One operator.

    Args:
        kind: Such as `"Conv"`.
        inputs: Names of what it reads; `""` for one that is left out.
        outputs: Names of what it makes.
        attributes: Whole numbers, floats, texts, or lists of numbers.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class OnnxTensor:
    """A constant, within the file or in another one.

    Args:
        type: Of its numbers, such as `FLOAT`.
        shape: Its sides.
        content: Its numbers in little endian; None if they are elsewhere.
        place: Of one that is elsewhere: `location`, `offset` and `length`.
    """

    type: int
    shape: tuple[int, ...]
    content: bytes | None
    place: Mapping[str, str | int]


@dataclass(frozen=True)
class OnnxValue:
    """An input or an output.

    Args:
        type: Of its numbers, such as `FLOAT`.
        shape: Its sides; a text names one that may be any.
    """

    type: int
    shape: tuple[str | int, ...]


@dataclass(frozen=True)
class OnnxGraph:
    """A graph, ready to be written.

    Example:

    >>> from kh_zoo.networks.onnx_file import FLOAT, OnnxGraph, OnnxNode, OnnxValue
    >>> import numpy as np
    >>> import onnxruntime
    >>> double = OnnxNode("Add", ("x", "x"), ("y",), {})
    >>> x = OnnxValue(FLOAT, ("n",))
    >>> content = OnnxGraph("double", (double,), {"x": x}, {"y": x}, {}).to_bytes()
    >>> session = onnxruntime.InferenceSession(content)
    >>> session.run(None, {"x": np.array([1.5], "float32")})[0].tolist()
    [3.0]

    Args:
        name: Of the graph.
        nodes: Each reads what is an input, a tensor, or made before it.
        inputs: By name.
        outputs: By name.
        tensors: By name.
    """

    name: str
    nodes: tuple[OnnxNode, ...]
    inputs: Mapping[str, OnnxValue]
    outputs: Mapping[str, OnnxValue]
    tensors: Mapping[str, OnnxTensor]

    def to_bytes(self) -> bytes:
        """The bytes of an ONNX file of opset 20, the same ones each time."""
        graph = b"".join(
            (
                *(_bytes(1, _node(node)) for node in self.nodes),
                _bytes(2, self.name),
                *(_bytes(5, _tensor(name, one)) for name, one in self.tensors.items()),
                *(_bytes(11, _value(name, one)) for name, one in self.inputs.items()),
                *(_bytes(12, _value(name, one)) for name, one in self.outputs.items()),
            )
        )
        opset = _bytes(1, "") + _whole(2, OPSET)
        return _whole(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, opset)


def tensor_of(value: Any) -> OnnxTensor:
    """A constant of an array, or of what becomes one."""
    array = np.asarray(value)
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return OnnxTensor(_TYPES[array.dtype.name], array.shape, little.tobytes(), {})


def _node(node: OnnxNode) -> bytes:
    parts = [_bytes(1, name) for name in node.inputs]
    parts += [_bytes(2, name) for name in node.outputs]
    parts.append(_bytes(4, node.kind))
    parts += [_bytes(5, _attribute(*one)) for one in sorted(node.attributes.items())]
    return b"".join(parts)


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        content, kind = _bytes(4, value), _OF_STRING
    elif isinstance(value, float):
        content, kind = _float(2, value), _OF_FLOAT
    elif isinstance(value, int):
        content, kind = _whole(3, value), _OF_INT
    elif any(isinstance(one, float) for one in value):
        content, kind = b"".join(_float(7, one) for one in value), _OF_FLOATS
    else:
        content, kind = _wholes(8, value), _OF_INTS
    return _bytes(1, name) + content + _whole(20, kind)


def _tensor(name: str, tensor: OnnxTensor) -> bytes:
    content = _wholes(1, tensor.shape) + _whole(2, tensor.type) + _bytes(8, name)
    if tensor.content is not None:
        return content + _bytes(9, tensor.content)
    place = (_bytes(1, key) + _bytes(2, str(value)) for key, value in tensor.place.items())
    return content + b"".join(_bytes(13, entry) for entry in place) + _whole(14, _EXTERNAL)


def _value(name: str, value: OnnxValue) -> bytes:
    sides = (_bytes(2, x) if isinstance(x, str) else _whole(1, x) for x in value.shape)
    shape = b"".join(_bytes(1, side) for side in sides)
    return _bytes(1, name) + _bytes(2, _bytes(1, _whole(1, value.type) + _bytes(2, shape)))


# Fields by their number: whole numbers in groups of seven bits, four bytes of a float, and the
# length before anything longer.


def _whole(field: int, value: int) -> bytes:
    return _groups(field << 3) + _groups(value % 2**64)


def _wholes(field: int, values: Iterable[int]) -> bytes:
    return b"".join(_whole(field, int(value)) for value in values)


def _float(field: int, value: float) -> bytes:
    return _groups(field << 3 | 5) + struct.pack("<f", value)


def _bytes(field: int, value: str | bytes) -> bytes:
    content = value.encode("utf-8") if isinstance(value, str) else value
    return _groups(field << 3 | 2) + _groups(len(content)) + content


def _groups(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
