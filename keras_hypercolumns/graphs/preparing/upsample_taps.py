"""Learned upsampling of the maps of taps, on their way into a hypercolumn."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_hypercolumns.choices import nearest
from keras_hypercolumns.layers.axes import (
    Center,
    centers_of_axes,
    joined_center,
    plain_center,
    plain_stride,
    strides_of_axes,
)
from keras_hypercolumns.layers.tap_layer import layer_name


def upsample_taps(
    maps: Mapping[str, Any],
    settings: Mapping[str, Any],
    factors: Mapping[str, int],
    filters: int | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Upsample the maps of some taps by transposed convolutions, which are learnt.

    Each begins as the bilinear interpolation that the hypercolumn would do, and learns from there.
    What is left to the hypercolumn is the rest of the way: a tap of stride 16 that is upsampled by
    4 is one of stride 4 then. At the border a transposed convolution sees zeros beyond the map, so
    that the outermost cells begin smaller.

    The layers are Keras's `Conv2DTranspose`, one for each tap, named after it.

    Example:

    >>> import keras
    >>> from keras_hypercolumns import HyperColumn, pick_taps, upsample_taps
    >>> vgg = keras.applications.VGG16(include_top=False, weights=None)
    >>> extractor, settings = pick_taps(vgg, ("block2_conv2", "block4_conv3"))
    >>> settings["strides"], settings["centers"]
    ({'block2_conv2': 2, 'block4_conv3': 8}, {'block2_conv2': 0.5, 'block4_conv3': 3.5})
    >>> maps, settings = upsample_taps(extractor.output, settings, {"block4_conv3": 4}, filters=64)
    >>> settings["strides"], settings["centers"]
    ({'block2_conv2': 2, 'block4_conv3': 2}, {'block2_conv2': 0.5, 'block4_conv3': 0.5})
    >>> HyperColumn(**settings)(maps).shape
    (None, None, None, 192)

    Args:
        maps: Dict `{tap: map}` of a functional model's tensors, such as the output of the
            extractor of `pick_taps`, or of `prepare_taps`.
        settings: The arguments of the hypercolumn layer for these maps, as `pick_taps` returns
            them, with the `strides` of all taps that are upsampled.
        factors: Dict from tap to how many cells each of its cells becomes, down and across; at
            least 2, and a divisor of the tap's stride.
        filters: Channels of the upsampled maps, for all of them. Defaults to `None`: each keeps
            its own. A tap with another number begins as a random mixture of its channels, the same
            at every place.

    Input shape:
        Each map is 4D:

        - `channels_last`: `(batch, height_i, width_i, channels_i)`
        - `channels_first`: `(batch, channels_i, height_i, width_i)`

    Output shape:
        A dict with all entries of `maps`; those of `factors` have `factor` times the height and
        width. Beside it a copy of `settings`, with the strides and centres that they have now.

    Raises:
        ValueError: If a tap of `factors` isn't among the taps of `settings`, or has no stride
            there; if a factor is no divisor of it; if `filters` isn't positive.

    Reference:
        - [Long et al., 2015](https://arxiv.org/abs/1411.4038), "Fully convolutional networks",
          section 3.3: transposed convolutions that begin bilinear.
    """
    strides = {tap: plain_stride(stride) for tap, stride in dict(settings["strides"]).items()}
    for tap in factors:
        if tap not in settings["taps"] or tap not in maps or strides.get(tap) is None:
            raise ValueError(
                f"`factors` should name taps that have a stride, {list(strides)}."
                f"{nearest(tap, strides)} Received: {tap!r}"
            )
    if filters is not None and not (isinstance(filters, int | np.integer) and filters > 0):
        raise ValueError(f"`filters` should be None or a positive int. Received: {filters!r}")
    upsampled, centers = dict(maps), dict(settings.get("centers") or {})
    data_format = settings.get("data_format") or keras.config.image_data_format()
    for tap, factor in factors.items():
        stride = strides_of_axes(strides[tap] or 1)
        if (
            not isinstance(factor, int | np.integer)
            or factor < 2
            or any(n % factor for n in stride)
        ):
            raise ValueError(
                "`factors` should be ints of at least 2 that divide the strides of their taps. "
                f"Received: {factor!r} for {tap!r}, of stride {strides[tap]}"
            )
        channels = maps[tap].shape[-1 if data_format == "channels_last" else 1]
        layer = keras.layers.Conv2DTranspose(
            filters or channels,
            # One place in the middle for odd factors, two for even ones.
            2 * factor - factor % 2,
            factor,
            "same",
            data_format=data_format,
            name=f"{layer_name(tap)}_upsampled",
        )
        upsampled[tap] = layer(maps[tap])
        layer.kernel.assign(_bilinear_kernel(layer, int(factor)))
        finer = tuple(n // factor for n in stride)
        strides[tap] = plain_stride(finer)
        if (center := plain_center(centers.get(tap))) is not None:
            # The outermost of the finer cells reach as far as the cell that they come from.
            inward = tuple((old - new) / 2 for old, new in zip(stride, finer, strict=True))
            centers[tap] = _moved(center, inward)
    return upsampled, {**settings, "strides": strides, "centers": centers}


def _bilinear_kernel(layer: keras.layers.Conv2DTranspose, factor: int) -> Any:
    """Bilinear weights at each place, times a mixture of the channels."""
    side, _, filters, channels = layer.kernel.shape
    weights = 1 - np.abs(np.arange(side) - (side - 1) / 2) / factor
    if filters == channels:
        mixture = np.eye(channels)
    else:
        mixture = keras.ops.convert_to_numpy(
            keras.initializers.GlorotUniform()((filters, channels))
        )
    return (np.outer(weights, weights)[..., None, None] * mixture).astype("float32")


def _moved(center: Center, inward: tuple[float, ...]) -> Center:
    """A centre that lies nearer to the border, down and across."""
    down, across = (
        tuple(place - step for place in axis)
        for axis, step in zip(centers_of_axes(center), inward, strict=True)
    )
    return joined_center(down, across)
