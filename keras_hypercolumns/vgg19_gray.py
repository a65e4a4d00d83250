"""The backbone: VGG-19 for pictures of a single channel."""

import keras
from keras import layers

from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.taps import CHANNELS_PER_BLOCK, CONVOLUTIONS_PER_BLOCK, tap_names

POOLINGS = ("average", "max")


def vgg19_gray(
    taps=None,
    pooling="average",
    batch_norm=False,
    data_format=None,
    name="vgg19_gray",
):
    """Build VGG-19 from conv1_1 to pool5 for single-channel pictures, with random weights.

    Example:

    >>> from keras_hypercolumns import vgg19_gray
    >>> backbone = vgg19_gray(taps=("relu1_2", "pool4"), data_format="channels_last")
    >>> {tap: tuple(output.shape) for tap, output in backbone.output.items()}
    {'relu1_2': (None, None, None, 64), 'pool4': (None, None, None, 512)}

    Args:
        taps: Names of the feature maps to return: `convB_I` (before the ReLU), `reluB_I`, and
            `poolB`, of block B and convolution I. Layers behind the last of them are left out.
            Defaults to `None`: all 37.
        pooling: `"average"` or `"max"`, 2x2 with stride 2; an odd last row or column is dropped.
        batch_norm: Whether a batch normalisation follows each convolution, as training from
            random weights needs it; `convB_I` is then its output. `fold_batch_norm` turns the
            trained network into the plain one.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        name: Name of the model.

    Input shape:
        4D, of any height and width:

        - `channels_last`: `(batch, height, width, 1)`
        - `channels_first`: `(batch, 1, height, width)`

    Output shape:
        A dict `{tap: map}`. A map of stride s (1 in block 1, 16 in block 5; twice that behind
        the block's pooling) is:

        - `channels_last`: `(batch, height // s, width // s, channels)`
        - `channels_first`: `(batch, channels, height // s, width // s)`

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If a tap or the pooling is unknown.

    Reference:
        - [Simonyan and Zisserman, 2015](https://arxiv.org/abs/1409.1556), table 1, column E.
    """
    known = tap_names()
    taps = known if taps is None else tuple(taps)
    for tap in taps:
        if tap not in known:
            raise ValueError(unknown_name("taps", tap, known))
    if pooling not in POOLINGS:
        raise ValueError(unknown_name("pooling", pooling, POOLINGS))
    data_format = data_format or keras.config.image_data_format()
    last = data_format == "channels_last"
    pool = layers.AveragePooling2D if pooling == "average" else layers.MaxPooling2D

    x = inputs = keras.Input((None, None, 1) if last else (1, None, None), name="gray")
    maps = {}
    for block, (convolutions, channels) in enumerate(
        zip(CONVOLUTIONS_PER_BLOCK, CHANNELS_PER_BLOCK, strict=True), start=1
    ):
        for i in range(1, convolutions + 1):
            x = layers.Conv2D(
                channels,
                3,
                padding="same",
                use_bias=not batch_norm,
                kernel_initializer="he_normal",
                data_format=data_format,
                name=f"conv{block}_{i}",
            )(x)
            if batch_norm:
                # A shorter memory than Keras's 0.99: short trainings are what this is for.
                norm = layers.BatchNormalization(
                    axis=-1 if last else 1, momentum=0.98, name=f"norm{block}_{i}"
                )
                x = norm(x)
            maps[f"conv{block}_{i}"] = x
            x = maps[f"relu{block}_{i}"] = layers.ReLU(name=f"relu{block}_{i}")(x)
        x = maps[f"pool{block}"] = pool(2, data_format=data_format, name=f"pool{block}")(x)
    return keras.Model(inputs, {tap: maps[tap] for tap in taps}, name=name)
