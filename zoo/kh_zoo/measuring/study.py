"""Which taps of a trained trunk carry the colour, measured on the splits of a folder."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from keras_hypercolumns.backbones.vgg19.taps import STUDY_VARIANTS, VARIANTS
from keras_hypercolumns.training.study.tap_study import TapStudy, sum_hypercolumns
from kh_zoo.errors import DataError
from kh_zoo.measuring.split import evenly, list_pictures
from kh_zoo.with_keras.joint_model import load_full_trunk

# No variant mixes maps behind a ReLU with those before it, or with those behind a pooling.
_GROUPS = (VARIANTS["full"], STUDY_VARIANTS["conv1to5"], STUDY_VARIANTS["pool1to5"])


@dataclasses.dataclass(frozen=True)
class Study:
    """Heads in closed form for any taps of a trunk."""

    groups: tuple[TapStudy, ...]
    """Of the maps behind a ReLU, of those before it, and of those behind a pooling."""
    pictures: dict[str, int]
    """How many there were, by split."""

    @property
    def main(self) -> TapStudy:
        """Of the maps behind a ReLU, which `full` has."""
        return self.groups[0]

    def of(self, taps: tuple[str, ...]) -> TapStudy:
        """The one that has all of these taps."""
        return next(study for study in self.groups if set(taps) <= set(study.taps))


def study(
    model: str,
    data: str | os.PathLike[str],
    *,
    pictures: int = 500,
    size: int = 128,
    points: int = 128,
    seed: int = 1,
    on_picture: Callable[[int, int], object] | None = None,
) -> Study:
    """Solve heads for the taps of a trunk, and measure them on held-out pictures.

    Args:
        model: Whose trunk is studied: name of a variant, or the path of a model or run folder.
        data: Folder of colour pictures: heads are solved on some of the training split, their
            ridge is chosen on some of the validation split, and they are measured on the test
            split.
        pictures: To solve heads on; of the other splits half as many.
        size: Side of the pictures, in pixels, a multiple of 16.
        points: Pixels sampled from each picture.
        seed: Of the pixels.
        on_picture: Called with how many pictures are done, of how many.

    Raises:
        DataError: A split has no pictures.
        VariantError, ModelError: There is no such model, or it has no such trunk.
        ValueError: `size` is no multiple of 16.
    """
    if size % 16:
        raise ValueError(f"`size` should be a multiple of 16. Received: {size}")
    wanted = {"train": pictures, "validation": pictures // 2, "test": pictures // 2}
    chosen: dict[str, list[Path]] = {}
    for split, count in wanted.items():
        names = list_pictures(Path(data), split)
        if not names:
            raise DataError(f"`data` should hold pictures of the {split} split. Received: {data}")
        chosen[split] = [Path(data) / name for name in evenly(names, count)]
    total = sum(map(len, chosen.values()))
    trunk = load_full_trunk(model)
    sums, before = [], 0
    for number, paths in enumerate(chosen.values()):

        def told(done: int, before: int = before) -> None:
            if on_picture:
                on_picture(before + done, total)

        sums.append(sum_hypercolumns(trunk, _GROUPS, paths, size, points, seed + number, told))
        before += len(paths)
    groups = (TapStudy(taps, *of) for taps, *of in zip(_GROUPS, *sums, strict=True))
    return Study(tuple(groups), {split: len(paths) for split, paths in chosen.items()})
