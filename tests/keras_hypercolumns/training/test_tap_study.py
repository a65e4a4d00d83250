"""The tap study against direct least squares on the rows themselves."""

import json
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
import scipy.linalg
from PIL import Image

from keras_hypercolumns import FeatureInfo, HyperColumn, colorizer, feature_info, vgg19_gray
from keras_hypercolumns.backbones.vgg19.taps import STUDY_VARIANTS, VARIANTS, tap_stride
from keras_hypercolumns.colors.lab import srgb_to_lab
from keras_hypercolumns.training.data.picture_dataset import center_crop
from keras_hypercolumns.training.heads.gram_matrix import GramMatrix
from keras_hypercolumns.training.study.study_plot import study_plot
from keras_hypercolumns.training.study.tap_study import TapStudy, sum_hypercolumns
from kh_cli.commands.study import study as command
from kh_zoo import load_model, save_model
from kh_zoo.measuring.study import study as study_model

TAPS = ("relu1_2", "relu2_2", "relu3_4")
INFOS = {
    "relu1_2": FeatureInfo(64, 1, 5, 0.0),
    "relu2_2": FeatureInfo(128, 2, 14, 0.5),
    "relu3_4": FeatureInfo(256, 4, 48, 1.5),
}
COLUMNS = {"relu1_2": slice(0, 64), "relu2_2": slice(64, 192), "relu3_4": slice(192, 448)}


@pytest.fixture(scope="module")
def rows():
    """Rows of all channels, and colours that depend on some of them, to fit and to measure on."""
    random = np.random.default_rng(4)
    mixing = random.normal(size=(448, 448))
    kernel = random.normal(size=(448, 2)) * (random.uniform(size=(448, 1)) < 0.2)

    def draw(count):
        x = random.normal(3, 1, (count, 448)) @ mixing / 20
        return x, x @ kernel + random.normal(0, 3, (count, 2)) + [5, -7]

    return draw(1500), draw(600), draw(700)


@pytest.fixture(scope="module")
def study(rows):
    grams = []
    for x, y in rows:
        gram = GramMatrix(448, 2)
        for part in np.array_split(np.arange(len(x)), 5):
            gram.add(x[part], y[part])
        grams.append(gram)
    return TapStudy(INFOS, *grams, ridges=[0])


@pytest.mark.parametrize("taps", [("relu1_2",), ("relu3_4", "relu1_2"), TAPS], ids="+".join)
def test_any_subset_is_that_of_a_direct_fit(rows, study, taps):
    (x, y), _, (held_x, held_y) = rows
    columns = np.r_[tuple(COLUMNS[tap] for tap in TAPS if tap in taps)]
    direct = scipy.linalg.lstsq(np.c_[x[:, columns], np.ones(len(x))], y)[0]
    error = np.mean((np.c_[held_x[:, columns], np.ones(len(held_x))] @ direct - held_y) ** 2)
    assert study.error(taps) == pytest.approx(error, rel=1e-6)
    mean_error = np.mean((held_y - y.mean(axis=0)) ** 2)
    assert study.explained(taps) == pytest.approx(1 - error / mean_error, rel=1e-6)
    np.testing.assert_array_equal(study.columns(taps), columns)


def test_the_ridge_is_chosen_on_the_validation_rows(rows, study):
    ridges = [0.001, 0.1, 10, 1000]
    several = TapStudy(INFOS, study.fitted, study.validation, study.held_out, ridges)
    x, y = rows[1]
    errors = {}
    for ridge in ridges:
        kernel, bias = study.fitted.solve(np.arange(448), ridge)
        alone = TapStudy(INFOS, study.fitted, study.validation, study.held_out, [ridge])
        errors[np.mean((x @ kernel + bias - y) ** 2)] = alone.error(TAPS)
    assert several.error(TAPS) == pytest.approx(errors[min(errors)])


def test_greedy_adds_the_best_each_time(study):
    subsets = study.greedy()
    assert [len(subset) for subset in subsets] == [1, 2, 3]
    assert subsets[0] == min(((tap,) for tap in TAPS), key=study.error)
    pairs = [(*subsets[0], tap) for tap in TAPS if tap not in subsets[0]]
    assert study.error(subsets[1]) == min(map(study.error, pairs))


def test_blocks_are_all_subsets_the_best_of_each_size_first(study):
    subsets = study.blocks()
    assert {frozenset(subset) for subset in subsets} == {
        frozenset(tap for i, tap in enumerate(TAPS) if number >> i & 1) for number in range(1, 8)
    }
    singles = [study.error(subset) for subset in subsets[:3]]
    assert singles == sorted(singles)


def test_redundancy_is_the_share_that_a_direct_fit_explains(rows, study):
    (x, _), *_ = rows
    one, other = x[:, COLUMNS["relu2_2"]], x[:, COLUMNS["relu1_2"]]
    centred, target = one - one.mean(axis=0), other - other.mean(axis=0)
    left = target - centred @ scipy.linalg.lstsq(centred, target)[0]
    found = study.redundancy()
    assert found[1, 0] == pytest.approx(1 - np.sum(left**2) / np.sum(target**2), rel=1e-6)
    np.testing.assert_array_equal(np.diag(found), 1)


def test_sums_are_those_of_the_layers_hypercolumns(tmp_path):
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(10)]  # more than one batch
    for path in paths:
        Image.fromarray(random.integers(0, 256, (40, 50, 3), "uint8")).save(path)
    model = vgg19_gray(TAPS, data_format="channels_last")  # of L as it comes, 0..100
    told = []
    groups = [TAPS, TAPS[1:]]
    gram, part = sum_hypercolumns(model, groups, paths, 32, 7, seed=3, on_picture=told.append)
    assert told == [8, 10]
    assert gram.count == 70
    column = HyperColumn(
        (*TAPS,), reference="relu1_2", strides={tap: tap_stride(tap) for tap in TAPS}
    )
    again, inputs = np.random.default_rng(3), []
    for start in (0, 8):
        batch = paths[start : start + 8]
        lab = np.stack(
            [srgb_to_lab(center_crop(path, 32).astype("float32") / 255) for path in batch]
        )
        maps = model(lab[..., :1])
        dense = np.asarray(column({tap: maps[tap] for tap in TAPS}))
        where = again.integers(0, 32, (len(batch), 2, 7))
        inputs += [dense[i][tuple(where[i])] for i in range(len(batch))]
    x = np.concatenate(inputs).astype("float64")
    assert x.shape == (70, 448)
    np.testing.assert_allclose(
        gram.covariance(np.arange(448), np.arange(448)), np.cov(x.T, bias=True), atol=1e-3
    )
    np.testing.assert_allclose(part.products, gram.products[64:, 64:], rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(part.cross, gram.cross[64:], rtol=1e-6, atol=1e-3)


def test_the_command_writes_every_subset(pictures, tmp_path, monkeypatch, capsys):
    # Few taps, so that it takes seconds.
    conv = ("conv1_2", "conv2_2")
    named = {"full": TAPS, "pool1to4": ("pool1",), "relu1to3": TAPS, "conv1to5": conv}
    named["pool1to5"] = ("pool1", "pool2")
    groups = (TAPS, conv, ("pool1", "pool2"))
    monkeypatch.setattr("kh_zoo.measuring.study._taps_of", lambda *_: (groups, named))
    options = {"data": [pictures.folder], "size": 32, "points": 16, "pictures": 6}
    command("relu1to5", **options, json=True, quiet=True)
    found = {}
    for line in capsys.readouterr().out.splitlines():
        record = json.loads(line)
        found.setdefault(record["kind"], {})[record.get("name")] = record
    assert {kind: len(records) for kind, records in found.items()} == {
        "alone": 3,
        "left out": 3,
        "added": 3,
        "blocks": 7,
        "variants": 5,
        "redundancy": 3,
        "summary": 1,
    }
    summary = found["summary"][None]
    assert (summary["fitted"], summary["validation"], summary["held_out"]) == (6, 3, 3)
    assert summary["seconds"] > 0
    assert summary["peak_gigabytes"] > 0.1
    variants = found["variants"]
    assert variants["full"]["rmse_ab"] == found["blocks"]["+".join(TAPS)]["rmse_ab"]

    # The maps before the ReLU, by hand: pictures of each split, evenly spread.
    grams = []
    for number, (split, count) in enumerate((("train", 6), ("validation", 3), ("test", 3))):
        names = sorted(name for group in pictures.splits[split].values() for name in group)
        paths = [pictures.folder / names[len(names) * i // count] for i in range(count)]
        grams += sum_hypercolumns(load_model("full"), [conv], paths, 32, 16, seed=1 + number)
    direct = TapStudy(feature_info(load_model("full"), conv), *grams)
    assert variants["conv1to5"]["rmse_ab"] == pytest.approx(direct.error(conv) ** 0.5, abs=1e-4)
    assert variants["conv1to5"]["ridge"] == direct.ridge(conv)
    assert variants["conv1to5"]["channels"] == 192

    plot = tmp_path / "new" / "plot.svg"
    command("relu1to5", **options, plot=plot)
    tables, talk = capsys.readouterr()
    lines = [line.split() for line in tables.splitlines()]
    heads = ["alone", "left out", "added", "blocks", "variants"]
    columns = ["taps", "channels", "ridge", "RMSE", "AB", "explained"]
    assert [line for line in lines if "RMSE" in line] == [
        [*head.split(), *columns] for head in heads
    ]
    alone = found["alone"]["relu2_2"]
    assert ["relu2_2", "1", "128", f"{alone['ridge']:g}", f"{alone['rmse_ab']:.3f}"] in [
        line[:5] for line in lines
    ]
    assert f"fitted {summary['fitted']}" in talk
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")


def test_of_a_vgg19_all_variants_are_studied(pictures, monkeypatch):
    asked = []

    def sums(network, groups, paths, size, points, seed, told):
        asked.append(groups)
        counts = [
            sum(info.channels for info in feature_info(network, taps).values()) for taps in groups
        ]
        grams = [GramMatrix(count, 2) for count in counts]
        for gram, count in zip(grams, counts, strict=True):
            gram.add(np.zeros((1, count)), np.zeros((1, 2)))
        return grams

    monkeypatch.setattr("kh_zoo.measuring.study.sum_hypercolumns", sums)
    found = study_model("pool1to4", pictures.folder, pictures=4, size=32)
    assert asked[0][0] == VARIANTS["full"] == found.main.taps
    assert found.variants == {**VARIANTS, **STUDY_VARIANTS}
    for taps in found.variants.values():
        assert found.of(taps).columns(taps).size


def test_of_another_network_the_taps_of_its_heads_are_studied(pictures, tmp_path, capsys):
    backbone = keras.applications.MobileNetV2(
        input_shape=(None, None, 3), include_top=False, weights=None, alpha=0.35
    )
    own = colorizer(
        ("block_1_expand_relu", "block_3_expand_relu", "block_2_expand_relu"), trunk=backbone
    )
    save_model(own, tmp_path / "own", size=64)
    options = {"data": [pictures.folder], "size": 32, "points": 16, "pictures": 6}
    for model in (str(tmp_path / "own"), "lite"):
        command(model, **options, json=True, quiet=True)
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        alone = {one["name"]: one["channels"] for one in records if one["kind"] == "alone"}
        last = [one["name"].split("+") for one in records if one["kind"] == "blocks"][-1]
        [head] = [
            one for one in records if one["kind"] == "variants" and one["name"] != "lite-vivid"
        ]
        assert set(head["taps"]) == set(alone)
        if model == "lite":
            assert alone["block20_project"] == 352
            assert last == [
                "block0_project",
                "block3_add",
                "block6_add",
                "block14_add",
                "block20_project",
            ]
        else:
            assert len(alone) == 3
            assert len(last) == 2


def test_the_plot_has_every_subset_in_its_place():
    groups = {
        "alone": [("relu1_2", 64, 0.05), ("relu5_4", 512, 0.17)],
        "variants": [("full", 4096, 0.25), ("a<b", 1024, 0.2)],
    }
    root = ElementTree.fromstring(study_plot(groups))
    space = "{http://www.w3.org/2000/svg}"
    found = {
        circle.find(f"{space}title").text: (float(circle.get("cx")), float(circle.get("cy")))
        for circle in root.iter(f"{space}circle")
        if circle.find(f"{space}title") is not None
    }
    assert len(found) == 4
    x = {name.split(":")[0]: place[0] for name, place in found.items()}
    y = {name.split(":")[0]: place[1] for name, place in found.items()}
    # Octaves are equally wide; what explains more is higher, in proportion.
    assert x["relu5_4"] - x["relu1_2"] == pytest.approx(1.5 * (x["full"] - x["a<b"]), abs=0.3)
    slope = (y["relu1_2"] - y["full"]) / 0.2
    assert y["relu5_4"] - y["full"] == pytest.approx(0.08 * slope, abs=0.3)
    names = [text.text for text in root.iter(f"{space}text")]
    assert {"full", "a<b", "variants", "4096"} <= set(names)
