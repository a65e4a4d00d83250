"""`device`: what is asked for is what is used, or an error says what there is."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from kh_zoo import Colorizer
from kh_zoo.engines.keras_engine import KerasEngine
from kh_zoo.errors import EngineError

KH = Path(sys.executable).with_name("kh")
LIGHTNESS = np.linspace(0, 100, 32 * 32).reshape(32, 32)


def test_the_processor_by_name_computes_what_it_does_by_default():
    by_name, by_default = Colorizer(device="cpu").engine, Colorizer().engine
    assert by_name.device == by_default.device == "cpu"
    np.testing.assert_array_equal(by_name.predict_ab(LIGHTNESS), by_default.predict_ab(LIGHTNESS))


@pytest.mark.parametrize(
    ("engine", "device", "words"),
    [
        (None, "gpus", "'gpu:1'. Received: 'gpus'"),
        ("onnx", "gpu", "onnxruntime-gpu"),
        ("keras", "gpu:7", f"finds with {keras.config.backend()}: cpu. Received: 'gpu:7'"),
    ],
)
def test_a_device_that_is_not_there_is_refused(engine, device, words):
    with pytest.raises(EngineError, match=r"`device` should be ") as caught:
        Colorizer(engine=engine, device=device)
    assert words in str(caught.value)


def test_a_gpu_that_does_not_start_is_the_processor_only_by_default(monkeypatch):
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    # ONNX Runtime's own words, for there is no CUDA in it.
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        assert Colorizer().engine.device == "cpu"
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(EngineError, match="`device` should be 'cpu' here"),
    ):
        Colorizer(device="gpu:0")


def test_keras_builds_and_predicts_on_the_device(monkeypatch):
    scopes = []

    def device(name):
        scopes.append(name)
        return keras_device("cpu:0")

    keras_device = keras.device
    monkeypatch.setattr(keras, "device", device)
    monkeypatch.setattr("kh_zoo.engines.keras_engine._gpus", lambda: ["gpu:0", "gpu:1"])
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Concatenate()([inputs, inputs]))
    engine = KerasEngine(lambda: model, "gpu:1")
    ab = engine.predict_ab(LIGHTNESS)
    assert (engine.device, scopes) == ("gpu:1", ["gpu:1", "gpu:1"])
    np.testing.assert_allclose(ab, np.stack([LIGHTNESS] * 2, -1), rtol=1e-6)


def test_the_command_says_what_it_used(tmp_path):
    example = Path(__file__).parents[3] / "examples" / "coffee.jpg"
    command = [str(KH), "colorize", str(example), "-o", str(tmp_path / "out.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 coloured in" in done.stderr
    assert done.stderr.rstrip().endswith(" s on cpu")
    wrong = subprocess.run(
        [*command, "--overwrite", "--device", "gpu"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(
        "Error: `--device` should be 'cpu' here: ONNX Runtime finds no GPU"
    )
    assert wrong.stderr.count("\n") == 1
