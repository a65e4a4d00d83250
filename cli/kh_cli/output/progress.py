"""What a person reads while it runs: stderr, a bar with the time left when that is a terminal."""

import sys
import time
from types import TracebackType
from typing import Any, Literal

from kh_cli.output.stderr import tell, told

LOG_SECONDS = 60
"""Where there is no bar, a line at most this often."""


class Progress:
    """A bar on a terminal; elsewhere, if wanted, a line now and then.

    Args:
        label: Beside the bar.
        total: How many steps there are; `None` if that is not known.
        quiet: Nothing but errors.
        log: Print lines where stderr is no terminal.
        unit: What is counted.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        *,
        quiet: bool = False,
        log: bool = False,
        unit: Literal["", "bytes"] = "",
    ) -> None:
        self.label = label
        self.unit = unit
        self.total = total
        self.log = log and not quiet
        self.bar: Any = None
        self.logged = time.monotonic()
        if not quiet and sys.stderr.isatty():
            self.bar = _bar(label, total, unit)

    def __enter__(self) -> "Progress":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()

    def advance(self, to: int, *, total: int | None = None, note: str = "") -> None:
        """Tell how many steps are done, of how many if that is new, with a note beside the bar."""
        self.total = total or self.total
        if self.bar:
            self.bar.update(0, completed=to, total=self.total, note=note)
        elif self.log and time.monotonic() - self.logged >= LOG_SECONDS:
            self.logged = time.monotonic()
            self.say(f"{self.label}: {to} of {self.total} {self.unit} {note}".rstrip())

    def say(self, text: str) -> None:
        """Print a line on stderr, above the bar."""
        if self.bar:
            self.bar.console.print(told(text), markup=False, highlight=False, soft_wrap=True)
        else:
            tell(text)


def _bar(label: str, total: int | None, unit: str) -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn() if unit else MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        # stdout is data: it goes through the bar's console only if both are one terminal.
        redirect_stdout=sys.stdout.isatty(),
    )
    bar.add_task(label, total=total, note="")
    return bar
