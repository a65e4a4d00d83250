"""The default runner: several pictures at a time, in processes of their own."""

import os
import queue
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from kh_zoo.errors import PluginWarning, ZooError
from kh_zoo.runners import TIMEOUT
from kh_zoo.workers.answer import Answer
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.worker import Worker

if TYPE_CHECKING:
    from kh_zoo.batches.plan import Job

_MOST = 4
"""At a time, unless more are asked for: each takes memory for a model."""
_POLL = 0.1


class NotLoaded(Exception):  # noqa: N818
    """A process that can't load the model, where another one may have."""

    def __init__(self, reason: ZooError) -> None:
        self.reason = reason


class LocalRunner:
    """Colours pictures, several at a time, each in one of a few processes.

    Reading, predicting and writing overlap because the processes do. Each has one picture at a
    time: nothing waits in memory, and if a process ends or stalls it is known on which picture.

    Args:
        settings: How they are coloured.
        workers: How many processes; None for as many as cores, at most 4.
        timeout: Seconds that a picture may take.
    """

    def __init__(
        self, settings: Settings, workers: int | None = None, timeout: float = TIMEOUT
    ) -> None:
        self.workers = workers or min(_MOST, _cores())
        # One process has all cores; several share them, and get in each other's way if they don't.
        threads = max(1, _cores() // self.workers) if self.workers > 1 else None
        self._workers = [Worker(settings, timeout, threads) for _ in range(self.workers)]
        self._done: queue.SimpleQueue[tuple[int, Answer] | BaseException | None]
        self._done = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._killed = threading.Event()
        self._warned: set[str] = set()

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
        begin: "Callable[[Job], object]",
        interrupted: Callable[[], bool],
    ) -> Iterator[tuple[int, Answer]]:
        """Yield what becomes of each picture: see `Runner`.

        May be called again with further ones, unless it was ended before all were done: the
        processes are kept until `close`.
        """
        remaining = deque(enumerate(jobs))
        threads = [
            threading.Thread(target=self._serve, args=(worker, remaining, begin))
            for worker in self._workers[: len(jobs)]
        ]
        running = len(threads)
        for thread in threads:
            thread.start()
        failure: BaseException | None = None
        not_loaded: NotLoaded | None = None
        try:
            while running:
                if interrupted():
                    self._kill()
                try:
                    done = self._done.get(timeout=_POLL)
                except queue.Empty:
                    continue
                if done is None:
                    running -= 1
                elif isinstance(done, NotLoaded):
                    not_loaded = done  # the other processes do the rest
                elif isinstance(done, BaseException):
                    failure = failure or done
                    self.stop()
                else:
                    self._warn()
                    yield done
            self._warn()
            if failure:
                raise failure
            if not_loaded and remaining and not self._stopping.is_set():
                raise not_loaded.reason
        finally:
            if running:
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

    def __enter__(self) -> "LocalRunner":
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
        remaining: "deque[tuple[int, Job]]",
        begin: "Callable[[Job], object]",
    ) -> None:
        """Give one process picture after picture, in a thread."""
        try:
            while remaining and not self._stopping.is_set():
                try:
                    worker.load()  # before it takes a picture, which another process may do
                except ZooError as error:
                    raise NotLoaded(error) from error
                try:
                    number, job = remaining.popleft()
                except IndexError:
                    break
                begin(job)
                answer = worker.colorize(job.source, job.target)
                if answer.reason and self._killed.is_set():
                    break
                if answer.fatal:
                    self.stop()
                self._done.put((number, answer))
        except Exception as error:
            if not self._killed.is_set():
                self._done.put(error)
        finally:
            self._done.put(None)

    def _warn(self) -> None:
        """Say what plugins warned of, once though each process does."""
        for worker in self._workers:
            while worker.warnings:
                text = worker.warnings.pop(0)
                if text not in self._warned:
                    self._warned.add(text)
                    warnings.warn(PluginWarning(text), stacklevel=2)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
