"""Pictures that arrive in a folder, each once it is complete."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kh_zoo.batches.walk import Walk

PATIENCE = 30.0
"""Seconds after which a file that can't be read is believed to be broken, not to be on its way."""
_IDLE = 10
"""Looking takes at most the share 1 / (1 + this) of the time."""
_OFTEN = 0.5
"""Seconds between two looks, at least."""


class _State(NamedTuple):
    size: int
    mtime_ns: int
    ctime_ns: int
    """That of a copy whose other time is that of the original."""


class _Seen:
    """A picture, as it was seen last."""

    def __init__(self, state: _State | None, since: float) -> None:
        self.state = state
        self.since = since
        self.tries = 0
        self.done = False


class Arrivals:
    """Looks at a folder again and again, and says which pictures in it are complete.

    Nothing tells that a file is complete: a scanner pauses while it writes, and network drives
    don't notify of what other machines do on them. So one is taken for complete when it has not
    changed for a while, and one that can't be read then is tried once more after a longer while.
    One that changes later is complete anew.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from kh_zoo.batches.arrivals import Arrivals
    >>> now = [0.0]
    >>> folder = Path(tempfile.mkdtemp())
    >>> arrivals = Arrivals(folder, settle=5, clock=lambda: now[0])
    >>> _ = (folder / "scan.png").write_bytes(b"half")
    >>> arrivals.look()
    []
    >>> now[0] = 4
    >>> _ = (folder / "scan.png").write_bytes(b"half and half")
    >>> arrivals.look()
    []
    >>> now[0] = 9
    >>> [path.name for path in arrivals.look()]
    ['scan.png']

    Args:
        folder: The folder; folders in it are looked into.
        output: A folder in it that is no input.
        settle: Seconds for which a file that is complete has not changed. NFS and SMB may tell of a
            change some seconds late.
        patience: Seconds after which one that can't be read is broken.
        clock: Tells the time.
    """

    def __init__(
        self,
        folder: Path,
        output: Path | None = None,
        *,
        settle: float,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.output = output
        self.settle = settle
        self.patience = max(patience, settle)
        self.clock = clock
        self.own: set[Path] = set()
        """Outputs in it, by their names."""
        self.passed: Counter[str] = Counter()
        """Other files in it, when it was looked at last."""
        self.has_output = False
        """Whether the output folder is in it."""
        self.unreadable: list[tuple[Path, str]] = []
        """What can't be looked at, and could be the time before, each with the reason."""
        self.pause = _OFTEN
        """Seconds until it should be looked at again."""
        self._blocked: set[Path] = set()
        self._seen: dict[Path, _Seen] = {}

    def look(self) -> list[Path]:
        """Return the pictures that have become complete, sorted."""
        begun = self.clock()
        walk = Walk(self.folder, self.output)
        self.own |= set(walk.own)
        self.passed = walk.passed
        self.has_output = walk.has_output
        self.unreadable = [
            (path, why) for path, why in walk.unreadable if path not in self._blocked
        ]
        self._blocked = {path for path, _ in walk.unreadable}
        before = self._seen
        # What is out of sight for a while, as on a drive that was unplugged, is not forgotten.
        self._seen = dict(before) if walk.unreadable else {}
        complete = []
        for path in walk.found:
            state, now = _state(path), self.clock()
            seen = before.get(path)
            if seen is None or seen.state != state:
                seen = _Seen(state, now)
            self._seen[path] = seen
            rested = now - seen.since
            if not seen.done and rested >= (self.patience if seen.tries else self.settle):
                seen.done = True
                seen.tries += 1
                complete.append(path)
        self.pause = max(_OFTEN, _IDLE * (self.clock() - begun))
        return complete

    def may_be_incomplete(self, path: Path) -> bool:
        """Whether a picture that could not be read may still be on its way; it comes again then."""
        seen = self._seen.get(path)
        if seen is None or not seen.done:
            return False
        if _state(path) != seen.state:
            return True
        if self.clock() - seen.since >= self.patience:
            return False
        seen.done = False
        return True

    @property
    def pictures(self) -> list[Path]:
        """All that are in it, and not in the output folder."""
        return list(self._seen)

    @property
    def waiting(self) -> dict[Path, bool]:
        """Pictures that are not known to be complete, and whether they were tried as they are."""
        return {path: seen.tries > 0 for path, seen in self._seen.items() if not seen.done}


def _state(path: Path) -> _State | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _State(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
