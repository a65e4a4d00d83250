"""The `HyperColumnProjection` layer, against the dense pair that it stands for."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase

from keras_hypercolumns import VARIANTS, HyperColumn, HyperColumnProjection, colorizer
from keras_hypercolumns.backbones.vgg19.taps import tap_channels, tap_stride

EVEN, ODD = (32, 48), (37, 51)


def feature_maps(taps, size, data_format, random):
    """Maps as VGG-19 makes them of a picture of `size`, and the picture."""
    maps = {"picture": random.normal(size=(1, *size, 1))}
    for tap in taps:
        stride = tap_stride(tap)
        shape = (1, size[0] // stride, size[1] // stride, tap_channels(tap))
        maps[tap] = np.maximum(random.normal(size=shape), 0)
    if data_format == "channels_first":
        maps = {name: x.transpose(0, 3, 1, 2) for name, x in maps.items()}
    return {name: x.astype("float32") for name, x in maps.items()}


def check_equal_to_dense(settings, size, random, output_and_gradients):
    taps = settings["taps"]
    maps = feature_maps(taps, size, settings["data_format"], random)
    last = settings["data_format"] == "channels_last"
    channels = sum(map(tap_channels, taps))
    kernel = random.normal(size=(1, 1, channels, 2)).astype("float32")
    bias = random.normal(size=2).astype("float32")
    weight = random.normal(size=(1, *size, 2) if last else (1, 2, *size)).astype("float32")

    column = HyperColumn(reference="picture", **settings)
    projection = HyperColumnProjection(2, reference="picture", **settings)
    projection.build({name: x.shape for name, x in maps.items()})

    def by_name(inputs):
        return {**dict(zip(taps, inputs, strict=True)), "picture": maps["picture"]}

    def projected(kernel, bias, *inputs):
        return projection.stateless_call([kernel, bias], [], by_name(inputs))[0]

    def dense(kernel, bias, *inputs):
        x = column(by_name(inputs))
        if last:
            return ops.conv(x, kernel, data_format="channels_last") + bias
        return ops.einsum("bchw,cf->bfhw", x, kernel[0, 0]) + ops.reshape(bias, (1, 2, 1, 1))

    # The picture only lends its size: no gradient reaches it.
    arrays = [kernel, bias, *(maps[tap] for tap in taps)]
    expected, dense_gradients = output_and_gradients(dense, arrays, weight)
    found, gradients = output_and_gradients(projected, arrays, weight)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    for array, gradient, dense_gradient in zip(arrays, gradients, dense_gradients, strict=True):
        assert gradient.shape == array.shape
        limit = 1e-4 * np.abs(dense_gradient).max()
        assert limit > 0
        np.testing.assert_allclose(gradient, dense_gradient, rtol=0, atol=limit)


@pytest.mark.parametrize(("size", "strided"), [(EVEN, False), (ODD, True)])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_equals_dense_for_every_variant(variant, size, strided, random, output_and_gradients):
    taps = VARIANTS[variant]
    settings = {
        "taps": taps,
        "strides": {tap: tap_stride(tap) for tap in taps} if strided else None,
        "data_format": "channels_last",
    }
    check_equal_to_dense(settings, size, random, output_and_gradients)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize(
    ("coordinates", "interpolation"),
    [
        ("half_pixel", "nearest"),
        ("half_pixel", "bicubic"),
        ("half_pixel", "bilinear"),
        ("legacy", "bilinear"),
        ("align_corners", "bilinear"),
    ],
)
def test_equals_dense_in_every_setting(
    coordinates, interpolation, strided, data_format, random, output_and_gradients
):
    taps = ("relu1_2", "relu2_2", "pool3")
    settings = {
        "taps": taps,
        "coordinates": coordinates,
        "interpolation": interpolation,
        "strides": {tap: tap_stride(tap) for tap in taps} if strided else None,
        "data_format": data_format,
    }
    check_equal_to_dense(settings, ODD, random, output_and_gradients)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
def test_equals_dense_with_centers(interpolation, data_format, random, output_and_gradients):
    taps = ("relu1_2", "relu2_2", "pool3")
    settings = {
        "taps": taps,
        "interpolation": interpolation,
        "strides": {tap: tap_stride(tap) for tap in taps},
        "centers": {"relu2_2": 1, "pool3": 0.25},
        "data_format": data_format,
    }
    check_equal_to_dense(settings, ODD, random, output_and_gradients)
    layer = HyperColumnProjection(2, **settings)
    copy = HyperColumnProjection.from_config(layer.get_config())
    assert copy.centers == layer.centers == {"relu2_2": 1, "pool3": 0.25}


def test_weights_are_interchangeable_with_the_dense_pair(random):
    taps = VARIANTS["pool1to4"]
    maps = feature_maps(taps, ODD, "channels_last", random)
    column = HyperColumn(taps, data_format="channels_last")
    convolution = keras.layers.Conv2D(2, 1, data_format="channels_last", activation="tanh")
    expected = ops.convert_to_numpy(convolution(column(maps)))
    projection = HyperColumnProjection(
        2, taps, data_format="channels_last", activation="tanh", kernel_initializer="zeros"
    )
    projection.build({name: x.shape for name, x in maps.items()})
    projection.set_weights(convolution.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(projection(maps)), expected, atol=1e-5)
    convolution.set_weights(projection.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(convolution(column(maps))), expected, atol=1e-6)


# Keras's test trains on a generator.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
class TestAsKerasTestsItsLayers(TestCase):
    def test_layer(self):
        self.run_layer_test(
            HyperColumnProjection,
            init_kwargs={
                "filters": 5,
                "taps": ("early", "late"),
                "strides": {"early": 1, "late": 4},
                "activation": "relu",
                "kernel_regularizer": "l2",
                "bias_regularizer": "l2",
                "data_format": "channels_last",
            },
            input_shape=((2, 9, 7, 3), (2, 2, 1, 4)),
            expected_output_shape=(2, 9, 7, 5),
            expected_num_trainable_weights=2,
            expected_num_non_trainable_weights=0,
            expected_num_losses=2,
        )

    def test_channels_first_without_bias_with_the_picture_as_reference(self):
        self.run_layer_test(
            HyperColumnProjection,
            init_kwargs={
                "filters": 2,
                "taps": ["early", "late"],
                "reference": "picture",
                "coordinates": "legacy",
                "use_bias": False,
                "data_format": "channels_first",
            },
            input_shape=((2, 3, 4, 5), (2, 4, 2, 2), (2, 1, 9, 11)),
            expected_output_shape=(2, 2, 9, 11),
            expected_num_trainable_weights=1,
            expected_num_losses=0,
        )


def test_a_model_is_saved_and_loaded(tmp_path, random):
    taps = ("pool1", "pool2")
    maps = feature_maps(taps, ODD, "channels_last", random)
    inputs = {name: keras.Input((None, None, x.shape[-1]), name=name) for name, x in maps.items()}
    layer = HyperColumnProjection(
        3,
        taps,
        reference="picture",
        strides={"pool1": 2, "pool2": 4},
        data_format="channels_last",
        bias_initializer="ones",
        name="head",
    )
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("head").get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded.predict(maps, verbose=0), model.predict(maps, verbose=0))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision(policy, random):
    taps = ("pool1", "pool2")
    maps = feature_maps(taps, EVEN, "channels_last", random)
    settings = {"taps": taps, "reference": "picture", "data_format": "channels_last"}
    full = HyperColumnProjection(2, **settings)
    expected = ops.convert_to_numpy(full(maps))
    half = HyperColumnProjection(2, **settings, dtype=policy)
    half.build({name: x.shape for name, x in maps.items()})
    half.set_weights(full.get_weights())
    found = half(maps)
    assert keras.backend.standardize_dtype(found.dtype) == policy.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in half.weights} == {"float32"}
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.03 * np.abs(expected).max())


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_terms_are_what_each_tap_adds(data_format, random):
    taps = VARIANTS["relu3to5"]
    settings = {
        "reference": "picture",
        "strides": {tap: tap_stride(tap) for tap in taps},
        "data_format": data_format,
    }
    maps = feature_maps(taps, ODD, data_format, random)
    layer = HyperColumnProjection(2, taps, activation="tanh", **settings)
    output = ops.convert_to_numpy(layer(maps))
    layer.bias.assign([0.25, -0.5])
    output = ops.convert_to_numpy(layer(maps))
    terms = layer.terms(maps)
    assert tuple(terms) == taps
    start = 0
    for tap, term in terms.items():
        # The dense pair of this tap alone.
        channels = tap_channels(tap)
        own = {**settings, "strides": {tap: tap_stride(tap)}}
        column = ops.convert_to_numpy(HyperColumn((tap,), **own)(maps))
        part = ops.convert_to_numpy(layer.kernel)[0, 0, start : start + channels]
        start += channels
        rule = "bhwc,cf->bhwf" if data_format == "channels_last" else "bchw,cf->bfhw"
        expected = np.einsum(rule, column, part)
        np.testing.assert_allclose(ops.convert_to_numpy(term), expected, atol=1e-4)
    bias = np.reshape([0.25, -0.5], (2,) if data_format == "channels_last" else (2, 1, 1))
    total = sum(map(ops.convert_to_numpy, terms.values())) + bias
    np.testing.assert_allclose(output, np.tanh(total), atol=1e-5)


def test_terms_of_a_colorizer_are_its_colours(random):
    model = colorizer(("relu1_2", "pool3"))
    lightness = random.uniform(0, 100, (1, 32, 48, 1))
    [(name, head)] = model.heads.items()
    maps = model.trunk(model.scaling(lightness))
    terms = head.terms({**maps, head.reference: lightness})
    total = sum(map(ops.convert_to_numpy, terms.values())) + ops.convert_to_numpy(head.bias)
    expected = ops.convert_to_numpy(model(lightness))
    np.testing.assert_allclose(model.unit(name) * total, expected, atol=1e-3)


def test_terms_need_weights():
    with pytest.raises(ValueError, match="should be built before `terms`"):
        HyperColumnProjection(2, ("a",)).terms({"a": np.zeros((1, 4, 4, 3))})


def head_model(maps, **settings):
    """A projection behind its inputs, with the picture as the reference."""
    inputs = {name: keras.Input(x.shape[1:], name=name) for name, x in maps.items()}
    taps = [name for name in maps if name != "picture"]
    strides = {tap: tap_stride(tap) for tap in taps}
    layer = HyperColumnProjection(
        6, taps, reference="picture", strides=strides, name="head", **settings
    )
    return keras.Model(inputs, layer(inputs)), layer


# Keras's `Model.quantize` says so of every layer that it passes over.
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`:UserWarning")
@pytest.mark.parametrize(
    ("mode", "data_format"),
    [
        ("int8", "channels_last"),
        ("int8", "channels_first"),
        ("int4", "channels_last"),
        ("float8", "channels_last"),
    ],
)
def test_each_tap_is_quantized_as_keras_quantizes_a_dense_layer(
    mode, data_format, tmp_path, random
):
    taps = ("pool1", "pool3")
    maps = feature_maps(taps, EVEN, data_format, random)
    model, layer = head_model(maps, data_format=data_format)
    layer.bias.assign(np.arange(6.0))
    kernel = ops.convert_to_numpy(layer.kernel)[0, 0]
    before = ops.convert_to_numpy(model(maps))
    model.quantize(mode)
    found = ops.convert_to_numpy(model(maps))
    total, start = (
        np.reshape(np.arange(6.0), (6,) if data_format == "channels_last" else (6, 1, 1)),
        0,
    )
    for tap in taps:
        x = maps[tap] if data_format == "channels_last" else maps[tap].transpose(0, 2, 3, 1)
        dense = keras.layers.Dense(6, use_bias=False)
        dense.build(x.shape)
        dense.set_weights([kernel[start : start + x.shape[-1]]])
        dense.quantize(mode)
        start += x.shape[-1]
        y = dense(x)
        y = y if data_format == "channels_last" else ops.transpose(y, (0, 3, 1, 2))
        column = HyperColumn(
            (tap,), "picture", strides={tap: tap_stride(tap)}, data_format=data_format
        )
        total = total + ops.convert_to_numpy(column({tap: y, "picture": maps["picture"]}))
    np.testing.assert_allclose(found, total, atol=1e-4)
    error = np.sqrt(np.mean((found - before) ** 2) / np.mean(before**2))
    assert 0 < error < {"int8": 0.01, "int4": 0.1, "float8": 0.05}[mode]

    assert layer.dtype_policy.quantization_mode == mode
    kernels = [x for x in layer.weights if x.path.endswith("/kernel")]
    columns, kind = {"int8": (6, "int8"), "int4": (3, "int8")}.get(mode, (6, "float32"))
    assert [tuple(x.shape) for x in kernels] == [(64, columns), (256, columns)]
    assert {keras.backend.standardize_dtype(x.dtype) for x in kernels} == {kind}
    # PyTorch has words of its own.
    with pytest.raises(AttributeError, match="kernel"):
        layer.kernel  # noqa: B018
    with pytest.raises(ValueError, match="already quantized"):
        layer.quantize(mode)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(maps)), found, atol=1e-5)


def test_a_finer_quantization_by_its_configuration(tmp_path, random):
    maps = feature_maps(("pool2", "pool4"), EVEN, "channels_last", random)
    # A few rows are large, and would spoil the scale of the others.
    kernel = (
        random.normal(size=(1, 1, 640, 6)) * np.where(np.arange(640) % 64 < 8, 1, 0.02)[:, None]
    )
    errors = []
    for block in (64, 8):
        model, layer = head_model(maps, data_format="channels_last")
        layer.kernel.assign(kernel)
        before = ops.convert_to_numpy(model(maps))
        layer.quantize(config=keras.quantizers.Int4QuantizationConfig(block_size=block))
        found = ops.convert_to_numpy(model(maps))
        errors.append(np.abs(found - before).mean())
    assert 0 < errors[1] < 0.8 * errors[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(maps)), found, atol=1e-5)


def test_a_quantized_policy_before_and_after_the_layer_is_built(random):
    maps = feature_maps(("pool1",), EVEN, "channels_last", random)
    settings = {"taps": ("pool1",), "data_format": "channels_last"}
    late = HyperColumnProjection(3, **settings)
    expected = ops.convert_to_numpy(late(maps))
    late.dtype_policy = "int8_from_float32"
    found = ops.convert_to_numpy(late(maps))
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())
    early = HyperColumnProjection(3, **settings, dtype="int8_from_float32")
    early.build({name: x.shape for name, x in maps.items()})
    assert sorted(x.shape for x in early.get_weights()) == [(3,), (3,), (64, 3)]
    early.set_weights(late.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(early(maps)), found, atol=1e-6)


def test_what_is_trained_in_float8_begins_as_it_is_told():
    maps = {"a": np.ones((1, 4, 4, 3), "float32"), "b": np.ones((1, 2, 2, 5), "float32")}
    layer = HyperColumnProjection(
        2,
        ("a", "b"),
        data_format="channels_last",
        dtype="float8_from_float32",
        kernel_initializer=keras.initializers.Constant(0.5),
    )
    np.testing.assert_allclose(ops.convert_to_numpy(layer(maps)), np.full((1, 4, 4, 2), 4.0))
    # As one kernel: the rows of a tap know of those of the others.
    spread = HyperColumnProjection(
        200, ("a", "b"), data_format="channels_last", dtype="float8_from_float32"
    )
    spread(maps)
    limit = np.sqrt(6 / (8 + 200))
    kernels = [x for x in spread.get_weights() if x.ndim == 2]
    assert 0.95 * limit < max(np.abs(kernel).max() for kernel in kernels) <= limit


def test_what_can_not_be_quantized(random):
    maps = feature_maps(("pool1",), EVEN, "channels_last", random)

    class Other(HyperColumnProjection):
        pass

    settings = {"taps": ("pool1",), "data_format": "channels_last"}
    with pytest.raises(ValueError, match="isn't yet built"):
        HyperColumnProjection(3, **settings).quantize("int8")
    other = Other(3, **settings)
    other(maps)
    with pytest.raises(NotImplementedError, match="a subclass of HyperColumnProjection"):
        other.quantize("int8")
    bound = HyperColumnProjection(3, **settings, kernel_constraint="non_neg")
    bound(maps)
    with pytest.raises(ValueError, match=r"`kernel_constraint` of layer .* for float8"):
        bound.quantize("float8")
    assert bound.kernel.shape == (1, 1, 64, 3)


@pytest.mark.parametrize(
    ("quantized", "data_format"),
    [
        (None, "channels_last"),
        (None, "channels_first"),
        ("int8", "channels_first"),
        ("int4", "channels_last"),
    ],
)
def test_lora_is_that_of_a_convolution(quantized, data_format, tmp_path, random):
    taps = ("pool1", "pool3")
    maps = feature_maps(taps, EVEN, data_format, random)
    model, layer = head_model(maps, data_format=data_format)
    # Keras's Conv2D in the place of the projection.
    convolution = keras.layers.Conv2D(6, 1, data_format="channels_last")
    column = HyperColumn(
        taps, "picture", strides={tap: tap_stride(tap) for tap in taps}, data_format=data_format
    )
    columns = column(maps)
    columns = columns if data_format == "channels_last" else ops.transpose(columns, (0, 2, 3, 1))
    convolution.build(columns.shape)
    convolution.set_weights(layer.get_weights())
    convolution.enable_lora(2, lora_alpha=3)
    before = ops.convert_to_numpy(model(maps))
    if quantized:
        layer.quantize(quantized)
    rounded = ops.convert_to_numpy(model(maps))
    layer.enable_lora(2, lora_alpha=3)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(maps)), rounded)
    a, b = (
        random.normal(size=x.shape).astype("float32")
        for x in (layer.lora_kernel_a, layer.lora_kernel_b)
    )
    for one in (layer, convolution):
        one.lora_kernel_a.assign(a)
        one.lora_kernel_b.assign(b)
    expected = ops.convert_to_numpy(convolution(columns))
    if data_format == "channels_first":
        expected = expected.transpose(0, 3, 1, 2)
    found = ops.convert_to_numpy(model(maps))
    # The quantization of the kernel is all that they differ in.
    np.testing.assert_allclose(found - rounded, expected - before, atol=1e-3)

    names = [x.path.split("/")[-1] for x in layer.trainable_weights]
    assert names == ["bias", "lora_kernel_a", "lora_kernel_b"]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(maps)), found, atol=1e-4)
    assert loaded.get_layer("head").lora_alpha == 3


# Keras's `Model.quantize` says so of every layer that it passes over.
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`:UserWarning")
@pytest.mark.parametrize("mode", [None, "int8", "float8"])
def test_lora_and_float8_are_trained(mode, random):
    maps = feature_maps(("pool1", "pool3"), EVEN, "channels_last", random)
    maps = {name: np.repeat(x, 2, 0) for name, x in maps.items()}
    model, layer = head_model(maps, data_format="channels_last")
    if mode:
        model.quantize(mode)
    if mode != "float8":
        layer.enable_lora(2)
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    before = {x.path: ops.convert_to_numpy(x) for x in layer.weights}
    target = random.normal(size=(2, *EVEN, 6)).astype("float32")
    losses = [model.train_on_batch(maps, target) for _ in range(40)]
    assert losses[-1] < 0.9 * losses[0]
    moved = {
        path.split("/")[-1]
        for path, old in before.items()
        if not np.array_equal(
            old, ops.convert_to_numpy(next(x for x in layer.weights if x.path == path))
        )
    }
    if mode == "float8":
        assert {"bias", "kernel", "kernel_scale", "inputs_scale"} <= moved
    else:
        assert moved == {"bias", "lora_kernel_a", "lora_kernel_b"}


def test_lora_needs_a_built_layer_and_a_free_kernel():
    def built(**settings):
        layer = HyperColumnProjection(2, ("a",), **settings)
        layer.build({"a": (1, 4, 4, 3) if layer.data_format == "channels_last" else (1, 3, 4, 4)})
        return layer

    with pytest.raises(ValueError, match="should be built before `enable_lora`"):
        HyperColumnProjection(2, ("a",)).enable_lora(1)
    with pytest.raises(ValueError, match="`rank` should be a positive int"):
        built().enable_lora(0)
    with pytest.raises(ValueError, match=r"`kernel_constraint` of layer .* should be None"):
        built(kernel_constraint="non_neg").enable_lora(1)
    with pytest.raises(ValueError, match="has LoRA already, of the rank 1"):
        built(lora_rank=1).enable_lora(1)
    assert [x.shape for x in built(lora_rank=2).get_weights()] == [
        (1, 1, 3, 2),
        (2,),
        (1, 1, 3, 2),
        (2, 2),
    ]
