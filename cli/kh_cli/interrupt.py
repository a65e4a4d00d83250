"""Ctrl-C that can't be lost."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def noted_interrupt() -> Iterator[Callable[[], None]]:
    """Note a Ctrl-C, and raise it where it can be; what is given raises one that is due.

    libvips logs through a callback in Python, and an exception in such a callback is swallowed.
    """
    noted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        noted = True
        while frame is not None:
            if frame.f_code.co_name == "_log_handler_callback":
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    def check() -> None:
        if noted:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as of a job in the background
        signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
