"""The layers in a graph that knows no sizes but the channels, as exports are."""

import itertools

import keras
import numpy as np
import pytest

from keras_hypercolumns import HyperColumn, HyperColumnProjection, HyperColumnSampler
from keras_hypercolumns.layers.interpolation import COORDINATES

STRIDES = {"early": 1, "late": 4}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
# Compiled, a graph takes seconds: once for each way to interpolate.
@pytest.mark.parametrize(
    ("coordinates", "data_format", "compiled"),
    [
        *itertools.product(COORDINATES, ["channels_last", "channels_first"], [False]),
        ("legacy", "channels_last", True),
        ("align_corners", "channels_first", True),
    ],
)
def test_one_graph_serves_all_sizes(coordinates, data_format, compiled, random):
    import tensorflow as tf

    last = data_format == "channels_last"
    settings = {
        "taps": tuple(STRIDES),
        # With and without strides, bilinear and the others, in turn.
        "strides": STRIDES if last else None,
        "interpolation": {"legacy": "nearest" if last else "bicubic"}.get(coordinates, "bilinear"),
        "coordinates": coordinates,
        "data_format": data_format,
    }
    column, sampler = HyperColumn(**settings), HyperColumnSampler(**settings)
    projection = HyperColumnProjection(2, **settings)
    shapes = dict.fromkeys(STRIDES, (None, None, None, 3) if last else (None, 3, None, None))
    projection.build(shapes)

    def layers(maps, points):
        return column(maps), projection(maps), sampler((maps, points))

    signature = {tap: tf.TensorSpec(shape) for tap, shape in shapes.items()}
    graph = tf.function(
        layers,
        input_signature=[signature, tf.TensorSpec((None, None, 2))],
        jit_compile=compiled,
    )
    for batch, (height, width), count in ((2, (8, 12), 5), (1, (9, 7), 3)):
        maps = {
            tap: random.normal(size=(batch, height // stride, width // stride, 3))
            for tap, stride in STRIDES.items()
        }
        if not last:
            maps = {tap: x.transpose(0, 3, 1, 2) for tap, x in maps.items()}
        maps = {tap: tf.constant(x, "float32") for tap, x in maps.items()}
        points = tf.constant(random.uniform(0, 7, size=(batch, count, 2)), "float32")
        for found, expected in zip(graph(maps, points), layers(maps, points), strict=True):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX")
@pytest.mark.parametrize("reference", [None, "early"])
def test_sizes_may_be_symbols(reference, random):
    import jax

    settings = {"taps": tuple(STRIDES), "reference": reference, "data_format": "channels_last"}
    column, sampler = HyperColumn(**settings), HyperColumnSampler(**settings)
    projection = HyperColumnProjection(2, **settings)
    projection.build(dict.fromkeys(STRIDES, (None, None, None, 3)))

    @jax.jit
    def layers(maps, points):
        return column(maps), projection(maps), sampler((maps, points))

    batch, height, width, count = jax.export.symbolic_shape(
        "b, h, w, n", constraints=["h >= 4", "w >= 4"]
    )
    shapes = {tap: (batch, height // stride, width // stride, 3) for tap, stride in STRIDES.items()}
    exported = jax.export.export(layers)(
        {tap: jax.ShapeDtypeStruct(shape, "float32") for tap, shape in shapes.items()},
        jax.ShapeDtypeStruct((batch, count, 2), "float32"),
    )
    maps = {"early": random.normal(size=(2, 9, 7, 3)), "late": random.normal(size=(2, 2, 1, 3))}
    maps = {tap: x.astype("float32") for tap, x in maps.items()}
    points = random.uniform(0, 6, size=(2, 5, 2)).astype("float32")
    for found, expected in zip(exported.call(maps, points), layers(maps, points), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
