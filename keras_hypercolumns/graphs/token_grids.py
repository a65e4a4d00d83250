"""Maps of the tokens of vision transformers: the patches of a picture, back in their grid."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import layers

from keras_hypercolumns.graphs.feature_info import FeatureInfo, channels_format
from keras_hypercolumns.graphs.model_graph import calls_of, named_outputs


class TokenGrid(NamedTuple):
    """The output of a layer, `(batch, tokens, channels)`, whose last tokens are the patches."""

    tokens: Any
    stride: int
    rows: int
    columns: int

    @property
    def info(self) -> FeatureInfo:
        """Every token sees the whole picture; it stands for its own patch."""
        channels = self.tokens.shape[2]
        return FeatureInfo(channels, self.stride, None, (self.stride - 1) / 2)

    def map(self, data_format: str) -> Any:
        """The symbolic map of the patches; others, which come first, are left out."""
        _, count, channels = self.tokens.shape
        patches = self.tokens[:, count - self.rows * self.columns :]
        x = layers.Reshape((self.rows, self.columns, channels))(patches)
        return x if data_format == "channels_last" else layers.Permute((3, 1, 2))(x)


def token_grids(backbone: keras.Model) -> dict[str, TokenGrid]:
    """Find the tokens of a functional model of one picture, by layers and `pyramid_outputs`.

    The size of the picture has to be known. The patches are squares that fill it, the smallest of
    which there are no more than tokens: class and register tokens are far fewer than patches.
    """
    shape = backbone.inputs[0].shape
    if len(shape) != 4:
        return {}
    height, width = shape[1:3] if channels_format(backbone) == "channels_last" else shape[2:]
    if height is None or width is None:
        return {}
    sides = [n for n in range(1, min(height, width)) if height % n == 0 == width % n]
    # Those of the blocks are further outputs of a layer; keras-hub has names for them.
    named = getattr(backbone, "pyramid_outputs", None)
    outputs = dict(named) if isinstance(named, Mapping) else {}
    for call in calls_of(backbone):
        outputs.update(named_outputs(call))
    grids = {}
    for name, tokens in outputs.items():
        # Of no picture at all are outputs that a layer leaves empty unless it is asked for them.
        if len(tokens.shape) != 3 or None in tokens.shape[1:] or tokens.shape[0] == 0:
            continue
        count = tokens.shape[1]
        for side in sides:
            patches = (height // side) * (width // side)
            if patches <= count < 2 * patches:
                grids[name] = TokenGrid(tokens, side, height // side, width // side)
            if patches <= count:
                break
    return grids
