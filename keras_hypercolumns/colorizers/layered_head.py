"""The head of the study variant `layered`: each block of the trunk has one map to say."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import layers

from keras_hypercolumns.backbones.vgg19.taps import tap_block, tap_stride
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection


def layered_head(maps: Mapping[str, Any], taps: Sequence[str], name: str) -> Any:
    """Reduce the taps of each block to one map, and the maps of the blocks to A and B.

    Per block: the hypercolumn of the block's taps, a 1x1 convolution to one channel, ReLU. Then
    a 1x1 convolution of the maps of all blocks.

    Example:

    >>> import keras
    >>> from keras_hypercolumns import vgg19_gray
    >>> from keras_hypercolumns.colorizers.layered_head import layered_head
    >>> taps = ("relu1_2", "relu2_1", "relu2_2")
    >>> lightness = keras.Input((None, None, 1))
    >>> maps = vgg19_gray(taps, data_format="channels_last")(lightness)
    >>> ab = layered_head({**maps, "lightness": lightness}, taps, name="head")
    >>> ab.shape
    (None, None, None, 2)

    Args:
        maps: Symbolic feature maps `(batch, height, width, channels)` by tap of `vgg19_gray`;
            and `"lightness"`, which is of the size of the picture.
        taps: Which of them the head sees.
        name: Name of the last layer.

    Returns:
        A symbolic `(batch, height, width, 2)`, of the size of the picture.
    """
    blocks: dict[int, list[str]] = {}
    for tap in taps:
        blocks.setdefault(tap_block(tap), []).append(tap)
    one_map_per_block = [
        HyperColumnProjection(
            1,
            of_block,
            reference="lightness",
            strides={tap: tap_stride(tap) for tap in of_block},
            data_format="channels_last",
            activation="relu",
            name=f"layered_block{block}",
        )({tap: maps[tap] for tap in (*of_block, "lightness")})
        for block, of_block in blocks.items()
    ]
    together = layers.Concatenate(name="layered_maps")(one_map_per_block)
    return layers.Conv2D(2, 1, data_format="channels_last", name=name)(together)
