"""Learned upsampling: where it begins, against Pillow; where its cells lie, by ramps."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_hypercolumns import (
    HyperColumn,
    HyperColumnProjection,
    feature_info,
    pick_taps,
    upsample_taps,
)


def settings_of(stride, center, data_format="channels_last"):
    return {
        "taps": ("tap",),
        "reference": "picture",
        "strides": {"tap": stride},
        "centers": {"tap": center},
        "data_format": data_format,
    }


def inputs_of(shape):
    shapes = {"tap": shape, "picture": (None, None, 1)}
    return {name: keras.Input(shape, name=name) for name, shape in shapes.items()}


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 8])
def test_it_begins_bilinear(factor, random):
    x = random.normal(size=(9, 11)).astype("float32")
    maps = inputs_of((9, 11, 1))
    upsampled, _ = upsample_taps(maps, settings_of(factor, 0), {"tap": factor})
    model = keras.Model(maps["tap"], upsampled["tap"])
    found = ops.convert_to_numpy(model(x[None, ..., None]))[0, ..., 0]
    expected = np.asarray(
        Image.fromarray(x).resize((11 * factor, 9 * factor), Image.Resampling.BILINEAR)
    )
    assert found.shape == expected.shape
    inside = (slice(factor, -factor),) * 2
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize("size", [(64, 80), (61, 75)])
@pytest.mark.parametrize(
    ("stride", "center", "factor"),
    [(8, 3.5, 2), (8, 0.0, 8), (12, 2.0, 3), ((8, 4), ((1.0,), (2.0,)), 4), (4, (0.0, 1.0), 2)],
)
def test_a_ramp_stays_where_it_is(stride, center, factor, size):
    down, across = stride if isinstance(stride, tuple) else (stride, stride)
    at = ops.convert_to_numpy
    places = []
    for axis, (step, length) in enumerate(zip((down, across), size, strict=True)):
        one = center[axis][0] if isinstance(stride, tuple) else center
        one = one[length % len(one)] if isinstance(one, tuple) else one
        places.append(one + step * np.arange(-(-length // step)))
    ramps = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).astype("float32")[None]
    maps = inputs_of((None, None, 2))
    upsampled, settings = upsample_taps(maps, settings_of(stride, center), {"tap": factor})
    model = keras.Model(maps, HyperColumn(**settings)(upsampled))
    found = at(model({"tap": ramps, "picture": np.zeros((1, *size, 1), "float32")}))[0]
    assert found.shape == (*size, 2)
    truth = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)
    inside = (slice(2 * down, -2 * down - 1), slice(2 * across, -2 * across - 1))
    np.testing.assert_allclose(found[inside], truth[inside], atol=1e-3)


def test_it_learns_in_a_network_and_is_saved(tmp_path, random):
    """An upsampling that no interpolation does: stripes within a cell."""
    picture = keras.Input((24, 32, 3), name="picture")
    fine = keras.layers.Conv2D(4, 3, 2, "same", name="fine", activation="relu")(picture)
    coarse = keras.layers.Conv2D(8, 3, 2, "same", name="coarse", activation="relu")(fine)
    extractor, settings = pick_taps(keras.Model(picture, coarse), ("fine", "coarse"))
    before = dict(settings["strides"])
    maps, finer = upsample_taps(extractor.output, settings, {"coarse": 4}, filters=np.int64(6))
    assert settings["strides"] == before
    assert finer["strides"] == {"fine": 2, "coarse": 1}
    model = keras.Model(extractor.input, HyperColumnProjection(1, **finer)(maps))
    assert maps["coarse"].shape == (None, 24, 32, 6)
    assert feature_info(model, ("coarse_upsampled",))["coarse_upsampled"].stride == 1
    x = random.normal(1, 0.1, size=(4, 24, 32, 3)).astype("float32")
    y = np.zeros((4, 24, 32, 1), "float32")
    y[:, 0::4] = y[:, 1::4] = 1
    model.compile(keras.optimizers.Adam(0.02), "mse")
    again = [50, 1, 1, 1]
    model.fit(np.tile(x, again), np.tile(y, again), batch_size=4, epochs=8, verbose=0)
    # By interpolation alone 0.25, the variance, is the best on the coarse map.
    assert model.evaluate(x, y, verbose=0) < 0.1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x)), atol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"factors": {"tab": 2}}, r"`factors` should name taps.*Did you mean 'tap'\?"),
        ({"factors": {"tap": 3}}, "divide the strides.*Received: 3 for 'tap', of stride 8"),
        ({"factors": {"tap": 1}}, "of at least 2"),
        ({"factors": {"tap": 2.0}}, "`factors` should be ints"),
        ({"factors": {"tap": 2}, "filters": 0}, "`filters` should be None or a positive int"),
    ],
)
def test_wrong_arguments_of_upsampling(arguments, match):
    with pytest.raises(ValueError, match=match):
        upsample_taps(inputs_of((8, 8, 3)), settings_of(8, 0), **arguments)
