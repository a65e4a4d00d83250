"""What no colour can be fails, whatever the engine; no black picture is written."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import camera

from kh_zoo import Colorizer
from kh_zoo.engines.predict import predict_ab
from kh_zoo.errors import PictureError, PredictionError
from kh_zoo.networks.model_folder import vgg19_config
from kh_zoo.networks.tensors import quantize, write_model_folder

SHAPE = (48, 64)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(camera()[:48, :64]).save(path)
    return path


class Given:
    """An engine that gives what it is told to."""

    def __init__(self, ab):
        self.ab = ab

    def predict_ab(self, lightness):
        return self.ab


def spoilt(value, share):
    ab = np.full((*SHAPE, 2), 12.0, "float32")
    ab.reshape(-1)[: max(1, int(ab.size * share))] = value
    return ab


@pytest.mark.parametrize("share", [0, 0.01, 1])
@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, 3e38, -1e30, 3e15, 1e6, 501], ids=lambda v: f"{v:g}"
)
def test_values_that_no_colour_has(value, share):
    with pytest.raises(PredictionError, match="the model predicts no colours"):
        predict_ab(Given(spoilt(value, share)), np.zeros(SHAPE, "float32"))


@pytest.mark.parametrize(
    "given",
    [
        None,
        "blue",
        [[1.0], [2.0, 3.0]],
        np.zeros(SHAPE),
        np.zeros((2, *SHAPE)),
        np.zeros((*SHAPE[::-1], 2)),
        np.zeros((*SHAPE, 3)),
        np.zeros((*SHAPE, 2), complex),
        np.zeros((*SHAPE, 2), object),
        np.zeros((*SHAPE, 2), bool),
        np.zeros((0, 0, 2)),
    ],
    ids=lambda given: (
        f"{type(given).__name__} {np.shape(given) if hasattr(given, 'shape') else ''}"
    ),
)
def test_things_that_are_no_colours(given):
    with pytest.raises(PredictionError, match=r"should give numbers \(48, 64, 2\)\. Received: "):
        predict_ab(Given(given), np.zeros(SHAPE, "float32"))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int8", "int32"])
def test_colours_are_taken_as_they_are(kind):
    ab = np.arange(-96, 96).repeat(32).reshape(*SHAPE, 2).astype(kind)
    assert (predict_ab(Given(ab), np.zeros(SHAPE, "float32")) == ab).all()


def model(folder, value, int8):
    """A model one of whose kernels, or its scales, is of that value."""
    config = vgg19_config(pooling="average", size=64, heads={"tiny": ("relu1_2",)})
    random = np.random.default_rng(0)
    tensors = {
        name: random.normal(0, 0.02, shape).astype("float32")
        for name, shape in config.tensor_shapes().items()
    }
    if int8:
        tensors = quantize(tensors)
    name = next(key for key in sorted(tensors) if key.endswith(".scale" if int8 else ".kernel"))
    tensors[name] = np.full_like(tensors[name], value)
    write_model_folder(folder, config, tensors)
    return folder


# With 3e38 TensorFlow's ReLU makes zeros of what is not finite.
@pytest.mark.parametrize(("engine", "value"), [("onnx", 3e38), ("onnx", 1e12), ("keras", 1e12)])
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_finite_weights_that_give_no_colours_write_no_picture(tmp_path, photo, engine, int8, value):
    colorizer = Colorizer(model(tmp_path / "model", value, int8), engine=engine)
    target = tmp_path / "out.png"
    with pytest.raises(PictureError, match="its weights are damaged"):
        colorizer.colorize_file(photo, target)
    with pytest.raises(PictureError, match="its weights are damaged"):
        colorizer.colorize(photo)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "model"]
