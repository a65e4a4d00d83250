"""`kh export`: any model by its name, and a graph that ONNX Runtime runs alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from skimage.color import rgb2lab
from small_models import model_files

from kh_zoo import Colorizer, find_variant
from kh_zoo.catalog.export import export_model
from kh_zoo.catalog.find import find, open_model
from kh_zoo.engines import create_engine
from kh_zoo.errors import HubError, ModelError, VariantError

EXAMPLES = Path(__file__).parents[3] / "examples"
# Nothing of ours, and no framework: who runs the graph has none of them.
ALONE = """
import runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("kh_zoo", "keras_hypercolumns", "keras", "tensorflow", "onnx"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_onnx_runtime_alone_colours_a_photograph(tmp_path):
    export_model("lite", tmp_path / "lite", to="onnx")
    assert (tmp_path / "lite" / "model.onnx").stat().st_size < 100_000
    source = EXAMPLES / "chelsea.jpg"
    command = [EXAMPLES / "onnx_alone.py", tmp_path / "lite" / "model.onnx", source]
    result = subprocess.run(
        [sys.executable, "-c", ALONE, *command, tmp_path / "alone.png"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "ORT_DISABLE_TELEMETRY": "1"},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    alone = rgb2lab(np.asarray(Image.open(tmp_path / "alone.png")))
    gray = np.asarray(Image.open(source).convert("L"))
    # The lightness is that of the picture, as scikit-image has it.
    expected = rgb2lab(np.stack([gray] * 3, -1))[..., 0]
    assert np.median(np.abs(alone[..., 0] - expected)) < 0.5
    # The colour is that of `kh`, but for how it is brought up.
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Colorizer("lite").colorize_file(tmp_path / "gray.png", tmp_path / "ours.png")
    ours = rgb2lab(np.asarray(Image.open(tmp_path / "ours.png")))
    assert np.abs(alone - ours)[..., 1:].mean() < 1.5
    assert np.abs(ours[..., 1:]).mean() > 5


def predict(model):
    folder, head = open_model(model)
    lightness = np.random.default_rng(1).uniform(0, 100, (64, 48))
    return create_engine("onnx", folder, head).predict_ab(lightness)


def test_a_variant_by_its_name(tmp_path):
    export_model("relu3to5", tmp_path / "int8")
    np.testing.assert_array_equal(predict(tmp_path / "int8"), predict("relu3to5"))
    table = json.loads((tmp_path / "int8" / "config.json").read_text())
    assert list(table["heads"]) == ["relu3to5"]
    assert not (tmp_path / "int8" / "model.onnx").exists()
    # All variants of a folder, one of them, and in full precision.
    bundle = find_variant("relu3to5").folder
    export_model(bundle, tmp_path / "all")
    assert (tmp_path / "all" / "model.safetensors").read_bytes() == (
        bundle / "model.safetensors"
    ).read_bytes()
    export_model(bundle / "pool1to4", tmp_path / "float32", "float32")
    tensors = load_file(tmp_path / "float32" / "model.safetensors")
    assert {value.dtype for value in tensors.values()} == {np.dtype("float32")}
    np.testing.assert_allclose(predict(tmp_path / "float32"), predict("pool1to4"), atol=2e-3)


def test_a_vivid_head_goes_with_its_variant(tmp_path):
    export_model("lite", tmp_path / "lite")
    assert open_model(tmp_path / "lite")[0].config.vivid_head("lite") == "lite-vivid"


@pytest.mark.parametrize("to", ["keras", "", "ONNX"])
def test_formats_that_are_none(tmp_path, to):
    with pytest.raises(ModelError, match="`to` should be one of"):
        export_model("lite", tmp_path, to=to)


# Paths that are mistyped


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_files(tmp_path / "runs" / "etchings" / "model")
    (tmp_path / "runs" / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("runs/etching", r"there is no folder runs/etching\. Did you mean 'etchings'\?"),
        ("runs/xyz", "there is no folder runs/xyz"),
        ("./runs/etching", "Did you mean 'etchings'"),
        ("runs/empty", r"runs/empty has no `config.json`, and no `model/config.json`"),
        ("rums/etchings/model", "there is no folder rums/etchings"),
        ("/nowhere/at/all", "there is no folder /nowhere/at"),
        ("~/models/mine", "there is no folder ~/models"),
        ("lit", "Did you mean 'lite'"),
    ],
)
def test_mistyped_paths(runs, path, message):
    with pytest.raises(VariantError, match=message) as caught:
        find(path)
    assert "\n" not in str(caught.value)


def test_what_is_meant_for_the_hub(runs, hub, tmp_path):
    hub.put("runs/etching", model_files(tmp_path / "made"))
    assert find("hf://runs/etching").where == "remote"
    assert find("runs/etching@main").where == "remote"
    assert find("runs/etchings").where == "path"
    # Where neither is there, both are said.
    there = r"^ada/x: there is no folder of that name here, and on the Hub: "
    with pytest.raises(HubError, match=there):
        Colorizer("ada/x")
