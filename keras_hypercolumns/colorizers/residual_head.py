"""The head of the study variant `residual`: from the deepest block up, added block by block."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import layers

from keras_hypercolumns.backbones.vgg19.taps import tap_channels
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection


def residual_head(maps: Mapping[str, Any], taps: Sequence[str], name: str) -> Any:
    """Bring the deepest map up to the picture, adding the maps of the blocks on the way.

    From tap to tap: a 1x1 convolution to the channels of the next, upsampling by 2, the sum with
    that one. At the first tap, a 1x1 convolution to A and B. Upsampling is by 2 also where a
    pooling dropped an odd row or column, which the edge then continues.

    Example:

    >>> import keras
    >>> from keras_hypercolumns import vgg19_gray
    >>> from keras_hypercolumns.colorizers.residual_head import residual_head
    >>> taps = ("relu1_2", "relu2_2", "relu3_4")
    >>> maps = vgg19_gray(taps, data_format="channels_last")(keras.Input((None, None, 1)))
    >>> residual_head(maps, taps, name="head").shape
    (None, None, None, 2)

    Args:
        maps: Symbolic feature maps `(batch, height, width, channels)` by tap of `vgg19_gray`.
        taps: Which of them the head sees: one of each block, from the first block on.
        name: Name of the last layer.

    Returns:
        A symbolic `(batch, height, width, 2)`, of the size of the first tap.
    """
    *finer, deepest = taps
    x = maps[deepest]
    for tap in reversed(finer):
        # The 1x1 convolution comes before the upsampling: it costs a quarter, and is the same.
        upsampled = HyperColumnProjection(
            tap_channels(tap),
            ("coarse",),
            reference="fine",
            strides={"coarse": 2, "fine": 1},
            data_format="channels_last",
            name=f"residual_{tap}",
        )({"coarse": x, "fine": maps[tap]})
        x = layers.Add(name=f"residual_sum_{tap}")([maps[tap], upsampled])
    return layers.Conv2D(2, 1, data_format="channels_last", name=name)(x)
