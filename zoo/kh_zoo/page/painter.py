"""The process that reads and colours pictures for the page: what goes wrong in it ends there.

Colour is predicted once and kept in a file. What is shown and what is written is joined from it, in
the strength that is wanted, by the code of `kh colorize`.
"""

import contextlib
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyvips

from kh_zoo.batches.plan import PlanError, plan_batch
from kh_zoo.chatter import silence
from kh_zoo.colorizer import Colorizer
from kh_zoo.engines.kept_engine import KeptEngine
from kh_zoo.engines.predict import predict_ab
from kh_zoo.errors import OutputError, PictureError, PluginWarning, ZooError
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.joining import gray, join
from kh_zoo.pictures.output import with_alpha
from kh_zoo.pictures.picture import Picture, unreadable
from kh_zoo.plugins.describe import describe
from kh_zoo.workers.process import Process, converse, raise_reason
from kh_zoo.workers.stamp import Stamp

MOST_SHOWN = 40_000_000
"""Pixels that are shown; a larger picture is shown in half its size, or less."""
_MOST_SIDE = 2**15  # browsers and JPEG end not far above
_QUALITY = 90
_MODELS, _SHOWN = 2, 2
"""That are kept in memory."""


class Painter(Process):
    """The process, seen from the one that serves the page. One question at a time."""

    module = "kh_zoo.page.painter"
    _warned: ClassVar[set[str]] = set()

    def do(self, task: Callable[..., dict[str, Any]], **values: Any) -> dict[str, Any]:
        """Let it do one of the tasks below, and wait for what it returns.

        Raises:
            ZooError: It can't be done.
        """
        self.start()
        answer = self.ask({"task": task.__name__, **values})
        for text in self.warnings:
            if text not in self._warned:  # of each process and task it comes anew
                self._warned.add(text)
                warnings.warn(PluginWarning(text), stacklevel=2)
        self.warnings.clear()
        if "reason" in answer:
            raise_reason(answer)
        return answer


def load(model: str, vivid: bool, engine: str | None, device: str) -> dict[str, Any]:
    """Load a model, so that it is known at once if it can't be."""
    _colorizer(model, vivid, engine, device)
    return {}


def predict(
    source: str, target: str, model: str, vivid: bool, engine: str | None, device: str
) -> dict[str, Any]:
    """Predict the colour of a picture, and keep it in a file."""
    colorizer = _colorizer(model, vivid, engine, device)
    picture = Picture(source)
    small = picture.small_lightness(*working_size(picture.width, picture.height, colorizer.size))
    np.savez(target, small=small, ab=predict_ab(colorizer.engine, small))
    return {
        "width": picture.width,
        "height": picture.height,
        "least": least_level(picture.width, picture.height),
        "notes": picture.notes,
        "size": colorizer.size,
    }


def name_output(source: str, suffix: str | None) -> dict[str, Any]:
    """Say how the file is called that is written for a picture, by the rules of `kh colorize`."""
    path = Path(source)
    try:
        plan = plan_batch([path], output=path.parents[1] / "out", suffix=suffix)
    except PlanError as error:
        raise PictureError(
            "an output itself, not coloured again: add the picture that it was made from"
        ) from error
    return {"name": (plan.jobs or plan.finished)[0].target.name}


def show(
    source: str, predicted: str, target: str, saturation: float | None, level: int
) -> dict[str, Any]:
    """Write a JPEG to be shown, of the size halved `level` times; grey without `saturation`."""
    lightness, alpha = _level(source, level)
    with contextlib.ExitStack() as opened:
        if saturation is None:
            image = gray(lightness)
        else:
            kept = opened.enter_context(np.load(predicted))
            joined = join(lightness, kept["small"], kept["ab"] * saturation)
            image = opened.enter_context(joined).image
        if alpha:
            image = with_alpha(image, alpha).flatten(background=255).cast("uchar")
        image.jpegsave(target, Q=_QUALITY, keep="none")
    return {}


def show_small(predicted: str, target: str, saturation: float) -> dict[str, Any]:
    """Write a JPEG of the copy that colour was predicted on."""
    with np.load(predicted) as kept:
        small = kept["small"]
        lightness = pyvips.Image.new_from_array(small)
        with join(lightness, small, kept["ab"] * saturation) as joined:
            joined.image.jpegsave(target, Q=_QUALITY)
    return {}


def write(
    source: str, predicted: str, target: str, size: int, saturation: float, quality: int | None
) -> dict[str, Any]:
    """Write the file that `kh colorize` would write."""
    with np.load(predicted) as kept:
        engine = KeptEngine(kept["ab"])
    Colorizer(engine, size=size, saturation=saturation).colorize_file(
        source, target, quality=quality
    )
    written = Stamp.of(Path(target))
    if written is None:
        raise OutputError("vanished while it was coloured")
    return {"written": written.__dict__}


def least_level(width: int, height: int) -> int:
    """Return how often a picture is halved at least where it is shown.

    Example:

    >>> from kh_zoo.page.painter import least_level
    >>> least_level(4000, 3000), least_level(12000, 9000)
    (0, 1)
    """
    level = 0
    while width * height > MOST_SHOWN * 4**level or max(width, height) > _MOST_SIDE * 2**level:
        level += 1
    return level


@lru_cache(_MODELS)
def _colorizer(model: str, vivid: bool, engine: str | None, device: str) -> Colorizer:
    return Colorizer(model, vivid=vivid, engine=engine, device=device)


@lru_cache(_SHOWN)
def _level(source: str, level: int) -> tuple[pyvips.Image, pyvips.Image | None]:
    """Lightness and alpha of a picture of half the size `level` times, in memory."""
    picture = Picture(source)
    level = max(level, least_level(picture.width, picture.height))

    def smaller(image: pyvips.Image) -> pyvips.Image:
        if level:
            wide, high = (
                max(1, round(side / 2**level)) / side for side in (image.width, image.height)
            )
            image = image.resize(wide, vscale=high)
        return image.copy_memory()

    try:
        # Each is read from top to bottom at a pace of its own: so the file is opened for both.
        lightness, alpha = picture.full()
        return smaller(lightness), None if alpha is None else smaller(picture.full()[1])
    except pyvips.Error as error:
        raise unreadable(error) from error


_TASKS = {task.__name__: task for task in (load, predict, name_output, show, show_small, write)}


def main() -> None:
    """Do one task after the other until standard input ends."""
    silence()
    questions, answer = converse()
    while True:
        question = questions.get()
        try:
            answer(_TASKS[question.pop("task")](**question))
        except Exception as error:
            kind = type(error).__name__ if isinstance(error, ZooError) else "PictureError"
            answer({"reason": describe(error), "kind": kind})


if __name__ == "__main__":
    main()
