"""Taps that are picked by name or by stride, against a ramp in the picture."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_hypercolumns import (
    HyperColumn,
    HyperColumnProjection,
    HyperColumnSampler,
    feature_info,
    pick_taps,
)

LAST = {"data_format": "channels_last"}


def backbone_of(kind, name="backbone"):
    """Two strides of 2: padded by TensorFlow's rule, at both sides, or not at all."""
    x = picture = keras.Input((64, 64, 1))
    settings = {"use_bias": False, "kernel_initializer": "ones", **LAST}
    for number in (1, 2):
        if kind == "padded":
            x = layers.ZeroPadding2D(1, **LAST, name=f"padding_{number}")(x)
        if kind == "ops.pad":
            x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        padding = "same" if kind == "same" else "valid"
        x = layers.Conv2D(1, 3, 2, padding, **settings, name=f"conv_{number}")(x)
    return keras.Model(picture, x, name=name)


CENTERS = {"same": (1, 3), "padded": (0, 0), "ops.pad": (0, 0), "valid": (1, 3)}


@pytest.mark.parametrize("kind", CENTERS)
def test_a_ramp_lies_where_it_does_in_the_picture(kind):
    """A ramp is what it was behind any symmetric window: its values tell where each tap lies."""
    extractor, settings = pick_taps(backbone_of(kind), strides=(2, 4))
    assert settings == {
        "taps": ("conv_1", "conv_2"),
        "reference": "picture",
        "strides": {"conv_1": 2, "conv_2": 4},
        "centers": dict(zip(("conv_1", "conv_2"), CENTERS[kind], strict=True)),
        "data_format": "channels_last",
    }
    ramp = np.broadcast_to(np.arange(64.0)[:, None, None], (1, 64, 64, 1)).astype("float32")
    maps = extractor(ramp)
    found = ops.convert_to_numpy(HyperColumn(**settings)(maps))[0, 16:48, 32]
    np.testing.assert_allclose(found, np.arange(16, 48)[:, None] * [9, 81], rtol=1e-6)
    points = np.array([[[20.5, 32.0]]], "float32")
    found = ops.convert_to_numpy(HyperColumnSampler(**settings)((maps, points)))
    np.testing.assert_allclose(found[0, 0], [20.5 * 9, 20.5 * 81], rtol=1e-6)


def test_names_are_kept_in_order_and_may_be_those_of_a_pyramid():
    backbone = backbone_of("same")
    extractor, settings = pick_taps(backbone, ["conv_2", "conv_1"])
    assert settings["taps"] == ("conv_2", "conv_1")
    # As backbones of keras-hub have it.
    backbone.pyramid_outputs = {
        f"P{level}": backbone.get_layer(f"conv_{level}").output for level in (1, 2)
    }
    for picked in ({"taps": ["P2", "P1"]}, {"strides": (4, 2)}):
        named, others = pick_taps(backbone, **picked)
        assert others["taps"] == ("P2", "P1")
        assert others["centers"] == {"P1": 1.0, "P2": 3.0}
        picture = np.random.default_rng(0).normal(size=(1, 64, 64, 1))
        np.testing.assert_array_equal(
            *(
                ops.convert_to_numpy(HyperColumn(**known)(one(picture)))
                for one, known in ((extractor, settings), (named, others))
            )
        )


def test_the_last_map_of_a_stride_is_no_padding():
    x = picture = keras.Input((None, None, 3))
    x = layers.Conv2D(2, 3, 2, "same", name="down", **LAST)(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.ZeroPadding2D(1, name="padding", **LAST)(x)
    x = layers.Conv2D(2, 3, 2, name="deep", **LAST)(x)
    backbone = keras.Model(picture, x)
    extractor, settings = pick_taps(backbone, strides=[2, 4])
    assert settings["taps"] == ("relu", "deep")
    model = keras.Model(extractor.input, HyperColumnProjection(5, **settings)(extractor.output))
    assert model.compute_output_shape((1, 33, 47, 3)) == (1, 33, 47, 5)


def test_padding_by_an_operation_is_that_by_a_layer():
    """In the middle, at one side, with any filling."""
    for pad in (
        lambda x: ops.pad(x, ((0, 0), (2, 1), (0, 3), (0, 0))),
        lambda x: ops.pad(x, [(0, 0), (2, 1), (0, 3), (0, 0)], mode="reflect"),
        lambda x: ops.pad(x, ((0, 0), (2, 1), (0, 3), (0, 0)), constant_values=7.0),
        layers.ZeroPadding2D(((2, 1), (0, 3)), **LAST),
    ):
        picture = keras.Input((None, None, 3))
        x = layers.Conv2D(4, 3, name="conv", **LAST)(pad(picture))
        assert feature_info(keras.Model(picture, x))["conv"].receptive_field == 3
        # Down -2 + 1, across 0 + 1.
        assert feature_info(keras.Model(picture, x))["conv"].center == ((-1.0,), (1.0,))


@pytest.mark.parametrize(
    ("picked", "message"),
    [
        ({}, "`taps` or `strides` should be given, and not both"),
        ({"taps": ["conv_1"], "strides": [2]}, "`taps` or `strides` should be given"),
        ({"strides": [3]}, r"`strides` should be one of '1', '2', '4'.* Received: 3"),
        ({"taps": ["conv_3"]}, "`taps` should name layers of model"),
        ({"taps": "conv_1"}, "`taps` should be a list or tuple of names"),
    ],
)
def test_what_can_not_be_picked_is_told(picked, message):
    with pytest.raises(ValueError, match=message):
        pick_taps(backbone_of("same"), **picked)


def test_a_backbone_of_two_pictures_is_refused():
    one, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="`backbone` should have one input"):
        pick_taps(keras.Model([one, other], layers.Add()([one, other])), strides=[1])


@pytest.mark.parametrize("size", [(64, 48), (61, 53)])
def test_what_is_reduced_otherwise_down_than_across_lies_in_its_place(size):
    """As networks for lines of text and spectrograms are: ramps are put back where they were."""
    x = picture = keras.Input((None, None, 1), name="picture")
    for i, strides in enumerate([(2, 1), (2, 2), (2, 1)]):
        x = layers.ZeroPadding2D(((1, 2), (2, 0)), **LAST)(x)
        x = layers.Conv2D(1, 3, strides, kernel_initializer="ones", use_bias=False, **LAST)(x)
        x = layers.Rescaling(1 / 9, name=f"tap_{i}")(x)
    backbone = keras.Model(picture, x)
    assert [feature_info(backbone)[f"tap_{i}"].stride for i in range(3)] == [(2, 1), (4, 2), (8, 2)]
    extractor, settings = pick_taps(backbone, strides=[(4, 2), (8, 2)])
    assert settings["taps"] == ("tap_1", "tap_2")
    assert pick_taps(backbone, strides=[[4, 2]])[1]["taps"] == ("tap_1",)
    with pytest.raises(ValueError, match=r"`strides` should be one of .*Received: \[2, 4\]"):
        pick_taps(backbone, strides=[[2, 4]])
    model = keras.Model(extractor.input, HyperColumn(**settings)(extractor.output))
    rows, columns = np.mgrid[: size[0], : size[1]].astype("float32")
    # Away from the padded edges a mean of a ramp is its value at the centre.
    inside = np.s_[0, 20:-20, 12:-12]
    for ramp in (rows, columns):
        found = ops.convert_to_numpy(model(ramp[None, ..., None]))
        for tap in range(2):
            np.testing.assert_allclose(found[(*inside, tap)], ramp[inside[1:]], atol=1e-3)
