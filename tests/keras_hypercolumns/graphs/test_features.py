"""Hypercolumns as arrays, against the picture itself and the layers of Keras."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_hypercolumns import features


def pooled(data_format="channels_last"):
    """The picture, its 2 x 2 means and its 4 x 4 means."""
    first = data_format == "channels_first"
    x = picture = keras.Input((3, None, None) if first else (None, None, 3), name="seen")
    for number in (1, 2):
        x = layers.AveragePooling2D(2, data_format=data_format, name=f"pool{number}")(x)
    return keras.Model(picture, x)


def test_all_pixels_are_the_maps_brought_up(random):
    pictures = random.normal(size=(2, 16, 24, 3)).astype("float32")
    found = features(pooled(), pictures, ["seen", "pool1", "pool2"])
    assert found.shape == (2, 16, 24, 9)
    np.testing.assert_array_equal(found[..., :3], pictures)
    for number, factor in enumerate((2, 4), 1):
        mean = layers.AveragePooling2D(factor, data_format="channels_last")(pictures)
        # Keras repeats the edge, as we do.
        size = {"size": factor, "interpolation": "bilinear", "data_format": "channels_last"}
        expected = ops.convert_to_numpy(layers.UpSampling2D(**size)(mean))
        np.testing.assert_allclose(found[..., 3 * number : 3 * number + 3], expected, atol=1e-6)


def test_points_are_those_of_all_pixels_and_between_them(random):
    pictures = random.normal(size=(2, 16, 24, 3)).astype("float32")
    pixels = random.integers(0, (16, 24), (2, 5, 2))
    backbone = pooled()
    dense = features(backbone, pictures, strides=(1, 2))
    found = features(backbone, pictures, strides=(1, 2), points=pixels)
    expected = dense[np.arange(2)[:, None], pixels[..., 0], pixels[..., 1]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # The middle of four pixels is a cell of the first pooling.
    [middle] = features(backbone, pictures[:1], ["pool1"], points=[(2.5, 4.5)])[0]
    np.testing.assert_allclose(middle, pictures[0, 2:4, 4:6].mean((0, 1)), atol=1e-6)


def test_points_that_are_shared(random):
    pictures = random.normal(size=(3, 16, 16, 3))
    shared = features(pooled(), pictures, ["pool2"], points=[(1, 2), (3, 4)])
    each = features(pooled(), pictures, ["pool2"], points=[[(1, 2), (3, 4)]] * 3)
    assert shared.shape == (3, 2, 3)
    np.testing.assert_array_equal(shared, each)


def test_channels_first(random):
    pictures = random.normal(size=(2, 16, 24, 3)).astype("float32")
    turned = pictures.transpose(0, 3, 1, 2)
    last = features(pooled(), pictures, ["pool2", "seen"])
    first = features(pooled("channels_first"), turned, ["pool2", "seen"])
    np.testing.assert_allclose(first, last.transpose(0, 3, 1, 2), atol=1e-6)
    points = [(0.25, 7), (9, 11.5)]
    last = features(pooled(), pictures, ["pool2"], points=points)
    first = features(pooled("channels_first"), turned, ["pool2"], points=points)
    np.testing.assert_allclose(first, last, atol=1e-6)


@pytest.mark.parametrize(
    ("pictures", "points", "said"),
    [
        ((16, 24, 3), None, r"`pictures` should be a 4D .* Received: shape \(16, 24, 3\)"),
        ((0, 16, 24, 3), None, "`pictures` should be .* one or more"),
        ((2, 16, 24, 3), (5, 3), r"`points` should have the shape .* Received: shape \(5, 3\)"),
        ((2, 16, 24, 3), (2,), "`points` should have the shape"),
        ((2, 16, 24, 3), (3, 5, 2), "`points` should be for as many pictures as `pictures` has, 2"),
    ],
)
def test_shapes_that_are_wrong(pictures, points, said):
    points = None if points is None else np.zeros(points)
    with pytest.raises(ValueError, match=said):
        features(pooled(), np.zeros(pictures), ["pool1"], points=points)
