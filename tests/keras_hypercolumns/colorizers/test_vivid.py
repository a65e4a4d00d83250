"""The vivid head: in the library, on disk, in the graph, in the commands, and how it is fitted."""

import json
import shutil
from functools import partial

import keras
import numpy as np
import pytest
import scipy.optimize
from keras import ops
from PIL import Image
from typer.testing import CliRunner

from keras_hypercolumns import HyperColumn, colorizer, joint_colorizer, srgb_to_lab
from keras_hypercolumns.backbones.vgg19.taps import VARIANTS, tap_stride
from keras_hypercolumns.colors.ab_bins import ab_bins, rebalancing, soft_encoding
from keras_hypercolumns.training.data.picture_dataset import PictureDataset
from keras_hypercolumns.training.finish import add_vivid
from keras_hypercolumns.training.heads.fit_vivid import fit_scores, vivid_rows
from keras_hypercolumns.training.recipe import recipe_from_table
from kh_cli.app import create_app
from kh_zoo import Colorizer, load_model, save_model
from kh_zoo.catalog.export import export_model
from kh_zoo.engines import create_engine
from kh_zoo.errors import ModelError
from kh_zoo.measuring.evaluate import evaluate
from kh_zoo.networks.model_folder import CONFIG, TENSORS, open_model_folder
from kh_zoo.publishing.repository import build_repository, check_repository
from kh_zoo.with_keras.keras_model import build_model, write_colorizer

VIVID = "relu1to3-vivid"


RECIPE = {
    "seed": 1,
    "variants": ["relu1to3"],
    "head_size": 32,
    "vivid": ["relu1to3"],
    "vivid_pictures": 48,
    "vivid_points": 16,
    "stages": [{"size": 32, "steps": 0, "batch": {".": 8}}],
}


def with_random_heads(model):
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("head_"):
            kernel, bias = layer.get_weights()
            # So that one bin wins here, and another one there.
            kernel = 3 * kernel + random.normal(0, 0.02, kernel.shape)
            layer.set_weights([kernel, random.normal(size=bias.shape)])
    return model


@pytest.fixture(scope="module")
def joint():
    return with_random_heads(joint_colorizer(("relu1to3",), vivid=("relu1to3",)))


@pytest.fixture(scope="module")
def folders(joint, tmp_path_factory):
    """The model on disk, in float32 and in int8."""
    path = tmp_path_factory.mktemp("vivid")
    write_colorizer(joint, path / "float32", size=64)
    export_model(path / "float32", path / "int8", "int8")
    return {name: path / name for name in ("float32", "int8")}


def lightness_of(shape):
    return np.random.default_rng(1).uniform(0, 100, shape).astype("float32")


@pytest.mark.parametrize("shape", [(32, 48), (37, 51)])
def test_is_the_dense_hypercolumn_scored_and_averaged(joint, shape):
    lightness = lightness_of(shape)[None, ..., None]
    maps = joint.get_layer("trunk")(lightness / 50 - 1)
    height, width = shape[0] // 4, shape[1] // 4
    columns = []
    for tap in VARIANTS["full"]:
        if tap not in joint.get_layer("head_relu1to3").taps:
            continue
        x = ops.convert_to_numpy(maps[tap])
        if tap_stride(tap) < 4:
            # Cells of 4 x 4 pixels: the mean of the tap over each.
            cells = 4 // tap_stride(tap)
            x = x[:, : height * cells, : width * cells]
            x = x.reshape(1, height, cells, width, cells, -1).mean(axis=(2, 4))
        columns.append(x)
    kernel, bias = joint.get_layer(f"head_{VIVID}").get_weights()
    scores = np.concatenate(columns, axis=-1) @ kernel[0, 0] + bias
    shares = np.exp(scores / 0.38 - (scores / 0.38).max(axis=-1, keepdims=True))
    coarse = shares / shares.sum(axis=-1, keepdims=True) @ ab_bins()
    layer = HyperColumn(("ab",), reference="fine", strides={"ab": 4})
    expected = ops.convert_to_numpy(layer({"ab": coarse.astype("float32"), "fine": lightness}))
    found = ops.convert_to_numpy(joint(lightness)[VIVID])
    assert np.abs(expected).max() > 20
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_factory_gives_the_same_alone_and_survives_saving(joint, tmp_path):
    alone = colorizer("relu1to3", head="vivid", output="lab")
    for layer in alone.layers:
        if layer.weights:
            other = layer.name if layer.name == "trunk" else f"{layer.name}-vivid"
            layer.set_weights(joint.get_layer(other).get_weights())
    alone.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    lightness = lightness_of((1, 33, 47, 1))
    lab = ops.convert_to_numpy(again(lightness))
    np.testing.assert_array_equal(lab[..., :1], lightness)
    np.testing.assert_allclose(lab[..., 1:], joint(lightness)[VIVID], atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "vivd"}, r"`head` should be one of 'linear', 'hidden', 'vivid'.*'vivid'"),
        ({"head": "vivid", "dense": True}, r"`dense` should be False .*'vivid'"),
        ({"head": "vivid", "variant_or_taps": "residual"}, r"Received: 'vivid' for 'residual'"),
    ],
)
def test_wrong_uses_of_the_factory(arguments, message):
    with pytest.raises(ValueError, match=message):
        colorizer(**arguments)


@pytest.mark.parametrize("shape", [(32, 48), (37, 51)])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_graph_and_keras_give_the_same_colours(folders, joint, precision, shape):
    folder = open_model_folder(folders[precision])
    assert tuple(folder.config.heads) == ("relu1to3", VIVID)
    lightness = lightness_of(shape)
    ab = ops.convert_to_numpy(build_model(folder, VIVID)(lightness[None, ..., None]))[0]
    if precision == "float32":
        expected = ops.convert_to_numpy(joint(lightness[None, ..., None])[VIVID])[0]
        np.testing.assert_allclose(ab, expected, atol=1e-2)
    predicted = create_engine("onnx", folder, VIVID).predict_ab(lightness)
    np.testing.assert_allclose(predicted, ab, rtol=0, atol=1e-2)


def test_int8_is_for_the_kernels_of_the_vivid_head_too(folders):
    folder = open_model_folder(folders["int8"])
    kinds = {name: entry.dtype for name, entry in folder.tensors.items()}
    assert kinds[f"{VIVID}_coarse_relu1_2.kernel"] == "I8"
    assert kinds["relu1to3_relu1_2.kernel"] == kinds[f"mean_{VIVID}.kernel"] == "F32"
    more = folder.parameters(VIVID) - folder.parameters("relu1to3")
    assert more == 311 * (64 + 128 + 256 + 1) + 2 * 313


def test_a_vivid_model_alone_is_a_model_folder(joint, tmp_path):
    model = with_random_heads(colorizer("relu1to3", head="vivid"))
    save_model(model, tmp_path, size=64)
    assert open_model_folder(tmp_path).config.vivid == ("relu1to3",)
    lightness = lightness_of((1, 32, 32, 1))
    np.testing.assert_allclose(load_model(tmp_path)(lightness), model(lightness), atol=1e-2)
    build_repository(tmp_path, "ada/vivid", tmp_path / "built", license="MIT")
    assert check_repository(tmp_path / "built") == []


def test_a_repository_has_the_vivid_head_beside_the_other(folders, tmp_path):
    for precision, path in folders.items():
        build_repository(path, "ada/vivid", tmp_path / precision, license="MIT")
        assert check_repository(tmp_path / precision) == []
        assert open_model_folder(tmp_path / precision).config.vivid == (VIVID,)


def edit(path, change):
    table = json.loads((path / CONFIG).read_text())
    change(table)
    (path / CONFIG).write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.update(vivid="relu1to3"), "`vivid` should list some of the heads"),
        (lambda table: table.update(vivid=[VIVID, VIVID]), "none twice"),
        (lambda table: table.update(vivid=[["pool1"]]), r"`vivid` .* Received: \['pool1'\]"),
        (lambda table: table.update(vivid=["full"]), "`vivid` should list some .*'full'"),
        (lambda table: table["heads"].update({VIVID: ["relu9_1"]}), "maps of the network"),
        (lambda table: table["heads"].update(other=["relu1_2"]), "`outputs` should be those of"),
        (lambda table: table["network"]["outputs"].update({VIVID: "relu1_2"}), "2 channels"),
    ],
)
def test_a_bad_configuration_is_refused(folders, tmp_path, change, message):
    for precision in folders:
        shutil.copytree(folders[precision], tmp_path / precision)
        edit(tmp_path / precision, change)
        with pytest.raises(ModelError, match=message):
            open_model_folder(tmp_path / precision)


def test_bins_that_are_no_numbers_are_refused(folders, tmp_path):
    shutil.copytree(folders["int8"], tmp_path / "copy")
    entry = open_model_folder(tmp_path / "copy").tensors[f"mean_{VIVID}.kernel"]
    content = bytearray((tmp_path / "copy" / TENSORS).read_bytes())
    content[entry.offset : entry.offset + 4] = np.float32("inf").tobytes()
    (tmp_path / "copy" / TENSORS).write_bytes(content)
    with pytest.raises(ModelError, match=r"vivid.kernel' is not finite"):
        open_model_folder(tmp_path / "copy")


def test_commands_take_the_vivid_head_where_there_is_one(folders, tmp_path, pictures):
    Image.fromarray(lightness_of((40, 60)).astype("uint8")).save(tmp_path / "grey.png")
    run = partial(CliRunner().invoke, create_app())
    model = ["--variant", str(folders["int8"]), "--overwrite"]
    found = {}
    for option in ([], ["--vivid"]):
        result = run(["colorize", str(tmp_path / "grey.png"), *model, *option])
        assert result.exit_code == 0, result.output
        found[bool(option)] = np.asarray(Image.open(tmp_path / "grey.color.png"))
    expected = Colorizer(folders["int8"] / VIVID).colorize(tmp_path / "grey.png").numpy()
    np.testing.assert_array_equal(found[True], expected)
    assert not np.array_equal(found[False], expected)

    evaluated = ["evaluate", str(folders["int8"]), "--data", str(pictures.folder), "--json"]
    for option, heads in ([], {"relu1to3", VIVID}), (["--vivid"], {VIVID}):
        lines = run([*evaluated, "--size", "32", *option]).stdout.splitlines()
        assert {json.loads(line)["variant"] for line in lines} == heads
    assert f"vivid {VIVID}" in " ".join(run(["show", str(folders["int8"])]).stdout.split())


def test_a_model_without_one_says_what_has_one(folders, tmp_path, pictures):
    shutil.copytree(folders["float32"], tmp_path / "two")
    both = joint_colorizer(("pool1to4", "relu1to3"), vivid=("relu1to3",))
    write_colorizer(both, tmp_path / "two", size=64)
    write_colorizer(joint_colorizer(("pool1to4",)), tmp_path / "none", size=64)
    message = r"`vivid` should be asked of a model with a vivid head, as .*'relu1to3'.* has none"
    for use in (
        lambda: Colorizer(tmp_path / "two/pool1to4", vivid=True),
        lambda: evaluate(tmp_path / "two/pool1to4", pictures.folder, vivid=True),
    ):
        with pytest.raises(ModelError, match=message):
            use()
    with pytest.raises(ModelError, match=r"`vivid` should be .*none.* has none"):
        Colorizer(tmp_path / "none", vivid=True)
    with pytest.raises(ValueError, match="`vivid` should be False for an engine"):
        Colorizer(create_engine("onnx", open_model_folder(tmp_path / "none"), "pool1to4"), vivid=1)


# Fitting


def test_scores_are_those_that_make_the_loss_least(monkeypatch):
    """Against a general optimizer on the formula of the paper."""
    random = np.random.default_rng(2)
    rows = random.normal(5, 1, (400, 3)).astype("float16")
    colors = np.stack([8 * (rows[:, 0] - 5), 6 * (rows[:, 1] - 5)], axis=1).astype("float64")
    colors += random.normal(0, 4, colors.shape)
    bins, ridge = ab_bins()[np.abs(ab_bins()).max(axis=1) <= 20], 1e-3
    count = len(bins)
    nearest, shares = soft_encoding(colors, bins)
    targets = np.zeros((400, count))
    np.put_along_axis(targets, nearest, shares, axis=1)
    counts = np.bincount(nearest[:, 0], minlength=count)
    weights = rebalancing(counts / 400, bins, 0.5)[nearest[:, 0]]
    x = (rows - rows.mean(axis=0, dtype="float64")) / rows.std(axis=0, dtype="float64")

    def loss(flat):
        kernel, bias = flat[:-count].reshape(3, count), flat[-count:]
        scores = x @ kernel + bias
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        total = -(weights * (targets * logs).sum(axis=1)).mean() + ridge * (kernel**2).sum()
        left = weights[:, None] * (np.exp(logs) * targets.sum(axis=1, keepdims=True) - targets)
        gradient = x.T @ left / 400 + 2 * ridge * kernel
        return total, np.concatenate([gradient.ravel(), left.mean(axis=0)])

    best = scipy.optimize.minimize(loss, np.zeros(4 * count), jac=True, method="L-BFGS-B")
    for name, value in (("EPOCHS", 25), ("LEARNING_RATE", 0.3), ("ab_bins", lambda: bins)):
        monkeypatch.setattr(f"keras_hypercolumns.training.heads.fit_vivid.{name}", value)
    kernel, bias = fit_scores(rows, colors, 0.5, ridge, seed=0)
    # On standardised channels again.
    mean, deviation = rows.mean(axis=0, dtype="float64"), rows.std(axis=0, dtype="float64")
    found = loss(np.concatenate([(kernel * deviation[:, None]).ravel(), bias + mean @ kernel]))[0]
    start = loss(np.zeros(4 * count))[0]
    assert found - best.fun < 0.02 * (start - best.fun)


def test_rows_are_what_the_head_sees_and_colours_those_of_the_cells(joint, pictures):
    paths = {".": [pictures.folder / name for name in pictures.splits["train"]["flowers"]]}
    batches = PictureDataset(paths, {".": 2}, 32, seed=0, first_step=0, last_step=2)
    told = []
    rows, colors = vivid_rows(joint, "relu1to3", batches, 7, told.append)
    assert told == [1, 2]
    assert rows.shape == (2 * 2 * 7, 64 + 128 + 256)
    # The scores of each row are found among those of the pictures, with the colour of the cell.
    head = joint.get_layer(f"head_{VIVID}")
    kernel, bias = head.get_weights()
    scores = keras.Model(joint.input, head.output)
    lab = srgb_to_lab(np.concatenate([batches[0][0], batches[1][0]]).astype("float32") / 255)
    every = ops.convert_to_numpy(scores(lab[..., :1])).reshape(-1, 313)
    truth = ops.convert_to_numpy(lab)[..., 1:].reshape(4, 8, 4, 8, 4, 2).mean(axis=(2, 4))
    truth = truth.reshape(-1, 2)
    for row, color in zip(rows, colors, strict=True):
        distances = np.abs(every - (row.astype("float32") @ kernel[0, 0] + bias)).max(axis=1)
        assert distances.min() < 0.05
        np.testing.assert_allclose(truth[distances.argmin()], color, atol=1e-2)


def test_a_recipe_adds_it_and_leaves_the_rest_as_it_is(tmp_path, monkeypatch):
    """Two kinds of picture, dark ones blue and light ones yellow: it learns which is which."""
    # There are few steps.
    monkeypatch.setattr("keras_hypercolumns.training.heads.fit_vivid.LEARNING_RATE", 2e-2)
    for number in range(24):
        color = (20, 40, 150) if number % 2 else (220, 200, 60)
        pixels = np.random.default_rng(number).normal(color, 4, (32, 32, 3))
        Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(tmp_path / f"{number}.png")
    recipe = recipe_from_table(RECIPE, "table")
    plain = joint_colorizer(("relu1to3",))
    told = []
    model = add_vivid(plain, recipe, [tmp_path], told.append)
    assert told == [1, 2, 3, 4, 5, 6]
    for layer in plain.layers:
        for one, other in zip(
            layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    for color in ((20, 40, 150), (220, 200, 60)):
        lab = ops.convert_to_numpy(srgb_to_lab(np.full((1, 32, 32, 3), color) / 255))
        ab = ops.convert_to_numpy(model(lab[..., :1])["relu1to3-vivid"])
        assert np.abs(ab - lab[..., 1:]).mean() < 12


@pytest.mark.parametrize("variant", ["relu1to4", "layered"])
def test_a_recipe_asks_for_it_of_a_linear_variant_that_it_has(variant):
    table = {**RECIPE, "variants": ["relu1to3", "layered"], "vivid": [variant]}
    message = rf"`vivid of table` should be one of 'relu1to3'.* Received: '{variant}'"
    with pytest.raises(ValueError, match=message):
        recipe_from_table(table, "table")
