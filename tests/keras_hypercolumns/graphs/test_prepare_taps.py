"""What taps pass through, against Keras's functions, NumPy and the dense pair."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import (
    HyperColumn,
    HyperColumnProjection,
    HyperColumnSampler,
    pick_taps,
    prepare_taps,
    project,
)

SIZE = (20, 28)


def backbone_of(data_format="channels_last"):
    x = picture = keras.Input(
        (*SIZE, 3) if data_format == "channels_last" else (3, *SIZE), name="picture"
    )
    for i, strides in enumerate((1, 2, 2)):
        x = keras.layers.Conv2D(
            8 * (i + 1), 3, strides, "same", data_format, activation="relu", name=f"conv_{i}"
        )(x)
    return keras.Model(picture, x)


def picture_of(random, data_format="channels_last"):
    x = random.normal(size=(2, *SIZE, 3)).astype("float32")
    return x if data_format == "channels_last" else x.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("normalization", ["rms", "layer", "batch"])
def test_each_cell_is_normalized(normalization, random):
    extractor, settings = pick_taps(backbone_of(), ("conv_0", "conv_2"))
    maps = prepare_taps(extractor.output, settings["taps"], normalization=normalization)
    assert list(maps) == list(extractor.output)
    assert maps["picture"] is extractor.output["picture"]
    model = keras.Model(extractor.input, maps)
    picture = picture_of(random)
    before = {k: ops.convert_to_numpy(x) for k, x in extractor(picture).items()}
    training = normalization == "batch"
    after = {k: ops.convert_to_numpy(x) for k, x in model(picture, training=training).items()}
    for tap in settings["taps"]:
        x, axis = before[tap].astype("float64"), -1
        if normalization == "batch":
            axis = (0, 1, 2)
        if normalization != "rms":
            x = x - x.mean(axis, keepdims=True)
        epsilon = 1e-6 if normalization == "rms" else 1e-3
        expected = x / np.sqrt((x**2).mean(axis, keepdims=True) + epsilon)
        np.testing.assert_allclose(after[tap], expected, atol=1e-4)


@pytest.mark.parametrize("normalization", ["rms", "layer", "batch"])
def test_channels_first_is_channels_last_transposed(normalization, random):
    x, weight = random.normal(size=(2, 5, 7, 4)), random.uniform(1, 5, 4)
    found = {}
    for data_format in ("channels_last", "channels_first"):
        given = x if data_format == "channels_last" else x.transpose(0, 3, 1, 2)
        maps = {"tap": keras.Input(given.shape[1:])}
        prepared = prepare_taps(
            maps, ["tap"], normalization=normalization, data_format=data_format
        )["tap"]
        model = keras.Model(maps["tap"], prepared)
        model.weights[0].assign(weight)
        found[data_format] = ops.convert_to_numpy(model(given.astype("float32")))
    expected = found["channels_last"].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found["channels_first"], expected, atol=1e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_projection_of_what_is_prepared_is_exact(data_format, random):
    if data_format == "channels_first" and keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has no convolutions of channels first on a CPU")
    extractor, settings = pick_taps(backbone_of(data_format), ("conv_0", "conv_1", "conv_2"))
    maps = prepare_taps(
        extractor.output,
        settings["taps"],
        {"conv_1": 5, "conv_2": np.int64(4)},
        normalization="rms",
        data_format=data_format,
    )
    column = HyperColumn(**settings)(maps)
    dense = keras.Model(extractor.input, keras.layers.Conv2D(3, 1, data_format=data_format)(column))
    axis = 3 if data_format == "channels_last" else 1
    assert column.shape[axis] == 8 + 5 + 4
    for layer in dense.layers:
        if layer.name.endswith("_normalized"):
            layer.scale.assign(random.uniform(0.5, 20, layer.scale.shape))
    twin = project(dense)
    assert any(isinstance(layer, HyperColumnProjection) for layer in twin.layers)
    picture = picture_of(random, data_format)
    expected = ops.convert_to_numpy(dense(picture))
    np.testing.assert_allclose(ops.convert_to_numpy(twin(picture)), expected, atol=1e-4)


def test_sparse_and_dense_models_share_it_and_are_saved(tmp_path, random):
    extractor, settings = pick_taps(backbone_of(), ("conv_0", "conv_2"))
    maps = prepare_taps(extractor.output, settings["taps"], 6, normalization="batch")
    points = keras.Input((None, 2))
    head = keras.layers.Dense(2)
    picture = extractor.input
    sparse = keras.Model((picture, points), head(HyperColumnSampler(**settings)((maps, points))))
    dense = keras.Model(picture, head(HyperColumn(**settings)(maps)))
    sparse.compile("adam", "mse")
    x = picture_of(random)
    where = random.integers(0, 20, (2, 50, 2)).astype("float32")
    before = ops.convert_to_numpy(dense(x))
    sparse.train_on_batch((x, where), random.normal(size=(2, 50, 2)))
    after = ops.convert_to_numpy(dense(x))
    assert np.abs(after - before).max() > 0
    there = ops.convert_to_numpy(sparse((x, where)))
    rows, columns = where.astype(int).transpose(2, 0, 1)
    np.testing.assert_allclose(there, after[np.arange(2)[:, None], rows, columns], atol=1e-5)
    dense.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(x)), after, atol=1e-6)


def test_names_of_taps_that_no_layer_may_have(random):
    maps = {name: keras.Input((8, 8, 3)) for name in ("inner/conv", "encoder[0]")}
    head = HyperColumnProjection(2, tuple(maps), data_format="channels_last")
    prepared = prepare_taps(maps, tuple(maps), 4, "rms", data_format="channels_last")
    model = keras.Model(list(maps.values()), head(prepared))
    head.quantize("int8")
    x = [random.normal(size=(1, 8, 8, 3)).astype("float32") for _ in maps]
    assert model.predict(x, verbose=0).shape == (1, 8, 8, 2)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"taps": ("conv_3",), "filters": 2}, r"`taps` should be among .*Did you mean 'conv_2'\?"),
        ({"filters": 0}, "`filters` should be a positive int.*Received: 0"),
        ({"filters": {"picture": 2}}, "`filters` should be a positive int, or a dict"),
        ({"normalization": "l2"}, "`normalization` should be one of 'rms', 'batch', 'layer'"),
        ({}, "there is nothing to prepare"),
        ({"filters": {}}, "there is nothing to prepare"),
    ],
)
def test_wrong_arguments(arguments, match):
    extractor, settings = pick_taps(backbone_of(), ("conv_0", "conv_2"))
    with pytest.raises(ValueError, match=match):
        prepare_taps(extractor.output, **{"taps": settings["taps"], **arguments})
