"""Projection and sampler against the dense layer, in settings that are drawn at random."""

import keras
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import ops

from keras_hypercolumns import HyperColumn, HyperColumnProjection, HyperColumnSampler
from keras_hypercolumns.layers.interpolation import COORDINATES, INTERPOLATIONS

few = settings(
    # JAX compiles each.
    max_examples=6 if keras.backend.backend() == "jax" else 25,
    derandomize=True,
    deadline=None,
    database=None,
    # The fixture is a function without a state.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def cases(draw):
    """Settings of a layer, and maps that fit them; dimensions in channels_last."""
    strides = draw(st.lists(st.sampled_from([1, 2, 3, 4, 8]), min_size=1, max_size=3))
    taps = tuple(f"tap{place}" for place in range(len(strides)))
    height, width = draw(st.integers(1, 19)), draw(st.integers(1, 19))
    seed = draw(st.integers(0, 999))
    random = np.random.default_rng(seed)
    batch = draw(st.integers(1, 2))
    maps = {}
    for tap, stride in zip(taps, strides, strict=True):
        # Networks round up or down.
        rows, columns = (
            max(draw(st.sampled_from([size // stride, -(-size // stride)])), 1)
            for size in (height, width)
        )
        maps[tap] = random.normal(size=(batch, rows, columns, draw(st.integers(1, 3))))
    reference = draw(st.sampled_from([None, "picture", taps[-1]]))
    if reference == "picture":
        maps["picture"] = np.zeros((batch, height, width, 1))
    config = {
        "taps": taps,
        "reference": reference,
        "interpolation": draw(st.sampled_from(INTERPOLATIONS)),
        "coordinates": draw(st.sampled_from(COORDINATES)),
        "strides": dict(zip(taps, strides, strict=True)) if draw(st.booleans()) else None,
        "data_format": draw(st.sampled_from(["channels_last", "channels_first"])),
    }
    if config["data_format"] == "channels_first":
        maps = {name: x.transpose(0, 3, 1, 2) for name, x in maps.items()}
    return config, {name: x.astype("float32") for name, x in maps.items()}, random


def check_equal(expected, found):
    """Outputs within 1e-5 and gradients within 1e-4 of each other, relative to the maximum."""
    (output, gradients), (found_output, found_gradients) = expected, found
    # Where the maximum is small by chance, to the scale of the values.
    limit = 1e-5 * max(np.abs(output).max(), 1)
    np.testing.assert_allclose(found_output, output, rtol=0, atol=limit)
    for gradient, found_gradient in zip(gradients, found_gradients, strict=True):
        limit = 1e-4 * np.abs(gradient).max()
        assert limit > 0
        np.testing.assert_allclose(found_gradient, gradient, rtol=0, atol=limit)


def dense_column(config, maps):
    """The hypercolumn, channels last whatever the maps are."""
    x = HyperColumn(**config)(maps)
    return x if config["data_format"] == "channels_last" else ops.transpose(x, (0, 2, 3, 1))


@few
@given(case=cases())
def test_projection_equals_dense(case, output_and_gradients):
    config, maps, random = case
    taps, last = config["taps"], config["data_format"] == "channels_last"
    channels = sum(maps[tap].shape[-1 if last else 1] for tap in taps)
    kernel = random.normal(size=(1, 1, channels, 2)).astype("float32")
    projection = HyperColumnProjection(2, use_bias=False, **config)
    projection.build({name: x.shape for name, x in maps.items()})

    def dense(kernel, *inputs):
        x = dense_column(config, {**maps, **dict(zip(taps, inputs, strict=True))})
        return ops.einsum("bhwc,cf->bhwf", x, kernel[0, 0])

    def projected(kernel, *inputs):
        inputs = {**maps, **dict(zip(taps, inputs, strict=True))}
        y = projection.stateless_call([kernel], [], inputs)[0]
        return y if last else ops.transpose(y, (0, 2, 3, 1))

    arrays = [kernel, *(maps[tap] for tap in taps)]
    shape = projection.compute_output_shape({name: x.shape for name, x in maps.items()})
    shape = shape if last else (shape[0], *shape[2:], shape[1])
    weight = random.normal(size=shape).astype("float32")
    check_equal(
        output_and_gradients(dense, arrays, weight),
        output_and_gradients(projected, arrays, weight),
    )


@few
@given(case=cases())
def test_sampler_equals_dense_at_pixel_centres(case, output_and_gradients):
    config, maps, random = case
    taps, last = config["taps"], config["data_format"] == "channels_last"
    shape = HyperColumn(**config).compute_output_shape({n: x.shape for n, x in maps.items()})
    batch, height, width, channels = shape if last else (shape[0], *shape[2:], shape[1])
    # Each pixel of each picture, in an order of its own.
    places = np.stack([random.permutation(height * width) for _ in range(batch)])
    points = np.stack(np.divmod(places, width), axis=-1).astype("float32")

    def dense(*inputs):
        x = dense_column(config, {**maps, **dict(zip(taps, inputs, strict=True))})
        flat = ops.reshape(x, (batch, height * width, channels))
        return ops.stack([ops.take(flat[b], places[b], axis=0) for b in range(batch)])

    def sampled(*inputs):
        features = {**maps, **dict(zip(taps, inputs, strict=True))}
        return HyperColumnSampler(**config)((features, points))

    arrays = [maps[tap] for tap in taps]
    weight = random.normal(size=(batch, height * width, channels)).astype("float32")
    check_equal(
        output_and_gradients(dense, arrays, weight),
        output_and_gradients(sampled, arrays, weight),
    )
