"""Memory that runs out: how that shows, and how much there may be."""

import contextlib
import errno
import os
import re
from pathlib import Path

from kh_zoo.errors import causes

_WORDS = re.compile(
    r"bad.?alloc|out of memory|(insufficient|not enough) memory|"
    r"memory allocation error: unspecified|allocating \d+ bytes failed|memory allocation error \(|"
    r"error creating thread|failed to map segment from shared object(?!: operation)|"
    r"(cannot|can't|could not|failed to|unable to) (allocate|start new thread)|resource.?exhausted",
    re.IGNORECASE,
)
"""How libraries say so that have no `MemoryError`."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what is behind it, is for want of memory."""
    return any(
        isinstance(one, MemoryError)
        or _WORDS.search(str(one))
        or (isinstance(one, OSError) and one.errno == errno.ENOMEM)
        for one in causes(error)
    )


def is_near_limit() -> bool:
    """Whether this process has taken nearly all that `ulimit -v` lets it: then calls fail oddly."""
    return any(_taken("VmPeak") > 0.9 * size for size, _ in _of_process("RLIMIT_AS"))


def limit_memory(more: int) -> None:
    """Let this process take no more than so many bytes beside what it has: then calls fail.

    Only where the system can: on Linux. What is mapped from files, or is only reserved, is not
    counted; what a GPU's driver maps would be.

    Example:

    >>> from kh_zoo.memory import limit_memory
    >>> limit_memory(3 * 10**9)  # doctest: +SKIP

    Args:
        more: Bytes.
    """
    taken = _taken("VmData")
    if taken:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limits = [size for size in (soft, hard) if size != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min(taken + more, *limits, 2**62), hard))


def _taken(what: str) -> int:
    """Bytes of this process, as Linux counts them; 0 elsewhere."""
    with contextlib.suppress(OSError):
        found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


def memory_limit() -> str:
    """How much memory a process may take here, and what sets the limit.

    Example:

    >>> from kh_zoo.memory import memory_limit
    >>> memory_limit()  # doctest: +SKIP
    '1.5 GB by `ulimit -v`'
    """
    own = (*_of_process("RLIMIT_AS"), *_of_process("RLIMIT_DATA"))
    size, source = min((*own, *_of_group(), *_of_machine()), default=(0, ""))
    return f"{size / 1e9:.1f} GB {source}" if size else "what this system gives"


_LIMITS = {"RLIMIT_AS": "by `ulimit -v`", "RLIMIT_DATA": "of its own, more with `KH_MAX_MEMORY`"}


def _of_process(kind: str) -> list[tuple[int, str]]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    size, _ = resource.getrlimit(getattr(resource, kind))
    return [] if size == resource.RLIM_INFINITY else [(size, _LIMITS[kind])]


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
