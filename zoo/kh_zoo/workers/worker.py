"""A process that colours one picture after the other: what goes wrong in it ends there."""

import errno
import os
import time
from pathlib import Path
from typing import Any

from kh_zoo.chatter import silence
from kh_zoo.errors import OutputError, PictureError, ZooError, causes
from kh_zoo.memory import is_near_limit, is_out_of_memory
from kh_zoo.pictures.unfinished import remove_unfinished
from kh_zoo.plugins.describe import describe
from kh_zoo.workers.answer import Answer
from kh_zoo.workers.process import UNDER_WAY, Process, converse, raise_reason
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.stamp import Stamp

_DEATHS = 3
"""A process that ends so many times before it has had a picture is not started again."""
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
    answer({"device": getattr(colorizer.engine, "device", "")})
    while True:
        question = questions.get()
        source, target = Path(question["source"]), Path(question["target"])
        UNDER_WAY.append(target)
        answer(attempt(colorizer, source, target, settings))
        UNDER_WAY.clear()


def attempt(colorizer: Any, source: Path, target: Path, settings: Settings) -> dict[str, Any]:
    """Colour a picture, and return an `Answer` as a dict, whatever happens."""
    started = time.monotonic()
    try:
        read = Stamp.of(source, digest=True)
        if read is None and source.exists() and not source.is_file():
            raise PictureError("no file any more")
        notes = colorizer.colorize_file(
            source, target, quality=settings.quality, compare=settings.compare
        )
        written = Stamp.of(target)
        if read is None or written is None:
            raise OutputError("vanished while it was coloured")
    except Exception as error:
        return {
            "reason": describe(error),
            "fatal": _disk_full(error),
            "short_of_memory": is_out_of_memory(error) or is_near_limit(),
            "seconds": time.monotonic() - started,
        }
    return {
        "read": read.__dict__,
        "written": written.__dict__,
        "notes": notes,
        "seconds": time.monotonic() - started,
    }


def _disk_full(error: BaseException | None) -> bool:
    """Whether the disk is full, so that every further picture would fail too."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(
        (isinstance(one, OSError) and one.errno in full)
        or any(os.strerror(number) in str(one) for number in full)  # libvips has but the text
        for one in causes(error)
    )


if __name__ == "__main__":
    main()
