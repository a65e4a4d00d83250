"""What is written, against the package `onnx`, which reads it, checks it and writes it again."""

import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kh_zoo.catalog.find import open_model
from kh_zoo.networks import onnx_file
from kh_zoo.networks.onnx_file import OnnxGraph, OnnxNode, OnnxTensor, OnnxValue, tensor_of
from kh_zoo.networks.onnx_graph import onnx_graph

TYPES = ("FLOAT", "UINT8", "INT8", "INT32", "INT64")
ATTRIBUTES = {
    "whole": 3,
    "negative": -1,
    "large": 2**40,
    "real": 1 / 6,
    "text": "half_pixel ü",
    "wholes": [0, 0, 128, -2],
    "reals": [0.25, -1e-3],
    "none": [],
}


def test_types_are_those_of_onnx():
    for name in TYPES:
        assert getattr(onnx_file, name) == getattr(TensorProto, name)


def test_the_bytes_are_those_of_the_package():
    arrays = {
        "a scalar": np.float32(0.0031308),
        "small": np.arange(6, dtype="int8").reshape(1, 2, 3) - 3,
        "whole": np.array([-1, 2**40]),
        "empty": np.zeros((0, 4), "float32"),
        "levels": np.arange(200, dtype="uint8"),
        "backwards": np.arange(4, dtype="int32")[::-1],
        "big endian": np.arange(3, dtype=">f4"),
    }
    outside = {"location": "model.safetensors", "offset": 4096, "length": 576}
    graph = OnnxGraph(
        "a graph",
        (
            OnnxNode("Conv", ("x", "", "whole"), ("y", "z"), ATTRIBUTES),
            OnnxNode("Relu", ("y",), ("v",), {}),
        ),
        {"x": OnnxValue(onnx_file.FLOAT, ("batch", 1, "height", 70_000)), "n": OnnxValue(7, ())},
        {"v": OnnxValue(onnx_file.UINT8, (2,))},
        {
            **{name: tensor_of(array) for name, array in arrays.items()},
            "outside": OnnxTensor(onnx_file.INT8, (64, 1, 3, 3), None, outside),
        },
    )
    there = TensorProto(
        name="outside", data_type=TensorProto.INT8, dims=(64, 1, 3, 3), data_location=1
    )
    for key, value in outside.items():
        there.external_data.add(key=key, value=str(value))
    attributes = {**ATTRIBUTES, "none": helper.make_attribute("none", [], attr_type=7)}
    node = helper.make_node("Conv", ["x", "", "whole"], ["y", "z"])
    node.attribute.extend(
        value if isinstance(value, onnx.AttributeProto) else helper.make_attribute(name, value)
        for name, value in sorted(attributes.items())
    )
    expected = helper.make_model(
        helper.make_graph(
            [node, helper.make_node("Relu", ["y"], ["v"])],
            "a graph",
            [
                helper.make_tensor_value_info("x", 1, ["batch", 1, "height", 70_000]),
                helper.make_tensor_value_info("n", 7, []),
            ],
            [helper.make_tensor_value_info("v", 2, [2])],
            initializer=[
                *(
                    numpy_helper.from_array(np.asarray(array, np.asarray(array).dtype.name), name)
                    for name, array in arrays.items()
                ),
                there,
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    assert graph.to_bytes() == expected.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", ["lite", "lite-vivid", "relu1to5", "full", "pool1to4"])
def test_the_package_finds_nothing_wrong_and_writes_the_same(name, tmp_path):
    folder, _ = open_model(name.removesuffix("-vivid"))
    content = onnx_graph(folder, name).to_bytes()
    read = onnx.load_model_from_string(content)
    assert read.SerializeToString(deterministic=True) == content
    # The checker looks for the weights beside the graph.
    shutil.copy(folder.tensors_path, tmp_path)
    (tmp_path / "model.onnx").write_bytes(content)
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
