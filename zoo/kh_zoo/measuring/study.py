"""Which taps of a trained trunk carry the colour, measured on the splits of a folder."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from keras_hypercolumns import feature_info
from keras_hypercolumns.backbones.vgg19.taps import STUDY_VARIANTS, VARIANTS
from keras_hypercolumns.training.study.tap_study import TapStudy, sum_hypercolumns
from kh_zoo.catalog.find import open_model
from kh_zoo.errors import DataError
from kh_zoo.measuring.split import evenly, list_pictures
from kh_zoo.networks.network import Network, Node
from kh_zoo.networks.tensors import read_tensors
from kh_zoo.with_keras.from_network import keras_model

_Taps = tuple[str, ...]
# No variant mixes maps behind a ReLU with those before it, or with those behind a pooling.
_GROUPS = (VARIANTS["full"], STUDY_VARIANTS["conv1to5"], STUDY_VARIANTS["pool1to5"])


@dataclasses.dataclass(frozen=True)
class Study:
    """Heads in closed form for any taps of a trunk."""

    groups: tuple[TapStudy, ...]
    """Of a VGG-19, of the maps behind a ReLU, of those before it, and of those behind a pooling."""
    variants: Mapping[str, _Taps]
    """Taps that have a name of their own."""
    pictures: dict[str, int]
    """How many there were, by split."""

    @property
    def main(self) -> TapStudy:
        """Of a VGG-19, of the maps behind a ReLU, which `full` has; or else of all taps."""
        return self.groups[0]

    def of(self, taps: _Taps) -> TapStudy:
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
        model: Whose trunk is studied: name of a variant, or the path of a model or run folder. Of a
            VGG-19 the taps of all variants are, of another network those that its heads see.
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
        VariantError, ModelError: There is no such model, or it is one of Keras's own.
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
    folder, _ = open_model(model)
    nodes = _with_last_pooling(folder.config.network.nodes)
    groups, variants = _taps_of(nodes, folder.config.heads)
    every = list(dict.fromkeys(tap for taps in groups for tap in taps))
    trunk = keras_model(
        Network(nodes, {tap: tap for tap in every}).part(every), read_tensors(folder)
    )
    infos = feature_info(trunk, every)
    sums, before = [], 0
    for number, paths in enumerate(chosen.values()):

        def told(done: int, before: int = before) -> None:
            if on_picture:
                on_picture(before + done, total)

        sums.append(sum_hypercolumns(trunk, groups, paths, size, points, seed + number, told))
        before += len(paths)
    studies = tuple(
        TapStudy({tap: infos[tap] for tap in taps}, *of)
        for taps, *of in zip(groups, *sums, strict=True)
    )
    return Study(studies, variants, {split: len(paths) for split, paths in chosen.items()})


def _with_last_pooling(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Nodes of a network; of a VGG-19 with pool5, which is studied, and which no head sees."""
    by_name = {node.name: node for node in nodes}
    if not {"pool4", "relu5_4"} <= set(by_name) or "pool5" in by_name:
        return nodes
    return (*nodes, dataclasses.replace(by_name["pool4"], name="pool5", inputs=("relu5_4",)))


def _taps_of(
    nodes: tuple[Node, ...], heads: Mapping[str, Sequence[str]]
) -> tuple[tuple[_Taps, ...], Mapping[str, _Taps]]:
    """The groups of taps to study, and the variants among them."""
    maps = [node.name for node in nodes]
    if {tap for taps in _GROUPS for tap in taps} <= set(maps):
        return _GROUPS, {**VARIANTS, **STUDY_VARIANTS}
    seen = {tap for taps in heads.values() for tap in taps}
    every = tuple(name for name in maps if name in seen)
    return (every,), {name: tuple(taps) for name, taps in heads.items()}
