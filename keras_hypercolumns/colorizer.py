"""The colorizer: from the lightness of a picture to its colour."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
from keras import layers

from keras_hypercolumns.ab_bins import ab_bins
from keras_hypercolumns.annealed_mean import AnnealedMean
from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.hypercolumn import HyperColumn
from keras_hypercolumns.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.layered_head import layered_head
from keras_hypercolumns.lightness_to_gray import LightnessToGray
from keras_hypercolumns.residual_head import residual_head
from keras_hypercolumns.taps import (
    ARCHITECTURES,
    STUDY_VARIANTS,
    VARIANTS,
    tap_channels,
    tap_stride,
)
from keras_hypercolumns.vgg19_gray import vgg19_gray
from keras_hypercolumns.vgg19_weights.load import load_vgg19_weights

AB_SCALE = 50.0
"""CIELAB units of A and B that the loss counts as one."""
GRAY_SCALE = 127.5
"""How much larger grey values are than L / 50 - 1, and the maps of a trunk that sees them."""

TRUNK_INPUTS = ("scaled", "gray")
HEADS = ("ab", "vivid")
VIVID = "-vivid"
"""Ends the name of the vivid head of a variant, beside its other one."""
VIVID_STRIDE = 4
"""Pixels per cell of the map that a vivid head scores the bins on."""
COARSE = "coarse_"
"""Begins the name of a map that is averaged over these cells."""
_TAPS = {**VARIANTS, **STUDY_VARIANTS, **ARCHITECTURES}
_HEADS = {"layered": layered_head, "residual": residual_head}


def head_scale(channels: int, trunk_input: str = "scaled") -> float:
    """CIELAB units per unit of the output of a head of `channels` input channels.

    The wider the head, the smaller: else a step of an adaptive optimizer, which moves every
    weight by as much, would move the output of `full` by the width of the whole gamut. For the
    same reason the smaller, the larger the maps.
    """
    return 128 * AB_SCALE / channels / (GRAY_SCALE if trunk_input == "gray" else 1)


def colorizer(
    variant_or_taps: str | Sequence[str] = "relu1to5",
    pooling: str = "average",
    batch_norm: bool = False,
    weights: str | Path | None = None,
    first_convolution: str = "sum",
    dense: bool = False,
    output: str = "ab",
    trunk_input: str | None = None,
    head: str = "ab",
) -> keras.Model:
    """Build a network that predicts the colour of a picture from its lightness.

    A single-channel VGG-19 (the trunk), the hypercolumn of the taps, and a linear head of two
    channels, A and B. The scaling of L and of AB lies inside the model.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns import colorizer
    >>> model = colorizer("pool1to4")
    >>> ab = model(np.full((1, 33, 47, 1), 50.0, "float32"))
    >>> tuple(ab.shape)
    (1, 33, 47, 2)

    A head that chooses among colours, instead of taking their mean:

    >>> colorizer("pool1to4", head="vivid").get_layer("head_pool1to4").filters
    313

    Args:
        variant_or_taps: A list or tuple of taps of `vgg19_gray`, or the name of a variant:

            - published: `"full"`, `"relu1to5"`, `"relu3to5"`, `"pool1to4"` (`VARIANTS`);
            - for comparing taps: `"relu4to5"`, `"relu5"`, `"conv1to5"`, `"relu1to3"`,
              `"relu2to5"`, `"relu1to4"`, `"pool1to5"` (`STUDY_VARIANTS`);
            - with heads that are not linear in the hypercolumn: `"layered"`, which reduces each
              block to one map, and `"residual"`, which goes up from relu5_4 by steps of 2 and
              adds the last map of each block on the way.
        pooling: As for `vgg19_gray`.
        batch_norm: As for `vgg19_gray`.
        weights: Of the trunk, as for `vgg19_gray`. The head's are random.
        first_convolution: As for `vgg19_gray`.
        dense: Whether to build the hypercolumn and then convolve it (`HyperColumn`, `Conv2D`),
            as the formula says, where `HyperColumnProjection` computes the same in a fraction
            of the memory. Both have the same weights, in the same order.
        output: `"ab"`, or `"lab"`: the L of the input, with A and B behind it.
        trunk_input: What the trunk sees of L: `"scaled"`, L / 50 - 1, or `"gray"`, the sRGB grey
            value 0..255. Defaults to `None`: `"gray"` with `weights` for colour whose first
            convolution is summed, which expects that, else `"scaled"`.
        head: What the linear head predicts: `"ab"`, A and B; or `"vivid"`, scores of 313 colours,
            whose `AnnealedMean` is taken. They are scored on a map of a quarter of the picture's
            height and width, to which finer taps are averaged, and their mean is brought up: 313
            channels at full size would be the largest thing in memory.

    Input shape:
        `(batch, height, width, 1)`: L of CIELAB, 0..100; any height and width from 16 pixels
        (from 32, where `pool5` is a tap).

    Output shape:
        `(batch, height, width, 2)`: A and B of CIELAB, about -128..127. For the output `"lab"`,
        `(batch, height, width, 3)`: L, A and B.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If a name is unknown; `dense` or a vivid head is asked of `"layered"` or
            `"residual"`, or both are asked for; and what `vgg19_gray` raises for `weights`.

    Reference:
        - [Larsson et al., 2016](https://arxiv.org/abs/1603.06668), section 4, for colour from
          hypercolumns; [Hariharan et al., 2015](https://arxiv.org/abs/1411.5752);
          [Zhang et al., 2016](https://arxiv.org/abs/1603.08511), section 2, for the vivid head.
    """
    if isinstance(variant_or_taps, str):
        name, taps = variant_or_taps, variant_taps(variant_or_taps)
    else:
        name, taps = "custom", tuple(variant_or_taps)
    if output not in ("ab", "lab"):
        raise ValueError(unknown_name("output", output, ("ab", "lab")))
    if dense and name in _HEADS:
        raise ValueError(
            f"`dense` should be False for {name!r}: its head is no single convolution of one "
            f"hypercolumn. Received: {dense!r}"
        )
    if head not in HEADS:
        raise ValueError(unknown_name("head", head, HEADS))
    if head == "vivid" and (dense or name in _HEADS):
        raise ValueError(
            "`head` should be 'ab' with `dense`, and for 'layered' and 'residual': the vivid head "
            f"is a projection of one hypercolumn. Received: {head!r} for {name!r}"
        )
    lightness, outputs = _trunk_and_heads(
        {name: taps},
        pooling,
        batch_norm,
        weights,
        first_convolution,
        trunk_input,
        dense,
        vivid=(name,) if head == "vivid" else (),
    )
    ab = outputs[name]
    if output == "lab":
        ab = layers.Concatenate(dtype="float32", name="lab")([lightness, ab])
    return keras.Model(lightness, ab, name=f"colorizer_{name}")


def joint_colorizer(
    variants: Sequence[str] = tuple(VARIANTS),
    pooling: str = "average",
    batch_norm: bool = False,
    weights: str | Path | None = None,
    first_convolution: str = "sum",
    trunk_input: str | None = None,
    vivid: Sequence[str] = (),
) -> keras.Model:
    """Build one trunk with the heads of several variants, for training them together.

    Example:

    >>> from keras_hypercolumns import joint_colorizer
    >>> model = joint_colorizer(("relu1to5", "pool1to4"))
    >>> {name: tuple(ab.shape) for name, ab in model.output.items()}
    {'relu1to5': (None, None, None, 2), 'pool1to4': (None, None, None, 2)}

    Args:
        variants: Names of variants, as for `colorizer`. Defaults to the four published ones.
        pooling: As for `vgg19_gray`.
        batch_norm: As for `vgg19_gray`.
        weights: As for `colorizer`; likewise `first_convolution` and `trunk_input`.
        vivid: Names of variants that get a vivid head too, as for `colorizer`, with the output
            `"VARIANT-vivid"`.

    Input shape:
        As for `colorizer`.

    Output shape:
        A dict from variant to `(batch, height, width, 2)`, as for `colorizer`.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If a name is unknown; and what `vgg19_gray` raises for `weights`.
    """
    heads = {variant: variant_taps(variant) for variant in variants}
    daring = {f"{variant}{VIVID}": variant_taps(variant) for variant in vivid}
    lightness, outputs = _trunk_and_heads(
        {**heads, **daring},
        pooling,
        batch_norm,
        weights,
        first_convolution,
        trunk_input,
        vivid=tuple(daring),
    )
    return keras.Model(lightness, outputs, name="joint_colorizer")


def variant_taps(variant: str) -> tuple[str, ...]:
    """Return the taps of the variant named `variant`, published or of the study."""
    if variant not in _TAPS:
        raise ValueError(unknown_name("variant", variant, _TAPS))
    return _TAPS[variant]


def _trunk_and_heads(
    heads: Mapping[str, Sequence[str]],
    pooling: str,
    batch_norm: bool,
    weights: str | Path | None,
    first_convolution: str,
    trunk_input: str | None,
    dense: bool = False,
    vivid: Sequence[str] = (),
) -> tuple[Any, dict[str, Any]]:
    """Return the symbolic lightness, and by the name of each head its A and B."""
    if trunk_input not in (None, *TRUNK_INPUTS):
        raise ValueError(unknown_name("trunk_input", trunk_input, TRUNK_INPUTS))
    trunk = vgg19_gray(
        sorted({tap for taps in heads.values() for tap in taps}),
        pooling,
        batch_norm,
        first_convolution=first_convolution,
        data_format="channels_last",
        name="trunk",
    )
    # Loaded here, because the file tells what the trunk has to see.
    sees_gray = weights is not None and load_vgg19_weights(trunk, weights, first_convolution)
    if trunk_input is None:
        trunk_input = "gray" if sees_gray else "scaled"
    lightness = keras.Input((None, None, 1), name="lightness")
    if trunk_input == "gray":
        x = LightnessToGray(name="scale_lightness")(lightness)
    else:
        x = layers.Rescaling(1 / 50, offset=-1, name="scale_lightness")(lightness)
    maps = {**trunk(x), "lightness": x}
    outputs = {}
    if vivid:
        maps |= coarse_maps(maps, {tap for name in vivid for tap in heads[name]})
    for name, taps in heads.items():
        if name in vivid:
            outputs[name] = _vivid_head(maps, taps, name)
            continue
        build_head = _HEADS.get(name, _dense_head if dense else _projected_head)
        head = build_head(maps, taps, f"head_{name}")
        scale = head_scale(sum(tap_channels(tap) for tap in taps), trunk_input)
        outputs[name] = layers.Rescaling(scale, dtype="float32", name=f"ab_{name}")(head)
    return lightness, outputs


def _projected_head(maps: Mapping[str, Any], taps: Sequence[str], name: str) -> Any:
    maps = {tap: maps[tap] for tap in (*taps, "lightness")}
    return HyperColumnProjection(2, taps, **_placing(taps), name=name)(maps)


def _dense_head(maps: Mapping[str, Any], taps: Sequence[str], name: str) -> Any:
    maps = {tap: maps[tap] for tap in (*taps, "lightness")}
    column = HyperColumn(taps, **_placing(taps), name="hypercolumn")(maps)
    return layers.Conv2D(2, 1, data_format="channels_last", name=name)(column)


def coarse_maps(maps: Mapping[str, Any], taps: Iterable[str]) -> dict[str, Any]:
    """Average what is finer than the cells of vivid heads over them.

    Args:
        maps: Of the taps, and the `"lightness"`.
        taps: Those that vivid heads have.

    Returns:
        A dict from `"coarse_TAP"` to the map, and `"coarse_lightness"`, which has the cells' size.
    """
    strides = {"lightness": 1, **{tap: tap_stride(tap) for tap in sorted(taps)}}
    return {
        f"{COARSE}{name}": layers.AveragePooling2D(
            VIVID_STRIDE // stride, data_format="channels_last", name=f"{COARSE}{name}"
        )(maps[name])
        for name, stride in strides.items()
        if stride < VIVID_STRIDE
    }


def coarse_placing(taps: Sequence[str]) -> dict[str, Any]:
    """Arguments of the hypercolumn layers that put every tap in its place over the cells."""
    strides = {
        tap if tap_stride(tap) >= VIVID_STRIDE else f"{COARSE}{tap}": max(
            tap_stride(tap), VIVID_STRIDE
        )
        for tap in taps
    }
    return {
        "taps": tuple(strides),
        "reference": f"{COARSE}lightness",
        "strides": {**strides, f"{COARSE}lightness": VIVID_STRIDE},
        "data_format": "channels_last",
    }


def _vivid_head(maps: Mapping[str, Any], taps: Sequence[str], name: str) -> Any:
    placing = coarse_placing(taps)
    inputs = {tap: maps[tap] for tap in (*placing["taps"], f"{COARSE}lightness")}
    scores = HyperColumnProjection(len(ab_bins()), **placing, name=f"head_{name}")(inputs)
    ab = AnnealedMean(dtype="float32", name=f"mean_{name}")(scores)
    # A hypercolumn of one map brings it to the size of the picture.
    upsampling = HyperColumn(
        ("ab",),
        reference="lightness",
        strides={"ab": VIVID_STRIDE},
        data_format="channels_last",
        dtype="float32",
        name=f"ab_{name}",
    )
    return upsampling({"ab": ab, "lightness": maps["lightness"]})


def _placing(taps: Sequence[str]) -> dict[str, Any]:
    """Arguments of the hypercolumn layers that put every tap in its place over the picture."""
    return {
        "reference": "lightness",
        "strides": {tap: tap_stride(tap) for tap in taps},
        "data_format": "channels_last",
    }
