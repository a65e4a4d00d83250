"""`project` and `unproject`: twins with equal outputs, and nothing shared."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_hypercolumns import HyperColumn, HyperColumnProjection
from keras_hypercolumns.graphs.project import project, unproject

LAST = {"data_format": "channels_last"}


def randomize(model, random):
    """Give every weight a value of its own, as training would."""
    for weight in model.weights:
        weight.assign(random.uniform(0.2, 1.0, weight.shape))


def check_equal(found, expected, *inputs):
    """Equal outputs to 1e-5 of the largest."""
    for x in inputs:
        got = keras.tree.flatten(found(x, training=False))
        want = keras.tree.flatten(expected(x, training=False))
        assert len(got) == len(want) > 0
        for left, right in zip(got, want, strict=True):
            left, right = ops.convert_to_numpy(left), ops.convert_to_numpy(right)
            assert np.abs(right).max() > 0
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-5 * np.abs(right).max())


def total_loss(model, x):
    model(x)
    return float(ops.convert_to_numpy(sum(model.losses)))


def kinds(model):
    return {layer.name: type(layer).__name__ for layer in model.layers}


def backbone(size=(None, None), name="backbone"):
    """Two maps, at stride 1 and 2, through a batch normalisation."""
    picture = keras.Input((*size, 2), name="picture")
    fine = layers.Conv2D(3, 3, padding="same", name="fine", **LAST)(picture)
    x = layers.BatchNormalization(name="norm")(fine)
    coarse = layers.MaxPooling2D(2, name="coarse", **LAST)(x)
    return keras.Model(picture, {"fine": fine, "coarse": coarse}, name=name)


def dense_model(*head, size=(None, None), **column):
    """A model of `backbone`, a hypercolumn named "column" and the layers of `head`."""
    trunk = backbone(size)
    x = HyperColumn(("fine", "coarse"), name="column", **{**LAST, **column})(trunk.output)
    for layer in head:
        x = layer(x)
    return keras.Model(trunk.input, x, name="dense")


@pytest.fixture
def picture(random):
    """Of odd size, so that a row and a column are dropped by the pooling."""
    return random.normal(size=(2, 7, 9, 2)).astype("float32")


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("head", ["conv", "dense"])
def test_the_linear_map_moves_with_its_activation(head, activation, use_bias, random, picture):
    settings = {"activation": activation, "use_bias": use_bias, "name": "head"}
    layer = layers.Conv2D(4, 1, **LAST, **settings) if head == "conv" else None
    model = dense_model(layer or layers.Dense(4, **settings))
    randomize(model, random)
    twin = project(model)
    assert kinds(twin)["head"] == "HyperColumnProjection"
    assert "HyperColumn" not in kinds(twin).values()
    assert twin.name == "dense"
    assert twin.count_params() == model.count_params()
    check_equal(twin, model, picture, picture[:, :4, :5])
    back = unproject(twin)
    assert kinds(back)["head"] == "Conv2D"
    assert kinds(back)["head_hypercolumn"] == "HyperColumn"
    check_equal(back, model, picture)
    again = project(back)
    assert kinds(again) == kinds(twin)
    for first, second in zip(twin.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("interpolation", "coordinates", "strides"),
    [
        ("nearest", "half_pixel", None),
        ("bilinear", "legacy", None),
        ("bilinear", "align_corners", None),
        ("bilinear", "half_pixel", {"fine": 1, "coarse": 2}),
    ],
)
def test_the_geometry_is_carried_over(interpolation, coordinates, strides, random, picture):
    geometry = {"interpolation": interpolation, "coordinates": coordinates, "strides": strides}
    model = dense_model(layers.Conv2D(4, 1, name="head", **LAST), **geometry)
    randomize(model, random)
    twin = project(model)
    back = unproject(twin)
    for layer in (twin.get_layer("head"), back.get_layer("head_hypercolumn")):
        config = layer.get_config()
        assert {key: config[key] for key in geometry} == geometry
    check_equal(twin, model, picture)
    check_equal(back, model, picture)


def test_the_settings_of_the_layer_are_carried_over(random, picture):
    carried = {
        "activation": "tanh",
        "kernel_initializer": "he_normal",
        "bias_initializer": "ones",
        "kernel_regularizer": keras.regularizers.L2(0.25),
        "bias_regularizer": keras.regularizers.L1(0.5),
        "activity_regularizer": keras.regularizers.L2(0.125),
        "name": "head",
    }
    head = layers.Conv2D(4, 1, **LAST, **carried)
    model = dense_model(head)
    head.trainable = False
    randomize(model, random)
    twin = project(model)
    back = unproject(twin)
    source = head.get_config()
    for layer in (twin.get_layer("head"), back.get_layer("head")):
        config = layer.get_config()
        assert {key: config[key] for key in carried} == {key: source[key] for key in carried}
        assert not layer.trainable
        assert not layer.trainable_weights
    for other in (twin, back):
        found, expected = total_loss(other, picture), total_loss(model, picture)
        assert found == pytest.approx(expected, rel=1e-4)
        assert found > 0


def test_only_the_first_linear_map_moves(random, picture):
    model = dense_model(
        layers.Conv2D(4, 1, name="first", **LAST),
        layers.BatchNormalization(name="norm_of_head"),
        layers.ReLU(name="relu"),
        layers.Conv2D(2, 1, name="second", **LAST),
    )
    randomize(model, random)
    twin = project(model)
    found = kinds(twin)
    assert found.pop("first") == "HyperColumnProjection"
    expected = kinds(model)
    assert (expected.pop("first"), expected.pop("column")) == ("Conv2D", "HyperColumn")
    assert found == expected
    check_equal(twin, model, picture)
    check_equal(unproject(twin), model, picture)


def test_each_reader_of_a_hypercolumn_is_seen_to(random, picture):
    trunk = backbone()
    column = HyperColumn(("fine", "coarse"), name="column", **LAST)(trunk.output)
    model = keras.Model(
        trunk.input,
        {
            "classes": layers.Conv2D(3, 1, name="classes", **LAST)(column),
            "depth": layers.Dense(1, name="depth")(column),
            "edges": layers.Conv2D(2, 3, name="edges", **LAST)(column),
            "scaled": 2.0 * column[..., :1],
        },
    )
    randomize(model, random)
    twin = project(model)
    assert set(twin.output) == set(model.output)
    found = kinds(twin)
    assert found["classes"] == found["depth"] == "HyperColumnProjection"
    assert (found["edges"], found["column"]) == ("Conv2D", "HyperColumn")
    check_equal(twin, model, picture)


def test_the_hypercolumn_may_be_an_output_too(random, picture):
    trunk = backbone()
    column = HyperColumn(("fine", "coarse"), name="column", **LAST)(trunk.output)
    model = keras.Model(trunk.input, [layers.Dense(3, name="head")(column), column])
    randomize(model, random)
    twin = project(model)
    assert kinds(twin)["head"] == "HyperColumnProjection"
    check_equal(twin, model, picture)


@pytest.mark.parametrize("as_dict", [True, False])
def test_several_inputs_with_the_picture_as_reference(as_dict, random):
    names = ("low", "high", "picture")
    inputs = {
        name: keras.Input((None, None, channels), name=name)
        for name, channels in zip(names, (2, 3, 1), strict=True)
    }
    column = HyperColumn(("low", "high"), reference="picture", name="column", **LAST)
    maps = inputs if as_dict else tuple(inputs.values())
    model = keras.Model(
        inputs if as_dict else list(maps), layers.Dense(2, name="head")(column(maps))
    )
    randomize(model, random)
    shapes = ((1, 2, 3, 2), (1, 4, 5, 3), (1, 9, 11, 1))
    arrays = [random.normal(size=shape).astype("float32") for shape in shapes]
    x = dict(zip(names, arrays, strict=True)) if as_dict else arrays
    twin = project(model)
    assert kinds(twin) == {
        **dict.fromkeys(names, "InputLayer"),
        "head": "HyperColumnProjection",
    }
    assert tuple(twin(x).shape) == (1, 9, 11, 2)
    check_equal(twin, model, x)
    check_equal(unproject(twin), model, x)


def test_two_hypercolumns_and_one_that_stays(random, picture):
    trunk = backbone()
    columns = [
        HyperColumn(taps, name=f"column{len(taps)}", **LAST)(trunk.output)
        for taps in (("fine", "coarse"), ("coarse",))
    ]
    stays = HyperColumn(("fine",), name="stays", **LAST)(trunk.output)
    heads = [layers.Dense(2, name=f"head{i}")(column) for i, column in enumerate(columns)]
    rest = layers.Dense(2, name="rest")(layers.Dropout(0.5, name="dropout")(stays))
    model = keras.Model(trunk.input, [*heads, rest])
    randomize(model, random)
    twin = project(model)
    found = kinds(twin)
    assert [found[name] for name in ("head0", "head1", "rest")] == [
        "HyperColumnProjection",
        "HyperColumnProjection",
        "Dense",
    ]
    assert [name for name in found if found[name] == "HyperColumn"] == ["stays"]
    check_equal(twin, model, picture)


def test_a_shared_pair_stays_shared(random, picture):
    trunk = backbone(name="trunk")
    column, head = HyperColumn(("fine", "coarse"), **LAST), layers.Dense(2, name="head")
    pictures = [keras.Input((None, None, 2), name=name) for name in ("left", "right")]
    model = keras.Model(pictures, [head(column(trunk(x))) for x in pictures])
    randomize(model, random)
    twin = project(model)
    assert len(twin.weights) == len(model.weights)
    assert kinds(twin)["head"] == "HyperColumnProjection"
    inputs = [picture, picture[:, ::-1]]
    check_equal(twin, model, inputs)
    back = unproject(twin)
    assert len(back.weights) == len(model.weights)
    check_equal(back, model, inputs)


def frozen_in_part(random):
    """A model around a nested trunk, of which some layers are frozen."""
    picture = keras.Input((None, None, 2), name="picture")
    normalize = layers.Normalization(axis=-1, name="normalize")
    normalize.adapt(random.normal(3.0, 2.0, size=(4, 5, 5, 2)))
    trunk = backbone(name="trunk")
    trunk.trainable = False
    trunk.get_layer("fine").trainable = True
    column = HyperColumn(("fine", "coarse"), name="column", **LAST)(trunk(normalize(picture)))
    model = keras.Model(picture, layers.Dense(2, name="head")(column))
    randomize(trunk, random)
    randomize(model.get_layer("head"), random)
    return model


def test_a_nested_backbone_keeps_its_state(random, picture):
    model = frozen_in_part(random)
    twin = project(model)
    assert kinds(twin) == {
        "picture": "InputLayer",
        "normalize": "Normalization",
        "trunk": "Functional",
        "head": "HyperColumnProjection",
    }
    old, new = model.get_layer("trunk"), twin.get_layer("trunk")
    assert (old.trainable, old.get_layer("fine").trainable) == (False, True)
    assert [x.trainable for x in new.layers] == [x.trainable for x in old.layers]
    assert new.trainable == old.trainable
    assert len(twin.trainable_weights) == len(model.trainable_weights) == 4
    check_equal(twin, model, picture)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_hypercolumn_in_a_nested_model(trainable, random, picture):
    inner = dense_model(layers.Conv2D(4, 1, name="head", **LAST))
    inner.trainable = trainable
    inner.get_layer("fine").trainable = not trainable
    x = keras.Input((None, None, 2))
    model = keras.Model(x, layers.Dense(2, name="outer")(inner(x)))
    randomize(model, random)
    twin = project(model)
    new = twin.get_layer("dense")
    assert kinds(new)["head"] == "HyperColumnProjection"
    assert new.trainable == trainable
    assert new.get_layer("fine").trainable != trainable
    assert new.get_layer("head").trainable == trainable
    check_equal(twin, model, picture)
    check_equal(unproject(twin), model, picture)


def test_a_sequential_model(random, picture):
    model = keras.Sequential(
        [
            keras.Input((7, 9, 2)),
            backbone(),
            HyperColumn(("fine", "coarse"), **LAST),
            layers.Conv2D(3, 1, activation="relu", name="head", **LAST),
            layers.Conv2D(2, 1, name="last", **LAST),
        ],
        name="stack",
    )
    randomize(model, random)
    twin = project(model)
    assert (kinds(twin)["head"], kinds(twin)["last"]) == ("HyperColumnProjection", "Conv2D")
    assert twin.name == "stack"
    check_equal(twin, model, picture)
    # As a layer of another model, where its own `input` is another model's tensor.
    x = keras.Input((7, 9, 2))
    outer = keras.Model(x, 2.0 * model(x))
    check_equal(project(outer), outer, picture)


def test_channels_first(random):
    """Against the product by hand: convolutions in channels_first don't run everywhere."""
    first = {"data_format": "channels_first"}
    maps = [keras.Input((2, 6, 8)), keras.Input((3, 3, 4))]
    column = HyperColumn(("fine", "coarse"), **first)
    model = keras.Model(maps, layers.Conv2D(4, 1, name="head", **first)(column(maps)))
    randomize(model, random)
    twin = project(model)
    x = [random.normal(size=(2, *shape)).astype("float32") for shape in ((2, 6, 8), (3, 3, 4))]
    kernel, bias = model.get_layer("head").get_weights()
    expected = np.einsum("bchw,cf->bfhw", ops.convert_to_numpy(column(x)), kernel[0, 0])
    expected += bias[:, None, None]
    found = ops.convert_to_numpy(twin(x))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    convolution = unproject(twin).get_layer("head")
    assert convolution.data_format == "channels_first"
    np.testing.assert_array_equal(ops.convert_to_numpy(convolution.kernel), kernel)


def test_the_dtype_is_that_of_the_layer(random, picture):
    model = dense_model(
        layers.Conv2D(4, 1, name="head", dtype="float32", **LAST), dtype="mixed_bfloat16"
    )
    twin = project(model)
    assert twin.get_layer("head").dtype_policy.name == "float32"
    assert unproject(twin).get_layer("head").dtype_policy.name == "float32"
    mixed = project(dense_model(layers.Dense(4, name="head", dtype="mixed_bfloat16")))
    assert mixed.get_layer("head").dtype_policy.name == "mixed_bfloat16"
    assert unproject(mixed).get_layer("head_hypercolumn").compute_dtype == "bfloat16"


def test_lora_is_merged(random, picture):
    head = layers.Dense(4, name="head")
    model = dense_model(head)
    head.enable_lora(2)
    randomize(model, random)
    twin = project(model)
    assert len(twin.get_layer("head").weights) == 2
    check_equal(twin, model, picture)


def train(model, x):
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    model.train_on_batch(x, np.zeros(model(x).shape, "float32"))


@pytest.mark.parametrize("first", ["model", "twin"])
@pytest.mark.parametrize("way", [project, unproject])
def test_training_one_leaves_the_other_as_it_is(way, first, random, picture):
    model = frozen_in_part(random)
    if way is unproject:
        model = project(model)
    twin = way(model)
    trained, other = (model, twin) if first == "model" else (twin, model)
    before = [other.get_weights(), ops.convert_to_numpy(other(picture))]
    start = trained.get_weights()
    train(trained, picture)
    assert [np.array_equal(a, b) for a, b in zip(start, trained.get_weights(), strict=True)].count(
        False
    ) == len(trained.trainable_weights)
    for old, new in zip(before[0], other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(ops.convert_to_numpy(other(picture)), before[1])
    train(other, picture)


def test_a_training_step_is_that_of_the_dense_model(random, picture):
    model = frozen_in_part(random)
    twin = project(model)
    train(model, picture)
    train(twin, picture)
    check_equal(twin, model, picture)


def test_the_model_itself_is_left_as_it_is(random, picture):
    model = frozen_in_part(random)
    model.compile(loss=lambda y_true, y_pred: ops.mean((y_true - y_pred) ** 2))
    config, calls = model.get_config(), [len(layer._inbound_nodes) for layer in model.layers]
    twin = project(model)
    assert not twin.compiled
    assert model.compiled
    assert model.get_config() == config
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    assert not {id(layer) for layer in model._flatten_layers()} & {
        id(layer) for layer in twin._flatten_layers()
    }


def test_the_twin_is_saved_and_loaded(tmp_path, random, picture):
    twin = project(frozen_in_part(random))
    twin.save(tmp_path / "twin.keras")
    loaded = keras.saving.load_model(tmp_path / "twin.keras")
    assert kinds(loaded) == kinds(twin)
    check_equal(loaded, twin, picture)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (layers.Dropout(0.5, name="drop"), "Dropout 'drop'"),
        (layers.BatchNormalization(name="norm"), "BatchNormalization 'norm'"),
        (layers.Conv2D(2, 3, name="c", **LAST), "Conv2D 'c'"),
        (layers.Conv2D(2, 1, strides=2, name="c", **LAST), "Conv2D 'c'"),
        (layers.Conv2D(2, 1, groups=2, name="c", **LAST), "Conv2D 'c'"),
        (layers.Conv2D(2, 1, name="c", data_format="channels_first"), "Conv2D 'c'"),
        (layers.Dense(2, kernel_constraint="non_neg", name="d"), "Dense 'd'"),
        (layers.DepthwiseConv2D(1, name="d", **LAST), "DepthwiseConv2D 'd'"),
        (layers.Conv2DTranspose(2, 1, name="t", **LAST), "Conv2DTranspose 't'"),
        (keras.Sequential([layers.Dense(2)], name="stack"), "Sequential 'stack'"),
    ],
)
def test_what_stands_behind_the_hypercolumn_is_said_where_nothing_moves(head, said):
    trunk = keras.Input((4, 6, 6))
    maps = {"fine": trunk, "coarse": layers.AveragePooling2D(1, **LAST)(trunk)}
    column = HyperColumn(("fine", "coarse"), name="column", **LAST)(maps)
    model = keras.Model(trunk, head(column), name="m")
    with pytest.raises(
        ValueError,
        match=r"`model` should have a HyperColumn .*Received: model 'm' with "
        rf"HyperColumn 'column' followed by {said}$",
    ):
        project(model)


def test_a_dense_layer_after_channels_first_does_not_move():
    maps = [keras.Input((2, 4, 6))]
    column = HyperColumn(("fine",), name="column", data_format="channels_first")(maps)
    with pytest.raises(ValueError, match="followed by Dense 'head'"):
        project(keras.Model(maps, layers.Dense(3, name="head")(column)))


def test_a_layer_that_reads_something_else_too_does_not_move():
    maps = {"fine": keras.Input((4, 6, 3), name="fine")}
    columns = [HyperColumn(("fine",), name=name, **LAST)(maps) for name in ("a", "b")]
    head = layers.Dense(2, name="head")
    for other in (maps["fine"], columns[1]):
        model = keras.Model(maps, [head(columns[0]), head(other)])
        with pytest.raises(ValueError, match="HyperColumn 'a' followed by Dense 'head'"):
            project(model)


def test_a_quantized_layer_does_not_move():
    model = dense_model(layers.Dense(4, name="head"))
    model.get_layer("head").quantize("int8")
    with pytest.raises(ValueError, match="followed by Dense 'head'"):
        project(model)


def test_the_output_of_the_model_is_said():
    with pytest.raises(ValueError, match=r"HyperColumn 'column' followed by the model's output$"):
        project(dense_model())


def test_models_that_have_nothing_to_move():
    plain = backbone()
    with pytest.raises(ValueError, match=r"Received: model 'backbone' with no HyperColumn$"):
        project(plain)
    with pytest.raises(ValueError, match=r"should have a HyperColumnProjection.*'backbone'"):
        unproject(plain)


class Subclassed(keras.Model):
    """A model without a graph."""


@pytest.mark.parametrize("way", [project, unproject])
@pytest.mark.parametrize(
    "model",
    [Subclassed(), keras.Sequential([layers.Dense(2)]), layers.Dense(2), "model", None],
    ids=lambda model: type(model).__name__,
)
def test_models_without_a_graph(way, model):
    with pytest.raises(
        ValueError, match=r"(?s)`model` should be a functional or a built Sequential.*Received: "
    ):
        way(model)


def test_a_custom_model_class_becomes_a_plain_model(random, picture):
    class Custom(keras.Model):
        pass

    trunk = backbone()
    column = HyperColumn(("fine", "coarse"), **LAST)(trunk.output)
    model = Custom(trunk.input, layers.Dense(2)(column))
    randomize(model, random)
    twin = project(model)
    assert not isinstance(twin, Custom)
    assert HyperColumnProjection in {type(layer) for layer in twin.layers}
    check_equal(twin, model, picture)
