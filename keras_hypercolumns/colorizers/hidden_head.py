"""The hidden head: one layer of ReLU between the hypercolumn and the colour."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import layers

from keras_hypercolumns.colors.ab_bins import ab_bins
from keras_hypercolumns.graphs.feature_info import FeatureInfo
from keras_hypercolumns.layers.annealed_mean import AnnealedMean
from keras_hypercolumns.layers.hypercolumn import HyperColumn
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.layers.tap_layer import layer_name

HIDDEN_CHANNELS = 128
AB_SCALE = 50.0
"""CIELAB units of A and B that the loss counts as one."""
VIVID_STRIDE = 4
"""Pixels per cell of the map that a vivid head scores the bins on."""
# A shorter memory than Keras's 0.99: short trainings are what this is for.
_NORM = {"momentum": 0.97, "epsilon": 1e-3}


def hidden_head(
    maps: Mapping[str, Any],
    taps: Sequence[str],
    places: Mapping[str, FeatureInfo],
    name: str,
    channels: int = HIDDEN_CHANNELS,
) -> Any:
    """Project the hypercolumn of the taps, each normalised, to one hidden map.

    Every tap goes through a batch normalisation of its own, so that all count alike whatever their
    magnitude; then the projection at the size of the finest tap, a batch normalisation, ReLU. What
    a linear head can't say, "this only where that", the hidden map can.

    Example:

    >>> import keras
    >>> from keras_hypercolumns import feature_info, tap_extractor
    >>> from keras_hypercolumns.colorizers.hidden_head import hidden_ab, hidden_head
    >>> backbone = keras.applications.MobileNetV2(
    ...     include_top=False, weights=None, input_shape=(None, None, 3), alpha=0.35
    ... )
    >>> taps = ("expanded_conv_project_BN", "block_3_expand_relu", "out_relu")
    >>> picture = keras.Input((None, None, 3))
    >>> maps = {**tap_extractor(backbone, taps)(picture), "lightness": picture}
    >>> places = feature_info(backbone, taps)
    >>> hidden = hidden_head(maps, taps, places, name="lite", channels=32)
    >>> hidden_ab(maps, hidden, places, taps, name="lite").shape
    (None, None, None, 2)

    Args:
        maps: Symbolic feature maps `(batch, height_i, width_i, channels_i)` by tap.
        taps: Which of them the head sees.
        places: The stride and the centre of each tap, as of `feature_info`.
        name: Of the variant; the layers are `head_NAME_...`.
        channels: Of the hidden map.

    Returns:
        A symbolic `(batch, height, width, channels)`, of the size of the finest tap.

    Reference:
        - [Larsson et al., 2016](https://arxiv.org/abs/1603.06668), section 4: `h_fc1`.
    """
    normalized = {
        tap: layers.BatchNormalization(
            scale=False, center=False, name=f"head_{name}_norm_{layer_name(tap)}", **_NORM
        )(maps[tap])
        for tap in taps
    }
    x = HyperColumnProjection(
        channels,
        taps,
        reference=finest(taps, places),
        strides={tap: places[tap].stride for tap in taps},
        centers={tap: at for tap in taps if (at := places[tap].center_at(0)) is not None},
        data_format="channels_last",
        use_bias=False,
        name=f"head_{name}_hidden",
    )(normalized)
    x = layers.BatchNormalization(name=f"head_{name}_norm", **_NORM)(x)
    return layers.ReLU(name=f"head_{name}_relu")(x)


def hidden_ab(
    maps: Mapping[str, Any],
    hidden: Any,
    places: Mapping[str, FeatureInfo],
    taps: Sequence[str],
    name: str,
) -> Any:
    """A and B of the hidden map, brought up to the size of `maps["lightness"]`."""
    place = places[finest(taps, places)]
    ab = layers.Conv2D(
        2, 1, data_format="channels_last", kernel_initializer="zeros", name=f"head_{name}"
    )(hidden)
    ab = _upsampled(maps, ab, stride_of(place), place.center_at(0), f"up_{name}")
    return layers.Rescaling(AB_SCALE, dtype="float32", name=f"ab_{name}")(ab)


def hidden_vivid(
    maps: Mapping[str, Any],
    hidden: Any,
    places: Mapping[str, FeatureInfo],
    taps: Sequence[str],
    name: str,
    temperature: float,
) -> Any:
    """The annealed mean of scores of colours, on cells of 4 x 4 pixels of the hidden map."""
    side = max(VIVID_STRIDE // stride_of(places[finest(taps, places)]), 1)
    if side > 1:
        hidden = layers.AveragePooling2D(side, data_format="channels_last", name=f"coarse_{name}")(
            hidden
        )
    stride = side * stride_of(places[finest(taps, places)])
    scores = layers.Conv2D(len(ab_bins()), 1, data_format="channels_last", name=f"head_{name}")(
        hidden
    )
    ab = AnnealedMean(temperature, dtype="float32", name=f"mean_{name}")(scores)
    # What they are trained on are the means of the pixels of each cell.
    return _upsampled(maps, ab, stride, (stride - 1) / 2, f"ab_{name}")


def finest(taps: Sequence[str], places: Mapping[str, FeatureInfo]) -> str:
    """The first of the taps of the least stride."""
    return min(taps, key=lambda tap: stride_of(places[tap]))


def stride_of(place: FeatureInfo) -> int:
    """The stride of a tap of a colorizer, the same down and across."""
    assert isinstance(place.stride, int)
    return place.stride


def _upsampled(
    maps: Mapping[str, Any], ab: Any, stride: int, center: float | None, name: str
) -> Any:
    """A hypercolumn of one map brings it to the size of the picture."""
    layer = HyperColumn(
        ("ab",),
        reference="lightness",
        strides={"ab": stride},
        centers={"ab": (stride - 1) / 2 if center is None else center},
        data_format="channels_last",
        dtype="float32",
        name=name,
    )
    return layer({"ab": ab, "lightness": maps["lightness"]})
