"""Segmentation with hypercolumns: trained at some pixels, run on all of them.

Neighbouring pixels have nearly the same hypercolumn, so a few hundred random pixels of a picture
teach as much as all of them, for a fraction of the work. Afterwards the same head labels every
pixel; `project` moves its weights below the upsampling, where they cost least.

The pictures are made here: discs and squares of any colour on grey, so that the colour of a pixel
tells where a shape is, but not which. Run it with `python examples/segmentation.py`.
"""

import keras
import numpy as np

from keras_hypercolumns import HyperColumn, HyperColumnSampler, pick_taps, project

SIZE = 64
CLASSES = ("background", "disc", "square")
# The last map of each, from fine to coarse; `feature_info(backbone)` lists all that there are.
STRIDES = (2, 4, 8, 16)


def make_pictures(count, random):
    """Pictures in -1..1, as MobileNetV2 expects them, and the class of every pixel."""
    pictures = random.normal(0, 0.1, (count, SIZE, SIZE, 3))
    pictures += random.uniform(-1, 1, (count, 1, 1, 1))
    labels = np.zeros((count, SIZE, SIZE), "int32")
    for picture, label in zip(pictures, labels, strict=True):
        for kind in random.permutation([1, 2]):
            place, radius = random.uniform(16, SIZE - 16, (2, 1, 1)), random.uniform(12, 20)
            y, x = np.abs(np.mgrid[:SIZE, :SIZE] - place)
            inside = (np.hypot(y, x) if kind == 1 else np.maximum(y, x)) < radius
            picture[inside] += random.uniform(-1, 1, 3)
            label[inside] = kind
    return np.clip(pictures, -1, 1).astype("float32"), labels


def build_models():
    """One network and one head, seen twice: at points, for training, and everywhere."""
    # With weights="imagenet" it begins with what it learned of photographs.
    settings = {"alpha": 0.35, "include_top": False, "weights": None}
    backbone = keras.applications.MobileNetV2((SIZE, SIZE, 3), **settings)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # the statistics would follow over a thousand steps; here are few
    points = keras.Input((None, 2), name="points")
    extractor, column = pick_taps(backbone, strides=STRIDES)
    picture, maps = extractor.input, extractor.output
    head = keras.layers.Dense(len(CLASSES), name="classes")
    at_points = head(HyperColumnSampler(**column)((maps, points)))
    everywhere = head(HyperColumn(**column)(maps))
    return keras.Model([picture, points], at_points), keras.Model(picture, everywhere)


def batches(pictures, labels, random, batch_size=16, points=256):
    """Without an end: some pictures, some pixels of each as (y, x), and the classes there."""
    while True:
        chosen = random.integers(len(pictures), size=batch_size)
        place = random.integers(SIZE, size=(batch_size, points, 2))
        classes = labels[chosen[:, None], place[..., 0], place[..., 1]]
        yield (pictures[chosen], place.astype("float32")), classes


def main(steps=200, seed=0):
    """Train for a number of steps, a multiple of ten, and print what came of it."""
    random = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    at_points, everywhere = build_models()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    at_points.compile(optimizer=keras.optimizers.Adam(3e-3), loss=loss)
    data = batches(*make_pictures(256, random), random)
    schedule = {"steps_per_epoch": steps // 10, "epochs": 10, "shuffle": False}
    losses = at_points.fit(data, **schedule, verbose=0).history["loss"]
    print(f"Cross entropy at 256 of {SIZE**2} pixels: {losses[0]:.3f}, then {losses[-1]:.3f}")

    twin = project(everywhere)  # the Dense layer is now a HyperColumnProjection
    pictures, labels = make_pictures(32, random)
    logits = twin.predict(pictures, verbose=0)
    accuracy, majority = np.mean(logits.argmax(-1) == labels), np.mean(labels == 0)
    print(f"Right on new pictures: {accuracy:.1%} of all pixels ({majority:.1%} are background)")

    place = random.integers(SIZE, size=(32, 256, 2))
    sampled = at_points.predict((pictures, place.astype("float32")), verbose=0)
    difference = np.abs(sampled - logits[np.arange(32)[:, None], place[..., 0], place[..., 1]])
    print(f"Between the twin and what was trained, at most {difference.max():.1e} in a logit")
    return {"losses": losses, "accuracy": accuracy, "majority": majority, "twin": twin}


if __name__ == "__main__":
    main()
