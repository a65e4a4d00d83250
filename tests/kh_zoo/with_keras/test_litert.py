"""The file for LiteRT, run by its interpreter, gives what ONNX Runtime gives."""

import keras
import numpy as np
import pytest

from kh_zoo.catalog.find import open_model
from kh_zoo.engines.onnx_engine import OnnxEngine
from kh_zoo.errors import EngineError
from kh_zoo.with_keras.litert import export_litert


def run(path, lightness):
    tensorflow = pytest.importorskip("tensorflow")
    interpreter = tensorflow.lite.Interpreter(str(path))
    [given], [found] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], (1, *lightness.shape, 1))
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], lightness[None, ..., None])
    interpreter.invoke()
    return interpreter.get_tensor(found["index"])[0]


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow writes it")
@pytest.mark.parametrize("name", ["model", pytest.param("lite", marks=pytest.mark.long)])
def test_sizes_are_free(name, request, tmp_path, random):
    model = request.getfixturevalue("model") if name == "model" else name
    path = export_litert(model, tmp_path / "phone")
    engine = OnnxEngine(*open_model(model))
    for shape in ((64, 96), (48, 32)):
        lightness = random.uniform(0, 100, shape).astype("float32")
        expected = engine.predict_ab(lightness)
        np.testing.assert_allclose(run(path, lightness), expected, rtol=0, atol=1e-3)
    assert np.abs(expected).max() > 1, "else this test says nothing"


def test_another_backend_is_told_of(monkeypatch, model, tmp_path):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(EngineError, match=r"KERAS_BACKEND=tensorflow.*Received: jax"):
        export_litert(model, tmp_path)
