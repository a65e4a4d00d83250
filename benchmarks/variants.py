"""The variants under one protocol: `variants.py RUNS --data DIR`.

From one common trunk, with new heads, and with several seeds, study variants with one:

- frozen: the heads of all linear variants in closed form on the trunk as it is;
- trained: each variant for itself, with its own copy of the trunk, for the same number of steps on
  the same pictures;
- solved: the head of such a one then replaced by that in closed form, if it is linear.

Prints a table of the variance of AB that each explains over the mean colour, on the test split:
the mean over the seeds, the least and the largest. What RUNS has is not done again. `--init
imagenet`, or a `.mat` of MatConvNet, starts as the founding document did.
"""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_hypercolumns.backbones.vgg19.taps import ARCHITECTURES, STUDY_VARIANTS, VARIANTS
from keras_hypercolumns.training.data.picture_dataset import center_crop
from keras_hypercolumns.training.finish import finish, fold
from keras_hypercolumns.training.recipe import read_recipe
from keras_hypercolumns.training.train_jointly import train_jointly
from kh_zoo.colors.lab import srgb_to_lab
from kh_zoo.measuring.evaluate import training_colors
from kh_zoo.measuring.split import list_pictures
from kh_zoo.with_keras.joint_model import load_full_trunk

LINEAR = (*VARIANTS, *STUDY_VARIANTS)
STUDIED = ("conv1to5", "relu1to4")
KINDS = ("frozen", "trained", "solved")
BATCH = 32


def main():
    """Do what is not done, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--init", default="relu1to5")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    common = read_recipe(Path(__file__).with_suffix(".toml"))
    common = dataclasses.replace(common, init=arguments.init)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    results = arguments.runs / "results.jsonl"
    stage = common.stages[-1]
    judges = {folder: judge(arguments.data[0], folder, stage.size) for folder in stage.batch}
    done = {(row["run"], row["seed"]) for row in read(results)}
    for name, seed in [one for one in runs(arguments.seeds) if one not in done]:
        recipe = recipe_of(common, name, seed)
        rows = one_run(recipe, arguments.data, arguments.runs / f"{name}-{seed}", judges)
        with results.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({"run": name, "seed": seed, **row}) + "\n")
    print_table(read(results))


def runs(seeds):
    """What is run with which seed, the most telling first."""
    others = range(2, seeds + 1)
    yield from ((name, 1) for name in ("frozen", *VARIANTS))
    yield from ((name, 1) for name in ARCHITECTURES)
    yield from (("frozen", seed) for seed in others)
    yield from ((name, seed) for seed in others for name in VARIANTS)
    yield from ((name, 1) for name in STUDIED)


def read(results):
    """The rows of the runs that are done."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def recipe_of(common, name, seed):
    """The recipe of a run."""
    if name != "frozen":
        return dataclasses.replace(common, seed=seed, variants=(name,))
    stages = tuple(dataclasses.replace(stage, steps=0) for stage in common.stages)
    return dataclasses.replace(common, seed=seed, variants=LINEAR, stages=stages, batch_norm=False)


def judge(data, folder, size):
    """Lab of the test pictures of a top folder, and the mean AB of its training ones."""
    names = [name for name in list_pictures(data, "test") if name.startswith(folder + "/")]
    rgb = np.stack([center_crop(data / name, size) for name in names])
    mean, _ = training_colors(data, folder)
    return srgb_to_lab(rgb / 255).astype("float32"), mean


def one_run(recipe, data, run, judges):
    """Train as a recipe says, and measure what comes of it."""
    keras.backend.clear_session()
    trained, _ = train_jointly(recipe, data, run, load_model=load_full_trunk)
    solved = [name for name in recipe.variants if name in LINEAR]
    rows = []
    if recipe.steps:
        rows += measure(fold(trained, recipe), "trained", judges)
    if solved:
        kind = "solved" if recipe.steps else "frozen"
        rows += measure(finish(trained, recipe, data), kind, judges)
    shutil.rmtree(run)
    return rows


def measure(model, kind, judges):
    """A row for each variant and top folder: the error of AB, over all pixels."""
    rows = []
    for folder, (lab, mean) in judges.items():
        predicted = model.predict(lab[..., :1], batch_size=BATCH, verbose=0)
        of_mean = np.mean((mean - lab[..., 1:]) ** 2)
        for variant, ab in predicted.items():
            square = np.mean((ab - lab[..., 1:]) ** 2)
            rows.append(
                {
                    "kind": kind,
                    "variant": variant,
                    "folder": folder,
                    "pictures": len(lab),
                    "rmse_ab": float(square**0.5),
                    "explained_variance": float(1 - square / of_mean),
                }
            )
    return rows


def print_table(rows):
    """Print the explained variances, a line a variant."""
    folders = list(dict.fromkeys(row["folder"] for row in rows))
    columns = [(kind, folder) for kind in KINDS for folder in folders]
    print("| variant | " + " | ".join(f"{kind}, {folder}" for kind, folder in columns) + " |")
    print("| --- " * (len(columns) + 1) + "|")
    for variant in dict.fromkeys(row["variant"] for row in rows):
        cells = []
        for column in columns:
            values = [
                row["explained_variance"]
                for row in rows
                if (row["kind"], row["folder"]) == column and row["variant"] == variant
            ]
            cells.append(
                f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})" if values else ""
            )
        print(f"| `{variant}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
