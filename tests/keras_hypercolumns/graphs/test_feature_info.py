"""Channels, strides and receptive fields against shapes, gradients and published numbers."""

import math

import keras
import numpy as np
import pytest
from keras import layers

from keras_hypercolumns import FeatureInfo, feature_info, tap_extractor, vgg19_gray
from kh_zoo import load_model

LAST = {"data_format": "channels_last"}


def model_of(*stack, inputs=None, name=None):
    x = inputs = keras.Input((None, None, 2)) if inputs is None else inputs
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x, name=name)


def measured_fields(model, size, cells, output_and_gradients):
    """Sides of the square of pixels that act on each of `cells`, by the gradient; see below."""
    return [
        max(last - first for first, last in ends) + 1
        for ends in measured_ends(model, size, cells, output_and_gradients)
    ]


def measured_ends(model, size, cells, output_and_gradients):
    """First and last row, and column, of the pixels that act on each of `cells`, by the gradient.

    They are counted from the middle cell of the output. The layers' weights have to be positive,
    so that nothing cancels.
    """
    picture = np.ones((1, size, size, model.inputs[0].shape[-1]), "float32")
    shape = model.compute_output_shape(picture.shape)
    fields = []
    for row, column in cells:
        weight = np.zeros(shape, "float32")
        weight[0, shape[1] // 2 + row, shape[2] // 2 + column] = 1
        _, (gradient,) = output_and_gradients(model, [picture], weight)
        rows, columns = np.abs(gradient[0]).sum(-1).nonzero()
        inside = min(rows.min(), columns.min()) > 0 and max(rows.max(), columns.max()) < size - 1
        assert inside, "the picture is too small to measure it"
        fields.append([(int(x.min()), int(x.max())) for x in (rows, columns)])
    return fields


def random_stack(random, x, square=False):
    """A few layers of kinds, windows, strides and paddings drawn at random."""

    def padding():
        return str(random.choice(["same", "valid"]))

    def pair(low, high):
        down, across = (int(n) for n in random.integers(low, high, 2))
        return (down, down) if square else (down, across)

    def positive(kind, name, **options):
        return getattr(layers, name)(**options, **{kind: "ones"}, use_bias=False, **LAST)

    def convolution(x):
        options = {"strides": int(random.integers(1, 4))}
        if random.random() < 0.4:
            options = {"dilation_rate": pair(1, 4)}
        options |= {"filters": 2, "kernel_size": pair(1, 6), "padding": padding()}
        return positive("kernel_initializer", "Conv2D", **options)(x)

    def depthwise(x):
        options = {"kernel_size": pair(1, 6), "padding": padding(), "strides": 2}
        return positive("depthwise_initializer", "DepthwiseConv2D", **options)(x)

    def separable(x):
        return layers.SeparableConv2D(
            2,
            pair(1, 6),
            padding=padding(),
            depthwise_initializer="ones",
            pointwise_initializer="ones",
            **LAST,
        )(x)

    def pooling(x):
        return layers.AveragePooling2D(pair(1, 5), pair(1, 4), padding(), **LAST)(x)

    def frame(x):
        before, after = pair(0, 3), pair(0, 3)
        x = layers.ZeroPadding2D(tuple(zip(before, after, strict=True)), **LAST)(x)
        before, after = pair(0, 3), pair(0, 3)
        return layers.Cropping2D(tuple(zip(before, after, strict=True)), **LAST)(x)

    def branches(x):
        paths = [
            positive(
                "kernel_initializer", "Conv2D", filters=2, kernel_size=pair(1, 6), padding="same"
            )(x)
            for _ in range(2)
        ]
        merge = layers.Concatenate() if random.random() < 0.5 else layers.Add()
        return layers.ReLU()(merge(paths))

    kinds = [convolution, depthwise, separable, pooling, frame, branches]
    for i in random.permutation(len(kinds)):
        x = kinds[i](x)
    return x


@pytest.mark.parametrize("seed", range(8))
def test_the_receptive_field_is_what_the_gradient_reaches(seed, output_and_gradients):
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, random_stack(np.random.default_rng(seed), inputs))
    tap = model.layers[-1].name
    info = feature_info(model, [tap])[tap]

    # A multiple of the stride, as is assumed of an unknown size.
    down, across = strides = info.stride if isinstance(info.stride, tuple) else (info.stride,) * 2
    step = math.lcm(down, across)
    size = step * (2 * info.receptive_field // step + 7)
    assert measured_fields(model, size, [(0, 0)], output_and_gradients) == [info.receptive_field]
    # The stride, from how the output grows with the picture.
    small, large = (
        model.compute_output_shape((1, size + rows, size + columns, 2))
        for rows, columns in ((0, 0), (12 * down, 12 * across))
    )
    assert (large[1] - small[1], large[2] - small[2]) == (12, 12)
    assert info.channels == small[3]
    assert seed or strides[0] != strides[1]


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [161, 164])
def test_the_center_is_that_of_what_the_gradient_reaches(seed, size, square, output_and_gradients):
    # Of a known size, which padding "same" depends on, and of any.
    known, unknown = (keras.Input((*sides, 2)) for sides in ((size, size), (None, None)))
    model, free = (
        keras.Model(x, random_stack(np.random.default_rng(seed), x, square=square))
        for x in (known, unknown)
    )
    info, others = (feature_info(one)[one.layers[-1].name] for one in (model, free))
    (ends,) = measured_ends(model, size, [(0, 0)], output_and_gradients)
    strides = info.stride if isinstance(info.stride, tuple) else (info.stride,) * 2
    for axis, (first, last) in enumerate(ends):
        place = (first + last) / 2 - model.output_shape[1 + axis] // 2 * strides[axis]
        assert info.center_at(size, axis) == others.center_at(size, axis) == place
    if square:
        assert isinstance(info.center, float)


@pytest.mark.parametrize(
    "upsampling",
    [
        pytest.param(lambda: layers.UpSampling2D(2, **LAST), id="nearest"),
        pytest.param(lambda: layers.UpSampling2D(3, **LAST), id="nearest by 3"),
        *(
            pytest.param(
                lambda k=k, s=s, p=p: layers.Conv2DTranspose(
                    2, k, strides=s, padding=p, kernel_initializer="ones", **LAST
                ),
                id=f"transposed {k} by {s}, {p}",
            )
            for k, s, p in [(2, 2, "valid"), (3, 2, "same"), (4, 2, "same"), (5, 3, "valid")]
        ),
    ],
)
def test_behind_an_upsampling_it_is_a_close_upper_bound(upsampling, output_and_gradients):
    def convolution():
        return layers.Conv2D(
            2, 3, strides=6, padding="same", kernel_initializer="ones", use_bias=False, **LAST
        )

    model = model_of(convolution(), upsampling())
    tap = model.layers[-1].name
    info = feature_info(model, [tap])[tap]
    cells = [(row, row) for row in range(6)]
    largest = max(measured_fields(model, 120, cells, output_and_gradients))
    assert largest <= info.receptive_field < largest + 6
    small, large = (model.compute_output_shape((1, n, n, 2)) for n in (120, 120 + 12 * info.stride))
    assert large[1] - small[1] == 12


def test_bilinear_upsampling_sees_two_cells():
    # 8 pixels a cell; between the centres of two cells both are seen: 16 pixels.
    model = model_of(
        layers.AveragePooling2D(8, **LAST),
        layers.UpSampling2D(4, interpolation="bilinear", **LAST),
        inputs=keras.Input((64, 64, 1)),
    )
    info = feature_info(model)[model.layers[-1].name]
    assert info.stride == 2
    assert 16 <= info.receptive_field < 16 + 8


# Araujo et al., 2019, table 1: receptive field and effective stride of the last map.
PUBLISHED = {
    "InceptionResNetV2": ("conv_7b_ac", 3039, 32),
    "InceptionV3": ("mixed10", 1311, 32),
    "MobileNet": ("conv_pw_13_relu", 315, 32),
    "ResNet50": ("conv5_block3_out", 483, 32),
    "ResNet50V2": ("post_relu", 483, 32),
    "VGG16": ("block5_pool", 212, 32),
}
# The smallest of each convolutional family of keras.applications.
FAMILIES = (
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
)
QUICK_FAMILIES = ("MobileNet", "MobileNetV3Small", "VGG16")
LARGE_FAMILIES = (
    *("ConvNeXtTiny", "DenseNet121", "EfficientNetV2B0", "InceptionResNetV2"),
    "NASNetMobile",
)


def marked(families):
    """The large ones are looked at before a release."""
    marks = dict.fromkeys(LARGE_FAMILIES, pytest.mark.long)
    return [pytest.param(name, marks=marks.get(name, ())) for name in families]


@pytest.mark.parametrize("family", marked(FAMILIES))
def test_every_map_of_the_applications(family):
    if keras.backend.backend() != "tensorflow" and family not in QUICK_FAMILIES:
        pytest.skip("the graph is the same on every backend; building the large ones is slow")
    # NASNet decides by the sizes how its cells are joined, so Keras needs to know them.
    size = 224 if family == "NASNetMobile" else None
    model = getattr(keras.applications, family)(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    known = feature_info(model)
    assert len(known) > 0.6 * len(model.operations)

    size = size or 512
    shapes = tap_extractor(model, list(known)).compute_output_shape((1, size, size, 3))
    for tap, info in known.items():
        _, height, width, channels = shapes[tap]
        # All strides of theirs are powers of two, and convolutions without padding lose some rows.
        assert (
            info.stride == 2 ** round(np.log2(size / height)) == 2 ** round(np.log2(size / width))
        )
        assert info.channels == channels
        assert isinstance(info.stride, int)
        assert info.receptive_field >= 1

    if family in PUBLISHED:
        tap, receptive_field, stride = PUBLISHED[family]
        assert known[tap].receptive_field == receptive_field
        assert known[tap].stride == stride


# By stride, 2 to 32.
CENTERS = {
    "VGG19": {2: 0.5, 4: 1.5, 8: 3.5, 16: 7.5, 32: 15.5},
    "ResNet50": dict.fromkeys((2, 4, 8, 16, 32), 0),
    "MobileNetV2": {2: 1, 4: 3, 8: 7, 16: 15, 32: 31},
    "EfficientNetV2B0": {2: 1, 4: 3, 8: 7, 16: 15, 32: 31},
    "DenseNet121": {2: 0, 4: 0, 8: 2, 16: 6, 32: 14},
    "ConvNeXtTiny": {4: 1.5, 8: 3.5, 16: 7.5, 32: 15.5},
}


def averaging(model):
    """A copy in which nothing but averages are taken, so that a gradient is a field of weights."""

    def copy(layer):
        if isinstance(layer, layers.MaxPooling2D):
            return layers.AveragePooling2D(**layer.get_config())
        if isinstance(layer, (layers.LayerNormalization, layers.Activation, layers.ReLU)):
            return layers.Identity(name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    model = keras.models.clone_model(model, clone_function=copy, recursive=True)
    for weight in model.weights:
        if weight.path.endswith("/kernel"):
            each = "dwconv" in weight.path or "depthwise" in weight.path
            inputs = np.prod(weight.shape[: 2 if each else -1])
            # The gate of squeeze-and-excite would see all of the picture.
            weight.assign(np.full(weight.shape, 0.0 if "_se_" in weight.path else 1 / inputs))
        elif weight.path.endswith("/gamma"):
            weight.assign(np.ones(weight.shape))
    return model


@pytest.mark.parametrize("family", marked(CENTERS))
def test_the_centers_of_the_applications_are_those_of_their_gradients(family, output_and_gradients):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the graph is the same on every backend; building the large ones is slow")
    size = (32, 512, 3)
    model = averaging(
        getattr(keras.applications, family)(include_top=False, weights=None, input_shape=size)
    )
    known = feature_info(model)
    # The last of each stride. The cells of what pads begin outside; `/` is a layer of a layer.
    taps = {
        info.stride: tap
        for tap, info in known.items()
        if info.stride > 1 and "pad" not in tap and "/" not in tap
    }
    assert {stride: known[tap].center for stride, tap in taps.items()} == CENTERS[family]
    picture = np.ones((1, *size), "float32")
    for stride, tap in taps.items():
        extractor = tap_extractor(model, [tap])
        shape = extractor.compute_output_shape(picture.shape)[tap]
        weight, cell = np.zeros(shape, "float32"), shape[2] // 2
        weight[:, :, cell] = 1
        _, (gradient,) = output_and_gradients(
            lambda x, tap=tap, extractor=extractor: extractor(x)[tap], [picture], weight
        )
        mass = gradient[0].sum((0, 2)).astype("float64")
        assert mass.min() >= 0
        centroid = (mass * np.arange(len(mass))).sum() / mass.sum()
        assert centroid - cell * stride == pytest.approx(CENTERS[family][stride], abs=0.25)


def test_the_center_of_paths_that_join_is_that_of_the_widest():
    inputs = keras.Input((None, None, 1))
    wide = layers.Conv2D(1, 7, padding="same", **LAST)(inputs)
    narrow = layers.Conv2D(1, 3, **LAST, name="narrow")(inputs)
    narrow = layers.ZeroPadding2D(((0, 2), (0, 2)), **LAST)(narrow)
    joined = layers.Add(name="joined")([wide, narrow])
    known = feature_info(keras.Model(inputs, joined))
    assert known["narrow"] == FeatureInfo(1, 1, 3, 1.0)
    assert known["joined"] == FeatureInfo(1, 1, 7, 0.0)


def test_where_down_and_across_differ_both_are_told():
    model = model_of(layers.ZeroPadding2D(((1, 0), (0, 1)), **LAST, name="moved"))
    assert feature_info(model)["moved"] == FeatureInfo(2, 1, 1, ((-1.0,), (0.0,)))
    pooling = layers.AveragePooling2D((2, 1), **LAST, name="pool")
    convolution = layers.Conv2D(4, 3, (1, 2), padding="same", **LAST, name="same")
    known = feature_info(model_of(pooling, convolution))
    assert known["pool"] == FeatureInfo(2, (2, 1), 2, ((0.5,), (0.0,)))
    # Padding "same" of a stride of 2 depends on the width.
    assert known["same"] == FeatureInfo(4, 2, 6, ((0.5,), (1.0, 0.0)))
    assert known["same"].center_at(64, 1) == 1
    with pytest.raises(ValueError, match=r"the last of each: .*'pool' \(stride \(2, 1\)"):
        feature_info(model_of(pooling, convolution), ["pol"])


def test_vgg19_gray():
    # Simonyan and Zisserman's column E, counted by hand: 3x3 convolutions, 2x2 poolings.
    model = vgg19_gray(data_format="channels_last")
    known = feature_info(model)
    assert known["relu1_2"] == FeatureInfo(64, 1, 5, 0.0)
    assert known["relu3_4"] == FeatureInfo(256, 4, 48, 1.5)
    assert known["relu5_4"] == FeatureInfo(512, 16, 252, 7.5)
    assert known["pool5"] == FeatureInfo(512, 32, 268, 15.5)
    assert list(feature_info(model, ("pool2", "relu1_1"))) == ["pool2", "relu1_1"]


@pytest.mark.parametrize(
    ("name", "tap", "known"),
    [
        ("relu3to5", "relu5_4", (512, 16, 252, 7.5)),
        ("lite", "block20_project", (352, 32, 1115, 31.0)),
    ],
)
def test_taps_of_trained_colorizers(name, tap, known):
    """Those that the network format describes, behind the layer that brings L to grey."""
    assert feature_info(load_model(name), (tap,))[tap] == FeatureInfo(*known)


def test_channels_first_gives_the_same():
    def build(data_format):
        shape = (None, None, 3) if data_format == "channels_last" else (3, None, None)
        picture = keras.Input(shape, name="picture")
        x = layers.ZeroPadding2D(2, data_format=data_format, name="padding")(picture)
        x = layers.Conv2D(8, 5, strides=2, data_format=data_format, name="convolution")(x)
        x = layers.MaxPooling2D(3, 3, "same", data_format=data_format, name="pooling")(x)
        x = layers.Conv2DTranspose(4, 3, strides=3, data_format=data_format, name="up")(x)
        return keras.Model(picture, x)

    assert feature_info(build("channels_first")) == feature_info(build("channels_last"))
    assert feature_info(build("channels_first"))["picture"] == FeatureInfo(3, 1, 1, 0.0)


def test_a_permutation_into_channels_first():
    model = model_of(
        layers.Rescaling(1 / 255, name="scaled"),
        layers.Permute((3, 1, 2), name="permuted"),
        layers.Conv2D(8, 3, strides=2, data_format="channels_first", name="convolution"),
        layers.Permute((2, 3, 1), name="back"),
        inputs=keras.Input((None, None, 5)),
    )
    known = feature_info(model)
    assert known["scaled"] == known["permuted"] == FeatureInfo(5, 1, 1, 0.0)
    assert known["convolution"] == known["back"] == FeatureInfo(8, 2, 3, 1.0)


def test_squeeze_and_excite_counts_as_its_spatial_path():
    inputs = keras.Input((None, None, 4))
    x = layers.Conv2D(6, 3, strides=2, **LAST, name="convolution")(inputs)
    for keepdims in (False, True):
        scale = layers.GlobalAveragePooling2D(keepdims=keepdims, name=f"mean_{keepdims}", **LAST)(x)
        scale = layers.Dense(6, name=f"dense_{keepdims}")(scale)
        if not keepdims:
            scale = layers.Reshape((1, 1, 6))(scale)
        x = layers.Multiply(name=f"scaled_{keepdims}")([x, scale])
    model = keras.Model(inputs, x)
    known = feature_info(model)
    assert known["scaled_False"] == known["scaled_True"] == FeatureInfo(6, 2, 3, 1.0)
    # What has no place has no stride.
    assert not {"mean_True", "dense_True"} & set(known)
    with pytest.raises(ValueError, match=r"`taps` of `feature_info` should have a stride.*mean"):
        feature_info(model, ["convolution", "mean_True"])


class Halved(layers.Layer):
    """A layer that Keras doesn't know: every second row and column, of all that it is called on."""

    def call(self, inputs):
        return keras.ops.concatenate([x[:, ::2, ::2] for x in inputs], axis=-1)


def test_layers_of_ones_own_have_a_stride_and_no_receptive_field():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", **LAST)(inputs)
    halved = Halved(name="halved")([x, x])
    behind = layers.Conv2D(5, 1, strides=3, **LAST, name="behind")(halved)
    assert feature_info(keras.Model(inputs, behind), ["halved", "behind"]) == {
        "halved": FeatureInfo(8, 2, None),
        "behind": FeatureInfo(5, 6, None),
    }


class Block(layers.Layer):
    """Layers in a layer, of two outputs: as of keras-hub's own, and of most people's."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        ones = {"kernel_initializer": "ones", "use_bias": False, **LAST}
        self.first = layers.Conv2D(4, 3, 2, padding="same", **ones)
        self.second = layers.Conv2D(4, 5, padding="same", **ones)
        self.norm = layers.BatchNormalization()
        self.pool = layers.AveragePooling2D(2, **LAST)

    def call(self, inputs, training=False):
        x = self.first(inputs)
        x = keras.ops.relu(x + self.norm(self.second(x), training=training))
        return x, self.pool(x) * 2.0


def test_layers_of_ones_own_are_looked_into(output_and_gradients):
    inputs = keras.Input((None, None, 3))
    fine, coarse = Block(name="block")(inputs)
    outer = keras.Model(inputs, [fine, Block(name="deep")(coarse)[1]])
    for _ in range(2):  # it leaves nothing behind
        known = feature_info(outer)
        assert list(known)[1:] == ["block[0]", "block[1]", "deep[0]", "deep[1]"]
        assert known["block[0]"] == FeatureInfo(4, 2, 11, (1.0, 0.0))
        assert known["block[1]"].stride == 4
        assert known["deep[1]"].stride == 16
    model = keras.Model(inputs, coarse)
    (ends,) = measured_ends(model, 96, [(0, 0)], output_and_gradients)
    for first, last in ends:
        assert known["block[1]"].receptive_field == last - first + 1
        assert known["block[1]"].center_at(96) == (first + last) / 2 - 96 / 8 * 4
    extractor = tap_extractor(outer, ["block[1]", "deep[1]"])
    assert extractor(np.zeros((1, 96, 96, 3)))["deep[1]"].shape == (1, 6, 6, 4)


def test_tokens_of_a_known_size_have_the_stride_of_their_sizes():
    patches = layers.Conv2D(8, 4, strides=4, **LAST)
    stack = [patches, layers.Reshape((-1, 8)), layers.Dense(8), layers.Reshape((6, 5, 8))]
    model = model_of(*stack, inputs=keras.Input((24, 20, 3)))
    assert feature_info(model)[stack[-1].name] == FeatureInfo(8, 4, None)


def test_arithmetic_on_symbolic_tensors_is_followed():
    inputs = keras.Input((None, None, 3), name="picture")
    x = layers.Conv2D(4, 3, padding="same", **LAST)(inputs / 255.0)
    x = keras.ops.relu(x) * 2.0 + layers.Conv2D(4, 5, padding="same", **LAST)(x)
    x = keras.ops.concatenate([x, inputs], axis=-1)
    model = keras.Model(inputs, layers.Activation("relu", name="last")(x))
    assert feature_info(model, ["last"]) == {"last": FeatureInfo(7, 1, 7, 0.0)}


def test_nested_models_count_in_pixels_of_the_outer_picture():
    inner = model_of(layers.Conv2D(4, 3, strides=2, name="convolution", **LAST), name="inner")
    innermost = keras.Sequential(
        [keras.Input((None, None, 4)), layers.Conv2D(6, 3, strides=2, name="deep", **LAST)],
        name="innermost",
    )
    middle = model_of(inner, innermost, name="middle")
    model = model_of(layers.AveragePooling2D(3, **LAST), middle)
    known = feature_info(model)
    assert known["middle/inner/convolution"] == FeatureInfo(4, 6, 9, 4.0)
    assert known["middle/innermost/deep"] == FeatureInfo(6, 12, 21, 10.0)
    assert known["middle"] == known["middle/innermost"] == known["middle/innermost/deep"]


def test_several_inputs():
    picture = keras.Input((None, None, 3), name="picture")
    depth = keras.Input((None, None, 1), name="depth")
    label = keras.Input((5,), name="label")
    x = layers.Concatenate(name="both")([picture, depth])
    x = layers.Conv2D(4, 3, strides=2, **LAST)(x)
    x = layers.Multiply(name="conditioned")([x, layers.Dense(4)(label)])
    known = feature_info(keras.Model([picture, depth, label], x))
    assert known["both"] == FeatureInfo(4, 1, 1, 0.0)
    assert known["conditioned"] == FeatureInfo(4, 2, 3, 1.0)
    assert "label" not in known


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(layers.UpSampling2D(2, **LAST), id="half a pixel"),
        pytest.param(layers.Resizing(8, 8, **LAST), id="a fixed size"),
    ],
)
def test_maps_without_a_stride(layer):
    model = model_of(layer)
    assert layer.name not in feature_info(model)
    with pytest.raises(ValueError, match=r"should have a stride.* Received: \('"):
        feature_info(model, [layer.name])
