"""Batches of pictures: pure functions of the seed and the step, of training pictures only."""

from pathlib import Path

import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_hypercolumns import srgb_to_lab
from keras_hypercolumns.training.data import picture_dataset
from keras_hypercolumns.training.data.augmentation import Augmentation
from keras_hypercolumns.training.data.picture_dataset import (
    PictureDataset,
    center_crop,
    lab_of,
    random_crop,
    training_pictures,
    validation_pictures,
)

BATCH = {"flowers": 3, "photos": 2}


def batches(pictures, first=0, last=8, seed=5, batch=BATCH, **keys):
    found = training_pictures([pictures.folder], batch, 32)
    dataset = PictureDataset(found, batch, 32, seed, first, last, augmentation=Augmentation(**keys))
    return [dataset[index][0] for index in range(len(dataset))]


@pytest.fixture
def gradient(tmp_path):
    """A picture whose red is its column and whose green is its row."""
    rows, columns = np.mgrid[0:60, 0:90]
    path = tmp_path / "gradient.png"
    pixels = np.stack([columns, rows, np.zeros_like(rows)], axis=-1)
    Image.fromarray(pixels.astype("uint8")).save(path)
    return path


@pytest.mark.parametrize("first", [1, 3, 7])
def test_a_step_is_the_same_wherever_the_run_began(pictures, first):
    whole, rest = batches(pictures), batches(pictures, first)
    assert len(whole) == 8
    assert len(rest) == 8 - first
    for expected, found in zip(whole[first:], rest, strict=True):
        assert found.shape == (5, 32, 32, 3)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


def test_steps_and_seeds_differ(pictures):
    steps = batches(pictures, last=3) + batches(pictures, last=1, seed=6)
    assert len({step.tobytes() for step in steps}) == 4


def test_an_epoch_shows_every_training_picture_once_and_no_other(pictures, monkeypatch):
    shown = []

    def record(image, *others):
        shown.append(Path(image.filename).relative_to(pictures.folder).as_posix())
        return random_crop(image, *others)

    monkeypatch.setattr(picture_dataset, "random_crop", record)
    batch = {"flowers": 1, "photos": 1}
    # Five training pictures in each folder: two epochs.
    batches(pictures, last=10, batch=batch)
    for folder in batch:
        names = [name for name in shown if name.startswith(folder)]
        first, second = names[:5], names[5:]
        assert sorted(first) == sorted(second) == sorted(pictures.splits["train"][folder])
        assert first != second


def test_all_pictures_stand_under_the_dot(pictures):
    (found,) = training_pictures([pictures.folder], {".": 4}, 32).values()
    names = {path.relative_to(pictures.folder).as_posix() for path in found}
    assert names == {*pictures.splits["train"]["flowers"], *pictures.splits["train"]["photos"]}


def test_validation_pictures_are_of_the_validation_split(pictures):
    every = validation_pictures([pictures.folder], BATCH, 32, 10)
    for folder, paths in every.items():
        names = sorted(path.relative_to(pictures.folder).as_posix() for path in paths)
        assert names == sorted(pictures.splits["validation"][folder])
    some = validation_pictures([pictures.folder], BATCH, 32, 2)
    for folder, paths in some.items():
        assert len(set(paths)) == 2
        assert set(paths) < set(every[folder])


def test_pictures_that_are_too_small_or_broken_are_left_out(tmp_path, pictures):
    name = pictures.splits["train"]["flowers"][0]
    other = pictures.splits["train"]["flowers"][1]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    Image.new("RGB", (40, 31)).save(path)
    (tmp_path / other).write_text("no picture")
    assert len(training_pictures([tmp_path], {"flowers": 1}, 31)["flowers"]) == 1
    with pytest.raises(ValueError, match="`data` should hold train pictures of at least 32 pixels"):
        training_pictures([tmp_path], {"flowers": 1}, 32)
    with pytest.raises(ValueError, match="in the folder 'photos', which the recipe names"):
        training_pictures([tmp_path], {"photos": 1}, 16)


def test_crops_are_squares_from_within_the_picture(gradient):
    random = np.random.default_rng(2)
    sides, flips, corners = set(), set(), set()
    for _ in range(60):
        with Image.open(gradient) as image:
            pixels = random_crop(image, 32, random).astype(int)
        assert pixels.shape == (32, 32, 3)
        red, green = pixels[0, :, 0], pixels[:, 0, 1]
        flips.add(bool(red[0] > red[-1]))
        red = np.sort(red)
        # Ramps of one slope in both directions: a square, not distorted; no border in it.
        side = (red[-1] - red[0]) * 32 / 31
        assert side == pytest.approx((green[-1] - green[0]) * 32 / 31, abs=2.1)
        assert 31 <= side <= 62
        assert np.all(np.diff(red) > 0)
        assert np.all(np.diff(green) > 0)
        sides.add(round(side))
        corners.add((red[0], green[0]))
    assert flips == {False, True}
    assert len(sides) > 10
    assert len(corners) > 30


def test_crops_may_be_smaller_than_their_size_or_as_large_as_the_picture(gradient):
    random = np.random.default_rng(2)
    sides = []
    for _ in range(60):
        with Image.open(gradient) as image:
            pixels = random_crop(image, 80, random, 0.5).astype(int)
        assert pixels.shape == (80, 80, 3)
        sides.append(np.ptp(pixels[0, :, 0]) + 1)
    assert 29 <= min(sides) <= 33
    assert 57 <= max(sides) <= 61


@pytest.mark.parametrize(
    "keys", [{"aged": 0.5}, {"neutral": 0.4}, {"crop": 0.7, "aged": 0.3, "mounted": 0.5}]
)
def test_what_is_done_to_a_step_does_not_depend_on_where_the_run_began(pictures, keys):
    whole, rest = batches(pictures, **keys), batches(pictures, 3, **keys)
    for expected, found in zip(whole[3:], rest, strict=True):
        assert found["rgb"].shape == (5, 32, 32, 3)
        assert found["lightness"].shape == (5, 32, 32, 1)
        for name in ("rgb", "lightness"):
            np.testing.assert_array_equal(found[name], expected[name])


def test_lightness_is_aged_and_colours_stay(pictures):
    plain, every = batches(pictures), batches(pictures, aged=1.0)
    # The first picture of a step is cropped before anything else is drawn.
    for one, aged in zip(plain, every, strict=True):
        expected = ops.convert_to_numpy(srgb_to_lab(one[0].astype("float32") / 255))
        lab = ops.convert_to_numpy(lab_of(aged))[0]
        np.testing.assert_allclose(lab[..., 1:], expected[..., 1:], atol=1e-4)
    moved = [np.abs(lab_of(aged) - lab_of(aged["rgb"]))[..., 0].mean() for aged in every]
    assert min(moved) > 0.5
    some = batches(pictures, aged=1e-9)
    for one in some:
        np.testing.assert_allclose(lab_of(one), lab_of(one["rgb"]), atol=3e-3)


def test_neutral_pages_have_no_colour_and_their_share(pictures):
    found = batches(pictures, last=40, neutral=0.3)
    neutral = 0
    for batch in found:
        lab = ops.convert_to_numpy(lab_of(batch))
        gray = np.abs(lab[..., 1:]).max(axis=(1, 2, 3)) < 0.02
        neutral += gray.sum()
        assert lab[..., 0].min() >= 0
        assert lab[..., 0].max() <= 100
    assert neutral / 200 == pytest.approx(0.3, abs=0.1)


def test_mounts_alone_are_plain_pictures(pictures):
    for batch in batches(pictures, mounted=1.0):
        assert batch.shape == (5, 32, 32, 3)
        edge = np.concatenate([batch[:, 0], batch[:, -1]]).astype(int)
        # The pictures are noise: rows without colour are of the mount.
        assert (np.ptp(edge, axis=-1).max(axis=1) == 0).sum() >= 5


def test_the_centre_crop_is_the_largest_square(gradient):
    pixels = center_crop(gradient, 60)
    np.testing.assert_array_equal(pixels[0, :, 0], np.arange(15, 75))
    np.testing.assert_array_equal(pixels[:, 0, 1], np.arange(60))


def test_gray_and_palette_files_become_three_channels(tmp_path):
    Image.new("L", (40, 40), 90).save(tmp_path / "gray.png")
    pixels = center_crop(tmp_path / "gray.png", 32)
    assert pixels.shape == (32, 32, 3)
    assert np.all(pixels == 90)


def test_decoded_pictures_give_the_same_batches_and_are_read_once(pictures, monkeypatch):
    expected = batches(pictures)
    found = training_pictures([pictures.folder], BATCH, 32)
    read = []

    def open_picture(path):
        read.append(path)
        return open_file(path)

    open_file = Image.open
    monkeypatch.setattr(picture_dataset.Image, "open", open_picture)
    decoded = {}
    for first, last in ((0, 5), (5, 8)):
        dataset = PictureDataset(found, BATCH, 32, 5, first, last, decoded)
        for index in range(len(dataset)):
            np.testing.assert_array_equal(dataset[index][0], expected[first + index])
    assert sorted(read) == sorted({path for paths in found.values() for path in paths})
