"""The graph of a whole picture, against the way that `kh colorize` goes."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from PIL import Image
from skimage import data

from kh_zoo import Colorizer
from kh_zoo.catalog import find_variant
from kh_zoo.networks.model_folder import open_model_folder
from kh_zoo.networks.whole_graph import whole_graph


@pytest.fixture(scope="module")
def graph():
    content = whole_graph(open_model_folder(find_variant("lite").folder), "lite").to_bytes()
    return onnx.load_model_from_string(content)


@pytest.fixture(scope="module")
def session(graph):
    onnx.checker.check_model(graph)
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="module")
def colorizer():
    return Colorizer("lite")


def pictures():
    rocket = data.rocket()
    yield "RGB", data.astronaut()
    yield "a size that 16 does not divide", data.coffee()[:397, :601]
    yield "grey", data.camera()[..., None]
    yield "fine texture", data.brick()[..., None]
    yield "large", np.asarray(Image.fromarray(rocket).resize((1500, 1000)))
    yield "a strip", rocket[200:217]
    yield "a column", np.ascontiguousarray(rocket[:, 300:320])
    yield "black", np.zeros((33, 40, 1), np.uint8)
    yield "white", np.full((64, 64, 3), 255, np.uint8)
    yield "one pixel", data.coffee()[:1, :1]


PICTURES = dict(pictures())
AS_IT_IS = np.ones(1, np.float32)


@pytest.mark.parametrize("pixels", list(PICTURES.values()), ids=list(PICTURES))
def test_is_within_one_level_of_kh_colorize(session, colorizer, tmp_path, pixels):
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
        tmp_path / "a.png"
    )
    wanted = colorizer.colorize(tmp_path / "a.png").numpy().astype(int)
    (got,) = session.run(None, {"picture": pixels, "saturation": AS_IT_IS})
    assert got.dtype == np.uint8
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= 1


@pytest.mark.parametrize("size", [(1301, 867), (1536, 1024), (1150, 1066)])
def test_a_large_jpeg_that_is_decoded_small_for_the_network(session, colorizer, tmp_path, size):
    image = Image.fromarray(data.coffee()).resize(size)
    image.save(tmp_path / "a.jpg", quality=95)
    pixels = np.asarray(Image.open(tmp_path / "a.jpg"))
    wanted = colorizer.colorize(tmp_path / "a.jpg").numpy().astype(int)
    (got,) = session.run(None, {"picture": pixels, "saturation": AS_IT_IS})
    # The graph reduces all pixels, where libjpeg leaves out half of them first.
    differences = np.abs(got - wanted)
    assert differences.max() <= 2
    assert (differences > 1).mean() < 1e-3


def test_sizes_from_one_pixel_on(session, colorizer, tmp_path):
    sides = (1, 3, 15, 16, 17)
    for height, width in [*((h, w) for h in sides for w in sides), (1, 700), (700, 1)]:
        channels = 1 if width == 3 else 3
        pixels = data.rocket()[150 : 150 + height, :width]
        pixels = np.resize(pixels, (height, width, 3))[..., :channels]
        Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels).save(tmp_path / "a.png")
        wanted = colorizer.colorize(tmp_path / "a.png").numpy().astype(int)
        (got,) = session.run(None, {"picture": pixels, "saturation": AS_IT_IS})
        assert got.shape == (height, width, 3)
        assert np.abs(got - wanted).max() <= 1, (height, width)


def test_saturation_is_a_factor_on_the_colours(session, tmp_path):
    pixels = data.coffee()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    wanted = Colorizer("lite", saturation=1.7).colorize(tmp_path / "a.png").numpy().astype(int)
    (got,) = session.run(None, {"picture": pixels, "saturation": np.array([1.7], np.float32)})
    assert np.abs(got - wanted).max() <= 1
    (gray,) = session.run(None, {"picture": pixels, "saturation": np.array([0], np.float32)})
    assert np.ptp(gray.astype(int), axis=-1).max() <= 1


def test_another_head_and_size(tmp_path):
    pixels = np.ascontiguousarray(data.coffee()[::2, ::2])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    colorizer = Colorizer("lite", vivid=True, size=64)
    wanted = colorizer.colorize(tmp_path / "a.png").numpy().astype(int)
    folder = open_model_folder(find_variant("lite").folder)
    model = whole_graph(folder, "lite-vivid", size=64).to_bytes()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"picture": pixels, "saturation": AS_IT_IS})
    assert np.abs(got - wanted).max() <= 1


FLOAT = {TensorProto.FLOAT}
SIGNED = {TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32}
NUMBER = {*SIGNED, TensorProto.UINT8}
ANY = {*NUMBER, TensorProto.BOOL}
# Of docs/OperatorKernels.md in ONNX Runtime's repository, below DmlExecutionProvider: the version
# of each operator that belongs to opset 20, and what its tensors may hold of what is met here.
# ONNX Runtime Web has all that is listed there below CPUExecutionProvider, which runs it above.
DIRECTML = {
    **dict.fromkeys(("Abs", "Ceil", "Floor", "MatMul", "Sqrt"), (13, FLOAT)),
    **{"AveragePool": (19, FLOAT), "Conv": (11, FLOAT), "DequantizeLinear": (19, FLOAT)},
    **{"Pow": (15, FLOAT), "ReduceMean": (18, FLOAT), "ReduceSum": (13, FLOAT)},
    **{"Relu": (14, FLOAT), "Resize": (19, FLOAT), "Round": (11, FLOAT), "Sin": (7, FLOAT)},
    **{"Neg": (13, SIGNED), "Range": (11, SIGNED)},
    **dict.fromkeys(("Add", "Div", "Mul", "Sub"), (14, NUMBER)),
    **dict.fromkeys(("Clip", "Max", "Min"), (13, NUMBER)),
    **{"Equal": (19, NUMBER), "Greater": (13, NUMBER), "Less": (13, NUMBER)},
    "GreaterOrEqual": (16, NUMBER),
    **dict.fromkeys(("Concat", "Gather", "Slice", "Squeeze", "Transpose", "Unsqueeze"), (13, ANY)),
    **dict.fromkeys(("Cast", "Identity", "Pad", "Reshape", "Shape"), (19, ANY)),
    **{"Split": (18, ANY), "Where": (16, ANY)},
}


def test_directml_has_its_operators(graph):
    known = onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*known.input, *known.value_info, *known.output)
    }
    types |= {tensor.name: tensor.data_type for tensor in known.initializer}
    [opset] = graph.opset_import
    assert (opset.domain, opset.version) == ("", 20)
    for node in known.node:
        assert node.domain == ""
        version, held = DIRECTML[node.op_type]
        assert onnx.defs.get_schema(node.op_type, opset.version).since_version == version, node
        compared = node.op_type in ("Equal", "Greater", "GreaterOrEqual", "Less")
        told = node.input if compared else node.output
        assert {types[name] for name in told} <= held, node


MEMORY = """if True:
    import resource, sys
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (3000, 4000, int(sys.argv[2])), np.uint8)
    [colored] = session.run(None, {"picture": picture, "saturation": np.float32([1])})
    assert colored.shape == (3000, 4000, 3)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


@pytest.mark.long
@pytest.mark.parametrize("channels", ["1", "3"])
def test_twelve_megapixels_take_less_than_a_gigabyte(graph, tmp_path, channels):
    """The whole process, Python and the picture included."""
    path = tmp_path / "model.onnx"
    onnx.save(graph, path)
    command = [sys.executable, "-c", MEMORY, str(path), channels]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    print(f"{float(ended.stdout):.2f} GB")
    assert float(ended.stdout) < 1
