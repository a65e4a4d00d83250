"""`kh features` against the library's own picture, and what it refuses."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from kh_cli.commands.features import features
from kh_cli.output.errors import WrongUse
from kh_zoo import load_model
from kh_zoo.errors import OutputError, PictureError

TAPS = ("relu1_2", "pool2")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()[60:156, 100:228]).save(path)
    return path


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_it_is_the_picture_of_the_library(picture, capsys):
    from keras_hypercolumns import pca_picture, srgb_to_lab

    features(picture, "relu3to5", tap=list(TAPS), size=96)
    target = picture.with_name("cat.features.png")
    out, err = capsys.readouterr()
    assert out == f"{target}\n"
    assert err.splitlines()[-1] == "relu1_2 (64 at 1 px), pool2 (128 at 4 px)"
    with Image.open(target) as image, Image.open(picture) as seen:
        drawn, rgb = np.asarray(image), np.asarray(seen)
    lightness = np.asarray(srgb_to_lab(rgb / 255))[None, ..., :1]
    [expected] = pca_picture(load_model("relu3to5"), lightness, TAPS)
    # L is rounded in different ways.
    assert np.abs(drawn.astype(int) - expected).max() <= 3


def test_taps_are_those_of_the_head(picture, tmp_path, capsys):
    features(picture, "pool1to4", output=tmp_path / "new/seen.jpg", size=32, quiet=True)
    assert size_of(tmp_path / "new/seen.jpg") == (48, 32)
    assert capsys.readouterr().err == ""


def test_what_is_there_stays(picture):
    target = picture.with_name("cat.features.png")
    target.write_bytes(b"mine")
    with pytest.raises(WrongUse, match=r"`--overwrite` be given. Received: .*cat\.features\.png"):
        features(picture)
    assert target.read_bytes() == b"mine"
    features(picture, "pool1to4", size=32, overwrite=True, quiet=True)
    assert size_of(target) == (48, 32)


def test_mistakes_are_named(picture, tmp_path):
    with pytest.raises(WrongUse, match=r"`--tap` should name layers .* Received: 'relu9'"):
        features(picture, "pool1to4", tap=["relu9"])
    with pytest.raises(PictureError, match=r"none\.jpg: "):
        features(tmp_path / "none.jpg", "pool1to4")
    with pytest.raises(OutputError, match=r"cat\.gif: no known output format"):
        features(picture, "pool1to4", output=tmp_path / "cat.gif")
    with pytest.raises(OutputError, match="overwrite its own source"):
        features(picture, "pool1to4", output=picture, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.png"]


def test_a_model_of_keras_has_to_be_told_its_taps(picture, tmp_path, capsys):
    import keras
    from keras import layers

    from kh_zoo import save_model

    light = keras.Input((None, None, 1))
    x = layers.Conv2D(8, 3, padding="same", name="one")(light)
    x = layers.Conv2D(2, 3, padding="same", activation="softsign", name="two")(x)
    save_model(keras.Model(light, x), tmp_path / "own", size=64)
    with pytest.raises(WrongUse, match="`--tap` should name feature maps of a Keras model"):
        features(picture, str(tmp_path / "own"))
    features(picture, str(tmp_path / "own"), tap=["one"], size=32, quiet=True)
    assert capsys.readouterr().out.endswith("cat.features.png\n")
