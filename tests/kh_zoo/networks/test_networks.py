"""The network format: what is refused, and models of any backbone that go through it."""

import copy
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_hypercolumns import (
    HyperColumn,
    HyperColumnProjection,
    colorizer,
    efficientnet_lite,
    feature_info,
)
from kh_zoo import Colorizer, load_model, save_model
from kh_zoo.engines import create_engine
from kh_zoo.errors import ModelError
from kh_zoo.networks.model_folder import CONFIG, open_model_folder
from kh_zoo.networks.network import MAX_NODES, read_network
from kh_zoo.networks.operations import OPERATIONS, resize_shift
from kh_zoo.with_keras.to_network import NetworkFormatError, to_network

CONVOLUTION = {
    "filters": 4,
    "kernel_size": [3, 3],
    "strides": [2, 2],
    "padding": [0, 0, 1, 1],
    "dilation": [1, 1],
    "groups": 1,
}
TABLE = {
    "nodes": [
        {
            "name": "conv",
            "op": "convolution",
            "inputs": ["lightness"],
            "attributes": CONVOLUTION,
            "tensors": {"kernel": "conv.kernel", "bias": "conv.bias"},
        },
        {"name": "relu", "op": "relu6", "inputs": ["conv"]},
        {
            "name": "pool",
            "op": "max_pooling",
            "inputs": ["relu"],
            "attributes": {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"},
        },
        {
            "name": "up",
            "op": "resize",
            "inputs": ["pool", "relu"],
            "attributes": {"scale": 2, "offset": -0.5},
        },
        {"name": "sum", "op": "add", "inputs": ["up", "relu"]},
        {
            "name": "tint",
            "op": "convolution",
            "inputs": ["sum"],
            "attributes": {**CONVOLUTION, "filters": 2, "kernel_size": [1, 1], "strides": [1, 1],
                           "padding": "valid"},
            "tensors": {"kernel": "tint.kernel"},
        },
        {
            "name": "ab",
            "op": "resize",
            "inputs": ["tint", "lightness"],
            "attributes": {"scale": 2, "offset": -1.0},
        },
    ],
    "outputs": {"toy": "ab"},
}  # fmt: skip


def nodes_of(table):
    return {node["name"]: node for node in table["nodes"]}


def test_shapes_channels_and_strides_are_inferred():
    network = read_network(TABLE)
    assert network.tensor_shapes() == {
        "conv.kernel": (4, 1, 3, 3),
        "conv.bias": (4,),
        "tint.kernel": (2, 4, 1, 1),
    }
    assert {name: tuple(one) for name, one in network.maps(37, 64).items()} == {
        "lightness": (1, 37, 64),
        "conv": (4, 18, 32),
        "relu": (4, 18, 32),
        "pool": (4, 9, 16),
        "up": (4, 18, 32),
        "sum": (4, 18, 32),
        "tint": (2, 18, 32),
        "ab": (2, 37, 64),
    }
    assert network.stride("pool") == 4
    assert read_network(json.loads(json.dumps(network.to_table()))) == network


def hostile_tables():
    """A hundred kinds of descriptions that are none, each with what is wrong."""

    def changed(what, change):
        table = copy.deepcopy(TABLE)
        change(table, nodes_of(table))
        return pytest.param(table, id=what)

    for what in (None, [], "network", 3, {}, {"nodes": []}, {"nodes": [], "outputs": {}, "x": 1}):
        yield pytest.param(what, id=f"no table: {what!r}")
    for key, values in {
        "name": ("", "a b", "../up", "a/b", "x" * 200, None, 3, ["conv"], "relu", "lightness", "é"),
        "op": ("", "conv", "lambda", "eval", None, 7, ["relu"], {"op": "relu"}),
        "inputs": ([], ["nothing"], ["conv", "conv"], ["ab"], "lightness", None, [3], [["conv"]],
                   ["conv"] * 5000),
        "attributes": ([], None, 3, {"x": 1}),
        "tensors": ([], None, 3, {"kernel": 3}, {"kernel": "../x"}, {"bias": "conv.bias"},
                    {"kernel": "k", "x": "y"}, {"kernel": "a b"}),
    }.items():  # fmt: skip
        for value in values:
            yield changed(
                f"{key}={str(value)[:40]!r}", lambda t, n, k=key, v=value: n["conv"].update({k: v})
            )
    for key, values in {
        "filters": (0, -1, 2.0, True, 10**9, "4", None, 5),
        "kernel_size": (3, [3], [3, 3, 3], [0, 3], [3, 10**6], ["3", 3], [200, 3], None),
        "strides": ([0, 1], [-2, 2], [10**9, 2], 2, None, [1.5, 2]),
        "padding": ("SAME", "", [1, 1], [-1, 0, 0, 0], [10**9] * 4, None, 1, [0.5] * 4),
        "dilation": ([0, 1], [10**9, 1], 1, None),
        "groups": (0, 3, -1, 10**9, None, True),
    }.items():
        for value in values:
            yield changed(
                f"{key}={value!r}",
                lambda t, n, k=key, v=value: n["conv"].update(
                    attributes={**CONVOLUTION, k: v},
                    **({"inputs": ["tint"]} if (k, v) == ("filters", 5) else {}),
                ),
            )
    for key, values in {
        "scale": (0, -2, 1.5, 10**9, None, "2", True, 3),
        "offset": (0.25, 1e9, float("nan"), float("inf"), None, "0"),
    }.items():
        for value in values:
            yield changed(
                f"{key}={value!r}",
                lambda t, n, k=key, v=value: n["up"]["attributes"].update({k: v}),
            )
    # Numbers of any length, wherever there is one.
    for node in TABLE["nodes"]:
        for key, value in node.get("attributes", {}).items():
            for large in (10**400, -(10**400), [10**400] * 2, [10**400] * 4):
                if isinstance(value, bool | str) or isinstance(value, list) == (
                    isinstance(large, list)
                ):
                    yield changed(
                        f"{node['name']}.{key}={str(large)[:4]}...",
                        lambda t, n, name=node["name"], k=key, v=large: n[name][
                            "attributes"
                        ].update({k: v}),
                    )
    yield changed("an attribute too many", lambda t, n: n["up"]["attributes"].update(mode="cubic"))
    yield changed("a cycle", lambda t, n: n["conv"].update(inputs=["sum"]))
    yield changed("itself", lambda t, n: n["relu"].update(inputs=["relu"]))
    yield changed("no name", lambda t, n: n["relu"].pop("name"))
    yield changed("a key too many", lambda t, n: n["relu"].update(code="import os"))
    yield changed("an output of nothing", lambda t, n: t["outputs"].update(toy="nothing"))
    yield changed("an output of a list", lambda t, n: t["outputs"].update(toy=["ab"]))
    yield changed("no outputs", lambda t, n: t.update(outputs={}))
    yield changed("maps that don't fit", lambda t, n: n["sum"].update(inputs=["pool", "relu"]))
    yield changed(
        "one tensor in two shapes", lambda t, n: n["tint"].update(tensors={"kernel": "conv.kernel"})
    )
    yield changed(
        "a pool of nothing",
        lambda t, n: (
            n["pool"]["attributes"].update(pool_size=[64, 64], strides=[64, 64])
            or n["pool"].update(inputs=["pool"])
        ),
    )
    yield changed(
        "too many nodes",
        lambda t, n: t.update(
            nodes=t["nodes"]
            + [{"name": f"n{i}", "op": "relu", "inputs": ["ab"]} for i in range(MAX_NODES)]
        ),
    )
    yield changed(
        "an enormous map",
        lambda t, n: n["conv"].update(
            attributes={**CONVOLUTION, "filters": 65_536, "strides": [1, 1]}
        ),
    )
    yield changed(
        "an enormous kernel",
        lambda t, n: n["tint"].update(
            attributes={
                **CONVOLUTION,
                "filters": 65_536,
                "kernel_size": [64, 64],
                "strides": [8, 8],
                "padding": "same",
            }
        ) or n["conv"]["attributes"].update(filters=1024),
    )  # fmt: skip


@pytest.mark.parametrize("table", list(hostile_tables()))
def test_what_is_no_network_is_refused(table):
    with pytest.raises(ModelError) as caught:
        read_network(table)
    assert len(str(caught.value)) < 1000


def test_there_are_a_hundred_kinds():
    assert len(list(hostile_tables())) >= 100


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize("half_offset", range(-9, 10))
def test_a_resize_of_onnx_lies_where_the_format_says(scale, half_offset):
    offset = half_offset / 2
    found = resize_shift(scale, offset)
    if found is None:
        return
    half, shift = found
    cells = np.arange(5.0)
    large = (np.arange(5 * scale) + (0.5 if half else 0)) / scale - (0.5 if half else 0)
    large = np.interp(large, cells, cells)
    wanted = np.arange(3, 20)
    expected = np.interp((wanted + offset) / scale, cells, cells)
    moved = large[np.clip(wanted + shift, 0, len(large) - 1)]
    np.testing.assert_allclose(moved, expected, atol=1e-12)


# Backbones, by what they are and where their taps are.


def applications(name, **arguments):
    build = getattr(keras.applications, name)
    return build(include_top=False, weights=None, input_shape=(None, None, 3), **arguments)


def last_of_each_stride(model):
    found = {
        info.stride: tap
        for tap, info in feature_info(model).items()
        if info.stride in (2, 4, 8, 16, 32) and info.center is not None
    }
    return tuple(found.values())


BACKBONES = {
    "ResNet50": lambda: applications("ResNet50"),
    "MobileNetV2": lambda: applications("MobileNetV2", alpha=0.35),
    "ConvNeXtTiny": lambda: applications("ConvNeXtTiny"),
    "EfficientNetB0": lambda: applications("EfficientNetB0"),
    "DenseNet121": lambda: applications("DenseNet121"),
    "efficientnet_lite0": lambda: "efficientnet_lite0",
    "vgg19_gray": lambda: "vgg19_gray",
}


def shaken(model, seed=0):
    """The model with statistics, biases and a last layer such as training gives."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.endswith(("moving_mean", "beta", "bias")):
            weight.assign(random.normal(0, 0.1, weight.shape))
        if weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        if weight.path == "head_custom/kernel":
            weight.assign(random.normal(0, 0.02, weight.shape))
    return model


def build(name, head="hidden"):
    trunk = BACKBONES[name]()
    if isinstance(trunk, str):
        taps = {"vgg19_gray": ("relu1_2", "relu3_4", "pool4")}.get(trunk, ("stage2", "stage7"))
    else:
        taps = last_of_each_stride(trunk)
    return shaken(colorizer(taps, trunk=trunk, head=head))


# The others with KH_BACKBONES=all, before a release.
CHOSEN = (
    list(BACKBONES)
    if os.environ.get("KH_BACKBONES") == "all"
    else ["MobileNetV2", "ConvNeXtTiny", "efficientnet_lite0", "vgg19_gray"]
)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_colorizer_on_any_backbone_runs_without_keras(name, tmp_path):
    model = build(name)
    save_model(model, tmp_path, size=64)
    assert json.loads((tmp_path / CONFIG).read_text())["architecture"] == "network"
    folder = open_model_folder(tmp_path)
    lightness = np.random.default_rng(1).uniform(0, 100, (64, 96)).astype("float32")
    ab = keras.ops.convert_to_numpy(model(lightness[None, ..., None]))[0]
    scale = max(1.0, np.abs(ab).max() / 100)
    assert ab.std() > 0.1
    predicted = create_engine("onnx", folder, "custom").predict_ab(lightness)
    np.testing.assert_allclose(predicted, ab, rtol=0, atol=1e-3 * scale)
    again = keras.ops.convert_to_numpy(load_model(tmp_path)(lightness[None, ..., None]))[0]
    np.testing.assert_allclose(again, ab, rtol=0, atol=1e-3 * scale)


@pytest.mark.parametrize("head", ["linear", "vivid"])
def test_other_heads_on_another_backbone(head, tmp_path):
    model = build("MobileNetV2", head)
    save_model(model, tmp_path, size=64)
    folder = open_model_folder(tmp_path)
    assert bool(folder.config.vivid) == (head == "vivid")
    lightness = np.random.default_rng(1).uniform(0, 100, (64, 96)).astype("float32")
    ab = keras.ops.convert_to_numpy(model(lightness[None, ..., None]))[0]
    predicted = create_engine("onnx", folder, "custom").predict_ab(lightness)
    np.testing.assert_allclose(predicted, ab, rtol=0, atol=1e-3)


def test_colouring_with_a_backbone_of_ones_own_starts_no_keras(tmp_path):
    save_model(build("MobileNetV2"), tmp_path, size=64)
    program = (
        "import sys, numpy as np; from kh_zoo import Colorizer;"
        f"Colorizer({str(tmp_path)!r}).engine.predict_ab(np.full((64, 64), 50, 'float32'));"
        "sys.exit('keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert Colorizer(tmp_path).size == 64


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x / 6,
        lambda x: 3.0 + x,
        lambda x: x - 2,
        lambda x: 2 - x,
        lambda x: 0.5 * x,
        lambda x: x * keras.activations.relu6(x + 3.0) * (1 / 6),  # as MobileNetV3 has it
    ],
)
def test_a_map_and_a_number(compute, tmp_path):
    lightness = keras.Input((None, None, 1))
    x = compute(keras.layers.Rescaling(0.1)(lightness))
    model = keras.Model(lightness, keras.layers.Conv2D(2, 1, kernel_initializer="ones")(x))
    save_model(model, tmp_path, size=16)
    values = np.random.default_rng(1).uniform(0, 100, (16, 32)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(values[None, ..., None]))[0]
    folder = open_model_folder(tmp_path)
    [head] = folder.config.heads
    found = create_engine("onnx", folder, head).predict_ab(values)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    again = keras.ops.convert_to_numpy(load_model(tmp_path)(values[None, ..., None]))[0]
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-4)


def test_a_number_by_a_map_is_not_linear():
    lightness = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(2, 1)(1 / (lightness + 1.0))
    with pytest.raises(NetworkFormatError, match="else than a map and a number"):
        to_network(keras.Model(lightness, x))


def test_layers_that_the_format_lacks_are_named(tmp_path):
    lightness = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(lightness)
    x = keras.layers.LeakyReLU(name="leaky")(x)
    model = keras.Model(lightness, keras.layers.Conv2D(2, 1)(x))
    with pytest.raises(NetworkFormatError, match=r"'leaky' \(LeakyReLU\)"):
        to_network(model)
    save_model(model, tmp_path, size=64)
    assert load_model(tmp_path).count_params() == model.count_params()


def test_a_batch_normalisation_is_folded_where_one_layer_reads_it():
    lightness = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(lightness)
    normalized = keras.layers.BatchNormalization(name="norm")(x)
    both = keras.layers.Add()([normalized, x])
    model = shaken(keras.Model(lightness, keras.layers.Conv2D(2, 1, name="tint")(both)))
    written = to_network(model)
    # The convolution is read by two, so the normalisation is a step of its own.
    assert [node.op for node in written.network.nodes] == [
        "convolution",
        "convolution",
        "add",
        "convolution",
    ]


def test_a_hypercolumn_without_strides_can_not_be_written():
    lightness = keras.Input((None, None, 1))
    coarse = keras.layers.MaxPooling2D(name="coarse")(lightness)
    column = HyperColumn(("coarse",), reference="fine")({"coarse": coarse, "fine": lightness})
    model = keras.Model(lightness, keras.layers.Conv2D(2, 1)(column))
    with pytest.raises(NetworkFormatError, match="`strides`"):
        to_network(model)


def test_every_operation_has_its_onnx_method():
    from kh_zoo.networks.onnx_graph import _Builder

    assert set(OPERATIONS) == {name[3:] for name in dir(_Builder) if name.startswith("on_")}


def test_efficientnet_lite_as_a_trunk_of_a_given_model_is_the_named_one(tmp_path):
    trunk = efficientnet_lite(0, ("stage2", "stage7"), data_format="channels_last")
    named = colorizer(("stage2", "stage7"), trunk="efficientnet_lite0", head="hidden")
    given = colorizer(("stage2", "stage7"), trunk=trunk, head="hidden")
    given.set_weights(named.get_weights())
    lightness = np.random.default_rng(1).uniform(0, 100, (1, 64, 64, 1)).astype("float32")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(given(lightness)),
        keras.ops.convert_to_numpy(named(lightness)),
        atol=1e-5,
    )


@pytest.mark.parametrize("size", [(1, 1), (9, 9), (16, 40), (3, 200)])
def test_pictures_smaller_than_a_cell_are_continued_by_their_edge(size, tmp_path):
    save_model(build("MobileNetV2"), tmp_path, size=64)
    folder = open_model_folder(tmp_path)
    assert folder.config.least_side("custom") == 32
    engine = create_engine("onnx", folder, "custom")
    lightness = np.random.default_rng(1).uniform(0, 100, size).astype("float32")
    missing = [(0, max(32 - side, 0)) for side in size]
    whole = engine.predict_ab(np.pad(lightness, missing, mode="edge"))
    ab = engine.predict_ab(lightness)
    assert ab.shape == (*size, 2)
    np.testing.assert_allclose(ab, whole[: size[0], : size[1]], atol=1e-4)


@pytest.mark.parametrize("kind", [HyperColumn, HyperColumnProjection])
@pytest.mark.parametrize(
    "places",
    [
        {"strides": {"a": (2, 4), "b": (4, 2)}},  # the finest is another one down than across
        {"strides": {"a": 2, "b": (4, 8)}},
        {"strides": {"a": 2, "b": 4}, "centers": {"b": ([1.5], [0.0])}},
    ],
)
def test_what_lies_otherwise_down_than_across_is_no_network(places, kind):
    lightness = keras.Input((None, None, 1), name="lightness")
    maps = {
        name: keras.layers.AveragePooling2D(2, name=name, data_format="channels_last")(lightness)
        for name in ("a", "b")
    }
    arguments = () if kind is HyperColumn else (2,)
    layer = kind(*arguments, taps=("a", "b"), data_format="channels_last", **places)
    model = keras.Model(lightness, layer(maps))
    with pytest.raises(NetworkFormatError, match="otherwise placed down than across"):
        to_network(model)
