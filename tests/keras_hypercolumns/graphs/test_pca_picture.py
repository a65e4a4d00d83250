"""Principal components as colours, against those of all pixels by NumPy."""

import keras
import numpy as np
import pytest
from keras import layers
from skimage import data

from keras_hypercolumns import features, pca_picture

TAPS = ["conv", "pool"]


def backbone(data_format="channels_last"):
    """Edges and colours at one scale, their means at another."""
    first = data_format == "channels_first"
    settings = {"data_format": data_format}
    picture = keras.Input((3, None, None) if first else (None, None, 3))
    x = layers.ZeroPadding2D(((1, 0), (1, 0)), **settings)(picture)
    x = layers.Subtract(name="conv")([layers.Cropping2D(((0, 1), (0, 1)), **settings)(x), picture])
    x = layers.Concatenate(axis=1 if first else -1, name="both")([x, picture])
    return keras.Model(picture, layers.AveragePooling2D(4, **settings, name="pool")(x))


def photographs(count=2):
    cat, coffee = (x()[20:276, 40:424] / 255.0 for x in (data.chelsea, data.coffee))
    return np.stack([cat, coffee][:count]).astype("float32")


def test_the_components_are_those_of_all_pixels():
    pictures = photographs()
    drawn = pca_picture(backbone(), pictures, TAPS, points=20_000)
    assert (drawn.shape, drawn.dtype) == ((2, 256, 384, 3), "uint8")
    rows = features(backbone(), pictures, TAPS).reshape(-1, 9).astype(float)
    rows -= rows.mean(0)
    taps = np.split(rows, [3], axis=1)
    rows = np.concatenate([tap / np.sqrt(tap.var(axis=0).sum()) for tap in taps], axis=1)
    _, vectors = np.linalg.eigh(rows.T @ rows)
    expected = rows @ vectors[:, ::-1][:, :3]
    for shown, component in zip(drawn.reshape(-1, 3).T.astype(float), expected.T, strict=True):
        # One part in a hundred is cut at either end, and an axis has no direction.
        cut = np.clip(component, *np.percentile(component, (1, 99)))
        assert abs(np.corrcoef(shown, cut)[0, 1]) > 0.995
    for shown in drawn.reshape(-1, 3).T:
        assert 0.005 < np.mean(shown == 0) < 0.02
        assert 0.005 < np.mean(shown == 255) < 0.02


def test_it_is_the_same_again():
    first, again = (pca_picture(backbone(), photographs(), TAPS) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    # Other pixels are sampled, so the axes are nearly the same, and point the same way.
    other = pca_picture(backbone(), photographs(), TAPS, seed=1)
    assert np.abs(other.astype(int) - first).mean() < 10


def test_channels_first():
    pictures = photographs(1)
    last = pca_picture(backbone(), pictures, TAPS)
    first = pca_picture(backbone("channels_first"), pictures.transpose(0, 3, 1, 2), TAPS)
    assert np.abs(first.astype(int) - last).max() <= 1


def test_fewer_components_than_colours():
    """One channel, or a picture without any differences."""
    picture = keras.Input((None, None, 1))
    one = keras.Model(picture, layers.AveragePooling2D(2, name="pool")(picture))
    drawn = pca_picture(one, photographs(1)[..., :1], ["pool"])
    assert np.ptp(drawn[..., 0]) == 255
    assert np.ptp(drawn[..., 1:]) == 0
    flat = pca_picture(backbone(), np.full((1, 32, 32, 3), 0.5), ["pool"])
    assert flat.shape == (1, 32, 32, 3)
    few = pca_picture(backbone(), photographs(1), TAPS, points=2)
    assert few.shape == (1, 256, 384, 3)


def test_points_have_to_be_some():
    with pytest.raises(ValueError, match="`points` should be a positive int"):
        pca_picture(backbone(), photographs(), TAPS, points=0)
