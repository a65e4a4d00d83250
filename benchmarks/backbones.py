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

STRIDES = (2, 4, 8, 16, 32)
WIDTH, HEIGHT = 512, 64
APPLICATIONS = (
    *("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2"),
    *("InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50"),
    *("ResNet50V2", "VGG16", "VGG19", "Xception"),
)
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
    "CSPDarkNetBackbone": {
        "stem_filters": 16,
        "stackwise_num_filters": [32, 64, 128],
        "stackwise_depth": [1, 2, 2],
    },
    "MiTBackbone": {
        "max_drop_path_rate": 0.1,
        "layerwise_num_layers": [1, 1, 1],
        "hidden_dims": [32, 64, 128],
        "layerwise_num_heads": [1, 2, 4],
        "layerwise_sr_ratios": [8, 4, 2],
        "layerwise_patch_sizes": [7, 3, 3],
        "layerwise_strides": [4, 2, 2],
        "image_shape": (HEIGHT, WIDTH, 3),
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


def build(name):
    """A backbone with random weights, for pictures of `HEIGHT` x `WIDTH`."""
    keras.utils.set_random_seed(0)
    if name in HUB:
        import keras_hub

        return getattr(keras_hub.models, name)(**HUB[name])
    sizes = (224, 224) if name == "NASNetMobile" else (HEIGHT, WIDTH)  # which needs to know
    return getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(*sizes, 3)
    )


def row(name, backbone):
    """A line of the table."""
    known = feature_info(backbone)
    strides = [stride for stride in STRIDES if any(i.stride == stride for i in known.values())]
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
        if isinstance(center, tuple):
            center = center[size[2] % len(center)]
        said = "unknown" if center is None else f"{center:g}"
        found = measured(extractor, tap, stride, size)
        channels = extractor.output[tap].shape[-1]
        cells.append(f"`{tap}`: {channels} at {said} ({found:.2f})")
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
