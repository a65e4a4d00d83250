"""Memory that runs out: how that shows, and how much there may be."""

import contextlib
import errno
import os
import re
from pathlib import Path

_WORDS = re.compile(
    r"bad.?alloc|out of memory|(insufficient|not enough) memory|"
    r"memory allocation error: unspecified|allocating \d+ bytes failed|memory allocation error \(|"
    r"error creating thread|"
    r"(cannot|can't|could not|failed to|unable to) (allocate|start new thread)|resource.?exhausted",
    re.IGNORECASE,
)
"""How libraries say so that have no `MemoryError`."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what is behind it, is for want of memory."""
    while error is not None:
        if isinstance(error, MemoryError) or _WORDS.search(str(error)):
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        error = error.__cause__ or error.__context__
    return False


def is_near_limit() -> bool:
    """Whether this process has taken nearly all that `ulimit -v` lets it: then calls fail oddly."""
    for size, _ in _of_process():
        with contextlib.suppress(OSError, AttributeError):  # not on Linux
            peak = re.search(r"VmPeak:\s+(\d+) kB", Path("/proc/self/status").read_text())
            return peak is not None and int(peak[1]) * 1024 > 0.9 * size
    return False


def memory_limit() -> str:
    """How much memory a process may take here, and what sets the limit.

    Example:

    >>> from kh_zoo.memory import memory_limit
    >>> memory_limit()  # doctest: +SKIP
    '1.5 GB by `ulimit -v`'
    """
    size, source = min((*_of_process(), *_of_group(), *_of_machine()), default=(0, ""))
    return f"{size / 1e9:.1f} GB {source}" if size else "what this system gives"


def _of_process() -> list[tuple[int, str]]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    size, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if size == resource.RLIM_INFINITY else [(size, "by `ulimit -v`")]


def _of_group(proc: Path = Path("/proc/self/cgroup")) -> list[tuple[int, str]]:
    """Of the control group and those above it, as of a container or a service."""
    found = []
    try:
        groups = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except (OSError, ValueError):
        return []
    for _, controllers, path in groups:
        if controllers not in ("", "memory"):
            continue
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        top = Path("/sys/fs/cgroup", controllers)
        folder = top / path.strip("/")
        while True:
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                found.append((int((folder / name).read_text()), "by the control group"))
            if folder == top:
                break
            folder = folder.parent
    return found


def _of_machine() -> list[tuple[int, str]]:
    try:
        return [(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "in this machine")]
    except (AttributeError, ValueError, OSError):  # Windows
        return []
