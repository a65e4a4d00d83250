"""Hypercolumns at some pixels of some pictures, as rows of a least-squares problem."""

from collections.abc import Sequence

import keras

from keras_hypercolumns.colorizers.colorizer import placing
from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.graphs.feature_info import feature_info
from keras_hypercolumns.layers.hypercolumn_sampler import HyperColumnSampler


def hypercolumn_rows(colorizer: ColorizerModel, taps: Sequence[str]) -> keras.Model:
    """Build what samples the hypercolumns of some taps of a colorizer's trunk.

    Args:
        colorizer: A `ColorizerModel`.
        taps: The taps, in the order of their channels.

    Returns:
        A `keras.Model` from lightness `(batch, height, width, 1)` and pixels `(batch, points, 2)`,
        row and column, to `(batch, points, channels)`.
    """
    found = colorizer.maps
    maps = {tap: found[tap] for tap in taps} | {"lightness": colorizer.input}
    where = keras.Input((None, 2), name="where")
    sampler = HyperColumnSampler(taps, **placing(taps, feature_info(colorizer.trunk, taps)))
    return keras.Model([colorizer.input, where], sampler((maps, where)))
