"""The runner that colours pictures on a Ray cluster, by Ray Data."""

import dataclasses
import json
import queue
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kh_zoo import errors
from kh_zoo.catalog.find import find
from kh_zoo.errors import PluginWarning, RunnerError, WorkerError
from kh_zoo.pictures.unfinished import remove_unfinished
from kh_zoo.runners import TIMEOUT
from kh_zoo.workers.answer import Answer
from kh_zoo.workers.settings import Settings

if TYPE_CHECKING:
    from kh_zoo.batches.plan import Job

_POLL = 0.1
_PATIENCE = 60
"""Seconds that leaving a cluster may take."""


class RayRunner:
    """Colours pictures on the machines of a Ray cluster, which see the same folders.

    The cluster is that of `RAY_ADDRESS` or of `ray start`, or else one of this machine's own, for
    this run. An actor that is lost, with its machine or alone, is replaced, and what it had under
    way is coloured again.

    Args:
        settings: How they are coloured.
        workers: How many at a time, on one core each; None for as many as there are cores.
        timeout: Seconds that a picture may take.

    Raises:
        RunnerError: Ray is not installed.
    """

    def __init__(
        self, settings: Settings, workers: int | None = None, timeout: float = TIMEOUT
    ) -> None:
        if not find_spec("ray"):
            raise RunnerError(
                "`runner` 'ray' needs Ray: pip install 'keras-hypercolumns[ray]', on each machine"
            )
        if find(settings.model).where == "path":  # an actor has another working folder
            settings = dataclasses.replace(settings, model=str(Path(settings.model).absolute()))
        self.device = ""
        self._question = {"settings": settings.__dict__, "workers": workers, "timeout": timeout}
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._driver: subprocess.Popen[str] | None = None
        self._workers = 0

    def start(self) -> None:
        """Start the process that joins the cluster."""
        self._driver = subprocess.Popen(
            [sys.executable, "-P", "-m", "kh_zoo.runners.ray_driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # It talks a lot of its own affairs.
            stderr=None if errors.debugging() else subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            # Ctrl-C is for who started it.
            start_new_session=True,
        )
        self._tell(self._question)
        threading.Thread(target=self._read, args=(self._driver.stdout,), daemon=True).start()

    @property
    def workers(self) -> int:
        """How many at a time, which the cluster says; an error if it doesn't."""
        if not self._workers:
            self._workers = self._checked(self._answers.get())["workers"]
        return self._workers

    def run(
        self,
        jobs: Sequence["Job"],
        begin: "Callable[[Job], object]",
        interrupted: Callable[[], bool],
    ) -> Iterator[tuple[int, Answer]]:
        """Yield what becomes of each picture: see `Runner`."""
        _ = self.workers
        for job in jobs:
            begin(job)
        self._tell([(str(job.source.absolute()), str(job.target.absolute())) for job in jobs])
        warned: set[str] = set()
        left = len(jobs)
        while left and not interrupted():
            try:
                answer = self._checked(self._answers.get(timeout=_POLL))
            except queue.Empty:
                continue
            for text in set(answer["warnings"]) - warned:
                warned.add(text)
                warnings.warn(PluginWarning(text), stacklevel=2)
            self.device = self.device or answer["device"]
            left -= 1
            yield answer["number"], Answer.of(answer)
            if answer["fatal"]:
                return
        if not left:  # no actor is at work any more; what lost ones have left is removed
            remove_unfinished(job.target for job in jobs)

    def __enter__(self) -> "RayRunner":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; what runs for this one is ended."""
        if self._driver and self._driver.stdin:
            self._driver.stdin.close()
            try:
                self._driver.wait(_PATIENCE)
            except subprocess.TimeoutExpired:  # a cluster that no longer answers
                self._driver.kill()
                self._driver.wait()

    def _tell(self, line: Any) -> None:
        if self._driver and self._driver.stdin:
            try:
                self._driver.stdin.write(json.dumps(line) + "\n")
                self._driver.stdin.flush()
            except OSError:  # it has ended, which reading shows
                pass

    def _read(self, lines: IO[str]) -> None:
        """Read in a thread, so that Ctrl-C need not wait for a picture."""
        for line in lines:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _checked(self, answer: dict[str, Any] | None) -> dict[str, Any]:
        if answer is None:
            raise WorkerError("the connection to Ray has ended; KH_DEBUG=1 shows what it says")
        if "kind" in answer:
            raise getattr(errors, answer["kind"], WorkerError)(answer["reason"])
        return answer
