"""A process that colours one picture after the other: what goes wrong in it ends there."""

import contextlib
import dataclasses
import time
from pathlib import Path

from kh_zoo.chatter import silence
from kh_zoo.errors import PictureError, ZooError
from kh_zoo.memory import limit_memory, memory_limit
from kh_zoo.pictures.memory import max_memory
from kh_zoo.pictures.unfinished import remove_unfinished
from kh_zoo.plugins.describe import describe
from kh_zoo.workers.answer import Answer
from kh_zoo.workers.colorize import colorize
from kh_zoo.workers.process import UNDER_WAY, Process, converse, raise_reason
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.stamp import Stamp

_DEATHS = 3
"""A process that ends so many times before it has had a picture is not started again."""
_ROOM = 2000
"""Megabytes for predicting and writing, beside `KH_MAX_MEMORY` for the decoding of a picture."""
_LOADING = 300
"""Seconds that a model may take to load, where a picture may take less."""


class Worker(Process):
    """The process, seen from the one that starts it. It is started again when it has ended.

    Args:
        settings: How pictures are coloured.
        timeout: After so many seconds with a picture the process is ended. Those in which this
            one was stopped, as by Ctrl-Z, don't count.
        threads: How many threads it computes with; None for as many as there are cores.
    """

    module = "kh_zoo.workers.worker"

    def __init__(self, settings: Settings, timeout: float, threads: int | None) -> None:
        super().__init__(timeout, threads)
        self.settings = settings
        self.device = ""
        """What it computes on, once the model is loaded, and if the engine says so."""
        self._loaded = False

    def load(self) -> None:
        """Load the model, unless that was done.

        Raises:
            ZooError: It can't be loaded, or the process ends again and again while it loads.
        """
        for deaths in range(1, _DEATHS + 1):
            self.start()
            if self._loaded:
                return
            answer = self.ask(self.settings.__dict__, max(self.timeout, _LOADING))
            if "reason" not in answer:
                self.device = answer["device"]
                self.memory = answer.get("memory", self.memory)
                self._loaded = True
                return
            if not answer.get("died") or deaths == _DEATHS:
                raise_reason(answer)

    def colorize(self, source: Path, target: Path) -> Answer:
        """Colour a picture."""
        self.load()
        before = _identity(target)
        started = time.monotonic()
        answer = self.ask({"source": str(source), "target": str(target)})
        if answer.get("short_of_memory"):
            self.close()  # the next picture begins with what it has kept
        if answer.get("ended"):
            remove_unfinished([target])
            if _identity(target) != before:  # it has its name, so it is whole
                read, written = Stamp.of(source), Stamp.of(target)
                if read and written:
                    return Answer(None, read, written, seconds=time.monotonic() - started)
        return Answer.of({"seconds": time.monotonic() - started, **answer})

    def close(self) -> None:
        """Let the process end, and wait for it: the next one has to load the model again."""
        self._loaded = False
        super().close()


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def main() -> None:
    """Answer until standard input ends."""
    silence()
    questions, answer = converse()
    settings = Settings(**questions.get())
    try:
        colorizer = settings.colorizer()
    except Exception as error:
        kind = type(error).__name__ if isinstance(error, ZooError) else "WorkerError"
        answer({"reason": describe(error), "kind": kind})
        return
    device = getattr(colorizer.engine, "device", "")
    if device == "cpu":
        _limit_memory()
    answer({"device": device, "memory": memory_limit()})
    while True:
        question = questions.get()
        source, target = Path(question["source"]), Path(question["target"])
        UNDER_WAY.append(target)
        answer(dataclasses.asdict(colorize(colorizer, source, target, settings)))
        UNDER_WAY.clear()


def _limit_memory() -> None:
    """Let one picture take no more than a few gigabytes, whatever its header says."""
    with contextlib.suppress(PictureError):  # which every picture says
        limit_memory((max_memory() + _ROOM) * 1_000_000)


if __name__ == "__main__":
    main()
