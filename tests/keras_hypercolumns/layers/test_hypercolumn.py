"""The `HyperColumn` layer."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase

from keras_hypercolumns import HyperColumn, HyperColumnSampler

LAST = "channels_last"


def step_edge(size, edge):
    """A picture that is 0 above and left of `edge`, and 1 from there on."""
    picture = np.zeros((1, size, size, 1), "float32")
    picture[:, edge:, edge:] = 1
    return picture


def pooled(picture, stride):
    """A map of `stride`, as a row of poolings makes it: an odd last row or column is dropped."""
    while stride > 1:
        picture = keras.layers.AveragePooling2D(2, data_format=LAST)(picture)
        stride //= 2
    return ops.convert_to_numpy(picture)


def picture_inputs(maps):
    """Keras inputs of the names and channels of `maps`, of any height and width."""
    return {name: keras.Input((None, None, x.shape[-1]), name=name) for name, x in maps.items()}


@pytest.fixture
def maps(random):
    shapes = {"early": (2, 12, 8, 3), "middle": (2, 6, 4, 2), "late": (2, 3, 2, 4)}
    return {name: random.normal(size=shape).astype("float32") for name, shape in shapes.items()}


# Keras's test trains on a generator, and also a layer without weights.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
class TestAsKerasTestsItsLayers(TestCase):
    def test_layer(self):
        for settings in (
            {"taps": ("early", "late"), "data_format": LAST},
            {
                "taps": ["early", "late"],
                "coordinates": "legacy",
                "interpolation": "nearest",
                "strides": {"early": 1, "late": 4},
                "data_format": LAST,
            },
            {
                "taps": ["early", "late"],
                "strides": {"early": np.int64(1), "late": 4},
                "centers": {"early": 0, "late": np.float32(3.5)},
                "data_format": LAST,
            },
        ):
            self.run_layer_test(
                HyperColumn,
                init_kwargs=settings,
                input_shape=((2, 9, 7, 3), (2, 2, 1, 4)),
                expected_output_shape=(2, 9, 7, 7),
                expected_num_trainable_weights=0,
                expected_num_non_trainable_weights=0,
                expected_num_losses=0,
            )

    def test_channels_first_with_the_picture_as_reference(self):
        self.run_layer_test(
            HyperColumn,
            init_kwargs={
                "taps": ("early", "late"),
                "reference": "picture",
                "coordinates": "align_corners",
                "data_format": "channels_first",
            },
            input_shape=((2, 3, 4, 5), (2, 4, 2, 2), (2, 1, 9, 11)),
            expected_output_shape=(2, 7, 9, 11),
            expected_num_trainable_weights=0,
        )


@pytest.mark.parametrize("taps", [("early", "middle", "late"), ("late", "early")])
def test_is_each_map_resized_and_concatenated_in_order(maps, taps):
    found = HyperColumn(taps, data_format=LAST)(maps)
    expected = np.concatenate(
        [
            ops.convert_to_numpy(ops.image.resize(maps[tap], (12, 8), "bilinear", data_format=LAST))
            for tap in taps
        ],
        axis=-1,
    )
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)


def test_output_takes_the_size_of_the_reference(maps):
    layer = HyperColumn(("early", "late"), reference="middle", data_format=LAST)
    found = ops.convert_to_numpy(layer(maps))
    assert found.shape == (2, 6, 4, 7)
    expected = ops.image.resize(maps["late"], (6, 4), "bilinear", data_format=LAST)
    np.testing.assert_allclose(found[..., 3:], ops.convert_to_numpy(expected), atol=1e-5)


def test_a_tuple_in_order_is_as_good_as_a_dict(maps):
    layer = HyperColumn(("late", "early"), reference="middle", data_format=LAST)
    by_name = layer(maps)
    by_place = layer((maps["late"], maps["early"], maps["middle"]))
    np.testing.assert_array_equal(ops.convert_to_numpy(by_name), ops.convert_to_numpy(by_place))


def test_channels_first_is_channels_last_transposed(maps):
    last = HyperColumn(("early", "late"), data_format=LAST)(maps)
    first = HyperColumn(("early", "late"), data_format="channels_first")(
        {name: x.transpose(0, 3, 1, 2) for name, x in maps.items()}
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(first).transpose(0, 2, 3, 1), ops.convert_to_numpy(last), atol=1e-6
    )


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
def test_with_strides_an_edge_lands_at_133_where_it_does_at_144(stride):
    layer = HyperColumn(("deep",), reference="picture", strides={"deep": stride}, data_format=LAST)
    columns = {}
    for size in (133, 144):
        picture = step_edge(size, 96)
        columns[size] = ops.convert_to_numpy(
            layer({"deep": pooled(picture, stride), "picture": picture})
        )
    # Beyond the centre of the last whole cell of 133 there is nothing to interpolate with.
    end = 133 // stride * stride - stride // 2
    np.testing.assert_allclose(columns[133][:, :end, :end], columns[144][:, :end, :end], atol=1e-5)
    # 0.5 is crossed between the pixels 95 and 96.
    profile = columns[133][0, 128, :, 0]
    assert profile[95] < 0.5 < profile[96]
    assert profile[95] + profile[96] == pytest.approx(1, abs=1e-5)


def column_by_hand(maps, taps, strides, centers, reference, size):
    """The values `(height, width, channels)` above a grid of the stride and centre of `reference`.

    The picture itself has the stride 1. Strides and centres are one number, or two, down and
    across.
    """
    strides = {name: np.broadcast_to(stride, 2) for name, stride in strides.items()}
    first = {
        name: np.ravel(np.broadcast_to(np.ravel(centers.get(name, (stride - 1) / 2)), 2))
        for name, stride in strides.items()
    }
    stride, start = strides.get(reference, (1, 1)), first.get(reference, (0, 0))
    output = np.zeros((*size, sum(maps[tap].shape[-1] for tap in taps)))
    for place in np.ndindex(*size):
        values = []
        for tap in taps:
            corners = []
            for axis, (pixel, cells) in enumerate(zip(place, maps[tap].shape[1:3], strict=True)):
                position = start[axis] + pixel * stride[axis] - first[tap][axis]
                position /= strides[tap][axis]
                position = min(max(position, 0), cells - 1)
                lower = int(position)
                upper = min(lower + 1, cells - 1)
                corners.append(((lower, 1 - position + lower), (upper, position - lower)))
            values.append(
                sum(
                    down * right * maps[tap][0, row, column].astype("float64")
                    for row, down in corners[0]
                    for column, right in corners[1]
                )
            )
        output[place] = np.concatenate(values)
    return output


CENTERS = {
    "MobileNetV2": {"early": 1, "middle": 3, "late": 7.0},
    "ResNet": {"early": 0, "middle": 0, "late": 0},
    "some": {"middle": 5.25},
    "none": {},
}


@pytest.mark.parametrize("centers", CENTERS.values(), ids=CENTERS)
@pytest.mark.parametrize("reference", [None, "middle", "picture", "grid"])
@pytest.mark.parametrize("data_format", [LAST, "channels_first"])
def test_centers_are_where_they_say_as_by_hand(centers, reference, data_format, random):
    strides = {"early": 2, "middle": 4, "late": 8}
    taps = ("late", "early", "middle")
    sizes = {"early": (9, 7), "middle": (5, 4), "late": (2, 2)}
    maps = {tap: random.normal(size=(1, *size, 2)).astype("float32") for tap, size in sizes.items()}
    sizes |= {"picture": (17, 13), "grid": (6, 5)}
    if reference == "grid":
        strides, centers = {**strides, "grid": 3}, {**centers, "grid": 1.5}
    given = dict(maps)
    if reference in ("picture", "grid"):
        given[reference] = np.zeros((1, *sizes[reference], 1), "float32")
    if data_format == "channels_first":
        given = {name: x.transpose(0, 3, 1, 2) for name, x in given.items()}
    settings = {
        "taps": taps,
        "reference": reference,
        "strides": strides,
        "data_format": data_format,
    }
    found = ops.convert_to_numpy(HyperColumn(**settings, centers=centers)(given))[0]
    found = found if data_format == LAST else found.transpose(1, 2, 0)
    size = sizes[reference or "early"]
    expected = column_by_hand(maps, taps, strides, centers, reference or "early", size)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    if not centers:
        without = ops.convert_to_numpy(HyperColumn(**settings)(given))[0]
        without = without if data_format == LAST else without.transpose(1, 2, 0)
        np.testing.assert_allclose(without, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("centers", [{}, {"early": ([0], [1.5]), "middle": [[3.25], [0]]}])
@pytest.mark.parametrize("reference", [None, "middle", "picture"])
@pytest.mark.parametrize("data_format", [LAST, "channels_first"])
def test_strides_and_centers_may_differ_down_and_across(centers, reference, data_format, random):
    strides = {"early": (2, 4), "middle": [4, np.int64(2)], "late": 8}
    taps = tuple(strides)
    sizes = {"early": (9, 4), "middle": (5, 7), "late": (2, 2)}
    maps = {tap: random.normal(size=(1, *size, 2)).astype("float32") for tap, size in sizes.items()}
    given = {**maps, "picture": np.zeros((1, 17, 13, 1), "float32")}
    if data_format == "channels_first":
        given = {name: x.transpose(0, 3, 1, 2) for name, x in given.items()}
    layer = HyperColumn(taps, reference, strides=strides, centers=centers, data_format=data_format)
    assert HyperColumn.from_config(layer.get_config()).get_config() == layer.get_config()
    assert layer.get_config()["strides"] == {"early": [2, 4], "middle": [4, 2], "late": 8}
    found = ops.convert_to_numpy(layer(given))[0]
    found = found if data_format == LAST else found.transpose(1, 2, 0)
    size, origin = {"picture": (17, 13), "middle": (5, 7), None: (9, 7)}[reference], reference
    if reference is None:
        # The grid of the finest down and of the finest across.
        centers = {"grid": (0, 0) if centers else (0.5, 0.5), **centers}
        strides, origin = {**strides, "grid": 2}, "grid"
    expected = column_by_hand(maps, taps, strides, centers, origin, size)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    points = np.stack(np.meshgrid(range(size[0]), range(size[1]), indexing="ij"), -1)
    sampler = HyperColumnSampler.from_config(layer.get_config())
    sampled = ops.convert_to_numpy(sampler((given, points.reshape(1, -1, 2).astype("float32"))))
    np.testing.assert_allclose(sampled[0], expected.reshape(-1, 6), rtol=0, atol=1e-5)


def crossing(profile):
    """Where a row of values that rises from 0 to 1 is 0.5."""
    after = int(np.argmax(profile > 0.5))
    low, high = profile[after - 1 : after + 1].astype("float64")
    return after - 1 + (0.5 - low) / (high - low)


@pytest.mark.parametrize("size", [128, 133])
@pytest.mark.parametrize("stride", [2, 4, 8, 16])
@pytest.mark.parametrize("before", [0, 1])
def test_with_centers_an_edge_lands_in_its_place(before, stride, size):
    # Windows of 3 x 3, moved by 2, that see as much on both sides of 2i, or two cells behind it.
    settings = {"taps": ("deep",), "reference": "picture", "data_format": LAST}
    center = (1 - before) * (stride - 1)
    places = {"half pixels": [], "centers": []}
    # The grid of the cells adds an error of its own, which cancels over a stride of edges.
    for edge in range(56, 56 + stride):
        picture = x = step_edge(size, edge)
        for _ in range(stride.bit_length() - 1):
            # Continued by its edge, or zeros would be an edge too.
            x = np.pad(x, ((0, 0), (before, 2), (before, 2), (0, 0)), "edge")
            x = ops.convert_to_numpy(keras.layers.AveragePooling2D(3, 2, data_format=LAST)(x))
        for name, centers in (("half pixels", None), ("centers", {"deep": center})):
            layer = HyperColumn(strides={"deep": stride}, centers=centers, **settings)
            column = ops.convert_to_numpy(layer({"deep": x, "picture": picture}))
            places[name].append(crossing(column[0, size - 8, :, 0]) - (edge - 0.5))
    assert np.mean(places["centers"]) == pytest.approx(0, abs=1e-3)
    assert np.max(np.abs(places["centers"])) < stride / 8
    assert np.mean(places["half pixels"]) == pytest.approx((stride - 1) / 2 - center, abs=1e-3)


def test_without_strides_that_edge_is_pixels_away():
    picture = step_edge(133, 96)
    layer = HyperColumn(("deep",), reference="picture", data_format=LAST)
    profile = ops.convert_to_numpy(layer({"deep": pooled(picture, 16), "picture": picture}))
    assert np.argmax(profile[0, 128, :, 0] > 0.5) == 100


def test_legacy_coordinates_shift_a_map_of_stride_8_by_seven_halves():
    ramp = np.arange(8, dtype="float32").reshape(1, 1, 8, 1)
    picture = np.zeros((1, 1, 64, 1), "float32")
    rows = {}
    for coordinates in ("half_pixel", "legacy"):
        layer = HyperColumn(
            ("deep",), reference="picture", coordinates=coordinates, data_format=LAST
        )
        rows[coordinates] = ops.convert_to_numpy(layer({"deep": ramp, "picture": picture}))[0, 0]
    inside = slice(8, 48)
    shift = (rows["legacy"][inside] - rows["half_pixel"][inside]) * 8
    np.testing.assert_allclose(shift, 3.5, atol=1e-4)


def test_of_two_finest_taps_the_first_has_the_pixels_of_the_output():
    row = np.arange(4, dtype="float32").reshape(1, 1, 4, 1)
    settings = {"strides": {"a": 2, "b": 2}, "centers": {"a": 0, "b": 1}, "data_format": LAST}
    for taps, expected in ((("a", "b"), [0, 0.5, 1.5, 2.5]), (("b", "a"), [0.5, 1.5, 2.5, 3])):
        y = ops.convert_to_numpy(HyperColumn(taps, **settings)({"a": row, "b": row}))[0, 0]
        np.testing.assert_allclose(y[:, 0], row[0, 0, :, 0])
        np.testing.assert_allclose(y[:, 1], expected, atol=1e-6)


def test_centers_are_saved_as_plain_numbers(tmp_path):
    layer = HyperColumn(
        ("early", "late"),
        reference="picture",
        strides={"early": np.int64(2), "late": np.int32(4)},
        centers={"late": np.float32(1.5), "picture": np.int64(0)},
        data_format=LAST,
    )
    config = layer.get_config()
    assert config["strides"] == {"early": 2, "late": 4}
    assert config["centers"] == {"late": 1.5, "picture": 0}
    assert {type(n) for n in config["strides"].values()} == {int}
    assert {type(n) for n in config["centers"].values()} == {float}
    json.dumps(config)
    inputs = {
        name: keras.Input((None, None, 1), name=name) for name in ("early", "late", "picture")
    }
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer(layer.name).get_config() == config


WRONG_CENTERS = {
    "no strides": ({"centers": {"early": 1}}, ["along with `strides`", "Received: {'early': 1}"]),
    "other coordinates": (
        {"centers": {"early": 1}, "strides": {"early": 2}, "coordinates": "legacy"},
        ["`centers`", "half-pixel coordinates", "'legacy'"],
    ),
    "of something else": (
        {"centers": {"late": 1}, "strides": {"early": 2}},
        ["`centers` should map taps", "['early']", "Received: {'late': 1}"],
    ),
    "unknown": (
        {"centers": {"early": None}, "strides": {"early": 2}},
        ["leave out what isn't known", "{'early': None}"],
    ),
    "nowhere": (
        {"centers": {"early": float("nan")}, "strides": {"early": 2}},
        ["a number in pixels", "nan"],
    ),
    "a list of nothing": ({"centers": {"early": []}, "strides": {"early": 2}}, ["(or a list"]),
    "a list of text": (
        {"centers": {"early": [1, "0"]}, "strides": {"early": 2}, "reference": "picture"},
        ["one for each remainder", "[1, '0']"],
    ),
    "one of a pair": (
        {"centers": {"early": ([1], 2)}, "strides": {"early": 2}},
        ["a pair of such"],
    ),
    "without names": ({"centers": (1,), "strides": {"early": 2}}, ["Received: (1,)"]),
}


@pytest.mark.parametrize(("settings", "words"), WRONG_CENTERS.values(), ids=WRONG_CENTERS)
def test_wrong_centers_are_refused(settings, words):
    with pytest.raises(ValueError, match="`centers`") as error:
        HyperColumn(("early",), data_format=LAST, **settings)
    for word in words:
        assert word in str(error.value)


def test_sizes_may_be_unknown_when_a_model_is_built(maps):
    inputs = picture_inputs(maps)
    model = keras.Model(inputs, HyperColumn(tuple(maps), data_format=LAST)(inputs))
    assert model.output_shape == (None, None, None, 9)
    assert model.predict(maps, verbose=0).shape == (2, 12, 8, 9)


def test_a_model_is_saved_and_loaded(maps, tmp_path):
    inputs = picture_inputs(maps)
    layer = HyperColumn(
        tuple(maps),
        reference="middle",
        interpolation="nearest",
        coordinates="legacy",
        strides={"early": 1, "middle": 2, "late": 4},
        data_format=LAST,
        name="column",
    )
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("column").get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded.predict(maps, verbose=0), model.predict(maps, verbose=0))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision_coordinates_stay_exact(policy):
    # Half precision can't tell pixels apart beyond 2048 or 256.
    width = 2600
    cells = (np.arange(width // 2) % 13).astype("float32").reshape(1, 1, -1, 1)
    settings = {"taps": ("late",), "reference": "picture", "strides": {"late": 2}}
    maps = {"late": cells, "picture": np.zeros((1, 1, width, 1), "float32")}
    expected = ops.convert_to_numpy(HyperColumn(**settings, data_format=LAST)(maps))
    found = HyperColumn(**settings, data_format=LAST, dtype=policy)(maps)
    assert keras.backend.standardize_dtype(found.dtype) == policy.removeprefix("mixed_")
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.1)


def test_maps_of_whole_numbers_are_cast(random):
    # As a picture of bytes is: Keras casts floats only.
    maps = {"early": random.integers(0, 256, (1, 4, 4, 3)), "late": np.ones((1, 2, 2, 1))}
    layer = HyperColumn(("late", "early"), coordinates="legacy", data_format=LAST)
    expected = layer({name: x.astype("float32") for name, x in maps.items()})
    found = layer({"early": maps["early"].astype("uint8"), "late": maps["late"].astype("int32")})
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))
