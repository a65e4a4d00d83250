"""What stopping by eye looks like: `steps.py SHEET.jpg --data DIR`.

Trains relu1to5 from the trunk of a model, with a new head, as variants.toml says but at a constant
rate, and puts what it makes of four pictures that scikit-image ships after every so many steps side
by side: grey first, the picture itself last. Prints the error on validation pictures beside it.
"""

import argparse
import dataclasses
from pathlib import Path

import keras
import numpy as np
from keras import ops
from PIL import Image
from skimage import data as shipped

from keras_hypercolumns.colors.lab import srgb_to_lab
from keras_hypercolumns.training.data.picture_dataset import (
    PictureDataset,
    center_crop,
    training_pictures,
    validation_pictures,
)
from keras_hypercolumns.training.initial_colorizer import initial_colorizer
from keras_hypercolumns.training.joint_trainer import JointTrainer
from keras_hypercolumns.training.recipe import read_recipe
from keras_hypercolumns.training.sheet import sheet
from kh_zoo.with_keras.joint_model import load_full_trunk

SIZE, EVERY, TIMES = 128, 30, 7


def main():
    """Train, write the sheet, print the errors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", default="relu1to5")
    arguments = parser.parse_args()
    recipe = read_recipe(Path(__file__).with_name("variants.toml"))
    recipe = dataclasses.replace(recipe, init=arguments.init, variants=("relu1to5",))
    keras.utils.set_random_seed(recipe.seed)
    stage = recipe.stages[-1]
    pictures = training_pictures([arguments.data], stage.batch, stage.size)

    def batches(first, last):
        return PictureDataset(pictures, stage.batch, stage.size, recipe.seed, first, last)

    model = initial_colorizer(recipe, load_full_trunk, lambda: batches(0, 1)[0][0])
    trainer = JointTrainer(model)
    trainer.compile(keras.optimizers.Adam(recipe.learning_rate))
    found = validation_pictures([arguments.data], stage.batch, stage.size, 100)
    judged = np.stack([center_crop(path, SIZE) for paths in found.values() for path in paths])
    shown = np.stack(
        [
            square(picture)
            for picture in (
                shipped.astronaut(),
                shipped.chelsea(),
                shipped.coffee(),
                shipped.rocket(),
            )
        ]
    )
    lab = ops.convert_to_numpy(srgb_to_lab(shown.astype("float32") / 255))
    colors = []
    for step in range(0, EVERY * TIMES, EVERY):
        trainer.fit(batches(step, step + EVERY), shuffle=False, verbose=0)
        predicted = trainer.predict(judged, batch_size=20, verbose=0)
        error = np.mean((predicted["relu1to5"] - predicted["truth"]) ** 2) ** 0.5
        print(f"{step + EVERY} steps: RMSE of AB {error:.2f}", flush=True)
        colors.append(trainer.predict(shown, verbose=0)["relu1to5"])
    drawn = sheet(lab[..., :1], [*colors, lab[..., 1:]])
    drawn.save(arguments.sheet, quality=85)


def square(picture):
    """The largest square from the middle of a picture, at the size that is shown."""
    image = Image.fromarray(picture)
    side = min(image.size)
    left, top = ((whole - side) / 2 for whole in image.size)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box))


if __name__ == "__main__":
    main()
