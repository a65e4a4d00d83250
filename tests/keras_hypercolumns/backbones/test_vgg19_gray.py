"""The backbone, against the VGG-19 of Keras Applications."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import vgg19_gray
from keras_hypercolumns.backbones.vgg19.taps import tap_channels, tap_names, tap_stride

# Block, convolutions, channels, stride of the convolutions: table 1, column E of the paper.
TABLE = [(1, 2, 64, 1), (2, 2, 128, 2), (3, 4, 256, 4), (4, 4, 512, 8), (5, 4, 512, 16)]


def expected_taps():
    """Name, channels and stride of every tap, in order."""
    taps = []
    for block, convolutions, channels, stride in TABLE:
        for i in range(1, convolutions + 1):
            taps.append((f"conv{block}_{i}", channels, stride))
            taps.append((f"relu{block}_{i}", channels, stride))
        taps.append((f"pool{block}", channels, 2 * stride))
    return taps


def every_map(model, pictures):
    """Run `model` on pictures that are channels last."""
    return {tap: ops.convert_to_numpy(x) for tap, x in model(pictures).items()}


@pytest.fixture
def picture(random):
    return random.uniform(-1, 1, size=(1, 37, 51, 1)).astype("float32")


@pytest.fixture(scope="module")
def applications():
    """The VGG-19 of Keras Applications with random weights, every layer an output."""
    model = keras.applications.VGG19(weights=None, include_top=False)
    return keras.Model(model.input, {layer.name: layer.output for layer in model.layers[1:]})


def test_the_tables_name_every_tap():
    taps = expected_taps()
    assert len(taps) == 37
    assert list(tap_names()) == [name for name, _, _ in taps]
    for name, channels, stride in taps:
        assert (tap_channels(name), tap_stride(name)) == (channels, stride)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_tap_has_its_channels_and_stride(batch_norm):
    model = vgg19_gray(batch_norm=batch_norm, data_format="channels_last")
    assert list(model.output) == [name for name, _, _ in expected_taps()]
    maps = every_map(model, np.zeros((1, 37, 51, 1), "float32"))
    for name, channels, stride in expected_taps():
        assert maps[name].shape == (1, 37 // stride, 51 // stride, channels)
        assert tuple(model.output[name].shape) == (None, None, None, channels)


def test_layers_and_kernels_are_those_of_keras_applications(applications):
    model = vgg19_gray(data_format="channels_last")
    own = [layer for layer in model.layers if layer.name.startswith(("conv", "pool"))]
    others = [layer for layer in applications.layers if layer.name.startswith("block")]
    assert len(own) == len(others) == 21
    for layer, other in zip(own, others, strict=True):
        block, part = other.name.removeprefix("block").split("_")
        if part == "pool":
            assert layer.name == f"pool{block}"
            continue
        assert layer.name == f"conv{block}_{part.removeprefix('conv')}"
        shape = tuple(other.kernel.shape)
        assert tuple(layer.kernel.shape) == ((3, 3, 1, 64) if layer.name == "conv1_1" else shape)
        assert tuple(layer.bias.shape) == tuple(other.bias.shape)


def test_with_its_weights_it_is_the_network_of_keras_applications(applications, picture):
    model = vgg19_gray(pooling="max", data_format="channels_last")
    for layer in applications.layers:
        if layer.weights:
            block, part = layer.name.removeprefix("block").split("_")
            kernel, bias = layer.get_weights()
            if kernel.shape[2] == 3:
                # A gray picture has the same three channels.
                kernel = kernel.sum(axis=2, keepdims=True)
            model.get_layer(f"conv{block}_{part.removeprefix('conv')}").set_weights([kernel, bias])
    found = every_map(model, picture)
    expected = every_map(applications, np.repeat(picture, 3, axis=-1))
    for name, values in expected.items():
        block, part = name.removeprefix("block").split("_")
        tap = f"pool{block}" if part == "pool" else f"relu{block}_{part.removeprefix('conv')}"
        np.testing.assert_allclose(
            found[tap], values, rtol=0, atol=1e-5 * np.abs(values).max(), err_msg=tap
        )


@pytest.mark.parametrize(("pooling", "reduce"), [("average", np.mean), ("max", np.max)])
def test_pooling_drops_an_odd_last_row_and_column(pooling, reduce, picture):
    model = vgg19_gray(("relu1_2", "pool1"), pooling=pooling, data_format="channels_last")
    maps = every_map(model, picture)
    cells = maps["relu1_2"][:, :36, :50].reshape(1, 18, 2, 25, 2, 64)
    np.testing.assert_allclose(maps["pool1"], reduce(cells, axis=(2, 4)), atol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_relu_taps_are_the_positive_part_of_conv_taps(batch_norm, picture):
    model = vgg19_gray(
        ("conv1_1", "relu1_1", "conv2_2", "relu2_2"),
        batch_norm=batch_norm,
        data_format="channels_last",
    )
    maps = every_map(model, picture)
    for conv, relu in (("conv1_1", "relu1_1"), ("conv2_2", "relu2_2")):
        assert maps[conv].min() < 0 < maps[conv].max()
        np.testing.assert_allclose(maps[relu], np.maximum(maps[conv], 0), atol=1e-6)


def test_batch_norm_stands_between_convolution_and_relu():
    model = vgg19_gray(("relu1_2",), batch_norm=True, data_format="channels_last")
    names = [layer.name for layer in model.layers[1:]]
    assert names == ["conv1_1", "norm1_1", "relu1_1", "conv1_2", "norm1_2", "relu1_2"]
    assert model.get_layer("conv1_1").bias is None


def test_layers_behind_the_last_tap_are_left_out():
    model = vgg19_gray(("relu2_1", "pool1"), data_format="channels_last")
    assert list(model.output) == ["relu2_1", "pool1"]
    assert model.layers[-1].name == "relu2_1"


def test_channels_first_has_the_same_weights_and_shapes_transposed():
    taps = ("relu1_2", "pool2")
    first = vgg19_gray(taps, data_format="channels_first", batch_norm=True)
    last = vgg19_gray(taps, data_format="channels_last", batch_norm=True)
    assert [w.shape for w in first.weights] == [w.shape for w in last.weights]
    assert {tap: tuple(x.shape) for tap, x in first.output.items()} == {
        "relu1_2": (None, 64, None, None),
        "pool2": (None, 128, None, None),
    }


def test_a_network_without_taps_is_refused():
    with pytest.raises(ValueError, match=r"`taps` should name at least one tap\. Received: \(\)"):
        vgg19_gray(())


def test_unknown_taps_and_poolings_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`taps` .*Did you mean 'relu5_4'\? Received: 'relu5_5'"):
        vgg19_gray(("relu1_2", "relu5_5"))
    with pytest.raises(ValueError, match=r"`pooling` .*Did you mean 'average'.* 'avarage'"):
        vgg19_gray(pooling="avarage")
