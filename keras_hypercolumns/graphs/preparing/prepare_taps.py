"""What feature maps pass through on their way into a hypercolumn."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_hypercolumns.choices import nearest, unknown_name
from keras_hypercolumns.layers.tap_layer import layer_name

NORMALIZATIONS = {
    "rms": keras.layers.RMSNormalization,
    "batch": keras.layers.BatchNormalization,
    "layer": keras.layers.LayerNormalization,
}


def prepare_taps(
    maps: Mapping[str, Any],
    taps: Iterable[str],
    filters: int | Mapping[str, int] | None = None,
    normalization: str | None = None,
    data_format: str | None = None,
) -> dict[str, Any]:
    """Normalize the maps of taps, reduce their channels, or both, each at its own size.

    Maps of different depths differ in their range by orders of magnitude, and deep ones have most
    of the channels: what is normalized is learnt at one rate, and what is reduced makes a column
    short. It is done before they are upsampled, where they are small. All of it acts on each cell
    alone, so a `HyperColumnProjection` stays exact, and `project` works.

    The layers are Keras's own, one or two for each tap, named after it: they are in the model,
    trained, saved, quantized and folded as any.

    Example:

    >>> import keras
    >>> from keras_hypercolumns import HyperColumn, pick_taps, prepare_taps
    >>> vgg = keras.applications.VGG16(include_top=False, weights=None)
    >>> extractor, settings = pick_taps(vgg, ("block2_conv2", "block4_conv3"))
    >>> maps = prepare_taps(extractor.output, settings["taps"], 32, normalization="rms")
    >>> HyperColumn(**settings)(maps).shape
    (None, None, None, 64)

    Args:
        maps: Dict `{tap: map}` of a functional model's tensors, such as the output of the
            extractor of `pick_taps`.
        taps: Names of the maps that are prepared.
        filters: Channels that each tap is reduced to by a 1x1 convolution, an int, or a dict from
            tap to int: a tap that it leaves out keeps its channels. Defaults to `None`: all do.
        normalization: What comes first. `"rms"` divides each cell by the root of the mean of its
            squares and multiplies it by learnt weights, one a channel, which begin at 1: ParseNet's
            L2 normalization with a learnt scale. `"batch"` and `"layer"` are Keras's
            `BatchNormalization` and `LayerNormalization`. Defaults to `None`: nothing.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.

    Input shape:
        Each map is 4D:

        - `channels_last`: `(batch, height_i, width_i, channels_i)`
        - `channels_first`: `(batch, channels_i, height_i, width_i)`

    Output shape:
        A dict with all entries of `maps`; those of `taps` have `filters` channels, the others
        (such as the reference) are as they were.

    Raises:
        ValueError: If a tap isn't among `maps`; if `filters` isn't positive or names something
            else; if `normalization` is unknown; if neither is given.

    Reference:
        - [Liu et al., 2015](https://arxiv.org/abs/1506.04579), "ParseNet", section 3.2, on
          normalizing; [Bell et al., 2016](https://arxiv.org/abs/1512.04143), section 3.2, on both.
    """
    names = tuple(taps)
    for tap in names:
        if tap not in maps:
            raise ValueError(
                f"`taps` should be among `maps`, {list(maps)}.{nearest(tap, maps)} "
                f"Received: {tap!r}"
            )
    channels = dict(filters) if isinstance(filters, Mapping) else dict.fromkeys(names, filters)
    if not set(channels) <= set(names) or not all(
        n is None or (isinstance(n, int | np.integer) and n > 0) for n in channels.values()
    ):
        raise ValueError(
            "`filters` should be a positive int, or a dict of them for some of the taps "
            f"{list(names)}. Received: {filters!r}"
        )
    if normalization not in (None, *NORMALIZATIONS):
        raise ValueError(unknown_name("normalization", normalization, NORMALIZATIONS))
    if normalization is None and not any(channels.values()):
        raise ValueError(
            "`filters`, `normalization`, or both should be given: there is nothing to prepare. "
            f"Received: filters={filters!r}"
        )
    data_format = data_format or keras.config.image_data_format()
    axis = -1 if data_format == "channels_last" else 1
    prepared = dict(maps)
    for tap in names:
        x, name = maps[tap], layer_name(tap)
        if normalization is not None:
            normalize = NORMALIZATIONS[normalization]
            # Of another axis than the last Keras's others fail on some backends.
            moved = normalization != "batch" and axis == 1
            x = keras.layers.Permute((2, 3, 1))(x) if moved else x
            x = normalize(axis=-1 if moved else axis, name=f"{name}_normalized")(x)
            x = keras.layers.Permute((3, 1, 2))(x) if moved else x
        if channels.get(tap):
            x = keras.layers.Conv2D(
                channels[tap], 1, data_format=data_format, name=f"{name}_reduced"
            )(x)
        prepared[tap] = x
    return prepared
