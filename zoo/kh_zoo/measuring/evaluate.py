"""How good a model's colours are, beside those of no colour and of the mean colour."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kh_zoo.catalog.find import find_folder, open_model, vivid_head
from kh_zoo.colors.lab import colorfulness, lab_to_srgb, srgb_to_lab
from kh_zoo.engines import DEFAULT_ENGINE, create_engine
from kh_zoo.engines.predict import predict_ab
from kh_zoo.errors import DataError, PictureError
from kh_zoo.extras import needs
from kh_zoo.measuring.comparison import GRAYSCALE
from kh_zoo.measuring.metrics.auc import ColorPrior, auc, within
from kh_zoo.measuring.metrics.bootstrap import interval
from kh_zoo.measuring.split import evenly, list_pictures
from kh_zoo.networks.model_folder import ModelFolder
from kh_zoo.shown import counted

with needs("evaluate", "Measuring"):
    from skimage.color import deltaE_ciede2000
    from skimage.metrics import structural_similarity

TRAINING_PICTURES = 1000
"""Training pictures of each folder, at most, that the mean and the frequency of colours are of."""
_LOOKED_AT = 64
"""Pictures of each folder that are looked at for colours."""


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    size: int | None = None,
    engine: str = DEFAULT_ENGINE,
    vivid: bool = False,
    saturation: float = 1.0,
    every_picture: bool = False,
    on_picture: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Measure a model on the test split of a folder of colour pictures, a twentieth of them.

    Every picture is brought to a short side of `size` pixels and cut to multiples of 16. The
    input's L is joined with the predicted AB. By top folder of `data`, since averages over
    different kinds of picture hide both:

    - `psnr`: of 8-bit sRGB, in dB; `ciede2000`: mean colour difference; `ssim`: structural
      similarity. Means over the pictures.
    - `rmse_ab`: root of the mean square of the error of A and B, over all pixels, in CIELAB units.
    - `explained_variance`: of AB over the mean colour: 1 - (rmse_ab / rmse_ab_mean) ** 2.
    - `auc`: area under the curve of how many pixels are within 0 to 150 units of AB, in 0..1;
      `auc_rebalanced`: rare colours of the folder's training split count as much as frequent ones.
    - `colorfulness`, `colorfulness_truth`: Hasler and Suesstrunk's M3, mean over the pictures;
      `colorfulness_difference`, the one less the other.

    Each but the last with `_gray` behind it is that of no colour, with `_mean` that of the mean
    colour of the folder's training split. `intervals` has the 95 % bootstrap interval over pictures
    of each; `best`, `median` and `worst` are pictures by their PSNR.

    Args:
        model: As for `open_model`. Of a folder with several variants, all are measured.
        data: Folder of colour pictures.
        size: In pixels. Defaults to `None`: the size that the model predicts at.
        engine: As for `create_engine`.
        vivid: Measure the vivid heads alone. Of a folder, they are among all heads anyway.
        saturation: Factor on the predicted A and B.
        every_picture: Measure on all pictures, not on the test split alone: for few of them, which
            the model did not learn from.
        on_picture: Called with the number of pictures done and the number in all.

    Returns:
        A list of dicts, one for each variant and folder.

    Raises:
        VariantError, ModelError, EngineError: If there is no such model or engine, or it has no
            vivid head.
        DataError: If `data` holds no picture, none of the test split, or grey ones.
        PictureError: If one can't be read.
        PredictionError: If a model predicts what is no colour.
    """
    data = Path(data)
    folder, heads = open_heads(model, vivid)
    size = (size or folder.config.size) // 16 * 16
    groups: dict[str, list[str]] = {}
    for name in list_pictures(data, None if every_picture else "test"):
        groups.setdefault(_group(name), []).append(name)
    if not groups:
        others = 0 if every_picture else len(list_pictures(data))
        if not others:
            raise DataError(f"`data` should hold colour pictures. Received: {data}, without any")
        raise DataError(
            "`data` should hold pictures of the test split: a twentieth of all, which `kh train` "
            "leaves out, those whose name's sha256, as a number, is a multiple of 20. Measure on "
            f"all with `every_picture` if the model did not learn from them. "
            f"Received: {data}, with {counted(others, 'picture')} of the other splits"
        )
    for group, names in groups.items():
        _check_colors(data, group, names, size)
    engines = {head: create_engine(engine, folder, head) for head in heads}
    total = sum(len(names) for names in groups.values())
    done = 0
    rows: list[dict[str, Any]] = []
    for group, names in groups.items():
        mean, prior = training_colors(data, group)
        measured = {kind: _Measured(prior) for kind in (*heads, "gray", "mean")}
        truths: list[float] = []
        for name in names:
            rgb = load_rgb(data / name, size)
            lab = srgb_to_lab(rgb / 255)
            truths.append(colorfulness(rgb / 255))
            for kind, figures in measured.items():
                if kind in engines:
                    ab = saturation * predict_ab(engines[kind], lab[..., 0])
                else:
                    color = mean if kind == "mean" else np.zeros(2)
                    ab = np.broadcast_to(color, lab[..., 1:].shape)
                figures.add(rgb, lab, ab)
            done += 1
            if on_picture:
                on_picture(done, total)
        baselines = {
            f"{key}_{kind}": value
            for kind in ("gray", "mean")
            for key, value in measured[kind].figures().items()
            if key != "colorfulness"
        }
        rows += [
            {
                "variant": head,
                "folder": group,
                "size": size,
                "saturation": saturation,
                "pictures": len(names),
                **_row(measured[head], measured["mean"], np.array(truths)),
                **baselines,
                **_extremes(names, measured[head].psnr),
            }
            for head in heads
        ]
    return rows


def _check_colors(data: Path, group: str, names: list[str], size: int) -> None:
    """Look at some pictures: of grey ones, no colours can be told from wrong ones."""
    for name in evenly(names, _LOOKED_AT):
        if np.ptp(load_rgb(data / name, size), axis=-1).mean() >= GRAYSCALE:
            return
    raise DataError(
        "`data` should hold colour pictures: the colours of a model are compared with theirs. None "
        f"of those looked at in the folder {group!r} has any. Received: {data}"
    )


def open_heads(
    model: str | os.PathLike[str], vivid: bool = False
) -> tuple[ModelFolder, tuple[str, ...]]:
    """Open a model with the heads that are measured: of a folder all, or all that are vivid."""
    folder = find_folder(model)
    if folder is not None and not vivid:
        return folder, tuple(folder.config.heads)
    if folder is not None and folder.config.vivid:
        return folder, folder.config.vivid
    folder, head = open_model(model)
    return folder, (vivid_head(folder, head) if vivid else head,)


# A function of means over the pictures, and what each picture contributes to them.
_Sample = tuple[Callable[..., np.ndarray], *tuple[Any, ...]]


class _Measured:
    """What was measured on each picture, for one way to predict."""

    def __init__(self, prior: ColorPrior) -> None:
        self.prior = prior
        self.psnr: list[float] = []
        self.ciede2000: list[float] = []
        self.ssim: list[float] = []
        self.colorfulness: list[float] = []
        self.squares: list[float] = []
        self.values: list[int] = []
        self.within: list[np.ndarray] = []
        self.within_rebalanced: list[np.ndarray] = []

    def add(self, rgb: np.ndarray, lab: np.ndarray, ab: np.ndarray) -> None:
        truth = lab[..., 1:]
        joined = join(lab[..., :1], ab)
        self.psnr.append(psnr(rgb, joined))
        self.ciede2000.append(float(deltaE_ciede2000(lab, srgb_to_lab(joined / 255)).mean()))
        self.ssim.append(_ssim(rgb, joined))
        self.colorfulness.append(colorfulness(joined / 255))
        self.squares.append(float(np.sum((ab - truth) ** 2)))
        self.values.append(truth.size)
        self.within.append(within(ab, truth))
        self.within_rebalanced.append(within(ab, truth, self.prior.weights(truth)))

    def samples(self) -> dict[str, _Sample]:
        return {
            "psnr": (_mean, self.psnr),
            "rmse_ab": (_rmse, self.squares, self.values),
            "ciede2000": (_mean, self.ciede2000),
            "ssim": (_mean, self.ssim),
            "auc": (auc, self.within),
            "auc_rebalanced": (auc, self.within_rebalanced),
            "colorfulness": (_mean, self.colorfulness),
        }

    def figures(self) -> dict[str, float]:
        return {key: _figure(*sample) for key, sample in self.samples().items()}


def _figure(figure: Callable[..., np.ndarray], *samples: Any) -> float:
    return float(figure(*(np.mean(sample, axis=0) for sample in samples)))


def _mean(value: np.ndarray) -> np.ndarray:
    return value


def _rmse(squares: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(squares / values))


def _explained(squares: np.ndarray, of_mean: np.ndarray) -> np.ndarray:
    return np.asarray(1 - squares / of_mean)


def _row(measured: _Measured, mean: _Measured, truths: np.ndarray) -> dict[str, Any]:
    """The figures of one variant, with their intervals."""
    samples: dict[str, _Sample] = {
        **measured.samples(),
        "explained_variance": (_explained, measured.squares, mean.squares),
        "colorfulness_truth": (_mean, truths),
        "colorfulness_difference": (_mean, np.array(measured.colorfulness) - truths),
    }
    return {
        **{key: _figure(*sample) for key, sample in samples.items()},
        "intervals": {key: interval(*sample) for key, sample in samples.items()},
    }


def _extremes(names: list[str], values: list[float]) -> dict[str, str]:
    order = np.argsort(values)
    return {
        "best": names[order[-1]],
        "median": names[order[len(order) // 2]],
        "worst": names[order[0]],
    }


def join(lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Join L `(height, width, 1)` with AB: sRGB of 8 bits, as float 0..255."""
    return np.asarray(np.round(lab_to_srgb(np.concatenate([lightness, ab], axis=-1)) * 255))


def _ssim(rgb: np.ndarray, other: np.ndarray) -> float:
    """As Wang et al. 2004: a Gaussian window of 11 pixels, the mean over the three channels."""
    return float(
        structural_similarity(
            rgb,
            other,
            data_range=255,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def psnr(rgb: np.ndarray, other: np.ndarray) -> float:
    """PSNR in dB of two pictures of 0..255."""
    # A picture reproduced to the bit counts as one whose error is one level in all.
    return 10 * math.log10(255**2 / max(np.mean((other - rgb) ** 2), 1 / rgb.size))


def training_colors(data: Path, group: str) -> tuple[np.ndarray, ColorPrior]:
    """Mean AB of the training pictures of one top folder, or zero, and how frequent colours are."""
    names = [name for name in list_pictures(data, "train") if _group(name) == group]
    prior, means = ColorPrior(), []
    for name in evenly(names, TRAINING_PICTURES):
        ab = srgb_to_lab(load_rgb(data / name, 32) / 255)[..., 1:]
        means.append(ab.mean(axis=(0, 1)))
        prior.add(ab)
    return np.asarray(np.mean(means, axis=0)) if means else np.zeros(2), prior


def load_rgb(path: str | os.PathLike[str], size: int) -> np.ndarray:
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
