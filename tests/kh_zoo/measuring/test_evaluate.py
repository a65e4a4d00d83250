"""The figures of `evaluate` against scikit-image, with an engine whose prediction is known."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from skimage import color, data, metrics

from keras_hypercolumns.training.data import split as library_split
from kh_cli.commands import evaluate as command
from kh_zoo.colors.lab import colorfulness
from kh_zoo.errors import DataError
from kh_zoo.measuring import evaluate as module
from kh_zoo.measuring.evaluate import evaluate, load_rgb, training_colors
from kh_zoo.measuring.report import write_report
from kh_zoo.measuring.split import list_pictures, split_of


@pytest.fixture
def folder(tmp_path):
    """Six test and six training pictures, cut from those that scikit-image ships."""
    sources = [data.astronaut(), data.coffee(), data.chelsea()]
    wanted = {"test": 6, "train": 6}
    for number in range(1000):
        name = f"mixed/{number}.png"
        split = split_of(name)
        if wanted.get(split, 0):
            wanted[split] -= 1
            source = sources[number % 3]
            top = number * 7 % 100
            part = Image.fromarray(source[top : top + 160, 50:300])
            (tmp_path / "mixed").mkdir(exist_ok=True)
            part.save(tmp_path / name)
    return tmp_path


class HalfTruth:
    """Predicts half of the true AB, looked up by L."""

    def __init__(self, folder, size):
        self.known = []
        for name in list_pictures(folder, "test"):
            self.known.append(color.rgb2lab(load_rgb(folder / name, size) / 255))

    def predict_ab(self, lightness):
        distances = [
            np.abs(lab[..., 0] - lightness).max() if lab.shape[:2] == lightness.shape else 1e9
            for lab in self.known
        ]
        return self.known[int(np.argmin(distances))][..., 1:] / 2


def test_figures_against_scikit_image(folder, monkeypatch):
    monkeypatch.setattr(module, "create_engine", lambda *_: HalfTruth(folder, 64))
    (row,) = evaluate("relu1to5", folder, size=64)
    psnr, gray_psnr, squares, gray_squares, mean_squares, values = [], [], 0, 0, 0, 0
    mean = training_colors(folder, "mixed")[0]
    for name in list_pictures(folder, "test"):
        rgb = load_rgb(folder / name, 64).round()
        lab = color.rgb2lab(rgb / 255)
        for ab, found in ((lab[..., 1:] / 2, psnr), (0 * lab[..., 1:], gray_psnr)):
            joined = np.round(color.lab2rgb(np.dstack([lab[..., 0], ab])) * 255)
            found.append(metrics.peak_signal_noise_ratio(rgb, joined, data_range=255))
        squares += np.sum((lab[..., 1:] / 2) ** 2)
        gray_squares += np.sum(lab[..., 1:] ** 2)
        mean_squares += np.sum((lab[..., 1:] - mean) ** 2)
        values += lab[..., 1:].size
    assert row["pictures"] == 6
    assert row["psnr"] == pytest.approx(np.mean(psnr), abs=0.01)
    assert row["psnr_gray"] == pytest.approx(np.mean(gray_psnr), abs=0.01)
    assert row["rmse_ab"] == pytest.approx(np.sqrt(squares / values), rel=1e-3)
    assert row["rmse_ab_gray"] == pytest.approx(np.sqrt(gray_squares / values), rel=1e-3)
    assert row["rmse_ab_mean"] == pytest.approx(np.sqrt(mean_squares / values), rel=1e-3)
    assert row["explained_variance"] == pytest.approx(1 - squares / mean_squares, rel=1e-3)
    assert 0.3 < row["colorfulness"] / row["colorfulness_truth"] < 0.7
    (strong,) = evaluate("relu1to5", folder, size=64, saturation=2)
    assert strong["rmse_ab"] < 1e-3
    assert strong["rmse_ab_gray"] == row["rmse_ab_gray"]


def test_figures_of_appearance_and_their_intervals(folder, monkeypatch):
    monkeypatch.setattr(module, "create_engine", lambda *_: HalfTruth(folder, 64))
    (row,) = evaluate("relu1to5", folder, size=64)
    names = list_pictures(folder, "test")
    found = {"ciede2000": [], "ssim": [], "psnr": []}
    errors = []
    for name in names:
        rgb = load_rgb(folder / name, 64)
        lab = color.rgb2lab(rgb / 255)
        ab = lab[..., 1:] / 2
        joined = np.round(color.lab2rgb(np.dstack([lab[..., 0], ab])) * 255)
        found["ciede2000"].append(color.deltaE_ciede2000(lab, color.rgb2lab(joined / 255)).mean())
        window = {"gaussian_weights": True, "use_sample_covariance": False, "sigma": 1.5}
        found["ssim"].append(
            metrics.structural_similarity(rgb, joined, data_range=255, channel_axis=2, **window)
        )
        found["psnr"].append(metrics.peak_signal_noise_ratio(rgb, joined, data_range=255))
        errors.append(np.linalg.norm(ab, axis=-1).ravel())
    for key, values in found.items():
        assert row[key] == pytest.approx(np.mean(values), abs=0.01)
        low, high = row["intervals"][key]
        assert min(values) - 0.01 <= low < row[key] < high <= max(values) + 0.01
    shares = [np.mean(np.concatenate(errors) <= limit) for limit in range(151)]
    assert row["auc"] == pytest.approx(np.mean(shares), abs=1e-3)
    assert row["auc_gray"] < row["auc"] < 1
    difference = row["colorfulness"] - row["colorfulness_truth"]
    assert row["colorfulness_difference"] == pytest.approx(difference)
    order = sorted(names, key=dict(zip(names, found["psnr"], strict=True)).get)
    assert (row["worst"], row["median"], row["best"]) == (order[0], order[3], order[-1])


def test_the_report_is_one_page_with_its_pictures(folder, tmp_path):
    rows = evaluate("relu1to5", folder, size=32)
    write_report(tmp_path / "report.html", "relu1to5", folder, rows)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(pictures) == 3
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as image:
        expected = load_rgb(folder / rows[0]["best"], 32)
        assert image.size == (3 * expected.shape[1], expected.shape[0])
        truth = np.asarray(image, float)[:, -expected.shape[1] :]
    assert np.abs(truth - expected).mean() < 6  # but for JPEG
    for key in ("psnr", "psnr_gray", "psnr_mean", "ciede2000"):
        assert f">{rows[0][key]:.2f}<" in page


def test_the_command_prints_what_was_measured(folder, tmp_path, capsys):
    rows = evaluate("relu1to5", folder, size=32)
    page = tmp_path / "new" / "report.html"
    command.evaluate("relu1to5", [folder], size=32, report=page, quiet=True)
    table, talk = capsys.readouterr()
    assert not talk
    lines = [line.rstrip() for line in table.splitlines()]
    assert max(map(len, lines)) <= 80
    assert [line.split()[:3] for line in lines[1:]] == [
        ["6", "mixed", name] for name in ("relu1to5", "mean", "grey", "truth")
    ]
    shown = ("psnr", "rmse_ab", "explained_variance", "ciede2000", "colorfulness")
    assert [float(value) for value in lines[1].split()[3:]] == pytest.approx(
        [rows[0][key] for key in shown], abs=0.051
    )
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    command.evaluate("relu1to5", [folder], size=32, json=True, quiet=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"schema": 1, **json.loads(json.dumps(rows[0]))}


def test_mean_color_is_of_the_training_split_alone(folder):
    for name in list_pictures(folder, "test"):
        Image.new("RGB", (160, 160), (255, 0, 0)).save(folder / name)
    names = list_pictures(folder, "train")
    labs = [color.rgb2lab(np.asarray(Image.open(folder / name)))[..., 1:] for name in names]
    direct = np.mean([lab.mean(axis=(0, 1)) for lab in labs], axis=0)
    np.testing.assert_allclose(training_colors(folder, "mixed")[0], direct, atol=3)


def test_colorfulness_of_known_pictures():
    assert colorfulness(np.full((8, 8, 3), 0.3)) == 0
    # Hasler and Suesstrunk (2003), equation 13, by hand for two flat halves.
    rgb = np.zeros((2, 2, 3))
    rgb[0] = [255, 0, 0]
    rgb[1] = [0, 0, 255]
    rg, yb = rgb[..., 0] - rgb[..., 1], rgb[..., :2].mean(axis=-1) - rgb[..., 2]
    spread, mean = np.hypot(rg.std(), yb.std()), np.hypot(rg.mean(), yb.mean())
    assert colorfulness(rgb / 255) == pytest.approx(spread + 0.3 * mean)


def test_split_is_that_of_the_library():
    names = [f"flowers/daisy/{number}.jpg" for number in range(300)]
    assert [split_of(name) for name in names] == [library_split.split_of(name) for name in names]
    assert {split_of(name) for name in names} == {"train", "validation", "test"}


def test_sizes_are_multiples_of_16_and_cuts_are_centred(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 300).astype("uint8"), (100, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    square = load_rgb(tmp_path / "ramp.png", 64)
    assert square.shape == (64, 192, 3)
    assert square[..., 0].mean() == pytest.approx(127.5, abs=1)


def test_few_pictures_are_measured_all_where_that_is_asked(tmp_path):
    names = [name for name in (f"{n}.png" for n in range(40)) if split_of(name) != "test"][:3]
    random = np.random.default_rng(0)
    for name in names:
        Image.fromarray(random.integers(0, 256, (16, 16, 3), "uint8")).save(tmp_path / name)
    with pytest.raises(DataError, match=r"twentieth of all.*`every_picture`.*with 3 pictures"):
        evaluate("pool1to4", tmp_path, size=16)
    [row] = evaluate("pool1to4", tmp_path, size=16, every_picture=True)
    assert row["pictures"] == 3
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="should hold colour pictures"):
        evaluate("pool1to4", tmp_path / "none", every_picture=True)
