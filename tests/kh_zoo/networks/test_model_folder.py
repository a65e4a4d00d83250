"""Model folders: the ONNX graph against the Keras model, and what a bad folder gets told."""

import json
import shutil

import numpy as np
import pytest
from first_format import first_format
from safetensors.numpy import load_file, save_file
from small_models import model_files

import keras_hypercolumns.backbones.vgg19.taps as library
from keras_hypercolumns import joint_colorizer
from kh_zoo.catalog.export import export_model
from kh_zoo.catalog.records import BUNDLES, list_variants
from kh_zoo.engines import create_engine
from kh_zoo.errors import ModelError
from kh_zoo.networks.model_folder import CONFIG, TENSORS, open_model_folder, vgg19_config
from kh_zoo.networks.onnx_graph import onnx_graph
from kh_zoo.networks.tensors import expand, quantize, read_tensors, write_model_folder
from kh_zoo.networks.vgg19 import TAPS
from kh_zoo.with_keras.keras_model import build_model, write_colorizer


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A float32 model folder of one variant, with max pooling and random biases."""
    path = tmp_path_factory.mktemp("run") / "model"
    model = with_random_biases(joint_colorizer(("pool1to4",), pooling="max"))
    write_colorizer(model, path, size=64)
    return path, model


def with_random_biases(model):
    random = np.random.default_rng(0)
    for layer in (*model.get_layer("trunk").layers, *model.layers):
        if layer.name.startswith(("conv", "head_")):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, random.normal(0, 0.1, bias.shape)])
    return model


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    """A model folder whose trunk sees the grey value of sRGB."""
    path = tmp_path_factory.mktemp("gray") / "model"
    model = with_random_biases(joint_colorizer(("relu1to3",), trunk_input="gray"))
    write_colorizer(model, path, size=64)
    return path, model


@pytest.fixture
def broken(small, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(small[0], path)
    return path


def test_tables_are_those_of_the_library():
    assert tuple(TAPS) == library.tap_names()
    for tap, found in TAPS.items():
        assert found == (library.tap_channels(tap), library.tap_stride(tap))
    bundled = {variant.name: variant.taps for variant in list_variants()}
    assert {name: bundled[name] for name in library.VARIANTS} == dict(library.VARIANTS)


def test_keras_model_survives_the_folder(small):
    path, model = small
    again = build_model(open_model_folder(path), "pool1to4")
    lightness = np.random.default_rng(1).uniform(0, 100, (1, 33, 50, 1)).astype("float32")
    np.testing.assert_allclose(
        again.predict_on_batch(lightness),
        model.predict_on_batch(lightness)["pool1to4"],
        atol=1e-4,
    )


@pytest.mark.parametrize("variant", list(library.VARIANTS))
def test_graph_equals_keras_on_the_bundled_weights(variant):
    folder = open_model_folder(BUNDLES / "vgg19")
    engine, model = create_engine("onnx", folder, variant), build_model(folder, variant)
    random = np.random.default_rng(2)
    for shape in ((128, 192), (64, 64), (37, 53)):
        lightness = random.uniform(0, 100, shape).astype("float32")
        ab = model.predict_on_batch(lightness[None, ..., None])[0]
        assert np.abs(ab).max() > 1
        assert np.abs(engine.predict_ab(lightness) - ab).max() < 1e-3


def test_graph_equals_keras_with_max_pooling(small):
    folder = open_model_folder(small[0])
    lightness = np.random.default_rng(3).uniform(0, 100, (47, 31)).astype("float32")
    ab = small[1].predict_on_batch(lightness[None, ..., None])["pool1to4"][0]
    predicted = create_engine("onnx", folder, "pool1to4").predict_ab(lightness)
    np.testing.assert_allclose(predicted, ab, atol=1e-3)


@pytest.mark.parametrize("shape", [(33, 47), (16, 64)])
def test_graph_and_keras_see_grey_values_where_the_configuration_says_so(gray, shape):
    path, model = gray
    folder = open_model_folder(path)
    assert folder.config.network.nodes[0].op == "lightness_to_gray"
    random = np.random.default_rng(4)
    lightness = random.uniform(0, 100, shape).astype("float32")
    # The darkest, where both curves are lines, and what a rounding may leave outside.
    lightness[:4] = random.uniform(-1, 9, (4, shape[1]))
    lightness[4, :9] = 100.001
    ab = model.predict_on_batch(lightness[None, ..., None])["relu1to3"][0]
    assert np.abs(ab).max() > 1
    again = build_model(folder, "relu1to3").predict_on_batch(lightness[None, ..., None])[0]
    np.testing.assert_allclose(again, ab, atol=1e-4)
    predicted = create_engine("onnx", folder, "relu1to3").predict_ab(lightness)
    np.testing.assert_allclose(predicted, ab, rtol=0, atol=1e-3)


def test_a_grey_input_is_kept_in_the_export(gray, tmp_path):
    export_model(gray[0], tmp_path / "int8", "int8")
    nodes = open_model_folder(tmp_path / "int8").config.network.nodes
    assert nodes[0].op == "lightness_to_gray"


@pytest.fixture
def first(tmp_path):
    """A model folder of format 1."""
    config = vgg19_config("max", 64, {"pool1to4": library.VARIANTS["pool1to4"]})
    random = np.random.default_rng(0)
    tensors = {
        name: random.normal(0, 0.02, shape).astype("float32")
        for name, shape in config.tensor_shapes().items()
    }
    write_model_folder(tmp_path / "first", config, tensors)
    first_format(tmp_path / "first", config.heads, pooling="max")
    return tmp_path / "first"


def test_a_configuration_without_an_input_means_scaled(first):
    config = open_model_folder(first).config
    edit(first, lambda table: table.update(input="scaled", vivid=[]))
    assert open_model_folder(first).config == config


def test_both_formats_say_the_same(first, tmp_path):
    folder = open_model_folder(first)
    write_model_folder(tmp_path / "second", folder.config, load_file(first / TENSORS))
    assert json.loads((tmp_path / "second" / CONFIG).read_text())["format"] == 2
    again = open_model_folder(tmp_path / "second")
    assert again.config == folder.config
    lightness = np.random.default_rng(3).uniform(0, 100, (47, 31)).astype("float32")
    one, other = (
        create_engine("onnx", each, "pool1to4").predict_ab(lightness) for each in (folder, again)
    )
    np.testing.assert_array_equal(one, other)
    ab = build_model(folder, "pool1to4").predict_on_batch(lightness[None, ..., None])[0]
    np.testing.assert_allclose(one, ab, atol=1e-3)


def test_study_variants_go_all_the_way(tmp_path):
    """Also one whose name begins as those of the trunk's tensors do, and one with pool5."""
    variants = ("conv1to5", "pool1to5")
    model = with_random_biases(joint_colorizer(variants))
    write_colorizer(model, tmp_path / "float32", size=64)
    export_model(tmp_path / "float32", tmp_path / "int8", "int8")
    lightness = np.random.default_rng(5).uniform(0, 100, (47, 33)).astype("float32")
    colors = model.predict_on_batch(lightness[None, ..., None])
    for variant in variants:
        for precision, tolerance in (("float32", 1e-3), ("int8", 0.5)):
            folder = open_model_folder(tmp_path / precision)
            predicted = create_engine("onnx", folder, variant).predict_ab(lightness)
            np.testing.assert_allclose(predicted, colors[variant][0], rtol=0, atol=tolerance)
        assert np.abs(colors[variant]).max() > 1
    heads = read_tensors(folder), read_tensors(open_model_folder(tmp_path / "float32"))
    np.testing.assert_array_equal(*(tensors["conv1to5_conv1_2.kernel"] for tensors in heads))


@pytest.mark.parametrize("variant", list(library.ARCHITECTURES))
def test_heads_that_are_not_linear_are_saved(variant, tmp_path):
    model = with_random_biases(joint_colorizer((variant,)))
    write_colorizer(model, tmp_path, size=64)
    lightness = np.random.default_rng(6).uniform(0, 100, (48, 32)).astype("float32")
    ab = model.predict_on_batch(lightness[None, ..., None])[variant][0]
    predicted = create_engine("onnx", open_model_folder(tmp_path), variant).predict_ab(lightness)
    assert np.abs(ab).max() > 0.01
    np.testing.assert_allclose(predicted, ab, rtol=0, atol=1e-3)


def test_no_dequantization_is_left_at_run_time(tmp_path):
    import onnx
    import onnxruntime

    folder = open_model_folder(BUNDLES / "vgg19")
    graph = onnx_graph(folder, "relu3to5")
    assert any(node.kind == "DequantizeLinear" for node in graph.nodes)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(BUNDLES / "vgg19")
    )
    # Beyond "extended" a file would hold kernels that fit this machine only, and ORT warns.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph
    kinds = {node.op_type for node in optimized.node}
    assert "DequantizeLinear" not in kinds
    assert kinds & {"Conv", "FusedConv"}


def test_int8_is_within_a_step_and_each_window_sums_within_half_a_step(small, tmp_path):
    export_model(small[0], tmp_path / "int8", "int8")
    precise = load_file(small[0] / TENSORS)
    rounded = expand(load_file(tmp_path / "int8" / TENSORS))
    assert rounded.keys() == precise.keys()
    for name, value in precise.items():
        if name.startswith("conv") and name.endswith(".kernel"):
            step = np.abs(value).max(axis=(1, 2, 3), keepdims=True) / 127
            error = rounded[name] - value
            assert (np.abs(error) <= 1.001 * step).all()
            assert (np.abs(error.sum(axis=(2, 3))) <= 0.501 * step[..., 0, 0]).all()
            assert not np.array_equal(rounded[name], value)
        else:
            np.testing.assert_array_equal(rounded[name], value)
    folder = open_model_folder(tmp_path / "int8")
    assert folder.quantized
    assert not open_model_folder(small[0]).quantized


def test_no_more_weights_than_needed_are_rounded_the_other_way(random):
    kernel = random.normal(size=(4, 3, 3, 3)).astype(np.float32)
    quantized = quantize({"conv1_1.kernel": kernel})
    steps = kernel / quantized["conv1_1.scale"][:, None, None, None]
    made = quantized["conv1_1.kernel"].reshape(12, 9)
    for window, values in zip(steps.reshape(12, 9), made, strict=True):
        left = window - np.round(window)
        missing = int(np.round(left.sum()))
        expected = np.round(window)
        for place in np.argsort(left)[:: -1 if missing > 0 else 1][: abs(missing)]:
            expected[place] += np.sign(missing)
        np.testing.assert_array_equal(values, expected)


def test_kernels_of_one_weight_sum_within_half_a_step_over_each_output_channel(random):
    kernel = random.normal(size=(5, 700, 1, 1)).astype(np.float32)
    quantized = quantize({"block_project.kernel": kernel})
    step = quantized["block_project.scale"]
    error = expand(quantized)["block_project.kernel"] - kernel
    assert (np.abs(error) <= 1.001 * step[:, None, None, None]).all()
    assert (np.abs(error.sum(axis=(1, 2, 3))) <= 0.501 * step).all()
    # To the nearest, a sum of 700 errors is 7.6 steps off.
    nearest = np.round(kernel[:, :, 0, 0] / step[:, None]) * step[:, None] - kernel[:, :, 0, 0]
    assert (np.abs(nearest.sum(axis=1)) > step).any()


def test_a_channel_of_zeros_stays_zero():
    quantized = quantize({"conv1_1.kernel": np.zeros((2, 1, 3, 3), np.float32)})
    assert not expand(quantized)["conv1_1.kernel"].any()


def edit(path, change):
    table = json.loads((path / CONFIG).read_text())
    change(table)
    (path / CONFIG).write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.update(format=3), "newer version"),
        (lambda table: table.update(architecture="resnet"), "architecture"),
        (lambda table: table.update(pooling="median"), "pooling"),
        (lambda table: table.update(input="rgb"), "`input` .*'gray'.*'rgb'"),
        (lambda table: table.update(input=["gray"]), "input"),
        (lambda table: table.update(size=10**9), "size"),
        (lambda table: table.update(code="import os"), "keys"),
        (lambda table: table["heads"].update(pool1to4=["relu9_9"]), "relu9_9"),
        (lambda table: table["heads"].update({"../up": ["pool1"]}), "no name"),
        (lambda table: table["heads"].update(other=["relu5_4"]), "missing"),
    ],
)
def test_a_bad_configuration_of_format_1_is_refused(first, change, message):
    edit(first, change)
    with pytest.raises(ModelError, match=message):
        open_model_folder(first)


def test_cut_file_is_refused(broken):
    data = (broken / TENSORS).read_bytes()
    (broken / TENSORS).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="cut"):
        open_model_folder(broken)
    (broken / TENSORS).write_bytes(b"")
    with pytest.raises(ModelError, match="whole safetensors"):
        open_model_folder(broken)


def test_wrong_shape_and_unknown_tensor_are_refused(broken):
    tensors = load_file(broken / TENSORS)
    save_file({**tensors, "conv1_1.bias": np.zeros(63, np.float32)}, broken / TENSORS)
    with pytest.raises(ModelError, match=r"conv1_1.bias.*\(64,\).*\(63,\)"):
        open_model_folder(broken)
    save_file({**tensors, "extra": np.zeros(3, np.float32)}, broken / TENSORS)
    with pytest.raises(ModelError, match="unknown tensors"):
        open_model_folder(broken)


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_table_as_long_as_pickles_begin_is_read(length, tmp_path):
    model_files(tmp_path)
    content = (tmp_path / TENSORS).read_bytes()
    before = int.from_bytes(content[:8], "little")
    assert before <= length
    table = content[8 : 8 + before].ljust(length)
    (tmp_path / TENSORS).write_bytes(length.to_bytes(8, "little") + table + content[8 + before :])
    assert set(load_file(tmp_path / TENSORS)) == set(open_model_folder(tmp_path).tensors)
