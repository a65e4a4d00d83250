"""What became of a picture, and its note in the journal."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kh_zoo.batches.journal import Journal, Stamp

if TYPE_CHECKING:
    from kh_zoo.batches.plan import Job


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


def begin(job: "Job", journals: Mapping[Path, Journal]) -> None:
    """Note in its journal, if it has one, that a picture is begun."""
    if job.root in journals:
        journals[job.root].begin(job.target)


def settle(
    number: int, job: "Job", answer: dict[str, Any], journals: Mapping[Path, Journal]
) -> Outcome:
    """Note what a `Worker` answered, and return it.

    Raises:
        OSError: The journal can't be written.
    """
    reason, fatal = answer.get("reason"), answer.get("disk_full", False)
    if job.root in journals:
        journal = journals[job.root]
        if reason is None:
            read, written = Stamp(**answer["read"]), Stamp(**answer["written"])
            journal.done(job.source, job.target, read, written)
        elif not fatal:
            journal.failed(job.source, job.target, reason)
    notes = tuple(answer.get("notes", ()))
    return Outcome(number, job, reason, notes, answer.get("seconds", 0.0), fatal)


def no_journal(number: int, job: "Job", error: OSError) -> Outcome:
    """Return how a picture ends whose journal can't be written: the run could not go on later."""
    reason = f"can't write its journal: {error.strerror or error}"
    return Outcome(number, job, reason, (), 0.0, True)
