"""Ctrl-C that ends a batch between two steps, not in the middle of one."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def noted_interrupt() -> Iterator[Callable[[], bool]]:
    """Note a Ctrl-C instead of raising it; what is given says whether there was one."""
    noted = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as of a job in the background
        signal.signal(signal.SIGINT, lambda *_: noted.set())
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
