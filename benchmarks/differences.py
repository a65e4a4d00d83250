"""What the founding code did otherwise, and what it costs: `differences.py RUNS --data DIR`.

- alignment: heads of relu1to5 in closed form on one frozen trunk, the taps resized with the centres
  of cells on the centres of their pixels, or with the first cell on the first pixel;
- schedule and order: relu1to5 from that trunk, with a new head, as variants.toml says; at
  a constant rate; or the pictures in the order of their names.

Prints the variance of AB that each explains over the mean colour on the test split, with the least
and the largest of the seeds. What RUNS has is not done again.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
from keras import ops
from variants import judge, one_run, read

from keras_hypercolumns import HyperColumnSampler
from keras_hypercolumns.backbones.vgg19.taps import VARIANTS, tap_channels, tap_stride
from keras_hypercolumns.colors.lab import srgb_to_lab
from keras_hypercolumns.training.data import picture_dataset
from keras_hypercolumns.training.data.picture_dataset import center_crop
from keras_hypercolumns.training.heads.gram_matrix import GramMatrix
from keras_hypercolumns.training.recipe import read_recipe
from kh_zoo.measuring.split import evenly, list_pictures
from kh_zoo.with_keras.joint_model import load_full_trunk

TAPS = VARIANTS["relu1to5"]
COORDINATES = ("half_pixel", "legacy")
RIDGES = (0.01, 0.1, 1.0)
SIZE, POINTS, BATCH = 128, 128, 8
PICTURES = {"train": 1000, "validation": 300, "test": 1000}


def main():
    """Do what is not done, then print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", default="relu1to5")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    results = arguments.runs / "differences.jsonl"
    aligned = {(row["run"], row["seed"]) for row in read(results)}
    for seed in range(1, arguments.seeds + 1):
        if ("half_pixel", seed) not in aligned:
            write(results, alignment(arguments.init, arguments.data, seed))
    common = read_recipe(Path(__file__).with_name("variants.toml"))
    common = dataclasses.replace(common, init=arguments.init, variants=("relu1to5",))
    stage = common.stages[-1]
    judges = {folder: judge(arguments.data, folder, stage.size) for folder in stage.batch}
    shuffled = picture_dataset._order
    for seed in range(1, arguments.seeds + 1):
        for name in ("as here", "constant", "unshuffled"):
            if (name, seed) in {(row["run"], row["seed"]) for row in read(results)}:
                continue
            schedule = "constant" if name == "constant" else "cosine"
            recipe = dataclasses.replace(common, seed=seed, schedule=schedule)
            picture_dataset._order = by_name if name == "unshuffled" else shuffled
            rows = one_run(recipe, [arguments.data], arguments.runs / f"{name}-{seed}", judges)
            write(results, [{"run": name, "seed": seed, **row} for row in rows])
    print_table(read(results))


def by_name(count, seed, number, epoch):
    """The order of the pictures when nothing shuffles them."""
    return np.arange(count)


def write(results, rows):
    """Keep the rows of what is done."""
    with results.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def alignment(init, data, seed):
    """A row for each convention: solved on training pictures, the ridge chosen on validation."""
    model = load_full_trunk(init)
    trunk, scale = model.trunk, model.scaling
    samplers = {
        coordinates: HyperColumnSampler(
            TAPS,
            reference="lightness",
            coordinates=coordinates,
            strides={tap: tap_stride(tap) for tap in TAPS},
            data_format="channels_last",
        )
        for coordinates in COORDINATES
    }
    random = np.random.default_rng(seed)
    sums = {}
    for split, count in PICTURES.items():
        names = evenly(list_pictures(data, split), count)
        grams = {one: GramMatrix(sum(map(tap_channels, TAPS)), 2) for one in COORDINATES}
        for start in range(0, len(names), BATCH):
            rgb = np.stack(
                [center_crop(data / name, SIZE) for name in names[start : start + BATCH]]
            )
            lab = ops.convert_to_numpy(srgb_to_lab(rgb.astype("float32") / 255))
            scaled = scale(lab[..., :1])
            maps = {**trunk.predict_on_batch(ops.convert_to_numpy(scaled)), "lightness": scaled}
            maps = {tap: maps[tap] for tap in (*TAPS, "lightness")}
            points = random.integers(0, SIZE, (len(lab), POINTS, 2))
            colors = np.concatenate(
                [ab[tuple(place.T)] for ab, place in zip(lab[..., 1:], points, strict=True)]
            )
            for coordinates, sampler in samplers.items():
                rows = ops.convert_to_numpy(sampler((maps, points.astype("float32"))))
                grams[coordinates].add(rows.reshape(len(colors), -1), colors)
        sums[split] = grams
    columns = np.arange(sum(map(tap_channels, TAPS)))
    found = []
    for coordinates in COORDINATES:
        fitted, validation, test = (sums[split][coordinates] for split in PICTURES)
        heads = [fitted.solve(columns, ridge) for ridge in RIDGES]
        best = min(heads, key=lambda head: validation.squared_error(columns, *head))
        mean = fitted.output_sum / fitted.count
        of_mean = test.squared_error(np.array([], int), np.zeros((0, 2)), mean)
        explained = 1 - test.squared_error(columns, *best) / of_mean
        found.append(
            {
                "run": coordinates,
                "seed": seed,
                "kind": "frozen",
                "folder": "both",
                "explained_variance": float(explained),
            }
        )
    return found


def print_table(rows):
    """Print the explained variances, a line for each way."""
    print("| way | head | pictures | explained variance |")
    print("| --- | --- | --- | --- |")
    for run, kind, folder in dict.fromkeys(
        (row["run"], row["kind"], row["folder"]) for row in rows
    ):
        values = [
            row["explained_variance"]
            for row in rows
            if (row["run"], row["kind"], row["folder"]) == (run, kind, folder)
        ]
        print(
            f"| {run} | {kind} | {folder} | {np.mean(values):.3f} "
            f"({min(values):.3f} to {max(values):.3f}) |"
        )


if __name__ == "__main__":
    main()
