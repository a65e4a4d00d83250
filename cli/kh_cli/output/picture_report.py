"""What becomes of pictures, for who reads along and for programs; counted, with a summary."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line, write_record

if TYPE_CHECKING:
    from kh_zoo.batches.plan import Plan
    from kh_zoo.runners.outcome import Outcome

_NOTES = 5
"""Kinds of notes in the summary; `--json` has all."""
_KINDS = 8
"""Kinds of files in the summary that were passed over."""


class PictureReport:
    """Prints what becomes of each input, in the order of the inputs, and counts it.

    Args:
        progress: Above whose bar is printed.
        json: Print a line of JSON for every input, instead of the path of every output.
        names: What files are called that have others for whoever gave them.
    """

    def __init__(
        self, progress: Progress, json: bool, names: Mapping[Path, str] | None = None
    ) -> None:
        self.progress = progress
        self.json = json
        self.names = names or {}
        self.written = 0
        self.failed = 0
        self.tried = 0
        self.left = 0
        self.notes: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.own = 0
        self.passed: Mapping[str, int] = {}
        self.started = time.monotonic()
        self._waiting: dict[int, Outcome | None] = {}
        self._next = 0

    def add(self, plan: "Plan") -> None:
        """Tell what of a batch is not to be done, and why some is done again."""
        for job in plan.finished:
            self.record(job.source, job.target, "skipped", job.reason)
        for job in plan.refused:
            self.fail(job.source, job.target, job.reason)
        for path in plan.own:
            self.record(path, None, "skipped", "an output itself")
        for path, reason in plan.unreadable:
            self.fail(path, None, reason)
        self.finished.update(job.reason for job in plan.finished)
        self.own += len(plan.own)
        self.passed = plan.passed

    def begin(self, plan: "Plan") -> None:
        """Say why some are done again."""
        for reason, count in Counter(job.reason for job in plan.jobs if job.reason).items():
            self.progress.say(f"{count} of them again: {reason}")

    def take(self, outcome: "Outcome", *, silent: bool = False) -> None:
        """Print an outcome when it is its turn, unless it is not the last word."""
        self.tried += 1
        self.progress.advance(self.tried)
        self._waiting[outcome.number] = None if silent else outcome
        while self._next in self._waiting:
            self._tell(self._waiting.pop(self._next))
            self._next += 1

    def flush(self) -> None:
        """Print the outcomes that wait for others, which don't come; a batch is over."""
        for number in sorted(self._waiting):
            self._tell(self._waiting.pop(number))
        self._next = 0

    def _tell(self, outcome: "Outcome | None") -> None:
        if outcome is None:
            return
        job = outcome.job
        if outcome.reason:
            self.fail(job.source, job.target, outcome.reason, outcome.seconds)
            if outcome.fatal:
                self.progress.say("stopped: what is left would fail for the same reason")
            return
        self.written += 1
        self.notes.update(outcome.notes)
        why = f"again: {job.reason}" if job.reason else None
        self.record(job.source, job.target, "done", why, outcome.seconds, outcome.notes)
        if not self.json and job.target not in self.names:
            write_line(job.target)

    def record(
        self,
        source: Path,
        target: Path | None,
        status: str,
        reason: str | None = None,
        seconds: float = 0.0,
        notes: tuple[str, ...] = (),
    ) -> None:
        if self.json:
            write_record(
                {
                    "input": self.names.get(source, str(source)),
                    "output": str(target) if target else None,
                    "status": status,
                    "reason": reason,
                    "notes": notes,
                    "seconds": round(seconds, 3),
                }
            )

    def fail(self, source: Path, target: Path | None, reason: str, seconds: float = 0.0) -> None:
        self.failed += 1
        self.record(source, target, "failed", reason, seconds)
        self.progress.say(f"{self.names.get(source, source)}: {reason}")

    def summarize(self, device: str, *, stopped: str = "", skipped: str = "", left: str) -> None:
        """Print what has become of all.

        Args:
            device: What was computed on, if that is known.
            stopped: How it ended.
            skipped: What to do about what was skipped.
            left: What becomes of what is left.
        """
        on = f" on {device}" if device else ""
        seconds = time.monotonic() - self.started
        lines = [f"{stopped}{self.written} coloured in {seconds:.1f} s{on}"]
        lines += [f"{count} of them: {note}" for note, count in self.notes.most_common(_NOTES)]
        for reason, count in self.finished.items():
            lines.append(f"{count} skipped: {reason}{skipped}")
        if self.own:
            lines.append(f"{self.own} skipped: outputs themselves")
        if self.passed:
            kinds = Counter(self.passed).most_common()
            said = ", ".join(f"{count} {kind}" for kind, count in kinds[:_KINDS])
            more = sum(count for _, count in kinds[_KINDS:])
            also = f", {more} others" if more else ""
            lines.append(f"{sum(self.passed.values())} passed over: {said}{also}")
        if self.failed:
            lines.append(f"{self.failed} failed")
        if self.left:
            lines.append(f"{self.left} left: {left}")
        tell(*lines)
