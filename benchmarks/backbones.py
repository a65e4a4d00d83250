"""Backbones of Keras and keras-hub, and where their maps lie: `backbones.py > table.md`.

Of each the last map of every stride, as `pick_taps` finds it: its channels, and the place of its
first cell's centre, which is measured, too: the centroid of the squared gradients of a column of
cells, over random pictures and weights. Then a hypercolumn head of all of these maps is trained
for two steps. Weights are random. Needs TensorFlow, and keras-hub for its backbones.
"""

import argparse
import os
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras
import numpy as np
import tensorflow as tf

from keras_hypercolumns import HyperColumnProjection, feature_info, pick_taps
from keras_hypercolumns.graphs.token_grids import token_grids
from keras_hypercolumns.layers.axes import centers_of_axes

STRIDES = (2, 4, 8, 16, 32)
WIDTH, HEIGHT = 512, 64
APPLICATIONS = (
    *("ConvNeXtTiny", "ConvNeXtSmall", "DenseNet121", "DenseNet169", "EfficientNetB0"),
    *("EfficientNetB1", "EfficientNetV2B0", "EfficientNetV2S", "InceptionResNetV2", "InceptionV3"),
    *("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "NASNetMobile"),
    *("ResNet50", "ResNet101", "ResNet50V2", "VGG16", "VGG19", "Xception"),
)
TOKENS = {"image_shape": (64, 64, 3), "num_layers": 2, "num_heads": 2, "hidden_dim": 32}
HUB = {
    "ResNetBackbone": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 128, 256],
        "stackwise_num_blocks": [2, 2, 2],
        "stackwise_num_strides": [1, 2, 2],
        "block_type": "basic_block",
    },
    "DenseNetBackbone": {"stackwise_num_repeats": [6, 12, 24]},
    "VGGBackbone": {"stackwise_num_repeats": [2, 2, 3], "stackwise_num_filters": [64, 128, 256]},
    "CSPNetBackbone": {
        "stem_filters": 16,
        "stem_kernel_size": 3,
        "stem_strides": 1,
        "stackwise_depth": [1, 2, 2],
        "stackwise_strides": [2, 2, 2],
        "stackwise_num_filters": [32, 64, 128],
        "block_type": "dark_block",
        "stage_type": "dark",
    },
    "HGNetV2Backbone": {
        "depths": [1, 2, 2],
        "embedding_size": 32,
        "hidden_sizes": [64, 128, 256],
        "stem_channels": [3, 16, 32],
        "hidden_act": "relu",
        "use_learnable_affine_block": False,
        "stackwise_stage_filters": [
            (32, 16, 64, 1, 1, 3),
            (64, 32, 128, 2, 1, 3),
            (128, 64, 256, 2, 1, 3),
        ],
        "apply_downsample": [False, True, True],
        "use_lightweight_conv_block": [False, False, False],
    },
    "XceptionBackbone": {
        "stackwise_conv_filters": [[32, 64], [64, 128], [256, 256]],
        "stackwise_pooling": [True, True, False],
    },
    "MobileNetBackbone": {
        "stackwise_expansion": [[16], [16, 72], [88, 96]],
        "stackwise_num_blocks": [1, 2, 2],
        "stackwise_num_filters": [[16], [24, 24], [40, 40]],
        "stackwise_kernel_size": [[3], [3, 3], [5, 5]],
        "stackwise_num_strides": [[2], [2, 1], [2, 1]],
        "stackwise_se_ratio": [[0.25], [None, None], [0.25, 0.25]],
        "stackwise_activation": [["relu"], ["relu", "relu"], ["hard_swish", "hard_swish"]],
        "stackwise_padding": [[1], [1, 1], [2, 2]],
        "output_num_filters": 64,
        "input_activation": "hard_swish",
        "output_activation": "hard_swish",
        "input_num_filters": 16,
        "depthwise_filters": 8,
        "depthwise_stride": 2,
        "depthwise_residual": False,
        "last_layer_filter": 64,
        "squeeze_and_excite": 0.5,
    },
    "MiTBackbone": {
        "layerwise_depths": [1, 1, 1],
        "num_layers": 3,
        "layerwise_num_heads": [1, 2, 4],
        "layerwise_sr_ratios": [8, 4, 2],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3, 3],
        "layerwise_strides": [4, 2, 2],
        "hidden_dims": [32, 64, 128],
        "image_shape": (64, 64, 3),
    },
    "ViTBackbone": {**TOKENS, "patch_size": 16, "mlp_dim": 64},
    "DeiTBackbone": {**TOKENS, "patch_size": 16, "intermediate_dim": 64},
    "DINOV2Backbone": {
        **TOKENS,
        "patch_size": 8,
        "intermediate_dim": 64,
        "num_register_tokens": 2,
        "position_embedding_shape": (64, 64),
    },
    "SwinTransformerBackbone": {
        "image_shape": (64, 64, 3),
        "embed_dim": 24,
        "depths": (2, 2, 2),
        "num_heads": (3, 6, 12),
        "window_size": 4,
    },
}
"""Classes of keras-hub with the arguments of a small one."""


def main():
    """Build, look, train, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=(), help="names of some")
    only = parser.parse_args().only
    print("| backbone | " + " | ".join(f"stride {stride}" for stride in STRIDES) + " | trained |")
    print("| --- " * (len(STRIDES) + 2) + "|")
    for name in (*APPLICATIONS, *HUB):
        if not only or name in only:
            started = time.monotonic()
            print(row(name, build(name)), flush=True)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
            keras.backend.clear_session()


def build(name, sizes=None):
    """A backbone with random weights, for pictures of `HEIGHT` x `WIDTH`, or of other sizes.

    Those of keras-hub have the sizes that `HUB` says.
    """
    keras.utils.set_random_seed(0)
    if name in HUB:
        import keras_hub

        return getattr(keras_hub.models, name)(**HUB[name])
    if sizes is None:
        # Some need to know, some take none that is smaller.
        sizes = (224, 224) if name == "NASNetMobile" else (HEIGHT, WIDTH)
        sizes = (96, WIDTH) if name in ("InceptionResNetV2", "InceptionV3", "Xception") else sizes
    return getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(*sizes, 3)
    )


def strides_of(backbone, wanted):
    """Which of some strides there are maps of, tokens too."""
    grids = (grid.info for grid in token_grids(backbone).values())
    there = {info.stride for info in (*feature_info(backbone).values(), *grids)}
    return [stride for stride in wanted if stride in there]


def row(name, backbone):
    """A line of the table."""
    grids = token_grids(backbone)
    strides = strides_of(backbone, STRIDES)
    extractor, settings = pick_taps(backbone, strides=strides)
    height, width = extractor.input.shape[1:3]
    size = (1, height or HEIGHT, width or WIDTH, 3)
    taps = dict(zip(strides, settings["taps"], strict=True))
    cells = []
    for stride in STRIDES:
        if stride not in taps:
            cells.append("")
            continue
        tap = taps[stride]
        center = settings["centers"].get(tap)
        if center is not None:
            across = centers_of_axes(center)[1]
            center = across[size[2] % len(across)]
        said = "unknown" if center is None else f"{center:g}"
        # Tokens see the whole picture.
        found = "tokens" if tap in grids else f"{measured(extractor, tap, stride, size):.2f}"
        cells.append(f"`{tap}`: {extractor.output[tap].shape[-1]} at {said} ({found})")
    trains = two_steps(extractor, settings, size)
    return f"| {name} | " + " | ".join(cells) + f" | {trains} |"


def measured(extractor, tap, stride, size, times=6):
    """Where the first cell of a map lies, across, by the squares of its gradients."""
    random = np.random.default_rng(0)
    mass = np.zeros(size[2])
    for _ in range(times):
        picture = tf.constant(random.normal(size=size).astype("float32"))
        with tf.GradientTape() as tape:
            tape.watch(picture)
            x = extractor(picture, training=False)[tap]
            cell = x.shape[2] // 2
            column = x[:, :, cell]
            total = tf.reduce_sum(column * random.normal(size=column.shape).astype("float32"))
        mass += (tape.gradient(total, picture).numpy()[0] ** 2).sum((0, 2))
    return (mass * np.arange(len(mass))).sum() / mass.sum() - cell * stride


def two_steps(extractor, settings, size):
    """Whether a head on all of the maps learns in two steps: the loss before and after."""
    head = HyperColumnProjection(2, **settings)(extractor.output)
    model = keras.Model(extractor.input, head)
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    random = np.random.default_rng(1)
    picture, truth = random.normal(size=size), random.normal(size=(*size[:3], 2))
    losses = [model.train_on_batch(picture, truth) for _ in range(3)]
    return f"{losses[0]:.5g}, {losses[-1]:.5g}"


if __name__ == "__main__":
    main()
