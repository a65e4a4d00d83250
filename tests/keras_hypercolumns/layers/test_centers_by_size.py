"""Centres that depend on the size of the picture: padding "same" of strided layers."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_hypercolumns import (
    FeatureInfo,
    HyperColumn,
    HyperColumnProjection,
    HyperColumnSampler,
    feature_info,
    pick_taps,
)

BACKEND = keras.backend.backend()
FORMATS = ("channels_last", "channels_first")
SETTINGS = {"taps": ("deep",), "reference": "picture", "strides": {"deep": 4}}


def backbone_of(data_format="channels_last", size=(None, None)):
    """Averages over three pixels down and across, at a stride of 2, padded by TensorFlow's rule."""
    shape = (*size, 1) if data_format == "channels_last" else (1, *size)
    x = picture = keras.Input(shape)
    settings = {"strides": 2, "padding": "same", "data_format": data_format}
    for number, kind in enumerate(("conv", "pool", "conv")):
        if kind == "conv":
            average = keras.initializers.Constant(1 / 9)
            layer = layers.Conv2D(
                1, 3, kernel_initializer=average, name=f"map_{number}", **settings
            )
        else:
            layer = layers.AveragePooling2D(3, name=f"map_{number}", **settings)
        x = layer(x)
    return keras.Model(picture, x)


# Every remainder by 8, not the same down and across.
@pytest.mark.parametrize(
    ("data_format", "height", "width"),
    [
        pair
        for number, pair in enumerate(itertools.product(FORMATS, range(88, 96), range(88, 96)))
        if number % 7 == 0
    ],
)
def test_a_ramp_lies_where_it_does_at_every_size(data_format, height, width):
    """Averages leave a ramp as it is, so that the maps tell where they lie; away from the edges."""
    extractor, settings = pick_taps(backbone_of(data_format), strides=(2, 4, 8))
    down, across = np.mgrid[:height, :width].astype("float32")
    ramp = (down + 1000 * across)[None, ..., None]
    if data_format == "channels_first":
        ramp = ramp.transpose(0, 3, 1, 2)
    maps = extractor(ramp)
    found = ops.convert_to_numpy(HyperColumn(**settings)(maps))[0]
    if data_format == "channels_first":
        found = found.transpose(1, 2, 0)
    inside = slice(24, 64)
    expected = (down + 1000 * across)[inside, inside, None]
    np.testing.assert_allclose(found[inside, inside], np.repeat(expected, 3, -1), rtol=1e-5)
    points = np.array([[[30.25, 41.5], [24, 63]]], "float32")
    found = ops.convert_to_numpy(HyperColumnSampler(**settings)((maps, points)))[0]
    expected = points[0] @ np.array([1, 1000])
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 3, -1), rtol=1e-5)


def test_a_center_of_a_size_is_told():
    info = feature_info(backbone_of())
    assert info["map_1"] == FeatureInfo(1, 4, 7, (3.0, 0.0, 1.0, 2.0))
    assert [info["map_1"].center_at(size) for size in (64, 65, 66, 67)] == [3, 0, 1, 2]
    # Of a known size it is a number; where down and across differ, one for each size again.
    for size, center in (((65, 65), 0), ((65, 69), 0), ((64, 65), (3.0, 0.0, 1.0, 2.0))):
        assert feature_info(backbone_of(size=size))["map_1"].center == center
    assert FeatureInfo(1, 4, 7).center_at(5) is None


def layers_of():
    settings = {**SETTINGS, "centers": {"deep": [3, 0, 1, 2]}, "data_format": "channels_last"}
    return HyperColumn(**settings), HyperColumnSampler(**settings)


def given(height, width, random):
    maps = {
        "deep": random.normal(size=(1, -(-height // 4), -(-width // 4), 2)).astype("float32"),
        "picture": np.zeros((1, height, width, 1), "float32"),
    }
    points = random.uniform(0, min(height, width) - 1, size=(1, 5, 2)).astype("float32")
    return maps, points


def by_hand(maps, points):
    """At pixels and at points, from the formula: the centre of cell i is at `center + 4 i`."""
    _, height, width, _ = maps["picture"].shape

    def cells(places, size, count):
        return np.clip((places - [3, 0, 1, 2][size % 4]) / 4, 0, count - 1)

    def read(y, x):
        rows, columns = cells(y, height, maps["deep"].shape[1]), cells(x, width, len(deep[0]))
        top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
        bottom, right = np.minimum(top + 1, len(deep) - 1), np.minimum(left + 1, len(deep[0]) - 1)
        v, h = (rows - top)[..., None], (columns - left)[..., None]
        upper = deep[top, left] * (1 - h) + deep[top, right] * h
        return upper * (1 - v) + (deep[bottom, left] * (1 - h) + deep[bottom, right] * h) * v

    deep = maps["deep"][0].astype("float64")
    return read(*np.mgrid[:height, :width]), read(*points[0].T)


def check(run, random):
    for height, width in ((16, 17), (13, 22), (23, 12)):
        maps, points = given(height, width, random)
        for found, expected in zip(run(maps, points), by_hand(maps, points), strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(found)[0], expected, rtol=0, atol=1e-5)


def test_layers_by_hand(random):
    column, sampler = layers_of()
    check(lambda maps, points: (column(maps), sampler((maps, points))), random)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
def test_one_graph_of_tensorflow(random):
    import tensorflow as tf

    column, sampler = layers_of()
    signature = {
        "deep": tf.TensorSpec((None, None, None, 2)),
        "picture": tf.TensorSpec((None, None, None, 1)),
    }
    graph = tf.function(
        lambda maps, points: (column(maps), sampler((maps, points))),
        input_signature=[signature, tf.TensorSpec((None, None, 2))],
    )
    check(graph, random)


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX")
def test_one_export_of_jax(random):
    import jax

    column, sampler = layers_of()
    h, w, rows, columns = jax.export.symbolic_shape("h, w, r, c")
    exported = jax.export.export(
        jax.jit(lambda maps, points: (column(maps), sampler((maps, points))))
    )(
        {
            "deep": jax.ShapeDtypeStruct((1, rows, columns, 2), "float32"),
            "picture": jax.ShapeDtypeStruct((1, h, w, 1), "float32"),
        },
        jax.ShapeDtypeStruct((1, 5, 2), "float32"),
    )
    check(exported.call, random)


@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_export_of_pytorch(random):
    import torch

    column, sampler = layers_of()

    class Module(torch.nn.Module):
        def forward(self, deep, picture, points):
            maps = {"deep": deep, "picture": picture}
            return column(maps), sampler((maps, points))

    maps, points = given(19, 22, random)
    example = tuple(map(torch.from_numpy, (maps["deep"], maps["picture"], points)))
    free = dict.fromkeys((1, 2), torch.export.Dim.DYNAMIC)
    column({"deep": example[0], "picture": example[1]})
    program = torch.export.export(Module(), example, dynamic_shapes=(free, free, None))

    def run(maps, points):
        return program.module()(*map(torch.from_numpy, (maps["deep"], maps["picture"], points)))

    check(run, random)


def test_they_are_saved(tmp_path):
    extractor, settings = pick_taps(backbone_of(), strides=(4, 8))
    logits = HyperColumnProjection(3, **settings, name="logits")(extractor.output)
    model = keras.Model(extractor.input, logits)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    picture = np.random.default_rng(0).normal(size=(1, 37, 41, 1))
    np.testing.assert_allclose(*(ops.convert_to_numpy(one(picture)) for one in (model, loaded)))
    assert loaded.get_layer("logits").get_config()["centers"]["map_1"] == [3.0, 0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"reference": None}, id="of the largest tap"),
        pytest.param({"reference": "fine"}, id="of a tap"),
        pytest.param({"strides": {"deep": 4, "fine": 2, "picture": 1}}, id="of a stride"),
        pytest.param({"centers": {"deep": (1, 0), "picture": 0}}, id="of a centre"),
    ],
)
def test_without_the_picture_there_is_one_center(settings):
    given = {"taps": ("deep", "fine"), "reference": "picture", "strides": {"deep": 4, "fine": 2}}
    given |= {"centers": {"fine": 0, "deep": (1, 0)}} | settings
    with pytest.raises(ValueError, match=r"`centers` of 'deep' should be one number .* Received: "):
        HyperColumn(**given)
