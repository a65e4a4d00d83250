"""Numbered frames in folders: a film of pictures, coloured without flicker."""

import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kh_zoo.batches.walk import MARK, is_picture
from kh_zoo.colorizer import Colorizer
from kh_zoo.engines.kept_engine import KeptEngine
from kh_zoo.engines.predict import predict_ab
from kh_zoo.films.steady import RADIUS, steady
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.picture import Picture
from kh_zoo.plugins.describe import describe
from kh_zoo.workers.answer import Answer
from kh_zoo.workers.colorize import colorize
from kh_zoo.workers.settings import Settings

if TYPE_CHECKING:
    from kh_zoo.batches.plan import Job

Wanted = dict[Path, "tuple[int, Job]"]


class FrameRunner:
    """Colours the pictures of each folder as the frames of a film; a `Runner`.

    They follow each other by the numbers in their names. Of those that need not be coloured the
    neighbours of the others are looked at, so that what is gone on with equals what was not ended.
    A frame that can't be read is left out.

    Args:
        settings: How they are coloured.
        workers: How many are written at a time; None for as many as cores.
    """

    def __init__(self, settings: Settings, workers: int | None = None) -> None:
        self.settings = settings
        self.workers = workers or os.cpu_count() or 1
        self.device = ""

    def start(self) -> None:
        """Nothing: the model is loaded with the first frame."""

    def __enter__(self) -> "FrameRunner":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(
        self,
        jobs: "Sequence[Job]",
        begin: "Callable[[Job], object]",
        interrupted: Callable[[], bool],
    ) -> Iterator[tuple[int, Answer]]:
        """Yield what becomes of each frame: see `Runner`."""
        colorizer = self.settings.colorizer()
        self.device = getattr(colorizer.engine, "device", "")
        wanted = {job.source: (number, job) for number, job in enumerate(jobs)}
        waiting: deque[tuple[int, Future[Answer]]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            for number, found in self._colors(colorizer, wanted, interrupted):
                begin(jobs[number])
                if isinstance(found, Answer):
                    yield number, found
                    continue
                written = Colorizer(
                    KeptEngine(found),
                    size=colorizer.size,
                    saturation=self.settings.saturation,
                )
                task = (written, jobs[number].source, jobs[number].target, self.settings)
                waiting.append((number, pool.submit(colorize, *task)))
                if len(waiting) > self.workers:
                    first, future = waiting.popleft()
                    answer = future.result()
                    yield first, answer
                    if answer.fatal:
                        break
            for number, future in waiting:
                yield number, future.result()

    def _colors(
        self, colorizer: Colorizer, wanted: Wanted, interrupted: Callable[[], bool]
    ) -> "Iterator[tuple[int, np.ndarray | Answer]]":
        """The steady colour of each frame that is wanted, or why there is none."""
        failed: list[tuple[int, Answer]] = []

        def predicted() -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
            for path in frames:
                if interrupted():
                    return
                try:
                    picture = Picture(path)
                    size = working_size(picture.width, picture.height, colorizer.size)
                    small = picture.small_lightness(*size)
                except Exception as error:
                    if path in wanted:
                        failed.append((wanted[path][0], Answer(describe(error))))
                    continue
                yield path, small, predict_ab(colorizer.engine, small)

        for folder in dict.fromkeys(source.parent for source in wanted):
            frames = _needed(_sequence(folder), wanted)
            # Of another size is another scene.
            for _, scene in itertools.groupby(predicted(), lambda frame: frame[1].shape):
                for path, ab in steady(scene):
                    if interrupted():
                        return
                    if path in wanted:
                        yield wanted[path][0], ab
            yield from failed
            failed.clear()


def _sequence(folder: Path) -> list[Path]:
    """The frames of a folder, in their order: 9 comes before 10."""
    frames = (
        path
        for path in folder.iterdir()
        if is_picture(path) and not path.name.startswith(".") and not path.stem.endswith(MARK)
    )
    return sorted(frames, key=lambda path: _natural(path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _needed(frames: list[Path], wanted: Wanted) -> list[Path]:
    """From the first that is wanted to the last, with the neighbours of both."""
    at = [number for number, path in enumerate(frames) if path in wanted]
    return frames[max(0, min(at) - RADIUS) : max(at) + 1 + RADIUS] if at else []
