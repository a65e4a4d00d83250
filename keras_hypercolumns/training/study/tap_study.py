"""Which taps carry the colour: the best linear heads on any of them, from two passes."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import scipy.linalg
from keras import ops

from keras_hypercolumns.colors.lab import srgb_to_lab
from keras_hypercolumns.graphs.feature_info import FeatureInfo, feature_info
from keras_hypercolumns.graphs.pick_taps import pick_taps
from keras_hypercolumns.layers.hypercolumn_sampler import HyperColumnSampler
from keras_hypercolumns.training.data.picture_dataset import center_crop
from keras_hypercolumns.training.heads.gram_matrix import GramMatrix

BATCH = 8
RIDGES = (0.01, 0.1, 1.0, 3.0)


class TapStudy:
    """Errors of the best linear AB head on any subset of the taps of a frozen trunk.

    One pass over some pictures takes the sums that every head is solved from, others those that its
    ridge is chosen by and that its error is computed from; all at sampled pixels, in float64. Then
    a subset takes seconds, however many pictures there were.

    Args:
        taps: Dict from tap to its `FeatureInfo`, in the order of their channels in the sums.
        fitted: A `GramMatrix` of the pictures that heads are solved on.
        validation: A `GramMatrix` of those that the ridge of each is chosen by: many channels need
            a larger one than few.
        held_out: A `GramMatrix` of those that they are measured on.
        ridges: Those that are tried, as for `GramMatrix.solve`.

    Reference:
        - Hariharan et al., "Hypercolumns for Object Segmentation and Fine-grained Localization",
          CVPR 2015, section 4, compares layers so, one training each.
    """

    def __init__(
        self,
        taps: Mapping[str, FeatureInfo],
        fitted: GramMatrix,
        validation: GramMatrix,
        held_out: GramMatrix,
        ridges: Sequence[float] = RIDGES,
    ) -> None:
        self.taps = tuple(taps)
        self.fitted = fitted
        self.validation = validation
        self.held_out = held_out
        self.ridges = tuple(ridges)
        channels = {tap: info.channels or 0 for tap, info in taps.items()}
        starts = np.cumsum([0, *channels.values()])
        self._columns = {
            tap: np.arange(start, start + count)
            for (tap, count), start in zip(channels.items(), starts, strict=False)
        }
        self._last_of_stride = {info.stride: tap for tap, info in taps.items()}
        mean = fitted.output_sum / fitted.count
        self.mean_error = held_out.squared_error(np.array([], int), np.zeros((0, 2)), mean)
        """Squared error of the mean colour of the pictures that heads are solved on."""
        self._known: dict[frozenset[str], tuple[float, float]] = {}

    def error(self, taps: Iterable[str]) -> float:
        """Mean squared error, in CIELAB units, of the best head on some taps."""
        return self._solved(taps)[0]

    def ridge(self, taps: Iterable[str]) -> float:
        """The ridge that was chosen for some taps."""
        return self._solved(taps)[1]

    def _solved(self, taps: Iterable[str]) -> tuple[float, float]:
        subset = frozenset(taps)
        if subset not in self._known:
            columns = self.columns(subset)
            heads = {ridge: self.fitted.solve(columns, ridge) for ridge in self.ridges}
            ridge = min(heads, key=lambda one: self.validation.squared_error(columns, *heads[one]))
            self._known[subset] = self.held_out.squared_error(columns, *heads[ridge]), ridge
        return self._known[subset]

    def explained(self, taps: Iterable[str]) -> float:
        """Variance of AB that the best head on some taps explains over the mean colour, up to 1."""
        return 1 - self.error(taps) / self.mean_error

    def columns(self, taps: Iterable[str]) -> np.ndarray:
        """Where in the sums the channels of some taps are."""
        chosen = set(taps)
        return np.concatenate([self._columns[tap] for tap in self.taps if tap in chosen])

    def greedy(self) -> list[tuple[str, ...]]:
        """Subsets of one tap, of two and so on: each the one before, and the best tap to add."""
        subsets: list[tuple[str, ...]] = []
        chosen: tuple[str, ...] = ()
        while len(chosen) < len(self.taps):
            others = [tap for tap in self.taps if tap not in chosen]
            chosen = min(((*chosen, tap) for tap in others), key=self.error)
            subsets.append(chosen)
        return subsets

    def blocks(self) -> list[tuple[str, ...]]:
        """All subsets of the last taps of each stride, the best of each size first."""
        last = self._last_of_stride.values()
        subsets = [
            subset
            for size in range(1, len(last) + 1)
            for subset in itertools.combinations(last, size)
        ]
        return sorted(subsets, key=lambda subset: (len(subset), self.error(subset)))

    def redundancy(self) -> np.ndarray:
        """How much of the variance of each tap (column) is linear in each other one (row), 0..1."""
        found = np.eye(len(self.taps))
        for i, one in enumerate(self.taps):
            columns = self._columns[one]
            covariance = self.fitted.covariance(columns, columns)
            diagonal = np.einsum("ii->i", covariance)
            diagonal += min(self.ridges) * diagonal.mean()
            factor = scipy.linalg.cho_factor(covariance, overwrite_a=True)
            for j, other in enumerate(self.taps):
                if i != j:
                    across = self.fitted.covariance(columns, self._columns[other])
                    explained = np.sum(across * scipy.linalg.cho_solve(factor, across))
                    own = self.fitted.covariance(self._columns[other], self._columns[other])
                    found[i, j] = explained / np.trace(own)
        return found


def sum_hypercolumns(
    network: keras.Model,
    groups: Sequence[Sequence[str]],
    pictures: Sequence[Path],
    size: int,
    points: int,
    seed: int,
    on_picture: Callable[[int], object] | None = None,
) -> list[GramMatrix]:
    """Take the sums of hypercolumns and colours at random pixels of pictures.

    Args:
        network: A functional model that sees L, `(batch, height, width, 1)`, and has the taps.
        groups: Lists of taps, as for `TapStudy`. Apart, because the sums of two groups take less
            memory than those of one that has the taps of both.
        pictures: The files; the largest square of each is cut from its centre.
        size: Side that it is brought to, in pixels.
        points: Pixels sampled from each picture, the same for all groups.
        seed: Of the pixels.
        on_picture: Called with the number of pictures done.

    Returns:
        A `GramMatrix` of each group.
    """
    every = list(dict.fromkeys(tap for taps in groups for tap in taps))
    infos = feature_info(network, every)
    channels = {tap: info.channels or 0 for tap, info in infos.items()}
    ends = np.cumsum(list(channels.values()))
    extractor, settings = pick_taps(network, every)
    pixels = keras.Input((None, 2), name="pixels")
    rows_of = keras.Model(
        [extractor.input, pixels], HyperColumnSampler(**settings)((extractor.output, pixels))
    )
    grams = [GramMatrix(sum(channels[tap] for tap in taps), 2) for taps in groups]
    random = np.random.default_rng(seed)
    for start in range(0, len(pictures), BATCH):
        rgb = np.stack([center_crop(path, size) for path in pictures[start : start + BATCH]])
        lab = ops.convert_to_numpy(srgb_to_lab(rgb.astype("float32") / 255))
        where = random.integers(0, size, (len(lab), 2, points))
        colors = np.concatenate([lab[i][tuple(where[i])][:, 1:] for i in range(len(lab))])
        drawn = where.transpose(0, 2, 1).astype("float32")
        rows = np.concatenate(rows_of.predict_on_batch([lab[..., :1], drawn]))
        of_tap = dict(zip(every, np.split(rows, ends[:-1], axis=1), strict=True))
        for gram, taps in zip(grams, groups, strict=True):
            gram.add(np.concatenate([of_tap[tap] for tap in taps], axis=1), colors)
        if on_picture:
            on_picture(start + len(lab))
    return grams
