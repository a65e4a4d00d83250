"""Encoders take no priority over all else on the machine."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextlib.contextmanager
def ordinary_priority() -> Iterator[None]:
    """Give all threads of the process the scheduling policy back that this one has now.

    SVT-AV1, where it may (as root, so in most containers), puts its threads and the one that opens
    it into the real-time class of Linux: nothing else gets the processor any more, and what is
    started later inherits it.
    """
    if not _THREADS.is_dir():
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in _THREADS.iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                if os.sched_getscheduler(int(thread.name)) != policy:
                    os.sched_setscheduler(int(thread.name), policy, parameters)
