"""What becomes of pictures, for who reads along and for programs; counted, with a summary."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line, write_record
from kh_zoo.shown import counted

if TYPE_CHECKING:
    from kh_zoo.batches.batch import Outcome
    from kh_zoo.batches.plan import Plan

_NOTES = 5
"""Kinds of notes in the summary; `--json` has all."""
_KINDS = 8
"""Kinds of files in the summary that were passed over."""


class PictureReport:
    """Prints what becomes of each input, and counts it.

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
        self.left = 0
        self.skipped: Counter[str] = Counter()
        self.own = 0
        self.notes: Counter[str] = Counter()
        self.started = time.monotonic()

    def begin(self, plan: "Plan") -> None:
        """Say why some are done again."""
        for reason, count in Counter(job.reason for job in plan.jobs if job.reason).items():
            self.progress.say(f"{count} of them again: {reason}")

    def take(self, outcome: "Outcome") -> None:
        """Print an outcome."""
        source, target = outcome.source, outcome.target
        if self.json:
            write_record(
                {
                    "input": self.names.get(source, str(source)),
                    "output": str(target) if target else None,
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "notes": outcome.notes,
                    "seconds": round(outcome.seconds, 3),
                }
            )
        if outcome.status == "failed":
            self.failed += 1
            self.progress.say(f"{self.names.get(source, source)}: {outcome.reason}")
        if outcome.fatal:
            self.progress.say("stopped: what is left would fail for the same reason")
        if outcome.status == "skipped":
            self.own += target is None
            self.skipped.update([str(outcome.reason)] if target else ())
        if outcome.status == "done":
            self.written += 1
            self.notes.update(outcome.notes)
            if target and not self.json and target not in self.names:
                write_line(target)

    def summarize(
        self,
        device: str,
        passed: Mapping[str, int],
        *,
        left: str,
        stopped: str = "",
        skipped: str = "",
    ) -> None:
        """Print what has become of all.

        Args:
            device: What was computed on, if that is known.
            passed: How many files were passed over, by their kind.
            left: What becomes of what is left.
            stopped: How it ended.
            skipped: What to do about what was skipped.
        """
        on = f" on {device}" if device else ""
        seconds = time.monotonic() - self.started
        lines = [f"{stopped}{self.written} coloured in {seconds:.1f} s{on}"]
        lines += [f"{count} of them: {note}" for note, count in self.notes.most_common(_NOTES)]
        for reason, count in self.skipped.items():
            lines.append(f"{count} skipped: {reason}{skipped}")
        if self.own:
            lines.append(f"{self.own} skipped: outputs themselves")
        if passed:
            kinds = Counter(passed).most_common()
            said = ", ".join(f"{count} {kind}" for kind, count in kinds[:_KINDS])
            more = sum(count for _, count in kinds[_KINDS:])
            also = f", {counted(more, 'other')}" if more else ""
            lines.append(f"{sum(passed.values())} passed over: {said}{also}")
        if self.failed:
            lines.append(f"{self.failed} failed")
        if self.left:
            lines.append(f"{self.left} left: {left}")
        tell(*lines)
