"""Batches of pictures, each a pure function of the seed and the step."""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from keras_hypercolumns.colors.lab import srgb_to_lab
from keras_hypercolumns.training.data.aging import (
    aged,
    lightness_of,
    mounted,
    mounted_side,
    neutral_page,
)
from keras_hypercolumns.training.data.augmentation import NONE, Augmentation
from keras_hypercolumns.training.data.split import list_pictures

LOOKED_AT = 64
"""Pictures of each folder that are looked at for colours."""
MOST_GREY = 1.5
"""Mean difference of the largest and the smallest of R, G and B, 0..255, in a grey picture: what
JPEG leaves of it."""


class PictureDataset(keras.utils.PyDataset):
    """Batches `(batch, size, size, 3)` of uint8 sRGB, from `first_step` to `last_step`.

    Where pictures are aged, or give way to neutral pages, a batch is a dict of this, `"rgb"`, which
    has the colours, and of the `"lightness"`, `(batch, size, size, 1)`; see `lab_of`.

    Step n holds the same pictures, cropped and flipped in the same way, whichever step the run
    began with: so a resumed run sees what an uninterrupted one would have seen.

    Args:
        pictures: Dict from folder to the paths of its pictures, as of `training_pictures`.
        batch: Dict from folder to how many pictures of it a batch holds.
        size: Side of the pictures, in pixels.
        seed: Of the order, the crops and the flips.
        first_step: The step of the first batch.
        last_step: The step after the last batch.
        decoded: Dict to keep decoded pictures in, so that each file is read once; then several
            threads cut the crops. Pictures of short side 128 take some 60 kB each. Defaults to
            `None`: every picture is read whenever it is its turn.
        augmentation: What is done to the pictures. Defaults to nothing but the crops and flips.
    """

    def __init__(
        self,
        pictures: Mapping[str, Sequence[Path]],
        batch: Mapping[str, int],
        size: int,
        seed: int,
        first_step: int,
        last_step: int,
        decoded: dict[Path, Image.Image] | None = None,
        augmentation: Augmentation = NONE,
    ) -> None:
        super().__init__(workers=1 if decoded is None else min(8, os.cpu_count() or 1))
        self.pictures = pictures
        self.batch = batch
        self.size = size
        self.seed = seed
        self.first_step = first_step
        self.last_step = last_step
        self.decoded = decoded
        self.augmentation = augmentation

    def __len__(self) -> int:
        return self.last_step - self.first_step

    def __getitem__(self, index: int) -> tuple[np.ndarray | dict[str, np.ndarray]]:
        step = self.first_step + index
        random = np.random.default_rng((self.seed, step))
        rows, lightness = [], []
        for number, (folder, count) in enumerate(self.batch.items()):
            paths = self.pictures[folder]
            for position in range(step * count, (step + 1) * count):
                epoch, place = divmod(position, len(paths))
                path = paths[_order(len(paths), self.seed, number, epoch)[place]]
                with self._open(path) as image:
                    rgb, own = self._augmented(image, random)
                rows.append(rgb)
                lightness.append(own)
        if not self.augmentation.changes_lightness:
            return (np.stack(rows),)
        found = [
            lightness_of(rgb) if own is None else own
            for rgb, own in zip(rows, lightness, strict=True)
        ]
        return ({"rgb": np.stack(rows), "lightness": np.stack(found)[..., None]},)

    def _augmented(
        self, image: Image.Image, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the colours of a crop, and its lightness where that is not theirs."""
        what, size = self.augmentation, self.size
        if what.happens("neutral", random):
            return np.full((size, size, 3), 128, "uint8"), neutral_page(size, random)
        on_mount = what.happens("mounted", random)
        side = mounted_side(size, random) if on_mount else size
        rgb = random_crop(image, side, random, what.crop)
        if on_mount:
            rgb = mounted(rgb, size, random)
        if what.happens("aged", random):
            return rgb, aged(lightness_of(rgb), rgb, random)
        return rgb, None

    def _open(self, path: Path) -> contextlib.AbstractContextManager[Image.Image]:
        if self.decoded is None:
            return Image.open(path)
        if path not in self.decoded:
            with Image.open(path) as image:
                self.decoded[path] = image.convert("RGB")
        return contextlib.nullcontext(self.decoded[path])


def training_pictures(
    folders: Sequence[str | Path], batch: Iterable[str], size: int
) -> dict[str, list[Path]]:
    """Find the training pictures of at least `size` pixels, by the folders of `batch`.

    Args:
        folders: The data folders. A name may stand in several of them, in several sizes.
        batch: As for `PictureDataset`; a folder is the first part of a picture's name, `"."`
            stands for all of them.
        size: In pixels.

    Raises:
        ValueError: If there is none in one of the folders of `batch`.
    """
    return _by_folder(folders, batch, "train", size)


def validation_pictures(
    folders: Sequence[str | Path], batch: Iterable[str], size: int, count: int
) -> dict[str, list[Path]]:
    """Find up to `count` validation pictures of each folder, evenly spread, as above."""
    found = _by_folder(folders, batch, "validation", size)
    return {
        folder: [paths[len(paths) * i // count] for i in range(count)]
        if len(paths) > count
        else paths
        for folder, paths in found.items()
    }


def _by_folder(
    folders: Sequence[str | Path], batch: Iterable[str], split: str, size: int
) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {folder: [] for folder in batch}
    for data in folders:
        for name in list_pictures(data, split):
            folder = "." if "." in found else name.split("/")[0]
            path = Path(data) / name
            if folder in found and _short_side(path) >= size:
                found[folder].append(path)
    for folder, paths in found.items():
        if not paths:
            raise ValueError(
                f"`data` should hold {split} pictures of at least {size} pixels in the folder "
                f"{folder!r}, which the recipe names. Received: {[str(data) for data in folders]}"
            )
    return found


def check_colors(pictures: Mapping[str, Sequence[Path]]) -> None:
    """Look at some pictures of each folder: from grey ones no colours are learnt.

    Raises:
        ValueError: If none of a folder's has colours.
    """
    for folder, paths in pictures.items():
        some = [paths[len(paths) * i // LOOKED_AT] for i in range(LOOKED_AT)]
        if not any(_has_colors(path) for path in dict.fromkeys(some)):
            raise ValueError(
                "`data` should hold colour pictures: it is their colours that are learnt. None of "
                f"those looked at in the folder {folder!r} has any. Received: {paths[0]} and "
                f"{len(paths) - 1} more"
            )


def _has_colors(path: Path) -> bool:
    """Whether a picture is more than grey; what can't be read is told when it is its turn."""
    try:
        pixels = center_crop(path, 64).astype(float)
    except OSError:
        return True
    return bool(np.mean(np.ptp(pixels, axis=-1)) > MOST_GREY)


@lru_cache(maxsize=1_000_000)
def _short_side(path: Path) -> int:
    """Short side in pixels, 0 where the file is no picture."""
    try:
        with Image.open(path) as image:
            return min(image.size)
    except OSError:
        return 0


@lru_cache(maxsize=8)
def _order(count: int, seed: int, number: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, number, epoch)).permutation(count)


def lab_of(batch: Any) -> Any:
    """Return L, A and B of a batch of a `PictureDataset`, `(batch, size, size, 3)`."""
    if not isinstance(batch, dict):
        return srgb_to_lab(ops.cast(batch, "float32") / 255)
    lightness = ops.cast(batch["lightness"], "float32")
    return ops.concatenate([lightness, lab_of(batch["rgb"])[..., 1:]], axis=-1)


def random_crop(
    image: Image.Image, size: int, random: np.random.Generator, least: float = 0.0
) -> np.ndarray:
    """Cut a random square, flip it or not, and bring it to `size`.

    Its side is at least `size`, or, if that is given, at least `least` of the short side.
    """
    width, height = image.size
    short = min(width, height)
    side = int(random.integers(round(short * least) if least else size, short, endpoint=True))
    left = int(random.integers(0, width - side, endpoint=True))
    top = int(random.integers(0, height - side, endpoint=True))
    flip = bool(random.integers(2))
    pixels = _square(image, left, top, side, size)
    return pixels[:, ::-1] if flip else pixels


def center_crop(path: Path, size: int) -> np.ndarray:
    """Cut the largest square from the centre and bring it to `size`."""
    with Image.open(path) as image:
        width, height = image.size
        side = min(width, height)
        return _square(image, (width - side) // 2, (height - side) // 2, side, size)


def _square(image: Image.Image, left: int, top: int, side: int, size: int) -> np.ndarray:
    box = (left, top, left + side, top + side)
    square = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(square)
