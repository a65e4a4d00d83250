"""Tokens as maps: a patch of the picture that changes is the cell that changes most."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_hypercolumns import HyperColumn, HyperColumnProjection, pick_taps
from keras_hypercolumns.graphs.token_grids import token_grids

FORMATS = ("channels_last", "channels_first")


def tokens_of(data_format="channels_last", extra=1, shape=(24, 40)):
    """Patches of 8 pixels, then what a class token and registers are: first, and of no place."""
    shape = (*shape, 3) if data_format == "channels_last" else (3, *shape)
    x = picture = keras.Input(shape)
    x = layers.Conv2D(6, 8, strides=8, data_format=data_format, name="patches")(x)
    if data_format == "channels_first":
        x = layers.Permute((2, 3, 1))(x)
    x = layers.Reshape((-1, 6))(x)
    x = layers.ZeroPadding1D((extra, 0), name="tokens")(x)
    return keras.Model(picture, layers.Dense(6, name="deep")(x))


def changed_cells(extractor, name, shape, patch, data_format="channels_last"):
    """How much each cell of a map changes with one patch of the picture."""
    random = np.random.default_rng(0)
    one = random.normal(size=(1, *shape)).astype("float32")
    other, (row, column, side) = one.copy(), patch
    where = (slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side))
    other[(0, *where) if data_format == "channels_last" else (0, slice(None), *where)] += 1
    maps = [ops.convert_to_numpy(extractor(x)[name])[0] for x in (one, other)]
    return np.abs(maps[1] - maps[0]).sum(-1 if data_format == "channels_last" else 0)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("extra", [0, 1, 5])
def test_a_patch_is_its_own_cell(data_format, extra):
    backbone = tokens_of(data_format, extra)
    extractor, settings = pick_taps(backbone, ["deep"])
    assert settings["strides"] == {"deep": 8}
    assert settings["centers"] == {"deep": 3.5}
    assert settings["data_format"] == data_format
    for patch in ((0, 0, 8), (1, 3, 8), (2, 4, 8)):
        change = changed_cells(extractor, "deep", backbone.input_shape[1:], patch, data_format)
        assert change.shape == (3, 5)
        assert [tuple(cell) for cell in np.argwhere(change)] == [patch[:2]]
    column = HyperColumn(**settings)
    picture = np.zeros((1, *backbone.input_shape[1:]), "float32")
    size = (24, 40, 6) if data_format == "channels_last" else (6, 24, 40)
    assert tuple(column(extractor(picture)).shape) == (1, *size)


def test_by_strides_maps_come_before_tokens():
    _, settings = pick_taps(tokens_of(), strides=[8])
    assert settings["taps"] == ("patches",)


def test_tokens_that_only_a_pyramid_names():
    """As in DINOV2 of keras-hub, whose blocks are outputs of one layer."""
    backbone = tokens_of()
    backbone.pyramid_outputs = {"stage1": backbone.get_layer("deep").output}
    assert pick_taps(backbone, strides=[8])[1]["taps"] == ("patches",)
    extractor, settings = pick_taps(backbone, ["stage1"])
    assert settings["strides"] == {"stage1": 8}
    assert tuple(extractor.output["stage1"].shape) == (None, 3, 5, 6)


def test_of_an_unknown_size_there_are_none():
    with pytest.raises(ValueError, match="without height and width"):
        pick_taps(tokens_of(shape=(None, None)), ["deep"])


def vit(models):
    return models.ViTBackbone((32, 48, 3), (8, 8), 2, 2, 16, 32)


def deit(models):
    return models.DeiTBackbone((32, 48, 3), 8, 2, 2, 16, 32)


def dinov2(models):
    return models.DINOV2Backbone(
        8, 2, 16, 2, 32, num_register_tokens=4, image_shape=(48, 48, 3), layer_scale_init_value=1.0
    )


def swin(models):
    return models.SwinTransformerBackbone(
        image_shape=(64, 64, 3),
        patch_size=4,
        embed_dim=8,
        depths=(2, 2),
        num_heads=(1, 2),
        window_size=4,
    )


HUB = {
    "ViT": (vit, {"vit_patching_and_embedding": 8, "vit_encoder": 8}),
    "DeiT": (deit, {"deit_patching_and_embedding": 8, "deit_encoder[0]": 8}),
    "DINOv2": (dinov2, {"stem": 8, "stage1": 8, "stage2": 8, "layernorm": 8}),
    "Swin": (swin, {"patch_embedding": 4, "stage_0": 8, "norm": 8}),
}


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize("family", HUB)
def test_backbones_of_keras_hub(family):
    models = pytest.importorskip("keras_hub").models
    build, strides = HUB[family]
    backbone = build(models)
    extractor, settings = pick_taps(backbone, list(strides))
    assert settings["strides"] == strides
    shape = backbone.inputs[0].shape[1:]
    for name, stride in strides.items():
        for row, column in ((0, 0), (1, 3), (shape[0] // stride - 1, 2)):
            change = changed_cells(extractor, name, shape, (row, column, stride))
            assert change.shape == (shape[0] // stride, shape[1] // stride)
            assert np.unravel_index(change.argmax(), change.shape) == (row, column)
    logits = HyperColumnProjection(3, **settings)(extractor.output)
    assert tuple(keras.Model(extractor.input, logits).output.shape) == (None, *shape[:2], 3)


class WithNothing(keras.layers.Layer):
    """As DeiT's encoder: what nobody asked for are outputs of no picture."""

    def call(self, tokens):
        return tokens, keras.ops.zeros((0, *tokens.shape[1:]))


def test_outputs_of_no_picture_are_no_maps():
    picture = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(6, 8, 8, data_format="channels_last")(picture)
    tokens = keras.layers.Reshape((16, 6))(x)
    backbone = keras.Model(picture, WithNothing(name="encoder")(tokens))
    assert [name for name in token_grids(backbone) if "encoder" in name] == ["encoder[0]"]
    extractor, _ = pick_taps(backbone, ["encoder[0]"])
    assert extractor(np.zeros((2, 32, 32, 3)))["encoder[0]"].shape == (2, 4, 4, 6)
