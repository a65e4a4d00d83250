"""The colorizer: from L to AB, at any size, saved and loaded."""

import inspect
import subprocess
import sys
import textwrap

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import (
    STUDY_VARIANTS,
    VARIANTS,
    ColorizerModel,
    HyperColumn,
    LightnessToGray,
    colorizer,
    fold_batch_norm,
    joint_colorizer,
)
from keras_hypercolumns.backbones.vgg19.taps import (
    ARCHITECTURES,
    tap_channels,
    tap_names,
    tap_stride,
)

LINEAR = {**VARIANTS, **STUDY_VARIANTS}
TAPS = {**LINEAR, **ARCHITECTURES}


def lightness_of(size, random, batch=1):
    return random.uniform(0, 100, size=(batch, *size, 1)).astype("float32")


def enlarge_head(model, random):
    """Heads start near zero; make colours that differ by more than rounding."""
    for layer in model.layers:
        if layer.name.startswith("head_"):
            shapes = [weight.shape for weight in layer.get_weights()]
            layer.set_weights([random.normal(scale=0.1, size=shape) for shape in shapes])
    return model


@pytest.fixture(scope="module")
def model():
    return enlarge_head(colorizer("pool1to4"), np.random.default_rng(3))


@pytest.fixture(scope="module")
def joint():
    """One trunk with the heads of every variant there is, with positive and negative biases."""
    model = joint_colorizer((*LINEAR, *ARCHITECTURES))
    random = np.random.default_rng(4)
    for layer in model.layers:
        if layer.name.startswith(("head_", "layered_block", "residual_relu")):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, random.normal(scale=0.3, size=bias.shape)])
    return model


SIZES = ((32, 32), (33, 47))


@pytest.fixture(scope="module")
def predictions(joint):
    """A lightness of each size, and what the joint model makes of it."""
    random = np.random.default_rng(5)
    found = {}
    for size in SIZES:
        lightness = lightness_of(size, random, batch=2)
        found[size] = (
            lightness,
            {name: ops.convert_to_numpy(ab) for name, ab in joint(lightness).items()},
        )
    return found


def test_default_is_the_four_published_variants():
    default = inspect.signature(joint_colorizer).parameters["variants"].default
    assert default == ("full", "relu1to5", "relu3to5", "pool1to4")


def test_every_variant_gives_two_channels_at_the_size_of_the_picture(joint, predictions):
    assert list(joint.output) == [*LINEAR, *ARCHITECTURES]
    for size, (_, colors) in predictions.items():
        for ab in colors.values():
            assert ab.shape == (2, *size, 2)
            assert ab.std() > 0
    for variant, taps in LINEAR.items():
        channels = sum(map(tap_channels, taps))
        assert tuple(joint.get_layer(f"head_{variant}").kernel.shape) == (1, 1, channels, 2)


def weights_of(joint, name):
    return [weight.astype("float64") for weight in joint.get_layer(name).get_weights()]


def upsampled(maps, factor, size):
    """`maps` times `factor`, by linear interpolation, then continued by the edge to `size`."""
    height, width = (side * factor for side in maps.shape[1:3])
    maps = ops.image.resize(
        maps.astype("float32"),
        (height, width),
        interpolation="bilinear",
        data_format="channels_last",
    )
    pads = [(0, 0), (0, size[0] - height), (0, size[1] - width), (0, 0)]
    return np.pad(ops.convert_to_numpy(maps).astype("float64"), pads, mode="edge")


def layered(maps, joint, size):
    """Section 6.1: per block concatenation, one map, ReLU; then the five maps."""
    five = []
    for block in range(1, 6):
        of_block = [maps[tap] for tap in VARIANTS["full"] if tap.startswith(f"relu{block}")]
        column = np.concatenate(of_block, axis=-1)
        kernel, bias = weights_of(joint, f"layered_block{block}")
        five.append(np.maximum(upsampled(column, 2 ** (block - 1), size) @ kernel[0, 0] + bias, 0))
    return np.concatenate(five, axis=-1)


def residual(maps, joint, size):
    """Section 6.2: from relu5_4 down, upsample by 2, 1x1 to the next block's channels, add."""
    x = maps["relu5_4"].astype("float64")
    for tap in ("relu4_4", "relu3_4", "relu2_2", "relu1_2"):
        kernel, bias = weights_of(joint, f"residual_{tap}")
        x = maps[tap] + upsampled(x, 2, maps[tap].shape[1:3]) @ kernel[0, 0] + bias
    return x


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("head", "channels"), [(layered, 5440), (residual, 1472)])
def test_layered_and_residual_are_what_the_founding_document_says(
    head, channels, size, joint, predictions
):
    name = head.__name__
    lightness, colors = predictions[size]
    maps = joint.get_layer("trunk")(lightness / 50 - 1)
    maps = {tap: ops.convert_to_numpy(maps[tap]) for tap in TAPS[name]}
    kernel, bias = weights_of(joint, f"head_{name}")
    expected = 128 * 50 / channels * (head(maps, joint, size) @ kernel[0, 0] + bias)
    assert expected.std() > 0.1
    np.testing.assert_allclose(colors[name], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_is_trunk_then_hypercolumn_then_1x1_with_the_scaling_inside(model, random):
    lightness = lightness_of((33, 47), random)
    taps = VARIANTS["pool1to4"]
    # Average pooling and strides, as in the founding code and the design.
    maps = model.get_layer("trunk")(lightness / 50 - 1)
    column = HyperColumn(
        taps,
        reference="lightness",
        strides={tap: tap_stride(tap) for tap in taps},
        data_format="channels_last",
    )
    column = ops.convert_to_numpy(column({**maps, "lightness": lightness})).astype("float64")
    kernel, bias = model.get_layer("head_pool1to4").get_weights()
    # A wider head is scaled down: 128 * 50 over its channels.
    expected = 128 * 50 / 960 * (column @ kernel[0, 0] + bias)
    found = ops.convert_to_numpy(model(lightness))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert expected.std() > 1


def test_taps_of_ones_own(random):
    own = colorizer(["relu1_1", "conv2_1"])
    assert tuple(own(lightness_of((17, 19), random)).shape) == (1, 17, 19, 2)
    assert tuple(own.get_layer("head_custom").kernel.shape) == (1, 1, 64 + 128, 2)


def test_dense_has_the_weights_and_the_output_of_the_projected_one(random):
    projected = enlarge_head(colorizer("relu1to3"), random)
    dense = colorizer("relu1to3", dense=True)
    assert dense.get_layer("hypercolumn").output.shape == (None, None, None, 448)
    assert isinstance(dense.get_layer("head_relu1to3"), keras.layers.Conv2D)
    dense.set_weights(projected.get_weights())
    lightness = lightness_of((33, 47), random)
    expected = ops.convert_to_numpy(projected(lightness))
    assert expected.std() > 1
    np.testing.assert_allclose(
        ops.convert_to_numpy(dense(lightness)), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layered_and_residual_have_no_dense_form(name):
    with pytest.raises(ValueError, match=rf"`dense` should be False for '{name}'.* True"):
        colorizer(name, dense=True)


def test_lab_is_the_lightness_and_the_colour(random):
    taps = ("relu1_2", "pool2")
    ab = enlarge_head(colorizer(taps), random)
    lab = colorizer(taps, output="lab")
    lab.set_weights(ab.get_weights())
    lightness = lightness_of((33, 47), random)
    found = ops.convert_to_numpy(lab(lightness))
    np.testing.assert_array_equal(found[..., :1], lightness)
    np.testing.assert_allclose(
        found[..., 1:], ops.convert_to_numpy(ab(lightness)), rtol=0, atol=1e-4
    )


def test_lab_keeps_the_lightness_in_mixed_precision(random):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = colorizer(["relu1_1"], output="lab")
    finally:
        keras.config.set_dtype_policy(before)
    lightness = lightness_of((17, 19), random)
    lab = model(lightness)
    assert keras.backend.standardize_dtype(lab.dtype) == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(lab)[..., :1], lightness)


def test_a_trunk_may_see_the_grey_value_of_srgb(random):
    skimage_color = pytest.importorskip("skimage.color")
    model = enlarge_head(colorizer(["conv1_1"], trunk_input="gray"), random)
    lightness = lightness_of((17, 19), random)
    lightness[0, :3] = random.uniform(0, 9, size=(3, 19, 1))
    lab = np.concatenate([lightness, np.zeros((1, 17, 19, 2))], axis=-1)
    gray = 255 * skimage_color.lab2rgb(lab)[..., :1]
    maps = model.get_layer("trunk")(gray.astype("float32"))["conv1_1"]
    kernel, bias = weights_of(model, "head_custom")
    # A unit of the head counts less by as much as grey values are larger than L / 50 - 1.
    scale = 128 * 50 / 64 / 127.5
    expected = scale * (ops.convert_to_numpy(maps).astype("float64") @ kernel[0, 0] + bias)
    assert expected.std() > 1
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(lightness)), expected, rtol=0, atol=1e-3 * np.abs(expected).max()
    )


@pytest.fixture
def color_file(tmp_path, random):
    """A file as Keras Applications has it, with a random first convolution, and zeros else."""
    names = [tap for tap in tap_names() if tap.startswith("conv")]
    channels = 3
    with h5py.File(tmp_path / "vgg19_color.h5", "w") as file:
        file.attrs["layer_names"] = [f"block{name[4]}_conv{name[6]}" for name in names]
        for name, layer in zip(names, file.attrs["layer_names"], strict=True):
            group = file.create_group(layer)
            group.attrs["weight_names"] = ["kernel", "bias"]
            # What isn't written takes no room in the file, and reads as zeros.
            group.create_dataset("kernel", (3, 3, channels, tap_channels(name)), "float32")
            group.create_dataset("bias", (tap_channels(name),), "float32")
            channels = tap_channels(name)
        file["block1_conv1/kernel"][...] = random.normal(size=(3, 3, 3, 64))
    return tmp_path / "vgg19_color.h5"


def test_a_trunk_with_weights_for_colour_sees_the_grey_value(color_file):
    model = colorizer(["relu1_1"], weights=color_file)
    assert isinstance(model.get_layer("scale_lightness"), LightnessToGray)
    with h5py.File(color_file) as file:
        kernel = file["block1_conv1/kernel"][...].sum(axis=2, keepdims=True)
    found = model.get_layer("trunk").get_layer("conv1_1").get_weights()[0]
    np.testing.assert_allclose(found, kernel, atol=1e-5)
    model = colorizer(["relu1_1"], weights=color_file, trunk_input="scaled")
    assert isinstance(model.get_layer("scale_lightness"), keras.layers.Rescaling)


def test_a_new_first_convolution_sees_the_scaled_lightness(color_file):
    model = joint_colorizer(("relu1to3",), weights=color_file, first_convolution="new")
    scale = model.get_layer("scale_lightness")
    assert ops.convert_to_numpy(scale(np.array([0.0, 50, 100]))).tolist() == [-1, 0, 1]
    trunk = model.get_layer("trunk")
    assert trunk.get_layer("conv1_1").get_weights()[0].std() > 0
    assert not trunk.get_layer("conv3_4").get_weights()[0].any()


def test_weights_of_a_single_channel_see_the_scaled_lightness(tmp_path):
    given = colorizer(["relu1_1"]).get_layer("trunk")
    given.save_weights(tmp_path / "trunk.weights.h5")
    model = colorizer(["relu1_1"], weights=tmp_path / "trunk.weights.h5")
    assert isinstance(model.get_layer("scale_lightness"), keras.layers.Rescaling)
    for one, other in zip(model.get_layer("trunk").get_weights(), given.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_alone_predicts_what_the_joint_one_does(random):
    joint = enlarge_head(joint_colorizer(("relu3to5", "pool1to4")), random)
    alone = fold_batch_norm(joint, colorizer("relu3to5"))
    lightness = lightness_of((32, 48), random)
    expected = ops.convert_to_numpy(joint(lightness)["relu3to5"])
    assert expected.std() > 1
    np.testing.assert_allclose(
        ops.convert_to_numpy(alone(lightness)), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_training_starts_near_gray(random):
    ab = ops.convert_to_numpy(colorizer("relu1to5")(lightness_of((32, 32), random)))
    assert 0 < np.abs(ab).max() < 50


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
def test_runs_in_a_tf_function_of_unknown_height_and_width(model, random):
    import tensorflow as tf

    traces = []

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32)])
    def predict(lightness):
        traces.append(lightness.shape)
        return model(lightness)

    for size, batch in (((33, 47), 1), ((37, 51), 2), ((16, 16), 1), ((64, 48), 1)):
        lightness = lightness_of(size, random, batch)
        expected = model(lightness).numpy()
        np.testing.assert_allclose(
            predict(lightness).numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
        )
    assert len(traces) == 1


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
def test_layered_and_residual_run_in_a_tf_function_of_unknown_height_and_width(joint, predictions):
    import tensorflow as tf

    model = keras.Model(joint.input, {name: joint.output[name] for name in ARCHITECTURES})

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32)])
    def predict(lightness):
        return model(lightness)

    for lightness, expected in predictions.values():
        for name, ab in predict(lightness).items():
            largest = np.abs(expected[name]).max()
            np.testing.assert_allclose(ab, expected[name], rtol=0, atol=1e-5 * largest)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit")
def test_runs_jitted_on_jax(model, random):
    import jax

    weights = [weight.value for weight in model.trainable_variables]
    predict = jax.jit(lambda weights, lightness: model.stateless_call(weights, [], lightness)[0])
    lightness = lightness_of((33, 47), random)
    expected = ops.convert_to_numpy(model(lightness))
    np.testing.assert_allclose(
        predict(weights, lightness), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_loads_in_a_process_that_only_imported_the_package(model, tmp_path, random):
    lightness = lightness_of((33, 47), random)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "lightness.npy", lightness)
    program = """
        import sys, keras, keras_hypercolumns, numpy
        folder = sys.argv[1]
        model = keras.saving.load_model(f"{folder}/model.keras")
        ab = model(numpy.load(f"{folder}/lightness.npy"))
        numpy.save(f"{folder}/ab.npy", keras.ops.convert_to_numpy(ab))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], check=True)
    expected = ops.convert_to_numpy(model(lightness))
    np.testing.assert_allclose(
        np.load(tmp_path / "ab.npy"), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant_or_taps": "relu1to6"}, r"`variant` .*Did you mean 'relu1to5'.* 'relu1to6'"),
        ({"variant_or_taps": "conv1-5"}, r"`variant` .*'relu5'.*Did you mean 'conv1to5'"),
        ({"variant_or_taps": "residuals"}, r"`variant` .*'layered'.*Did you mean 'residual'"),
        ({"variant_or_taps": ["relu5_5"]}, r"`taps` .*Did you mean 'relu5_4'"),
        ({"variant_or_taps": ["relu1_1", "relu1_1"]}, r"`taps` .*none of them twice"),
        ({"output": "rgb"}, r"`output` should be one of 'ab', 'lab'.* Received: 'rgb'"),
        ({"trunk_input": "grey"}, r"`trunk_input` .*Did you mean 'gray'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(arguments, message):
    with pytest.raises(ValueError, match=message):
        colorizer(**arguments)


def test_unknown_variants_of_a_joint_model_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`variant` .*Did you mean 'pool1to4'"):
        joint_colorizer(("full", "pool2to4"))


def test_a_joint_model_of_another_trunk_and_other_heads(random):
    model = joint_colorizer(("lite",), trunk="efficientnet_lite0")
    # Table 1 of the EfficientNet paper, without the wider last stage of Lite2.
    assert model.get_layer("trunk").output["stage7"].shape[-1] == 320
    model = joint_colorizer(("relu1to3",), head="hidden", vivid=("relu1to3",))
    lightness = random.uniform(0, 100, (1, 37, 50, 1)).astype("float32")
    assert {name: ab.shape for name, ab in model(lightness).items()} == dict.fromkeys(
        ("relu1to3", "relu1to3-vivid"), (1, 37, 50, 2)
    )
    assert "head_relu1to3_hidden" in {layer.name for layer in model.layers}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "vivid"}, r"`head` should be one of 'linear', 'hidden'\.* Received: 'vivid'"),
        ({"trunk": "vgg16"}, r"`trunk` should be one of 'vgg19_gray', .*Received: 'vgg16'"),
        ({"variants": ("layered",), "head": "hidden"}, r"`head` .*'linear' for 'layered' and"),
        ({"variants": ("lite",), "trunk": "vgg19_gray"}, r"`taps` should be .*Received: 'stage"),
    ],
)
def test_heads_and_trunks_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        joint_colorizer(**{"variants": ("relu1to3",), **arguments})


def test_a_joint_model_says_what_it_is_made_of(joint, tmp_path):
    assert joint.taps == TAPS
    assert set(joint.trunk.output) == {tap for taps in TAPS.values() for tap in taps}
    assert list(joint.heads) == list(joint.output)
    for name, head in joint.heads.items():
        assert head.name == f"head_{name}"
    # A head of 960 channels, as wide as 128 * 50 / 960 units.
    assert joint.unit("pool1to4") == pytest.approx(128 * 50 / 960)
    joint.save(tmp_path / "joint.keras")
    again = keras.saving.load_model(tmp_path / "joint.keras")
    assert type(again) is ColorizerModel
    assert again.taps == TAPS


@pytest.mark.parametrize("head", ["linear", "hidden", "vivid"])
def test_the_taps_of_a_model_of_ones_own_are_those_that_were_asked_for(head):
    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(None, None, 3), alpha=0.35
    )
    taps = ("block_6_expand_relu", "block_1_expand_relu", "out_relu")
    model = colorizer(taps, trunk=backbone, head=head, output="lab")
    assert set(model.taps) == set(model.heads) == {"custom"}
    assert sorted(model.taps["custom"]) == sorted(taps)
    assert model.trunk_input == "gray"
    assert colorizer(["relu1_1"], dense=True).taps == {"custom": ("relu1_1",)}
    given = [weight for weight in backbone.trainable_weights if "block_16" not in weight.path]
    model.trunk.trainable = False
    assert not {id(x) for x in given} & {id(x) for x in model.trainable_weights}


def test_vivid_heads_have_the_taps_of_their_variants():
    model = joint_colorizer(("lite",), vivid=("lite",), trunk="efficientnet_lite0")
    stages = tuple(f"stage{i}" for i in range(1, 8))
    assert model.taps == {"lite": stages, "lite-vivid": stages}
    assert {name: head.filters for name, head in model.heads.items()} == {
        "lite": 2,
        "lite-vivid": 313,
    }
