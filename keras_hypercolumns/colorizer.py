"""The colorizer: from the lightness of a picture to its colour."""

import keras
from keras import layers

from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.taps import VARIANTS, tap_channels, tap_stride
from keras_hypercolumns.vgg19_gray import vgg19_gray

AB_SCALE = 50.0
"""CIELAB units of A and B that the loss counts as one; L / 50 - 1 is what the trunk sees."""


def head_scale(channels):
    """CIELAB units per unit of the output of a head of `channels` input channels.

    The wider the head, the smaller: else a step of an adaptive optimizer, which moves every
    weight by as much, would move the output of `full` by the width of the whole gamut.
    """
    return 128 * AB_SCALE / channels


def colorizer(variant_or_taps="relu1to5", pooling="average", batch_norm=False):
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

    Args:
        variant_or_taps: Name of a published variant (`"full"`, `"relu1to5"`, `"relu3to5"`,
            `"pool1to4"`), or a list or tuple of taps of `vgg19_gray`.
        pooling: As for `vgg19_gray`.
        batch_norm: As for `vgg19_gray`.

    Input shape:
        `(batch, height, width, 1)`: L of CIELAB, 0..100; any height and width from 16 pixels.

    Output shape:
        `(batch, height, width, 2)`: A and B of CIELAB, about -128..127.

    Returns:
        A `keras.Model` with random weights.

    Raises:
        ValueError: If the variant or a tap is unknown.

    Reference:
        - [Larsson et al., 2016](https://arxiv.org/abs/1603.06668), section 4, for colour from
          hypercolumns; [Hariharan et al., 2015](https://arxiv.org/abs/1411.5752).
    """
    if isinstance(variant_or_taps, str):
        heads = {variant_or_taps: variant_taps(variant_or_taps)}
    else:
        heads = {"custom": tuple(variant_or_taps)}
    inputs, outputs = _trunk_and_heads(heads, pooling, batch_norm)
    (name,) = heads
    return keras.Model(inputs, outputs[name], name=f"colorizer_{name}")


def joint_colorizer(variants=tuple(VARIANTS), pooling="average", batch_norm=False):
    """Build one trunk with the heads of several variants, for training them together.

    Example:

    >>> from keras_hypercolumns import joint_colorizer
    >>> model = joint_colorizer(("relu1to5", "pool1to4"))
    >>> {name: tuple(ab.shape) for name, ab in model.output.items()}
    {'relu1to5': (None, None, None, 2), 'pool1to4': (None, None, None, 2)}

    Args:
        variants: Names of published variants. Defaults to all four.
        pooling: As for `vgg19_gray`.
        batch_norm: As for `vgg19_gray`.

    Input shape:
        As for `colorizer`.

    Output shape:
        A dict from variant to `(batch, height, width, 2)`, as for `colorizer`.

    Returns:
        A `keras.Model` with random weights; `single_colorizer` takes one variant out of it.

    Raises:
        ValueError: If a variant is unknown.
    """
    heads = {variant: variant_taps(variant) for variant in variants}
    inputs, outputs = _trunk_and_heads(heads, pooling, batch_norm)
    return keras.Model(inputs, outputs, name="joint_colorizer")


def variant_taps(variant):
    """Return the taps of the published variant named `variant`."""
    if variant not in VARIANTS:
        raise ValueError(unknown_name("variant", variant, VARIANTS))
    return VARIANTS[variant]


def _trunk_and_heads(heads, pooling, batch_norm):
    used = {tap for taps in heads.values() for tap in taps}
    lightness = keras.Input((None, None, 1), name="lightness")
    x = layers.Rescaling(1 / 50, offset=-1, name="scale_lightness")(lightness)
    trunk = vgg19_gray(sorted(used), pooling, batch_norm, data_format="channels_last", name="trunk")
    maps = {**trunk(x), "lightness": x}
    outputs = {}
    for name, taps in heads.items():
        head = HyperColumnProjection(
            2,
            taps,
            reference="lightness",
            strides={tap: tap_stride(tap) for tap in taps},
            data_format="channels_last",
            name=f"head_{name}",
        )
        scale = head_scale(sum(tap_channels(tap) for tap in taps))
        to_ab = layers.Rescaling(scale, dtype="float32", name=f"ab_{name}")
        outputs[name] = to_ab(head({tap: maps[tap] for tap in (*taps, "lightness")}))
    return lightness, outputs
