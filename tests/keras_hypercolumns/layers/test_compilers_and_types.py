"""The layers where a compiler traces them, in double precision, with nothing in a batch."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import HyperColumn, HyperColumnProjection, HyperColumnSampler, project

BACKEND = keras.backend.backend()
STRIDES = {"early": 1, "late": 4}
FORMATS = ("channels_last", "channels_first")


def maps_of(random, batch=2, height=8, width=12, data_format="channels_last"):
    maps = {
        tap: random.normal(size=(batch, height // stride, width // stride, 3))
        for tap, stride in STRIDES.items()
    }
    if data_format == "channels_first":
        maps = {tap: x.transpose(0, 3, 1, 2) for tap, x in maps.items()}
    return maps


def layers_of(**settings):
    settings = {"taps": tuple(STRIDES), "strides": STRIDES, **settings}
    return HyperColumn(**settings), HyperColumnProjection(2, **settings)


@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")
class TestTorch:
    @pytest.fixture
    def maps(self, random):
        import torch

        return {tap: torch.from_numpy(x.astype("float32")) for tap, x in maps_of(random).items()}

    @pytest.mark.filterwarnings("ignore:.*(lru_cache|side effects):UserWarning")
    def test_the_compiler_takes_the_whole_of_a_layer(self, maps):
        import torch

        _, layer = layers_of()  # seconds for each: the others go the same way
        expected = layer(maps)
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(maps), expected, rtol=0, atol=1e-6)

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_one_exported_program_serves_all_sizes(self, maps, random):
        import torch

        class Module(torch.nn.Module):
            def __init__(self, layer):
                super().__init__()
                self.layer = layer

            def forward(self, early, late):
                return self.layer({"early": early, "late": late})

        free = dict.fromkeys((0, 1, 2), torch.export.Dim.DYNAMIC)
        layer, _ = layers_of()
        layer(maps)
        program = torch.export.export(
            Module(layer), tuple(maps.values()), dynamic_shapes=(free, free)
        )
        other = {
            tap: torch.from_numpy(x.astype("float32"))
            for tap, x in maps_of(random, batch=3, height=20, width=16).items()
        }
        found = program.module()(*other.values())
        torch.testing.assert_close(found, layer(other), rtol=0, atol=1e-6)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has double precision only where it is set")
@pytest.mark.parametrize("data_format", FORMATS)
def test_double_precision_is_kept_on_the_way(data_format, random):
    """Weights of 1/3, as a stride of 3 has, are none of float32."""
    settings = {"taps": ("map",), "strides": {"map": 3}, "reference": "picture"}
    settings |= {"data_format": data_format, "dtype": "float64"}
    cells = random.normal(size=5)
    row = np.interp((np.arange(15) + 0.5) / 3 - 0.5, np.arange(5), cells)
    maps = {"map": cells.reshape(1, 1, 5, 1), "picture": np.zeros((1, 1, 15, 1))}
    if data_format == "channels_first":
        maps = {name: x.transpose(0, 3, 1, 2) for name, x in maps.items()}
    found = ops.convert_to_numpy(HyperColumn(**settings)(maps))
    np.testing.assert_allclose(found.ravel(), row, rtol=0, atol=1e-14)
    points = np.stack([np.zeros(15), np.arange(15.0)], axis=-1)[None]
    found = ops.convert_to_numpy(HyperColumnSampler(**settings)((maps, points)))
    np.testing.assert_allclose(found.ravel(), row, rtol=0, atol=1e-14)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("batch", "count"), [(0, 5), (2, 0), (0, 0)])
def test_nothing_to_do_is_no_error(data_format, batch, count, random):
    maps = maps_of(random, batch, data_format=data_format)
    sampler = HyperColumnSampler(tuple(STRIDES), strides=STRIDES, data_format=data_format)
    found = sampler((maps, np.zeros((batch, count, 2), "float32")))
    assert tuple(found.shape) == (batch, count, 6)
    for layer, channels in zip(layers_of(data_format=data_format), (6, 2), strict=True):
        shape = (batch, 8, 12, channels)
        if data_format == "channels_first":
            shape = (batch, channels, 8, 12)
        assert tuple(layer(maps).shape) == shape


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("axis", [1, 2])
def test_a_map_of_no_cells_is_told(data_format, axis, random):
    maps = maps_of(random)
    maps["late"] = np.take(maps["late"], [], axis=axis)
    if data_format == "channels_first":
        maps = {tap: x.transpose(0, 3, 1, 2) for tap, x in maps.items()}
    column, projection = layers_of(data_format=data_format)
    sampler = HyperColumnSampler(tuple(STRIDES), strides=STRIDES, data_format=data_format)
    points = np.zeros((2, 1, 2), "float32")
    for layer, inputs in ((column, maps), (projection, maps), (sampler, (maps, points))):
        with pytest.raises(ValueError, match=r"`inputs\['late'\]` .* at least one row and one col"):
            layer(inputs)


def test_numbers_of_numpy_are_numbers(random):
    strides = {tap: np.int64(stride) for tap, stride in STRIDES.items()}
    layer = HyperColumnProjection(np.int64(2), tuple(STRIDES), strides=strides)
    assert tuple(layer(maps_of(random)).shape) == (2, 8, 12, 2)
    again = HyperColumnProjection.from_config(layer.get_config())
    assert (type(again.filters), again.strides) == (int, STRIDES)
    with pytest.raises(ValueError, match="`filters` should be a positive int"):
        HyperColumnProjection(2.0, tuple(STRIDES))


def test_constraints_are_those_of_the_convolution(random):
    """Trained for one step at a high rate, both move to the same place, which is allowed."""
    picture = keras.Input((8, 8, 3))
    pooled = keras.layers.AveragePooling2D(2)(picture)
    column = HyperColumn(("picture", "pooled"))({"picture": picture, "pooled": pooled})
    head = keras.layers.Conv2D(
        2, 1, name="head", kernel_constraint="non_neg", bias_constraint="non_neg"
    )
    dense = keras.Model(picture, head(column))
    twin = project(dense)
    x, y = random.normal(size=(4, 8, 8, 3)), random.normal(-3, 1, size=(4, 8, 8, 2))
    for model in (dense, twin):
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.train_on_batch(x, y)
    found, expected = (model.get_layer("head").get_weights() for model in (twin, dense))
    assert min(one.min() for one in found) == 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
