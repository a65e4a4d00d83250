"""The graph of a whole picture, against the way that `kh colorize` goes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from skimage import data

from kh_zoo import Colorizer
from kh_zoo.catalog import find_variant
from kh_zoo.networks.model_folder import open_model_folder
from kh_zoo.networks.whole_graph import whole_graph


@pytest.fixture(scope="module")
def session():
    model = whole_graph(open_model_folder(find_variant("lite").folder), "lite")
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
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
    model = whole_graph(folder, "lite-vivid", size=64).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"picture": pixels, "saturation": AS_IT_IS})
    assert np.abs(got - wanted).max() <= 1
