"""`tap_extractor` against layers called by hand."""

import re
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_hypercolumns import HyperColumnProjection, feature_info, pick_taps, tap_extractor

LAST = {"data_format": "channels_last"}


def arrays(outputs):
    return {tap: keras.ops.convert_to_numpy(x) for tap, x in outputs.items()}


def check_equal(outputs, expected):
    outputs, expected = arrays(outputs), arrays(expected)
    assert set(outputs) == set(expected)
    for tap, x in outputs.items():
        np.testing.assert_allclose(x, expected[tap], rtol=1e-5, atol=1e-5, err_msg=tap)


@pytest.fixture
def picture(random):
    return random.uniform(size=(2, 21, 14, 3)).astype("float32")


def small_backbone(name="inner", norm=False):
    inputs = keras.Input((None, None, 3), name="picture")
    x = layers.Conv2D(4, 3, padding="same", name="first", **LAST)(inputs)
    if norm:
        x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(5, 3, strides=2, name="second", **LAST)(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean", **LAST)(x), name=name)


def test_maps_of_a_functional_model(picture):
    model = small_backbone()
    # The input is a tap too.
    extractor = tap_extractor(model, ["second", "first", "picture"])
    first = model.get_layer("first")(picture)
    expected = {"second": model.get_layer("second")(first), "first": first, "picture": picture}
    check_equal(extractor(picture), expected)
    check_equal(extractor(picture[:1, :9, :11]), arrays(extractor(picture[:1, :9, :11])))
    assert tuple(extractor.output["second"].shape) == (None, None, None, 5)
    assert "mean" not in [layer.name for layer in extractor.layers]
    assert extractor.get_layer("first") is model.get_layer("first")


def test_a_sequential_model(picture):
    stack = [layers.Conv2D(4, 3, name="first", **LAST), layers.MaxPooling2D(2, name="pool", **LAST)]
    extractor = tap_extractor(keras.Sequential([keras.Input((None, None, 3)), *stack]), ["pool"])
    check_equal(extractor(picture), {"pool": stack[1](stack[0](picture))})


@pytest.mark.parametrize("sequential", [False, True])
def test_maps_inside_a_nested_model(sequential, picture):
    inner = small_backbone()
    if sequential:
        inner = keras.Sequential([keras.Input((None, None, 3)), *inner.layers[1:]], name="inner")
    inputs = keras.Input((None, None, 3))
    scaled = layers.Rescaling(2.0, name="scaled")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="head")(inner(scaled)))

    extractor = tap_extractor(model, ["inner/second", "scaled", "inner/first"])
    first = inner.get_layer("first")(2 * picture)
    expected = {
        "inner/second": inner.get_layer("second")(first),
        "scaled": 2 * picture,
        "inner/first": first,
    }
    check_equal(extractor(picture), expected)
    assert extractor.get_layer("inner").get_layer("first") is inner.get_layer("first")
    assert "head" not in [layer.name for layer in extractor.layers]


def test_maps_inside_and_behind_models_nested_twice(picture):
    innermost = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(3, 3, name="deep", **LAST)], name="innermost"
    )
    inputs = keras.Input((None, None, 3))
    x = innermost(inputs)
    x = layers.Conv2D(4, 1, name="middling", **LAST)(x) + 1.0
    middle = keras.Model(inputs, x, name="middle")
    inputs = keras.Input((None, None, 3))
    x = layers.ReLU(name="behind")(middle(inputs))
    model = keras.Model(inputs, x)

    taps = ["middle/innermost/deep", "middle/middling", "middle", "behind"]
    extractor = tap_extractor(model, taps)
    deep = innermost.get_layer("deep")(picture)
    middling = middle.get_layer("middling")(deep)
    expected = [deep, middling, middling + 1.0, keras.ops.relu(middling + 1.0)]
    check_equal(extractor(picture), dict(zip(taps, expected, strict=True)))
    # Each model is run once, and gives its maps and its output.
    assert [layer.name for layer in extractor.layers][1:] == ["middle", "behind"]
    assert len(extractor.get_layer("middle").layers) == len(middle.layers)


@pytest.mark.parametrize("training", [None, True])
def test_a_nested_model_keeps_the_way_it_is_called(training, picture):
    # The usual way to fine-tune: the statistics of the backbone are not to move.
    inner = small_backbone(norm=True)
    inputs = keras.Input((None, None, 3))
    extractor = tap_extractor(keras.Model(inputs, inner(inputs, training=False)), ["inner/norm"])
    # What Keras does with it where it is asked for the same map alone.
    norm = keras.Model(inner.input, inner.get_layer("norm").output)
    alone = keras.Model(inputs, norm(inputs, training=False))
    maps = extractor(picture, training=training)
    check_equal(maps, {"inner/norm": alone(picture, training=training)})
    if training is None:
        check_equal(maps, {"inner/norm": norm(picture, training=False)})


def test_weights_are_shared(picture):
    inner = small_backbone()
    inputs = keras.Input((None, None, 3))
    extractor = tap_extractor(keras.Model(inputs, inner(inputs)), ["inner/first"])
    before = arrays(extractor(picture))["inner/first"]
    kernel, bias = inner.get_layer("first").get_weights()
    inner.get_layer("first").set_weights([2 * kernel, 2 * bias])
    np.testing.assert_allclose(arrays(extractor(picture))["inner/first"], 2 * before, rtol=1e-5)
    inner.trainable = False
    assert extractor.trainable_weights == []


def test_several_inputs(picture):
    color = keras.Input((None, None, 3), name="color")
    depth = keras.Input((None, None, 1), name="depth")
    both = layers.Concatenate(name="both")([color, depth])
    model = keras.Model({"color": color, "depth": depth}, layers.ReLU(name="last")(both))
    inputs = {"color": picture, "depth": picture[..., :1]}
    expected = np.concatenate([picture, picture[..., :1]], axis=-1)
    check_equal(tap_extractor(model, ["both"])(inputs), {"both": expected})

    # The same as a nested model.
    inner = keras.Model({"color": color, "depth": depth}, model.output, name="inner")
    outer_color, outer_depth = keras.Input((None, None, 3)), keras.Input((None, None, 1))
    outer = keras.Model(
        [outer_color, outer_depth], inner({"color": outer_color, "depth": outer_depth})
    )
    extractor = tap_extractor(outer, ["inner/both"])
    check_equal(extractor([picture, picture[..., :1]]), {"inner/both": expected})


def test_channels_first():
    picture = keras.Input((3, None, None))
    x = layers.Conv2D(4, 3, data_format="channels_first", name="first")(picture)
    extractor = tap_extractor(keras.Model(picture, x), ["first"])
    assert tuple(extractor.output["first"].shape) == (None, 4, None, None)


@pytest.mark.parametrize("nested", [False, True])
def test_saving(nested, picture, tmp_path):
    inputs = keras.Input((None, None, 3))
    model, prefix = small_backbone(), ""
    if nested:
        model, prefix = keras.Model(inputs, layers.Dense(2)(model(inputs))), "inner/"
    taps = (f"{prefix}first", f"{prefix}second")
    maps = tap_extractor(model, taps)(inputs)
    head = HyperColumnProjection(2, taps, data_format="channels_last")(maps)
    model = keras.Model(inputs, head)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    check_equal({"head": loaded(picture)}, {"head": model(picture)})


def test_a_head_on_a_backbone_in_few_lines(random):
    backbone = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    taps = ("expanded_conv_project_bn", "expanded_conv_2_add", backbone.layers[-1].name)
    strides = {tap: info.stride for tap, info in feature_info(backbone, taps).items()}
    assert list(strides.values()) == [4, 8, 32]
    picture = keras.Input((None, None, 3))
    maps = tap_extractor(backbone, taps)(picture)
    head = HyperColumnProjection(21, taps, reference="picture", strides=strides)
    model = keras.Model(picture, head({**maps, "picture": picture}))
    for size in ((64, 96), (71, 75)):
        scores = model(random.uniform(0, 255, (1, *size, 3)).astype("float32"))
        assert tuple(scores.shape) == (1, *size, 21)


def test_a_backbone_of_keras_hub(random):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what importing it and TensorFlow Text says
        keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
        name="backbone",
    )
    strides = {"conv1_relu": 2, "stack0_block0_out": 4, "stack1_block0_out": 8}
    picture = keras.Input((None, None, 3))
    model = keras.Model(picture, layers.ReLU()(backbone(picture)))
    array = random.uniform(size=(1, 64, 96, 3)).astype("float32")
    for source, prefix in ((backbone, ""), (model, "backbone/")):
        infos = feature_info(source, [prefix + tap for tap in strides])
        maps = arrays(tap_extractor(source, infos)(array))
        for tap, stride in strides.items():
            assert infos[prefix + tap] == feature_info(backbone)[tap]
            assert infos[prefix + tap].stride == stride
            assert maps[prefix + tap].shape == (1, 64 // stride, 96 // stride, 64)


# Wrong uses.


def test_an_unknown_tap_names_the_nearest_and_some_that_there_are():
    x = inputs = keras.Input((None, None, 3), name="picture")
    for block, filters in enumerate((4, 5), start=1):
        x = layers.Conv2D(filters, 3, strides=block, name=f"conv{block}", **LAST)(x)
        x = layers.ReLU(name=f"relu{block}")(x)
        x = layers.ZeroPadding2D(1, name=f"padding{block}", **LAST)(x)
    model = keras.Model(inputs, x, name="small")
    message = (
        "`taps` should name layers of model 'small'. Did you mean 'relu1'? It has 7 maps with a "
        "stride, the last of each: 'relu1' (stride 1, 4 channels), 'relu2' (stride 2, 5 "
        "channels); `feature_info(model)` tells them all. Received: 'relu_1'"
    )
    for function in (tap_extractor, feature_info):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            function(model, ["conv1", "relu_1"])


def test_a_name_inside_a_nested_model_is_found():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, small_backbone()(inputs))
    with pytest.raises(ValueError, match=r"Did you mean 'inner/first'\?"):
        tap_extractor(model, ["first"])


@pytest.mark.parametrize(
    "taps", ["first", [], (), None, 3, ["first", "first"], [1], [layers.ReLU(name="first")]]
)
def test_taps_that_are_no_names(taps):
    received = re.escape(f"Received: {tuple(taps) if isinstance(taps, list) else taps!r}")
    for function in (tap_extractor, feature_info)[: 1 if taps is None else 2]:
        with pytest.raises(ValueError, match=f"`taps` should be a list or tuple .*{received}"):
            function(small_backbone(), taps)


def test_layers_that_do_not_give_one_map(picture):
    inputs = keras.Input((None, None, 3))
    shared = layers.Conv2D(3, 3, name="shared", **LAST)
    inner = small_backbone()
    x = shared(shared(inputs))
    merged = layers.Add()([inner(x), inner(inputs)])
    several = keras.Model(inputs, [inputs * 1, inputs * 2], name="several")(inputs)
    model = keras.Model(inputs, [merged, *several])
    for tap, problem in {
        "shared": "is called 2 times",
        "inner/first": "is called 2 times",
        "several": "has 2 outputs, 'several[0]' to 'several[1]'",
        "add": "gives the shape (None, 5), without height and width",
    }.items():
        tap = merged._keras_history.operation.name if tap == "add" else tap
        with pytest.raises(ValueError, match=f"Layer '{tap}' {re.escape(problem)}"):
            tap_extractor(model, [tap])
    # A layer that another model uses as well is called once in each.
    check_equal(
        tap_extractor(inner, ["first"])(picture), {"first": inner.get_layer("first")(picture)}
    )


class Pyramid(layers.Layer):
    """As encoders of keras-hub have it: one layer that returns the maps of all its stages."""

    def call(self, x):
        half = ops.average_pool(x, 2, data_format="channels_last")
        return half, {"quarter": ops.average_pool(half, 2, data_format="channels_last")}


@pytest.mark.parametrize("nested", [False, True])
def test_outputs_of_a_layer_that_gives_several(picture, nested):
    inputs = keras.Input((None, None, 3))
    half, deeper = Pyramid(name="stages")(inputs)
    model = keras.Model(inputs, [half, deeper["quarter"]], name="inner")
    prefix = ""
    if nested:
        outer = keras.Input((None, None, 3))
        model, prefix = keras.Model(outer, model(outer)), "inner/"
    taps = [f"{prefix}stages[1]", f"{prefix}stages[0]"]
    expected = {
        tap: layers.AveragePooling2D(stride, data_format="channels_last")(picture)
        for tap, stride in zip(taps, (4, 2), strict=True)
    }
    check_equal(tap_extractor(model, taps)(picture), expected)
    assert {tap: info.stride for tap, info in feature_info(model, taps).items()} == {
        taps[0]: 4,
        taps[1]: 2,
    }
    if not nested:
        assert pick_taps(model, strides=(2, 4))[1]["taps"] == ("stages[0]", "stages[1]")
    else:
        check_equal(tap_extractor(model, ["inner[1]"])(picture), {"inner[1]": expected[taps[0]]})
    with pytest.raises(ValueError, match=r"has 2 outputs, '.*stages\[0\]' to '.*stages\[1\]'"):
        tap_extractor(model, [f"{prefix}stages"])
    with pytest.raises(ValueError, match=r"Did you mean '.*stages\[[01]\]'"):
        tap_extractor(model, [f"{prefix}stages[2]"])


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (Subclassed(), "This one is subclassed"),
        (keras.Sequential([layers.ReLU()]), "This one is not built"),
        (layers.ReLU(), "Wrap what you have"),
        ("vgg19", "Wrap what you have"),
    ],
)
def test_models_without_a_graph(model, advice):
    for function in (tap_extractor, feature_info):
        with pytest.raises(ValueError, match=f"`model` should be a functional .*{advice}"):
            function(model, ["relu"])
    with pytest.raises(ValueError, match="`model` should be a functional"):
        feature_info(model)
