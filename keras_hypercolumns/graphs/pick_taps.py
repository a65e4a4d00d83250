"""Taps of a backbone with all that a hypercolumn has to know of them."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.graphs.feature_info import (
    FeatureInfo,
    channels_format,
    feature_info,
)
from keras_hypercolumns.graphs.model_graph import check_functional, outputs_by_name
from keras_hypercolumns.graphs.tap_extractor import tap_extractor
from keras_hypercolumns.graphs.token_grids import token_grids
from keras_hypercolumns.layers.axes import GivenStride, plain_stride, strides_of_axes

PICTURE = "picture"
"""Name of the picture among the maps of an extractor."""


def pick_taps(
    backbone: keras.Model,
    taps: Iterable[str] | None = None,
    *,
    strides: Iterable[GivenStride] | None = None,
) -> tuple[keras.Model, dict[str, Any]]:
    """Pick feature maps of a backbone, by name or by stride, for the hypercolumn layers.

    What the layers ask for beside the maps is found out: strides, where the cells lie, the picture
    whose size the output takes, the data format.

    Example, every pixel's class from an EfficientNet:

    >>> import keras
    >>> from keras_hypercolumns import HyperColumnProjection, pick_taps
    >>> backbone = keras.applications.EfficientNetB0(include_top=False, weights=None)
    >>> extractor, settings = pick_taps(backbone, strides=(2, 4, 8, 16))
    >>> settings["strides"]["block6a_expand_activation"]
    16
    >>> logits = HyperColumnProjection(21, **settings)(extractor.output)
    >>> model = keras.Model(extractor.input, logits)
    >>> model.compute_output_shape((1, 64, 96, 3))
    (1, 64, 96, 21)

    For `HyperColumnSampler`: `sampler = HyperColumnSampler(**settings)`, called on
    `(extractor(pictures), points)`.

    Args:
        backbone: A functional model with one picture as its input, or a built Sequential one. It
            shares its layers with the extractor.
        taps: Names of layers that give one 4D map (one in a nested model is `"inner/layer"`), or of
            the `pyramid_outputs` that backbones of keras-hub have, such as `"P3"`. Layers of tokens
            (ViT, DeiT, DINOv2, Swin) count as maps, in a backbone of a known size: class and
            register tokens are dropped, and the grid of the patches is restored.
        strides: Instead of names, pixels per cell, an int or a pair, down and across: the last map
            of each stride is taken, or that of the `pyramid_outputs` where the backbone has one
            (`"P3"` has a stride of 8).

    Returns:
        A tuple of the extractor, a `keras.Model` from the picture to a dict of the maps and of the
        picture itself, `"picture"`, and the arguments `taps`, `reference`, `strides`, `centers` and
        `data_format` of the hypercolumn layers.

    Raises:
        ValueError: If neither or both of `taps` and `strides` are given; if there is no map of that
            name or stride; if `backbone` isn't functional, or has several inputs.
    """
    check_functional(backbone)
    if len(backbone.inputs) != 1:
        raise ValueError(
            "`backbone` should have one input, the picture. Received: "
            f"{backbone.name!r} with {[x.name for x in backbone.inputs]}"
        )
    if (taps is None) == (strides is None):
        raise ValueError(
            f"`taps` or `strides` should be given, and not both. Received: {taps!r} and {strides!r}"
        )
    grids = token_grids(backbone)
    pyramid = {name: layer for name, layer in _pyramid(backbone).items() if name not in grids}
    known = feature_info(backbone)
    if strides is not None:
        known = {**{name: grid.info for name, grid in grids.items()}, **known}
        names = [_of_stride(backbone, stride, pyramid, known) for stride in strides]
    else:
        if isinstance(taps, str):
            raise ValueError(f"`taps` should be a list or tuple of names. Received: {taps!r}")
        names = list(taps or ())
    layers = {name: pyramid.get(name, name) for name in names}
    data_format = channels_format(backbone)
    found = {layer: grids[layer].info for layer in layers.values() if layer in grids}
    maps = {layer: grids[layer].map(data_format) for layer in found}
    others = [layer for layer in dict.fromkeys(layers.values()) if layer not in grids]
    if others or not names:
        found.update(feature_info(backbone, others))
        maps.update(tap_extractor(backbone, others).output)
    infos = {name: found[layer] for name, layer in layers.items()}
    picture = backbone.inputs[0]  # bare, also where keras-hub has it in a dict
    extractor = keras.Model(
        picture,
        {PICTURE: picture, **{name: maps[layer] for name, layer in layers.items()}},
        name=f"{backbone.name}_taps",
    )
    return extractor, {
        "taps": tuple(names),
        "reference": PICTURE,
        "strides": {name: info.stride for name, info in infos.items()},
        "centers": {name: info.center for name, info in infos.items() if info.center is not None},
        "data_format": data_format,
    }


def _pyramid(backbone: keras.Model) -> dict[str, str]:
    """The layers whose outputs a backbone of keras-hub offers, by its names for them."""
    outputs = getattr(backbone, "pyramid_outputs", None)
    if not isinstance(outputs, Mapping):
        return {}
    names = {id(found[0].tensor): name for name, found in outputs_by_name(backbone).items()}
    return {name: names[id(x)] for name, x in outputs.items() if id(x) in names}


def _of_stride(
    backbone: keras.Model,
    stride: GivenStride,
    pyramid: Mapping[str, str],
    known: Mapping[str, FeatureInfo],
) -> str:
    """The name of the map of a stride: of the pyramid, or the last one that is no padding."""
    wanted = plain_stride(stride)
    for name, layer in pyramid.items():
        if layer in known and known[layer].stride == wanted:
            return name
    paddings = {
        name
        for name, outputs in outputs_by_name(backbone).items()
        if type(outputs[0].call.operation).__name__ in ("ZeroPadding2D", "Pad")
    }
    found = {info.stride: name for name, info in known.items() if name not in paddings}
    if wanted is None or wanted not in found:
        raise ValueError(
            unknown_name("strides", stride, map(str, sorted(found, key=strides_of_axes)))
        )
    return found[wanted]
