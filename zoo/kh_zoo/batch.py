"""Many pictures, several at a time, in processes of their own."""

import dataclasses
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kh_zoo.errors import PluginWarning
from kh_zoo.journal import Journal, Stamp
from kh_zoo.settings import Settings
from kh_zoo.worker import Worker

if TYPE_CHECKING:
    from kh_zoo.plan import Job

TIMEOUT = 900.0
"""Seconds that a picture may take."""
MOST = 4
"""At a time, unless more are asked for: each takes memory for a model."""
_POLL = 0.1


def default_workers() -> int:
    """How many pictures at a time suit this machine."""
    return min(MOST, _cores())


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a picture."""

    number: int
    """Its place among the jobs."""
    job: "Job"
    reason: str | None
    """Why it failed; None if it was written."""
    notes: tuple[str, ...]
    """What was not taken from its file."""
    seconds: float
    fatal: bool
    """Whether what is left would fail for the same reason, so that it is not begun."""


class Batch:
    """Colours pictures, several at a time, each in one of a few processes.

    Reading, predicting and writing overlap because the processes do. Each has one picture at a
    time: nothing waits in memory, and if a process ends or stalls it is known on which picture.

    Args:
        settings: How they are coloured.
        workers: How many processes.
        timeout: Seconds that a picture may take.
    """

    def __init__(self, settings: Settings, *, workers: int, timeout: float = TIMEOUT) -> None:
        # One process has all cores; several share them, and get in each other's way if they don't.
        threads = max(1, _cores() // workers) if workers > 1 else None
        self._workers = [Worker(settings, timeout, threads) for _ in range(workers)]
        self._done: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._killed = threading.Event()
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """What is computed on; empty until a model is loaded, or if its engine doesn't say."""
        return next((worker.device for worker in self._workers if worker.device), "")

    def start(self) -> None:
        """Start the first process, which takes a moment, while something else is done."""
        self._workers[0].start()

    def run(
        self,
        jobs: Sequence["Job"],
        journals: Mapping[Path, Journal],
        interrupted: Callable[[], bool],
    ) -> Iterator[Outcome]:
        """Yield what becomes of each picture, as soon as it is known.

        Args:
            jobs: The pictures.
            journals: To write to, by the output folder; open.
            interrupted: Asked now and then. Once it says so, the processes are ended, and only
                what was written before is yielded.

        Raises:
            ZooError: The model can't be loaded.
        """
        remaining = iter(enumerate(jobs))
        threads = [
            threading.Thread(target=self._serve, args=(worker, remaining, journals))
            for worker in self._workers[: len(jobs)]
        ]
        running = len(threads)
        for thread in threads:
            thread.start()
        failure: BaseException | None = None
        try:
            while running:
                if interrupted():
                    self._kill()
                try:
                    outcome = self._done.get(timeout=_POLL)
                except queue.Empty:
                    continue
                if outcome is None:
                    running -= 1
                elif isinstance(outcome, BaseException):
                    failure = failure or outcome
                    self.stop()
                else:
                    self._warn()
                    yield outcome
            self._warn()
            if failure:
                raise failure
        finally:
            self._kill()
            for thread in threads:
                thread.join()

    def stop(self) -> None:
        """Begin no further picture."""
        self._stopping.set()

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.stop()
            worker.close()

    def __enter__(self) -> "Batch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _kill(self) -> None:
        self._killed.set()
        self.stop()
        for worker in self._workers:
            worker.stop()

    def _serve(
        self,
        worker: Worker,
        remaining: Iterator[tuple[int, "Job"]],
        journals: Mapping[Path, Journal],
    ) -> None:
        """Give one process picture after picture, in a thread."""
        try:
            worker.load()
            while not self._stopping.is_set():
                with self._lock:
                    following = next(remaining, None)
                if following is None:
                    break
                self._do(worker, *following, journals)
        except Exception as error:
            if not self._killed.is_set():
                self._done.put(error)
        finally:
            worker.close()
            self._done.put(None)

    def _do(
        self, worker: Worker, number: int, job: "Job", journals: Mapping[Path, Journal]
    ) -> None:
        journal = journals.get(job.root) if job.root else None
        started = time.monotonic()
        answer: dict[str, Any] = {}
        try:
            if journal:
                journal.begin(job.target)
            answer = worker.colorize(job.source, job.target)
            reason = answer.get("reason")
            if reason and self._killed.is_set():
                return
            fatal = answer.get("disk_full", False)
            if journal and reason is None:
                read, written = Stamp(**answer["read"]), Stamp(**answer["written"])
                journal.done(job.source, job.target, read, written)
            elif journal and reason and not fatal:
                journal.failed(job.source, job.target, reason)
        except OSError as error:  # without its journal the run could not go on later
            reason, fatal = f"can't write its journal: {error.strerror or error}", True
        if fatal:
            self.stop()
        notes = tuple(answer.get("notes", ()))
        seconds = answer.get("seconds", time.monotonic() - started)
        self._done.put(Outcome(number, job, reason, notes, seconds, fatal))

    def _warn(self) -> None:
        """Say what plugins warned of, once though each process does."""
        for worker in self._workers:
            while worker.warnings:
                text = worker.warnings.pop(0)
                if text not in self._warned:
                    self._warned.add(text)
                    warnings.warn(PluginWarning(text), stacklevel=2)
