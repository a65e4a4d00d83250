"""The public names as a user's strict type checker sees them, from outside of the packages."""

import re
import subprocess
import sys

import pytest

import keras_hypercolumns
import kh_zoo

pytest.importorskip("mypy")

# Right uses, but for the lines marked with the code of the error that mypy should find there.
USES = """
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, assert_type

import kh_cli.main
import kh_zoo
import numpy as np
from keras_hypercolumns import (
    STUDY_VARIANTS,
    VARIANTS,
    AnnealedMean,
    ColorizerModel,
    FeatureInfo,
    HyperColumn,
    HyperColumnProjection,
    HyperColumnSampler,
    LightnessToGray,
    colorizer,
    efficientnet_lite,
    feature_info,
    features,
    fold_batch_norm,
    joint_colorizer,
    lab_to_srgb,
    pca_picture,
    pick_taps,
    prepare_taps,
    project,
    srgb_to_lab,
    tap_extractor,
    train,
    unproject,
    upsample_taps,
    vgg19_gray,
)
from keras_hypercolumns.training.train import Trained
from kh_zoo import colorize_batch, find_variant, list_variants, load_model, publish, save_model
from kh_zoo.catalog.records import Variant

# Old NumPy wants to be told of what.
Array: TypeAlias = np.ndarray[Any, Any]

assert_type(VARIANTS, MappingProxyType[str, tuple[str, ...]])
assert_type(STUDY_VARIANTS["relu5"], tuple[str, ...])

taps = ["relu1_2", "pool4"]
backbone = vgg19_gray(taps, pooling="max", weights=Path("vgg19.h5"), data_format="channels_last")
vgg19_gray(pool="max")  # wrong: call-arg
vgg19_gray(taps=3)  # wrong: arg-type
maps = tap_extractor(backbone, taps)(np.zeros((1, 32, 32, 1)))
tap_extractor(backbone)  # wrong: call-arg
info = feature_info(backbone, taps)
assert_type(info, dict[str, FeatureInfo])
assert_type(info["pool4"].receptive_field, int | None)
strides = {tap: known.stride for tap, known in info.items()}
info["pool4"].strides  # wrong: attr-defined
lite = efficientnet_lite(0, taps=("stage2",), weights="imagenet", data_format="channels_last")
assert_type(
    feature_info(lite)["stage2"].center,
    float | tuple[float, ...] | tuple[tuple[float, ...], tuple[float, ...]] | None,
)
assert_type(feature_info(lite)["stage2"].center_at(33), float | None)
efficientnet_lite(taps=3)  # wrong: arg-type
feature_info(backbone, taps=4)  # wrong: arg-type
extractor, settings = pick_taps(backbone, strides=(4, 8))
HyperColumnProjection(2, **settings)(extractor.output)
pick_taps(backbone, strides=4)  # wrong: arg-type
prepare_taps(extractor.output, taps, {"pool1": 8}, normalization="rms")
upsample_taps(extractor.output, settings, {"pool1": 2}, filters=8)
upsample_taps(extractor.output, settings, 2)  # wrong: arg-type
prepare_taps(extractor.output, taps, "8")  # wrong: arg-type
pictures = np.zeros((1, 32, 32, 1))
at_points: Array = features(backbone, pictures, taps, points=[(1, 2)])
colors: Array = pca_picture(backbone, pictures, strides=[2, 4], points=100)
features(backbone, pictures, taps).pixels  # wrong: attr-defined
pca_picture(backbone, pictures, taps).pixels  # wrong: attr-defined
pca_picture(backbone, pictures, taps="pool4", point=1)  # wrong: call-arg

column = HyperColumn(taps, reference="relu1_2", strides=strides, name="column")
assert_type(column, HyperColumn)
assert_type(column.taps, tuple[str, ...])
column(maps)
HyperColumn(taps=tuple(taps), coordinates="legacy", dtype="float16")((maps["a"], maps["b"]))
HyperColumn(taps=3)  # wrong: arg-type
HyperColumn(taps, interpolation=None)  # wrong: arg-type
HyperColumn()  # wrong: call-arg
projection = HyperColumnProjection(2, taps, activation="relu", use_bias=False)
assert_type(projection.filters, int)
assert_type(projection.get_config(), dict[str, Any])
projection(maps)
HyperColumnProjection(taps, 2)  # wrong: arg-type, arg-type
HyperColumnSampler(taps, data_format="channels_first")((maps, np.zeros((1, 8, 2))))
HyperColumnSampler(taps, strides=16)  # wrong: arg-type
assert_type(AnnealedMean(temperature=0.5).temperature, float)
AnnealedMean("vivid")  # wrong: arg-type
LightnessToGray(name="gray")(np.zeros((1, 4)))

rgb = lab_to_srgb(srgb_to_lab(np.zeros((1, 4, 4, 3))))
lab_to_srgb()  # wrong: call-arg
model = colorizer("relu1to5", weights="imagenet", output="lab")
colorizer(taps, dense=True, trunk_input="gray").predict(rgb)
colorizer("relu1to5", batch_norm="no")  # wrong: arg-type
joint = joint_colorizer(("full", "relu5"), batch_norm=True, first_convolution="new")
joint_colorizer(3)  # wrong: arg-type
made_of: ColorizerModel = joint
taps_of: dict[str, tuple[str, ...]] = made_of.taps
fold_batch_norm(joint, joint_colorizer(("full", "relu5"))).save("model.keras")
unproject(project(model), model)  # wrong: call-arg
assert_type(train("small", Path("photos"), "run", init="lite"), Trained)
train("small", "photos")  # wrong: call-arg

picture_colorizer = kh_zoo.Colorizer("relu1to5", engine="keras", size=256, saturation=0.8)
assert_type(picture_colorizer.size, int)
picture_colorizer.colorize(Path("photo.tif"))
picture_colorizer.colorize_file("photo.jpg", Path("photo.png"), quality=90, compare=True)
picture_colorizer.colorize_file("photo.jpg")  # wrong: call-arg
kh_zoo.Colorizer("relu1to5", "keras")  # wrong: call-arg
kh_zoo.Colorizer(size=256.0)  # wrong: arg-type


class Gray:
    def predict_ab(self, lightness: Array) -> Array:
        return np.zeros((*lightness.shape, 2))


kh_zoo.Colorizer(Gray(), size=64)
kh_zoo.Colorizer(3)  # wrong: arg-type
assert_type(colorize_batch(["scans", Path("b.png")], output="out")[0].reason, str | None)
colorize_batch("scans", size=256.0)  # wrong: arg-type
load_model(Path("model"))
load_model()(rgb)
load_model(model=3)  # wrong: arg-type
save_model(load_model("museum/etchings"), Path("mine"), size=128)
save_model(Path("mine"))  # wrong: call-arg
assert_type(publish(Path("runs/mine"), "me/mine", license="MIT", private=True).tag, str | None)
publish("full")  # wrong: call-arg
assert_type(find_variant("relu1-5"), Variant)
assert_type([variant.channels for variant in list_variants()], list[int])
find_variant(5)  # wrong: arg-type
assert_type(kh_cli.main.main(), None)
"""


def test_strict_checker_accepts_right_uses_and_reports_wrong_ones(tmp_path):
    (tmp_path / "uses.py").write_text(USES, encoding="utf-8")
    # As by default, errors inside installed packages aren't shown.
    arguments = ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "uses.py"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # Older ones call too many positional arguments "misc".
    said = checked.stdout.replace("[misc]", "[call-arg]")
    reported = re.findall(r"^uses\.py:(\d+): error: .*\[([a-z-]+)\]$", said, re.M)
    expected = [
        (str(number), code)
        for number, line in enumerate(USES.splitlines(), start=1)
        for code in line.partition("  # wrong: ")[2].split(", ")
        if code
    ]
    assert sorted(reported) == sorted(expected), checked.stdout + checked.stderr


@pytest.mark.parametrize("package", [keras_hypercolumns, kh_zoo], ids=lambda it: it.__name__)
def test_every_public_name_is_used(package):
    # An import alone is no use.
    counts = {name: len(re.findall(rf"\b{name}\b", USES)) for name in package.__all__}
    assert min(counts.values()) > 1, counts
