"""Interpolation, against a loop over pixels and against the frameworks' own resizing."""

import math

import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_hypercolumns.layers.interpolation import (
    COORDINATES,
    INTERPOLATIONS,
    interpolation_matrix,
    resize,
)

SIZES = [(8, 4), (9, 4), (33, 16), (133, 8), (7, 7), (5, 1), (1, 4), (3, 10)]


def interpolate_by_hand(row, outputs, interpolation, coordinates, scale=None, offset=None):
    """Interpolate the list `row` to `outputs` values, pixel by pixel."""
    last = len(row) - 1
    values = []
    for pixel in range(outputs):
        if offset is not None:
            position = (pixel + offset) / scale
            nearest = max(math.floor(position + 0.5), 0)
        elif coordinates == "half_pixel":
            position = (pixel + 0.5) / (scale or outputs / len(row)) - 0.5
            nearest = math.floor((pixel + 0.5) / (scale or outputs / len(row)))
        elif coordinates == "legacy":
            position = pixel / (scale or outputs / len(row))
            nearest = math.floor(position)
        else:
            end = outputs - 1 if scale is None else len(row) * scale - 1
            position = pixel / end * last if end else 0.0
            nearest = math.floor(position + 0.5)
        if interpolation == "nearest":
            values.append(row[min(nearest, last)])
            continue
        position = min(max(position, 0.0), last)
        lower = math.floor(position)
        upper = min(lower + 1, last)
        values.append(row[lower] + (position - lower) * (row[upper] - row[lower]))
    return values


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize(("outputs", "inputs"), SIZES)
@pytest.mark.parametrize("strided", [False, True])
def test_matrix_interpolates_each_pixel_as_by_hand(
    outputs, inputs, coordinates, interpolation, strided, random
):
    scale = 2 ** round(math.log2(max(outputs / inputs, 1))) if strided else None
    row = random.normal(size=inputs)
    matrix = interpolation_matrix(outputs, inputs, interpolation, coordinates, scale)
    expected = interpolate_by_hand(row, outputs, interpolation, coordinates, scale)
    np.testing.assert_allclose(ops.convert_to_numpy(matrix) @ row, expected, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("offset", [-15.5, -0.5, 0.0, 0.25, 2.0, 7.5])
def test_matrix_of_an_offset_interpolates_as_by_hand(offset, scale, interpolation, random):
    row = random.normal(size=9)
    settings = (interpolation, "half_pixel", scale, offset)
    matrix = interpolation_matrix(23, 9, *settings)
    expected = interpolate_by_hand(row, 23, *settings)
    np.testing.assert_allclose(ops.convert_to_numpy(matrix) @ row, expected, atol=1e-5)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize(
    ("outputs", "inputs", "scale"),
    [(8, 4, None), (33, 16, 2.0), (40, 9, 4.0), (7, 7, None), (5, 1, None), (23, 9, 1.5)],
)
def test_bicubic_is_the_cubic_convolution_of_pillow(outputs, inputs, scale, coordinates, random):
    row = random.normal(size=inputs)
    matrix = ops.convert_to_numpy(
        interpolation_matrix(outputs, inputs, "bicubic", coordinates, scale)
    )
    # Where a ramp is read that goes on beyond the edges: first place and step.
    pixels_per_cell = scale or outputs / inputs
    if coordinates == "half_pixel":
        step, first = 1 / pixels_per_cell, 0.5 / pixels_per_cell - 0.5
    elif coordinates == "legacy":
        step, first = 1 / pixels_per_cell, 0.0
    else:
        end = outputs - 1 if scale is None else inputs * scale - 1
        step, first = (inputs - 1) / end, 0.0
    # Pillow has another rule at edges: there are none here.
    padded = np.pad(row, 20, mode="edge").astype("float32")
    left = first + 20 + 0.5 - step / 2
    box = (left, 0, left + max(step, 1e-3) * outputs, 2)
    image = Image.fromarray(np.tile(padded, (2, 1)))
    resized = np.asarray(image.resize((outputs, 2), Image.Resampling.BICUBIC, box=box))
    np.testing.assert_allclose(matrix @ row, resized[0], atol=1e-5)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 4.0])
def test_the_offset_of_half_pixels_is_the_default(scale, interpolation):
    settings = (interpolation, "half_pixel", scale)
    np.testing.assert_allclose(
        ops.convert_to_numpy(interpolation_matrix(23, 9, *settings, (1 - scale) / 2)),
        ops.convert_to_numpy(interpolation_matrix(23, 9, *settings)),
        atol=1e-6,
    )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scale", [None, 2.0])
def test_matrix_of_sizes_known_only_in_the_graph(coordinates, interpolation, scale):
    settings = (interpolation, coordinates, scale)
    known = interpolation_matrix(33, 16, *settings)
    unknown = interpolation_matrix(
        ops.sum(ops.ones(33, "int32")), ops.size(ops.ones(16)), *settings
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(unknown), ops.convert_to_numpy(known), atol=1e-5
    )


@pytest.mark.parametrize("size", [(8, 6), (9, 7), (33, 47), (64, 48)])
def test_half_pixel_bilinear_is_the_resize_of_keras(size, random):
    maps = random.normal(size=(2, 4, 3, 5)).astype("float32")
    expected = ops.image.resize(maps, size, "bilinear", data_format="channels_last")
    found = resize(maps, *size, "bilinear", "half_pixel", None, "channels_last")
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), atol=1e-5
    )


# Nearest at a whole factor, where the backends agree with one another.
@pytest.mark.parametrize("size", [(4, 3), (8, 6), (64, 48)])
def test_half_pixel_nearest_is_the_resize_of_keras(size, random):
    maps = random.normal(size=(2, 4, 3, 5)).astype("float32")
    expected = ops.image.resize(maps, size, "nearest", data_format="channels_last")
    found = resize(maps, *size, "nearest", "half_pixel", None, "channels_last")
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), atol=1e-6
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("size", [(8, 6), (9, 7), (33, 47), (64, 48)])
def test_tensorflow_resizes_alike(size, coordinates, interpolation, random):
    tf = pytest.importorskip("tensorflow", reason="TensorFlow's own functions")
    own = {
        "bilinear": tf.compat.v1.image.resize_bilinear,
        "nearest": tf.compat.v1.image.resize_nearest_neighbor,
    }[interpolation]
    maps = random.normal(size=(2, 4, 3, 5)).astype("float32")
    expected = own(
        maps,
        size,
        align_corners=coordinates == "align_corners",
        half_pixel_centers=coordinates == "half_pixel",
    )
    found = resize(maps, *size, interpolation, coordinates, None, "channels_last")
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected.numpy(), atol=1e-5)


def test_only_what_stays_in_place_is_returned_as_it_is(random):
    maps = random.normal(size=(1, 4, 3, 2)).astype("float32")
    for offsets in (None, (0.0, 0.0)):
        assert (
            resize(maps, 4, 3, "bilinear", "half_pixel", (1, 1), "channels_last", offsets) is maps
        )
    moved = resize(maps, 4, 3, "bilinear", "half_pixel", (1, 1), "channels_last", (1.0, 2.0))
    expected = maps[:, [1, 2, 3, 3]][:, :, [2, 2, 2]]
    np.testing.assert_allclose(ops.convert_to_numpy(moved), expected, atol=1e-6)


def test_channels_first_is_channels_last_transposed(random):
    maps = random.normal(size=(2, 4, 3, 5)).astype("float32")
    last = resize(maps, 9, 7, "bilinear", "half_pixel", (2, 2), "channels_last")
    first = resize(
        maps.transpose(0, 3, 1, 2), 9, 7, "bilinear", "half_pixel", (2, 2), "channels_first"
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(first).transpose(0, 2, 3, 1), ops.convert_to_numpy(last), atol=1e-6
    )


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scale", [None, 3.0])
def test_places_of_large_maps_are_exact_also_where_sizes_are_known_only_in_the_graph(
    coordinates, scale, random
):
    """A place among 511 cells is not one of float32: that would be off by 3e-5 of a cell."""
    settings = ("bilinear", coordinates, scale)
    sizes = (ops.sum(ops.ones(1023, "int32")), ops.sum(ops.ones(511, "int32")))
    row = random.uniform(-1, 1, size=511)
    expected = interpolate_by_hand(row, 1023, *settings)
    for found in (
        interpolation_matrix(1023, 511, *settings),
        interpolation_matrix(*sizes, *settings),
    ):
        np.testing.assert_allclose(ops.convert_to_numpy(found) @ row, expected, rtol=0, atol=3e-7)
