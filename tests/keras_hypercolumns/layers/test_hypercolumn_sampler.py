"""The `HyperColumnSampler` layer, against a loop over points and against the dense layer."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase

from keras_hypercolumns import HyperColumn, HyperColumnSampler
from keras_hypercolumns.layers.interpolation import COORDINATES, INTERPOLATIONS

LAST, FIRST = "channels_last", "channels_first"
STRIDES = {"early": 1, "middle": 2, "late": 4}
CHANNELS = {"early": 3, "middle": 2, "late": 4}


def feature_maps(size, random, data_format=LAST):
    """Maps of a picture of `size`, as poolings make them: an odd last row is dropped."""
    maps = {}
    for tap, stride in STRIDES.items():
        x = random.normal(size=(2, size[0] // stride, size[1] // stride, CHANNELS[tap]))
        maps[tap] = (x if data_format == LAST else x.transpose(0, 3, 1, 2)).astype("float32")
    return maps


def pixel_centres(height, width, batch=2):
    """Every pixel as a point, row by row."""
    grid = np.stack(np.meshgrid(range(height), range(width), indexing="ij"), -1).reshape(1, -1, 2)
    return np.repeat(grid, batch, axis=0).astype("float32")


def place_by_hand(pixel, outputs, inputs, coordinates, scale):
    """Where a position along the output lies along a row of `inputs` cells."""
    pixel = min(max(pixel, 0.0), outputs - 1.0)
    ratio = scale or outputs / inputs
    if coordinates == "half_pixel":
        return (pixel + 0.5) / ratio - 0.5
    if coordinates == "legacy":
        return pixel / ratio
    last = (outputs if scale is None else inputs * scale) - 1
    return pixel / last * (inputs - 1) if last else 0.0


def keys(x):
    """The kernel of cubic convolution at a distance, as in Keys's equation 15."""
    return 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2


def sample_by_hand(x, point, size, interpolation, coordinates, scale):
    """The values of one map `(height, width, channels)` at one point of a picture of `size`."""
    corners = []
    for pixel, outputs, inputs in zip(point, size, x.shape, strict=False):
        place = place_by_hand(float(pixel), outputs, inputs, coordinates, scale)
        if interpolation == "nearest":
            nearest = math.floor(place + (0.0 if coordinates == "legacy" else 0.5))
            corners.append([(min(max(nearest, 0), inputs - 1), 1.0)])
            continue
        if interpolation == "bicubic":
            cells = range(math.floor(place) - 1, math.floor(place) + 3)
            corners.append([(min(max(i, 0), inputs - 1), keys(abs(place - i))) for i in cells])
            continue
        place = min(max(place, 0.0), inputs - 1.0)
        lower = math.floor(place)
        upper = min(lower + 1, inputs - 1)
        corners.append([(lower, 1 - (place - lower)), (upper, place - lower)])
    total = np.zeros(x.shape[-1])
    for row, down in corners[0]:
        for column, right in corners[1]:
            total += down * right * x[row, column]
    return total


def all_by_hand(maps, points, size, interpolation, coordinates, strided):
    return np.array(
        [
            [
                np.concatenate(
                    [
                        sample_by_hand(
                            x[picture].astype("float64"),
                            point,
                            size,
                            interpolation,
                            coordinates,
                            STRIDES[tap] if strided else None,
                        )
                        for tap, x in maps.items()
                    ]
                )
                for point in points[picture]
            ]
            for picture in range(len(points))
        ]
    )


@pytest.mark.parametrize("data_format", [LAST, FIRST])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("strided", [False, True])
def test_samples_each_point_as_by_hand(strided, coordinates, interpolation, data_format, random):
    size = (13, 9)
    maps = feature_maps(size, random)
    # Some lie outside.
    points = random.uniform(-3, 14, size=(2, 11, 2)).astype("float32")
    expected = all_by_hand(maps, points, size, interpolation, coordinates, strided)
    layer = HyperColumnSampler(
        tuple(STRIDES),
        interpolation=interpolation,
        coordinates=coordinates,
        strides=STRIDES if strided else None,
        data_format=data_format,
    )
    if data_format == FIRST:
        maps = {tap: x.transpose(0, 3, 1, 2) for tap, x in maps.items()}
    found = ops.convert_to_numpy(layer((maps, points)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("coordinates", "interpolation", "strided", "size", "data_format"),
    [
        ("half_pixel", "bilinear", False, (12, 8), LAST),
        ("half_pixel", "bilinear", False, (13, 7), FIRST),
        ("half_pixel", "bilinear", True, (12, 8), FIRST),
        ("half_pixel", "bilinear", True, (13, 7), LAST),
        ("legacy", "bilinear", False, (12, 8), LAST),
        ("legacy", "bilinear", True, (13, 7), FIRST),
        ("align_corners", "bilinear", False, (13, 7), LAST),
        ("align_corners", "bilinear", True, (12, 8), FIRST),
        ("half_pixel", "nearest", False, (13, 7), LAST),
        ("half_pixel", "nearest", True, (13, 7), FIRST),
        ("legacy", "nearest", True, (13, 7), LAST),
        ("align_corners", "nearest", False, (12, 8), LAST),
        ("half_pixel", "bicubic", True, (13, 7), FIRST),
        ("align_corners", "bicubic", False, (13, 7), LAST),
    ],
)
def test_at_pixel_centres_equals_dense(
    coordinates, interpolation, strided, size, data_format, random, output_and_gradients
):
    taps = tuple(STRIDES)
    maps = feature_maps(size, random, data_format)
    points = pixel_centres(*size)
    settings = {
        "taps": taps,
        "interpolation": interpolation,
        "coordinates": coordinates,
        "strides": STRIDES if strided else None,
        "data_format": data_format,
    }
    column, sampler = HyperColumn(**settings), HyperColumnSampler(**settings)
    weight = random.normal(size=(*points.shape[:2], sum(CHANNELS.values()))).astype("float32")

    def dense(*inputs):
        x = column(inputs)
        x = x if data_format == LAST else ops.transpose(x, (0, 2, 3, 1))
        return ops.reshape(x, weight.shape)

    def sampled(*inputs):
        return sampler((inputs, points))

    arrays = [maps[tap] for tap in taps]
    expected, dense_gradients = output_and_gradients(dense, arrays, weight)
    found, gradients = output_and_gradients(sampled, arrays, weight)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    for gradient, dense_gradient in zip(gradients, dense_gradients, strict=True):
        limit = 1e-4 * np.abs(dense_gradient).max()
        assert limit > 0
        np.testing.assert_allclose(gradient, dense_gradient, rtol=0, atol=limit)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("data_format", [LAST, FIRST])
@pytest.mark.parametrize("reference", [None, "middle", "picture"])
def test_with_centers_too(reference, data_format, interpolation, random):
    strides, centers = {"early": 2, "middle": 4, "late": 8}, {"early": 1, "middle": 3, "late": 7}
    maps = feature_maps((12, 8), random, data_format)
    size = {None: (12, 8), "middle": (6, 4), "picture": (25, 17)}[reference]
    if reference == "picture":
        shape = (2, *size, 1) if data_format == LAST else (2, 1, *size)
        maps["picture"] = np.zeros(shape, "float32")
    settings = {
        "taps": tuple(strides),
        "reference": reference,
        "interpolation": interpolation,
        "strides": strides,
        "centers": centers,
        "data_format": data_format,
    }
    expected = ops.convert_to_numpy(HyperColumn(**settings)(maps))
    expected = expected if data_format == LAST else expected.transpose(0, 2, 3, 1)
    sampler = HyperColumnSampler(**settings)
    found = ops.convert_to_numpy(sampler((maps, pixel_centres(*size))))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-5)
    assert HyperColumnSampler.from_config(sampler.get_config()).centers == centers


def test_gradients_reach_the_points(random, output_and_gradients):
    size = (13, 9)
    maps = feature_maps(size, random)
    layer = HyperColumnSampler(tuple(STRIDES), data_format=LAST)
    # Far from the centres of cells, where the slope jumps.
    points = random.integers(1, 7, size=(2, 5, 2)) + random.uniform(0.1, 0.15, size=(2, 5, 2))
    weight = random.normal(size=(2, 5, 9)).astype("float32")
    _, (gradient,) = output_and_gradients(
        lambda points: layer((maps, points)), [points.astype("float32")], weight
    )
    step = 1e-3
    for place in np.ndindex(points.shape):
        total = {}
        for sign in (-1, 1):
            moved = points.copy()
            moved[place] += sign * step
            values = all_by_hand(maps, moved, size, "bilinear", "half_pixel", False)
            total[sign] = (values * weight).sum()
        slope = (total[1] - total[-1]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-3)


def test_compiled_nearest_falls_on_the_same_cells_as_dense(random):
    # The pixel 20 of 41 lies where cell 1 of 2 begins, but 20.5 * 2 * (1 / 41) is less than 1.
    maps = {"deep": random.normal(size=(1, 2, 2, 1)).astype("float32")}
    maps["picture"] = np.zeros((1, 41, 41, 1), "float32")
    settings = {"taps": ("deep",), "reference": "picture", "interpolation": "nearest"}
    expected = HyperColumn(**settings, data_format=LAST)(maps)
    inputs = {name: keras.Input(x.shape[1:], name=name) for name, x in maps.items()}
    points = keras.Input((None, 2), name="points")
    sampled = HyperColumnSampler(**settings, data_format=LAST)((inputs, points))
    model = keras.Model({**inputs, "points": points}, sampled)
    # Not on torch, where this wants a compiler of C++.
    model.compile(jit_compile=keras.backend.backend() != "torch")
    found = model.predict({**maps, "points": pixel_centres(41, 41, batch=1)}, verbose=0)
    np.testing.assert_allclose(
        found.reshape(41, 41), ops.convert_to_numpy(expected)[0, :, :, 0], atol=1e-6
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision_points_stay_exact(policy):
    # Neighbouring pixels, beyond what half precision can tell apart.
    width = 5000
    values = (np.arange(width) % 13).astype("float32")
    maps = {"early": values.reshape(1, 1, width, 1), "late": values[::2].reshape(1, 1, -1, 1)}
    columns = np.array([255, 257, 2047, 2049, 4097, 4999], "float32")
    points = np.stack([np.zeros_like(columns), columns], -1)[None]
    settings = {"strides": {"early": 1, "late": 2}, "data_format": LAST}
    layer = HyperColumnSampler(tuple(maps), dtype=policy, **settings)
    found = layer((maps, points))
    assert keras.backend.standardize_dtype(found.dtype) == policy.removeprefix("mixed_")
    found = ops.convert_to_numpy(ops.cast(found, "float32"))[0]
    np.testing.assert_array_equal(found[:, 0], values[columns.astype(int)])
    expected = ops.convert_to_numpy(HyperColumnSampler(tuple(maps), **settings)((maps, points)))
    np.testing.assert_allclose(found, expected[0], rtol=0, atol=0.1)
    # So in a model, whose inputs Keras casts.
    inputs = {tap: keras.Input(x.shape[1:], name=tap) for tap, x in maps.items()}
    places = keras.Input((None, 2), name="points")
    model = keras.Model({**inputs, "points": places}, layer((inputs, places)))
    predicted = model.predict({**maps, "points": points}, verbose=0)
    np.testing.assert_array_equal(predicted[0].astype("float32"), found)


def test_points_may_be_whole_numbers(random):
    maps = feature_maps((12, 8), random)
    layer = HyperColumnSampler(tuple(maps), data_format=LAST)
    points = pixel_centres(12, 8)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer((maps, points.astype("int64")))),
        ops.convert_to_numpy(layer((maps, points))),
    )


# Keras's test trains on a generator, and also a layer without weights.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
class TestAsKerasTestsItsLayers(TestCase):
    def test_layer(self):
        self.run_layer_test(
            HyperColumnSampler,
            init_kwargs={"taps": ("early", "late"), "data_format": LAST},
            input_shape=(((2, 9, 7, 3), (2, 2, 1, 4)), (2, 5, 2)),
            expected_output_shape=(2, 5, 7),
            expected_num_trainable_weights=0,
            expected_num_non_trainable_weights=0,
            expected_num_losses=0,
        )

    def test_channels_first_with_the_picture_as_reference(self):
        self.run_layer_test(
            HyperColumnSampler,
            init_kwargs={
                "taps": ["early", "late"],
                "reference": "picture",
                "coordinates": "align_corners",
                "interpolation": "nearest",
                "strides": {"early": 2, "late": 4},
                "data_format": FIRST,
            },
            input_shape=(((2, 3, 4, 5), (2, 4, 2, 2), (2, 1, 9, 11)), (2, 6, 2)),
            expected_output_shape=(2, 6, 7),
            expected_num_trainable_weights=0,
        )


def test_a_model_of_unknown_sizes_is_saved_and_loaded(tmp_path, random):
    inputs = {tap: keras.Input((None, None, CHANNELS[tap]), name=tap) for tap in STRIDES}
    points = keras.Input((None, 2), name="points")
    layer = HyperColumnSampler(
        tuple(STRIDES),
        reference="middle",
        coordinates="legacy",
        strides=STRIDES,
        data_format=LAST,
        name="sampler",
    )
    model = keras.Model({**inputs, "points": points}, layer((inputs, points)))
    assert model.output_shape == (None, None, 9)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("sampler").get_config() == layer.get_config()
    for size, count in (((12, 8), 4), ((13, 9), 7)):
        maps = feature_maps(size, random)
        places = random.uniform(0, 4, size=(2, count, 2)).astype("float32")
        found = loaded.predict({**maps, "points": places}, verbose=0)
        np.testing.assert_allclose(
            found, ops.convert_to_numpy(layer((maps, places))), rtol=0, atol=1e-6
        )
