"""Training on some points or on every pixel, at equal time: `sparse_dense.py --data DIR`.

The colour of pictures from their lightness, by EfficientNet-Lite0 with ImageNet's weights, which
stay, and a linear head on the normalized hypercolumn of its stages, on squares of 64 pixels.
Three forms of the loss: at points of each picture (`HyperColumnSampler`), at every pixel
(`HyperColumn`, then a 1x1 convolution), and at every pixel through `HyperColumnProjection`, which
computes the same as the second. Each has the same seconds of processor time after its first step,
over which the rate falls to 0, and as a seed the same order of pictures and the same points.

Prints the variance of AB on the test split that each explains, the mean over seeds with its 95 %
interval (Student's t), and likewise the differences seed by seed. Needs `[tensorflow,imagenet]`.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.update(KERAS_BACKEND="tensorflow", TF_NUM_INTRAOP_THREADS="1")
os.environ.update(TF_NUM_INTEROP_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3")
import keras
import numpy as np
from scipy.stats import t

from keras_hypercolumns import (
    HyperColumn,
    HyperColumnProjection,
    HyperColumnSampler,
    LightnessToGray,
    efficientnet_lite,
    pick_taps,
    prepare_taps,
    srgb_to_lab,
)
from keras_hypercolumns.training.data.picture_dataset import center_crop
from keras_hypercolumns.training.data.split import list_pictures

SIZE, BATCH, SCALE, RATE = 64, 8, 50.0, 1e-3
FORMS = ("points", "dense", "projected")


def main():
    """Train every form with every seed, one after the other, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20, help="of processor time")
    parser.add_argument("--points", type=int, default=200, help="of each picture")
    parser.add_argument("--pictures", type=int, default=2000)
    options = parser.parse_args()

    train = read(options.data, "train", options.pictures)
    test = read(options.data, "test", 300)
    found = {form: [] for form in FORMS}
    steps = {form: [] for form in FORMS}
    print("| seed | " + " | ".join(FORMS) + " | steps |\n" + "| --- " * 5 + "|")
    for seed in range(options.seeds):
        # In another order for every seed: a machine gets warm.
        for form in np.roll(FORMS, seed):
            explained, count = run(form, seed, train, test, options)
            found[form].append(explained)
            steps[form].append(count)
        row = " | ".join(f"{found[form][-1]:.4f}" for form in FORMS)
        counts = ", ".join(str(steps[form][-1]) for form in FORMS)
        print(f"| {seed} | {row} | {counts} |", flush=True)
    print()
    for form in FORMS:
        print(f"{form}: {interval(found[form])}, {np.mean(steps[form]):.0f} steps")
    for one, other in (("points", "dense"), ("points", "projected"), ("projected", "dense")):
        difference = np.subtract(found[one], found[other])
        print(f"{one} less {other}: {interval(difference)}; {(difference > 0).sum()} wins")


def read(data, split, most):
    """Lightness as grey values and AB of the middle of pictures: `(pictures, 64, 64, .)`."""
    names = list_pictures(data, split)
    random = np.random.default_rng(0)
    names = [names[i] for i in sorted(random.permutation(len(names))[:most])]
    squares = np.stack([center_crop(data / name, SIZE) for name in names])
    lab = keras.ops.convert_to_numpy(srgb_to_lab(squares / 255))
    grey = keras.ops.convert_to_numpy(LightnessToGray()(lab[..., :1]))
    return grey, lab[..., 1:]


def model_of(form):
    """The model of a form, and the one of all pixels that shares its trunk and has its head."""
    trunk = efficientnet_lite(0, weights="imagenet", data_format="channels_last")
    trunk.trainable = False
    extractor, settings = pick_taps(trunk, [f"stage{i}" for i in range(1, 8)])
    picture = extractor.input
    maps = prepare_taps(extractor.output, settings["taps"], normalization="rms")
    projection = HyperColumnProjection(2, **settings, kernel_initializer="zeros")
    whole = keras.Model(picture, projection(maps))
    if form == "projected":
        return whole, whole
    head = keras.layers.Dense(2, kernel_initializer="zeros")
    if form == "points":
        points = keras.Input((None, 2))
        column = HyperColumnSampler(**settings)((maps, points))
        return keras.Model((picture, points), head(column)), whole
    return keras.Model(picture, head(HyperColumn(**settings)(maps))), whole


def run(form, seed, train, test, options):
    """Train a form, and return the variance of AB that it explains and its steps."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model, whole = model_of(form)
    model.compile(keras.optimizers.Adam(RATE), "mse")
    random = np.random.default_rng(seed)

    def step():
        chosen = random.integers(0, len(train[0]), BATCH)
        where = random.integers(0, SIZE, (BATCH, options.points, 2))
        grey, ab = train[0][chosen], train[1][chosen] / SCALE
        if form == "points":
            ab = ab[np.arange(BATCH)[:, None], where[..., 0], where[..., 1]]
            model.train_on_batch((grey, where.astype("float32")), ab)
        else:
            model.train_on_batch(grey, ab)

    step()  # which also compiles
    count, began = 0, time.process_time()
    while (left := 1 - (time.process_time() - began) / options.seconds) > 0:
        model.optimizer.learning_rate = RATE * left
        step()
        count += 1
    if model is not whole:
        kernel, bias = model.layers[-1].get_weights()
        whole.layers[-1].set_weights([kernel[None, None], bias])
    grey, ab = test
    predicted = SCALE * whole.predict(grey, batch_size=BATCH, verbose=0)
    spread = ((ab - ab.mean((0, 1, 2))) ** 2).mean()
    return 1 - ((predicted - ab) ** 2).mean() / spread, count


def interval(values):
    """Mean and half of the 95 % interval of it."""
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):.4f} +- {half:.4f}"


if __name__ == "__main__":
    main()
