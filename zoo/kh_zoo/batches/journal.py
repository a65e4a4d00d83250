"""What was done in an output folder, so that a run that was ended goes on, and changes are seen."""

import dataclasses
import datetime
import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from kh_zoo.errors import ModelError, OutputError
from kh_zoo.hub.store import file_digest

NAME = ".kh-journal.jsonl"
"""The file, in the output folder. Hidden, so it is never taken for a picture."""


@dataclasses.dataclass(frozen=True)
class Stamp:
    """By what a changed file is told: its size, when it was changed, and what is in it."""

    size: int
    mtime_ns: int
    sha256: str | None = None

    @classmethod
    def of(cls, path: Path, *, digest: bool = False) -> "Stamp | None":
        """Of a file; None if it is not there or can't be looked at."""
        try:
            status = path.stat()
            return cls(status.st_size, status.st_mtime_ns, file_digest(path) if digest else None)
        except (OSError, ModelError):
            return None

    def is_of(self, path: Path) -> bool:
        """Whether a file is as it was; one of another time is read, one of another size is not."""
        now = Stamp.of(path)
        if now is None or now.size != self.size:
            return False
        return now.mtime_ns == self.mtime_ns or (
            self.sha256 is not None and file_digest(path) == self.sha256
        )


class Journal:
    """The journal of one output folder: JSON Lines that are only ever added to.

    A run adds a line with its settings; each picture a line when it is begun and one when it is
    done or has failed. Each is one write of a whole line; one that was cut counts for nothing. A
    line reaches the disk when the system wishes, or when the run ends: a process that is killed
    loses none, and what a power cut takes is found by the outputs themselves, each of which is on
    the disk before it has its name.

    Args:
        root: The output folder.
        settings: Of this run, from `Settings.resolved`.
    """

    def __init__(self, root: Path, settings: dict[str, Any]) -> None:
        self.root = root
        self.path = root / NAME
        self.settings = settings
        self.key = _digest(settings)
        # Lines, parsed when they are asked for: of many pictures they take less memory.
        self._lines: dict[str, bytes] = {}
        self._runs: dict[str, dict[str, Any]] = {}
        self._file: int | None = None
        self._read()

    def judge(self, source: Path, target: Path) -> tuple[bool, str]:
        """Say whether an output that is there is to be made again, and why, or why not."""
        known = self._last(target)
        if not known:
            return False, "already there"
        if known["event"] != "done":
            return True, "not finished by an earlier run"
        if not Stamp(**known["output_stamp"]).is_of(target):
            return False, "already there, and changed since it was written"
        if not Stamp(**known["input_stamp"]).is_of(source):
            return True, "the input has changed"
        if known["settings"] != self.key:
            return True, self._difference(known["settings"])
        return False, "already there"

    def other_input(self, source: Path, target: Path) -> Path | None:
        """The input that an output was made from, if that is another one and still there."""
        before = self._last(target).get("input", os.path.abspath(source))
        return (
            Path(before) if before != os.path.abspath(source) and os.path.exists(before) else None
        )

    def __enter__(self) -> "Journal":
        """Open it to be written to, alone."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"can't write to {self.path}: {error.strerror or error}") from error
        if not _lock(self._file):
            os.close(self._file)
            raise OutputError(
                f"another run is writing to {self.root}: let it end, or use another `--output`"
            )
        end = os.lseek(self._file, 0, os.SEEK_END)
        if end:
            os.lseek(self._file, end - 1, os.SEEK_SET)
            if os.read(self._file, 1) != b"\n":  # a line that was cut must not spoil the next
                os.write(self._file, b"\n")
        self._write(
            {
                "event": "run",
                "settings": self.key,
                "values": self.settings,
                "version": version("keras-hypercolumns"),
                "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            try:
                os.fsync(self._file)
            finally:
                os.close(self._file)  # which also unlocks it
                self._file = None

    def forget(self) -> None:
        """Keep nothing in memory of what was read, when all is judged."""
        self._lines.clear()

    def begin(self, target: Path) -> None:
        """Note that an output is about to be written."""
        self._write({"event": "begun", "output": self._name(target)})

    def done(self, source: Path, target: Path, read: Stamp, written: Stamp) -> None:
        """Note that an output was written, and from which input."""
        self._write(
            {
                "event": "done",
                "output": self._name(target),
                "input": os.path.abspath(source),
                "input_stamp": dataclasses.asdict(read),
                "output_stamp": dataclasses.asdict(written),
                "settings": self.key,
            }
        )

    def failed(self, source: Path, target: Path, reason: str) -> None:
        """Note that an output could not be written."""
        self._write(
            {
                "event": "failed",
                "output": self._name(target),
                "input": os.path.abspath(source),
                "reason": reason,
            }
        )

    def _name(self, target: Path) -> str:
        return target.relative_to(self.root).as_posix()

    def _last(self, target: Path) -> dict[str, Any]:
        """The last that is known of an output; empty if nothing is."""
        known: dict[str, Any] = json.loads(self._lines.get(self._name(target), b"{}"))
        return known

    def _read(self) -> None:
        try:
            file = self.path.open("rb")
        except OSError:
            return
        with file:
            for line in file:
                try:
                    record = json.loads(line)
                    if record["event"] == "run":
                        self._runs[record["settings"]] = record["values"]
                    else:
                        self._lines[record["output"]] = line
                except (ValueError, LookupError, TypeError):
                    continue

    def _write(self, record: dict[str, Any]) -> None:
        assert self._file is not None
        line = json.dumps(record).encode() + b"\n"
        while line:  # a disk that is just full takes a part; the next try says why
            line = line[os.write(self._file, line) :]

    def _difference(self, key: str) -> str:
        """How the settings of an earlier run differ from those of this one."""
        before = self._runs.get(key)
        if before is None:
            return "other settings"
        return "other settings: " + ", ".join(
            f"{name} {before.get(name)} before, {value} now" if len(str(value)) < 20 else name
            for name, value in self.settings.items()
            if before.get(name) != value
        )


def _digest(settings: dict[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _lock(file: int) -> bool:
    """Lock a file for this process, until it is closed; False if another one has done so."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks
        return True
    return True
