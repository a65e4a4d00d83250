"""The closed form against a direct least-squares fit."""

import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_hypercolumns import joint_colorizer
from keras_hypercolumns.backbones.vgg19.taps import VARIANTS, tap_stride
from keras_hypercolumns.colors.lab import srgb_to_lab
from keras_hypercolumns.layers.hypercolumn import HyperColumn
from keras_hypercolumns.training.data.picture_dataset import PictureDataset
from keras_hypercolumns.training.heads.fit_heads import fit_heads
from keras_hypercolumns.training.heads.gram_matrix import GramMatrix


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    # Far from zero, as activations behind a ReLU are.
    x = random.normal(5, 1, (500, 12)) @ random.normal(size=(12, 12))
    return x, x @ random.normal(size=(12, 2)) + random.normal(size=(500, 2)) + 3


def test_solution_is_that_of_lstsq_in_chunks(rows):
    x, y = rows
    gram = GramMatrix(12, 2)
    for part in np.array_split(np.arange(500), 7):
        gram.add(x[part], y[part])
    kernel, bias = gram.solve(np.arange(12), ridge=0)
    direct = np.linalg.lstsq(np.c_[x, np.ones(500)], y, rcond=None)[0]
    np.testing.assert_allclose(np.r_[kernel, bias[None]], direct, rtol=1e-6, atol=1e-6)


def test_subset_is_solved_from_its_block_in_its_order(rows):
    x, y = rows
    gram = GramMatrix(12, 2)
    gram.add(x, y)
    columns = [7, 2, 9]
    kernel, bias = gram.solve(columns, ridge=0)
    direct = np.linalg.lstsq(np.c_[x[:, columns], np.ones(500)], y, rcond=None)[0]
    np.testing.assert_allclose(np.r_[kernel, bias[None]], direct, rtol=1e-6, atol=1e-6)


def test_ridge_is_in_units_of_the_mean_variance(rows):
    x, y = rows
    gram = GramMatrix(12, 2)
    gram.add(x, y)
    kernel, _ = gram.solve(np.arange(12), ridge=0.1)
    centred, target = x - x.mean(axis=0), y - y.mean(axis=0)
    weight = 0.1 * x.var(axis=0).mean() * len(x)
    direct = np.linalg.solve(centred.T @ centred + weight * np.eye(12), centred.T @ target)
    np.testing.assert_allclose(kernel, direct, rtol=1e-8)


def test_weighted_rows_are_those_of_weighted_lstsq(rows):
    x, y = rows
    weights = np.random.default_rng(1).uniform(0.1, 3, 500)
    gram = GramMatrix(12, 2)
    for part in np.array_split(np.arange(500), 3):
        gram.add(x[part], y[part], weights[part])
    kernel, bias = gram.solve(np.arange(12), ridge=0)
    root = np.sqrt(weights)[:, None]
    direct = np.linalg.lstsq(root * np.c_[x, np.ones(500)], root * y, rcond=None)[0]
    np.testing.assert_allclose(np.r_[kernel, bias[None]], direct, rtol=1e-6, atol=1e-6)


def test_weighting_favours_the_picture_that_was_predicted_well(tmp_path):
    random = np.random.default_rng(2)
    pictures = []
    for i, spread in enumerate((10, 120)):
        pixels = 128 + random.integers(-spread, spread, (32, 32, 3))
        pictures.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels.astype("uint8")).save(pictures[-1])
    batches = PictureDataset({".": pictures}, {".": 2}, 32, seed=0, first_step=0, last_step=1)
    lab = ops.convert_to_numpy(srgb_to_lab(batches[0][0].astype("float32") / 255))
    pale = int(np.argmin((lab[..., 1:] ** 2).mean(axis=(1, 2, 3))))
    start = joint_colorizer(("relu3to5",))
    errors = {}
    for weighting in (0.0, 1.0):
        model = joint_colorizer(("relu3to5",))
        model.set_weights(start.get_weights())
        fit_heads(model, batches, points=1000, ridge=1.0, weighting=weighting)
        ab = ops.convert_to_numpy(model(lab[..., :1])["relu3to5"])
        errors[weighting] = ((ab - lab[..., 1:]) ** 2).mean(axis=(1, 2, 3))
    assert errors[1.0][pale] < 0.9 * errors[0.0][pale]


def test_heads_of_the_model_are_the_best_on_its_dense_hypercolumn(tmp_path):
    size, random = 32, np.random.default_rng(1)
    for i in range(2):
        patches = Image.fromarray(random.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        patches.resize((size, size), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.png")
    pictures = {".": sorted(tmp_path.glob("*.png"))}
    batches = PictureDataset(pictures, {".": 2}, size, seed=0, first_step=0, last_step=2)
    model = joint_colorizer(("relu3to5",))
    fit_heads(model, batches, points=4000, ridge=1e-3)

    # The same by hand: every pixel of the dense hypercolumn instead of many random ones.
    taps = VARIANTS["relu3to5"]
    layer = HyperColumn(
        (*taps,), reference="picture", strides={tap: tap_stride(tap) for tap in taps}
    )
    gram, seen = GramMatrix(1280, 2), []
    for index in range(2):
        lab = srgb_to_lab(batches[index][0].astype("float32") / 255)
        maps = model.get_layer("trunk")(lab[..., :1] / 50 - 1)
        dense = ops.convert_to_numpy(layer({**maps, "picture": lab})).reshape(-1, 1280)
        truth = ops.convert_to_numpy(lab)[..., 1:].reshape(-1, 2).astype(np.float64)
        gram.add(dense, truth)
        predicted = ops.convert_to_numpy(model(lab[..., :1])["relu3to5"]).reshape(-1, 2)
        seen.append((predicted, dense, truth))
    kernel, bias = gram.solve(np.arange(1280), ridge=1e-3)
    predicted, dense, truth = (np.concatenate(part) for part in zip(*seen, strict=True))
    best = np.mean((dense @ kernel + bias - truth) ** 2)
    assert best < 0.8 * truth.var(axis=0).mean()
    assert best * 0.999 < np.mean((predicted - truth) ** 2) < best * 1.05
