"""Many pictures, coloured by a runner: what is done is noted, so that a batch can go on later."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kh_zoo.batches.journal import Journal
from kh_zoo.batches.plan import Job, Plan
from kh_zoo.batches.resume import judge, resume
from kh_zoo.pictures.unfinished import remove_unfinished
from kh_zoo.workers.answer import Answer
from kh_zoo.workers.settings import Settings

if TYPE_CHECKING:
    from kh_zoo.runners import Runner


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an input."""

    source: Path
    target: Path | None
    """The output; None for what has none, such as a folder that can't be read."""
    status: Literal["done", "skipped", "failed"]
    reason: str | None = None
    """Why it failed, was skipped, or is done again."""
    notes: tuple[str, ...] = ()
    """What was not taken from its file."""
    seconds: float = 0.0
    fatal: bool = False
    """Whether what is left would fail for the same reason, so that it was not begun."""


class Batch:
    """Many pictures, coloured by a runner.

    What is begun and what came of it is noted in the journals of the output folders, here alone:
    a batch that was ended goes on where it was.

    Args:
        plan: What `plan_batch` returned.
        settings: How they are coloured. The model is on this disk.
        runner: Where they are coloured; started by who made it.
        held: The journal of the only output folder, where it is open for more than this batch.

    Raises:
        PlanError: All outputs are refused.
        OutputError: In the place of a journal is something else.
        ZooError: The model or an option of the settings is none.
    """

    def __init__(
        self, plan: Plan, settings: Settings, runner: "Runner", held: Journal | None = None
    ) -> None:
        self.held = held
        if held:
            held.recall(job.target for job in (*plan.jobs, *plan.finished))
            self.journals = {held.root: held}
            self.plan = judge(plan, self.journals)
        else:
            self.plan, self.journals = resume(plan, settings)
        self.settings = settings
        self.runner = runner
        self.tried = 0
        """How many of the pictures that are to be coloured were."""

    def run(
        self,
        interrupted: Callable[[], bool] = lambda: False,
        on_picture: Callable[[int], object] = lambda _: None,
    ) -> Iterator[Outcome]:
        """Colour them, and yield what became of each input: first of those that need no colouring.

        Args:
            interrupted: Asked now and then; once it says so, the batch ends.
            on_picture: Told how many were tried, in whatever order; outcomes keep that of the plan.

        Raises:
            OutputError: A journal can't be opened, or another batch is writing to it.
            ZooError: The model can't be loaded.
        """
        plan = self.plan
        if not plan.jobs and not self.held:
            self.settings.check_gpu()
        for job in plan.finished:
            yield Outcome(job.source, job.target, "skipped", job.reason)
        for job in plan.refused:
            yield Outcome(job.source, job.target, "failed", job.reason)
        for path in plan.own:
            yield Outcome(path, None, "skipped", "an output itself")
        for path, reason in plan.unreadable:
            yield Outcome(path, None, "failed", reason)
        if not plan.jobs:
            return
        with contextlib.ExitStack() as opened:
            for journal in () if self.held else self.journals.values():
                opened.enter_context(journal)
            remove_unfinished(job.target for job in (*plan.jobs, *plan.finished))
            waiting: dict[int, Outcome] = {}
            following = 0
            for number, outcome in self._colorize(interrupted):
                self.tried += 1
                on_picture(self.tried)
                waiting[number] = outcome
                while following in waiting:
                    yield waiting.pop(following)
                    following += 1
            for number in sorted(waiting):  # those before it were not tried
                yield waiting[number]

    def _colorize(self, interrupted: Callable[[], bool]) -> Iterator[tuple[int, Outcome]]:
        jobs = self.plan.jobs
        try:
            for number, answer in self.runner.run(jobs, self._begin, interrupted):
                yield number, self._settle(jobs[number], answer)
        except _NoJournal as error:
            yield jobs.index(error.job), _failed(error.job, Answer(str(error), fatal=True))

    def _begin(self, job: Job) -> None:
        """Note that a picture is begun; called by the runner, maybe in a thread."""
        with _noting(job):
            self.journals[job.root].begin(job.target)

    def _settle(self, job: Job, answer: Answer) -> Outcome:
        journal = self.journals[job.root]
        if answer.read and answer.written:
            with _noting(job):
                journal.done(job.source, job.target, answer.read, answer.written)
            reason = f"again: {job.reason}" if job.reason else None
            return Outcome(
                *(job.source, job.target, "done", reason, answer.notes, answer.seconds),
            )
        if not answer.fatal:
            with _noting(job):
                journal.failed(job.source, job.target, str(answer.reason))
        return _failed(job, answer)


class _NoJournal(Exception):  # noqa: N818
    """A journal that can't be written: the batch could not go on later."""

    def __init__(self, job: Job, error: OSError) -> None:
        super().__init__(f"can't write its journal: {error.strerror or error}")
        self.job = job


@contextlib.contextmanager
def _noting(job: Job) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _NoJournal(job, error) from error


def _failed(job: Job, answer: Answer) -> Outcome:
    return Outcome(
        *(job.source, job.target, "failed", answer.reason, answer.notes, answer.seconds),
        fatal=answer.fatal,
    )
