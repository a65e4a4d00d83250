"""How good a model's colours are, beside those of no colour and of the mean colour."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kh_zoo.color import colorfulness, lab_to_srgb, srgb_to_lab
from kh_zoo.engines import DEFAULT_ENGINE, create_engine
from kh_zoo.errors import DataError, PictureError
from kh_zoo.resolve import find_folder, resolve
from kh_zoo.split import list_pictures

MEAN_PICTURES = 1000
"""Training pictures of each folder, at most, that the mean colour is taken over."""


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    size: int | None = None,
    engine: str = DEFAULT_ENGINE,
    on_picture: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Measure a model on the test split of a folder of colour pictures.

    Every picture is brought to a short side of `size` pixels and cut to multiples of 16. The
    input's L is joined with the predicted AB. By top folder of `data`, since averages over
    different kinds of picture hide both:

    - `psnr`: of 8-bit sRGB, in dB, mean over the pictures; `psnr_gray` with no colour,
      `psnr_mean` with the mean colour of the folder's training split.
    - `rmse_ab`, `rmse_ab_gray`, `rmse_ab_mean`: root of the mean square of the error of A and B,
      over all pixels, in CIELAB units.
    - `explained_variance`: of AB over the mean colour: 1 - (rmse_ab / rmse_ab_mean) ** 2.
    - `colorfulness`, `colorfulness_truth`: Hasler and Suesstrunk's M3, mean over the pictures.

    Args:
        model: As for `resolve`. Of a folder with several variants, all are measured.
        data: Folder of colour pictures.
        size: In pixels. Defaults to `None`: the size that the model predicts at.
        engine: As for `create_engine`.
        on_picture: Called with the number of pictures done and the number in all.

    Returns:
        A list of dicts, one for each variant and folder.

    Raises:
        VariantError, ModelError, EngineError: If there is no such model or engine.
        DataError: If `data` holds no picture of the test split.
        PictureError: If one can't be read.
    """
    data = Path(data)
    heads: tuple[str, ...]
    folder = find_folder(model)
    if folder is not None:
        heads = tuple(folder.config.heads)
    else:
        folder, head = resolve(model)
        heads = (head,)
    size = (size or folder.config.size) // 16 * 16
    groups: dict[str, list[str]] = {}
    for name in list_pictures(data, "test"):
        groups.setdefault(_group(name), []).append(name)
    if not groups:
        raise DataError(f"`data` should hold pictures of the test split. Received: {data}")
    engines = {head: create_engine(engine, folder, head) for head in heads}
    total = sum(len(names) for names in groups.values())
    done = 0
    rows: list[dict[str, Any]] = []
    for group, names in groups.items():
        mean = mean_color(data, group)
        sums = {head: _Sums(mean) for head in heads}
        for name in names:
            rgb = load_square(data / name, size)
            lab = srgb_to_lab(rgb / 255)
            for head in heads:
                sums[head].add(rgb, lab, engines[head].predict_ab(lab[..., 0]))
            done += 1
            if on_picture:
                on_picture(done, total)
        rows += [
            {"variant": head, "folder": group, "size": size, **sums[head].figures()}
            for head in heads
        ]
    return rows


class _Sums:
    """Sums over pictures, of the prediction and of the two baselines."""

    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean
        self.psnr: dict[str, list[float]] = {"": [], "_gray": [], "_mean": []}
        self.squares = dict.fromkeys(self.psnr, 0.0)
        self.values = 0
        self.colorfulness: list[float] = []
        self.colorfulness_truth: list[float] = []

    def add(self, rgb: np.ndarray, lab: np.ndarray, predicted: np.ndarray) -> None:
        truth = lab[..., 1:]
        self.values += truth.size
        kinds = {"": predicted, "_gray": np.zeros(2), "_mean": self.mean}
        for kind, color in kinds.items():
            ab = np.broadcast_to(color, truth.shape)
            joined = join(lab[..., :1], ab)
            self.psnr[kind].append(psnr(rgb, joined))
            self.squares[kind] += float(np.sum((ab - truth) ** 2))
            if kind == "":
                self.colorfulness.append(colorfulness(joined / 255))
        self.colorfulness_truth.append(colorfulness(rgb / 255))

    def figures(self) -> dict[str, Any]:
        rmse = {kind: math.sqrt(square / self.values) for kind, square in self.squares.items()}
        return {
            "pictures": len(self.colorfulness),
            **{f"psnr{kind}": float(np.mean(values)) for kind, values in self.psnr.items()},
            **{f"rmse_ab{kind}": value for kind, value in rmse.items()},
            "explained_variance": 1 - (rmse[""] / rmse["_mean"]) ** 2,
            "colorfulness": float(np.mean(self.colorfulness)),
            "colorfulness_truth": float(np.mean(self.colorfulness_truth)),
        }


def join(lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Join L `(height, width, 1)` with AB: sRGB of 8 bits, as float 0..255."""
    return np.asarray(np.round(lab_to_srgb(np.concatenate([lightness, ab], axis=-1)) * 255))


def psnr(rgb: np.ndarray, other: np.ndarray) -> float:
    """PSNR in dB of two pictures of 0..255."""
    # A picture reproduced to the bit counts as one whose error is one level in all.
    return 10 * math.log10(255**2 / max(np.mean((other - rgb) ** 2), 1 / rgb.size))


def mean_color(data: Path, group: str) -> np.ndarray:
    """Mean AB of the training pictures of one top folder, or zero where there are none."""
    names = [name for name in list_pictures(data, "train") if _group(name) == group]
    if len(names) > MEAN_PICTURES:
        names = [names[len(names) * i // MEAN_PICTURES] for i in range(MEAN_PICTURES)]
    means = [
        srgb_to_lab(load_square(data / name, 32) / 255)[..., 1:].mean(axis=(0, 1)) for name in names
    ]
    return np.asarray(np.mean(means, axis=0)) if means else np.zeros(2)


def load_square(path: str | os.PathLike[str], size: int) -> np.ndarray:
    """Read a picture at a short side of `size`, cut to multiples of 16: float sRGB, 0..255."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (size, size))
            rgb = image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path}: can't be read ({error})") from None
    scale = size / min(rgb.size)
    width, height = (max(16, round(side * scale) // 16 * 16) for side in rgb.size)
    # The cut is centred, and made in the same step as the change of size.
    cut = (width / scale, height / scale)
    left, top = ((whole - part) / 2 for whole, part in zip(rgb.size, cut, strict=True))
    box = (max(left, 0), max(top, 0), min(left + cut[0], rgb.width), min(top + cut[1], rgb.height))
    return np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR, box=box), np.float64)


def _group(name: str) -> str:
    return name.split("/")[0] if "/" in name else "."
