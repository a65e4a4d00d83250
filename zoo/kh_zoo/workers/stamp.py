"""By what a changed file is told."""

import dataclasses
import hashlib
import os
import stat
from pathlib import Path

from kh_zoo.files.plain_files import NO_WAIT


@dataclasses.dataclass(frozen=True)
class Stamp:
    """By what a changed file is told: its size, when it was changed, and what is in it."""

    size: int
    mtime_ns: int
    sha256: str | None = None

    @classmethod
    def of(cls, path: Path, *, digest: bool = False) -> "Stamp | None":
        """Of a plain file; None if it is none, or can't be looked at."""
        try:
            # What was a file may be a FIFO now, which would let us wait.
            file = os.open(path, os.O_RDONLY | NO_WAIT) if digest else None
            try:
                status = os.stat(path) if file is None else os.fstat(file)
                if not stat.S_ISREG(status.st_mode):
                    return None
                return cls(
                    status.st_size, status.st_mtime_ns, None if file is None else _sha256(file)
                )
            finally:
                if file is not None:
                    os.close(file)
        except OSError:
            return None

    def is_of(self, path: Path) -> bool:
        """Whether a file is as it was; one of another time is read, one of another size is not."""
        now = Stamp.of(path)
        if now is None or now.size != self.size:
            return False
        if now.mtime_ns == self.mtime_ns or self.sha256 is None:
            return now.mtime_ns == self.mtime_ns
        now = Stamp.of(path, digest=True)
        return now is not None and now.sha256 == self.sha256


def _sha256(file: int) -> str:
    with open(file, "rb", closefd=False) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
