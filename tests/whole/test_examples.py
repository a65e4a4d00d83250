"""The scripts in `examples/` run, learn, and give twins that equal what was trained."""

import json
import re
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_hypercolumns import HyperColumnProjection
from kh_zoo.batches.plan import plan_batch

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, steps):
    return runpy.run_path(str(EXAMPLES / name))["main"](steps=steps)


def printed_difference(capsys):
    """The largest difference between the trained model and its twin, as the script prints it."""
    return float(re.search(r"at most (\S+)", capsys.readouterr().out)[1])


@pytest.mark.long
def test_segmentation_learns_at_points_and_labels_every_pixel(capsys):
    result = run("segmentation.py", 20)
    assert np.mean(result["losses"][-3:]) < 0.9 * result["losses"][0]
    assert 0.4 < result["majority"] < 0.9
    assert printed_difference(capsys) < 1e-4
    twin = result["twin"]
    assert isinstance(twin.get_layer("classes"), HyperColumnProjection)
    assert twin.output_shape == (None, 64, 64, 3)


@pytest.mark.long
def test_normals_are_better_than_the_wall(capsys, random):
    result = run("normals.py", 80)
    assert result["losses"][-1] < result["losses"][0]
    assert result["error"] < result["wall"]
    assert printed_difference(capsys) < 1e-4
    model, twin = result["model"], result["twin"]
    kinds = [type(twin.get_layer(name)).__name__ for name in ("hidden", "normal")]
    assert kinds == ["HyperColumnProjection", "Conv2D"]
    # At another size than that of the training, and an odd one.
    picture = random.uniform(size=(1, 21, 27, 1)).astype("float32")
    found, expected = (
        keras.ops.convert_to_numpy(network(picture, training=False)) for network in (twin, model)
    )
    assert found.shape == (1, 21, 27, 3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    ["segmentation_from_200_pixels", pytest.param("what_layers_see", marks=pytest.mark.long)],
)
def test_a_notebook_prints_what_it_shows(name, monkeypatch, capsys):
    monkeypatch.chdir(EXAMPLES)
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text("utf-8"))
    namespace, pictures = {}, 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        exec(compile("".join(cell["source"]), name, "exec"), namespace)
        outputs = cell["outputs"]
        shown = "".join("".join(x["text"]) for x in outputs if x["output_type"] == "stream")
        printed = capsys.readouterr().out
        number = r"\d+"
        assert re.split(number, printed) == re.split(number, shown)
        found, expected = (
            [float(n) for n in re.findall(number, text)] for text in (printed, shown)
        )
        # Another processor adds up in another order.
        assert found == pytest.approx(expected, rel=0.05)
        pictures += sum("image/jpeg" in x.get("data", {}) for x in outputs)
    assert pictures >= 2


def test_the_scripts_are_no_pictures(tmp_path):
    """`kh colorize examples/` finds the pictures, and nothing else."""
    plan = plan_batch([EXAMPLES], output=tmp_path / "color")
    assert [job.source.name for job in plan.jobs] == ["chelsea.jpg", "coffee.jpg", "rocket.jpg"]
    assert not plan.unreadable
