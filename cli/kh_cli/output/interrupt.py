"""Ctrl-C, and the system's request to end: at once, or between two steps of a batch."""

import contextlib
import signal
from collections.abc import Iterator

from kh_zoo.errors import causes

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C; what `kill` and a system that shuts down send; a terminal that is closed."""


class Interrupt(KeyboardInterrupt):
    """One of `SIGNALS`."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number

    @property
    def code(self) -> int:
        """The exit code of a program that ends by it, as shells have it."""
        return 128 + self.number


class NotedInterrupt:
    """Whether there was one."""

    def __init__(self) -> None:
        self.noted: Interrupt | None = None

    def __call__(self) -> bool:
        return self.noted is not None


@contextlib.contextmanager
def noted_interrupt() -> Iterator[NotedInterrupt]:
    """Note `SIGNALS` instead of raising them; what is given says whether there was one."""
    noted = NotedInterrupt()

    def note(number: int, frame: object) -> None:
        noted.noted = noted.noted or Interrupt(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    _handle(note)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_interrupts() -> None:
    """Raise `SIGNALS` as an `Interrupt` from now on, so that what is under way is cleaned up."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupt(number)

    _handle(interrupt)


def interrupt_behind(end: SystemExit) -> Interrupt | None:
    """The `Interrupt` that was made an exit code of: Typer does so, and says nothing."""
    if end.code != Interrupt().code:
        return None
    return next((error for error in causes(end) if isinstance(error, Interrupt)), None)


def _handle(handler: object) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as of a job in the background
            signal.signal(number, handler)  # type: ignore[arg-type]
