"""The runner that colours pictures on a Ray cluster, by Ray Data."""

import json
import logging
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ray
import ray.data

from kh_zoo import errors
from kh_zoo.errors import PluginWarning, RunnerError, WorkerError, ZooError
from kh_zoo.runners import TIMEOUT
from kh_zoo.runners.outcome import Outcome, begin, no_journal, settle
from kh_zoo.settings import Settings
from kh_zoo.unfinished import remove_unfinished
from kh_zoo.worker import Worker

if TYPE_CHECKING:
    from kh_zoo.journal import Journal
    from kh_zoo.plan import Job

_POLL = 0.1
_MOST_IN_BLOCK = 16
"""Pictures that are answered together; so many are coloured again if a machine is lost."""
_VARIABLES = ("HF_", "KH_", "KERAS_")
"""How the variables begin that decide what a model is and how it is loaded."""


class RayRunner:
    """Colours pictures on the machines of a Ray cluster, which see the same folders.

    The cluster is the one that `RAY_ADDRESS` or `ray start` name, or else one of this machine's
    own, for this run. Each actor has a process that loads the model once, and that a picture may
    take down. An actor that is lost, with its machine or alone, is replaced, and what it had under
    way is coloured again; the journals are written here.

    Args:
        settings: How they are coloured.
        workers: How many actors, of one core each; None for as many as there are cores.
        timeout: Seconds that a picture may take.

    Raises:
        RunnerError: There is no cluster at that address.
    """

    def __init__(
        self, settings: Settings, workers: int | None = None, timeout: float = TIMEOUT
    ) -> None:
        self.workers = workers or 1
        self.device = ""
        self._settings = settings
        self._wanted = workers
        self._timeout = timeout
        self._answers: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Join the cluster, or start one."""
        variables = {
            name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)
        }
        try:
            ray.init(
                runtime_env={"env_vars": variables},
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunnerError(
                "`RAY_ADDRESS` should be that of a Ray cluster that answers; unset, one is started "
                f"here. Received: {os.environ.get('RAY_ADDRESS')!r} ({error})"
            ) from error
        self.workers = self._wanted or max(1, int(_resources().get("CPU", 1)))

    def run(
        self,
        jobs: Sequence["Job"],
        journals: "Mapping[Path, Journal]",
        interrupted: Callable[[], bool],
    ) -> Iterator[Outcome]:
        """Yield what becomes of each picture: see `Runner`."""
        for number, job in enumerate(jobs):
            try:
                begin(job, journals)
            except OSError as error:
                yield no_journal(number, job, error)
                return
        thread = threading.Thread(target=self._compute, args=(jobs,), daemon=True)
        thread.start()
        warned: set[str] = set()
        while not interrupted():
            try:
                answer = self._answers.get(timeout=_POLL)
            except queue.Empty:
                continue
            if answer is None:
                # Of actors that were lost; none is at work any more.
                remove_unfinished(job.target for job in jobs)
                return
            if isinstance(answer, Exception):
                raise answer
            for text in set(answer["warnings"]) - warned:
                warned.add(text)
                warnings.warn(PluginWarning(text), stacklevel=2)
            self.device = self.device or answer["device"]
            number = answer["number"]
            try:
                outcome = settle(number, jobs[number], answer, journals)
            except OSError as error:
                outcome = no_journal(number, jobs[number], error)
            yield outcome
            if outcome.fatal:
                return

    def __enter__(self) -> "RayRunner":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; what runs for this one is ended."""
        ray.shutdown()

    def _compute(self, jobs: Sequence["Job"]) -> None:
        """Let Ray Data colour, in a thread, so that Ctrl-C need not wait for a picture."""
        rows = [
            # Bytes, since a name may be no text.
            {
                "number": number,
                "source": os.fsencode(job.source.absolute()),
                "target": os.fsencode(job.target.absolute()),
            }
            for number, job in enumerate(jobs)
        ]
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        in_block = max(1, min(_MOST_IN_BLOCK, len(rows) // (4 * self.workers)))
        workers = min(self.workers, len(rows))
        try:
            answers = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // in_block)).map(
                cast("Any", _Actor),
                fn_constructor_args=(self._settings, self._timeout),
                concurrency=workers,
                num_cpus=1,
            )
            for row in answers.iter_rows():
                answer = json.loads(row["answer"])
                if "kind" in answer:
                    raise getattr(errors, answer["kind"], WorkerError)(answer["reason"])
                self._answers.put(answer)
            self._answers.put(None)
        except ZooError as error:
            self._answers.put(error)
        except Exception as error:
            text = str(error).strip().splitlines() or [type(error).__name__]
            self._answers.put(RunnerError(f"Ray has given up: {text[-1]}"))


def _resources() -> dict[str, float]:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources


class _Actor:
    """Holds the process that colours, on a machine of the cluster."""

    def __init__(self, settings: Settings, timeout: float) -> None:
        self._worker = Worker(settings, timeout, threads=1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        source, target = (Path(os.fsdecode(row[name])) for name in ("source", "target"))
        try:
            answer = self._worker.colorize(source, target)
        except ZooError as error:
            answer = {"kind": type(error).__name__, "reason": str(error)}
        said, self._worker.warnings = self._worker.warnings, []
        answer |= {"number": int(row["number"]), "device": self._worker.device, "warnings": said}
        return {"answer": json.dumps(answer)}
