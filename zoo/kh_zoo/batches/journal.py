"""What was done in an output folder, so that a run that was ended goes on, and changes are seen."""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from kh_zoo.errors import OutputError
from kh_zoo.files.plain_files import NO_LINK, NO_WAIT
from kh_zoo.files.whole_files import make_folder, sync_folder
from kh_zoo.workers.stamp import Stamp

NAME = ".kh-journal.jsonl"
"""The file, in the output folder. Hidden, so it is never taken for a picture."""
_MOST = 300_000_000
"""Bytes of a journal that is read: more than half a million pictures."""
_MOST_LINE = 2**16
"""Bytes of a line: two paths of 4096 bytes, in which JSON writes a byte with at most six, fit."""
_MOST_VALUE = 200
"""Characters of a setting, which may be shown."""
_MOST_RUNS = 1000
"""Of so many runs, the last ones, it is known what their settings were."""


class Journal:
    """The journal of one output folder: JSON Lines that are only ever added to.

    A run adds a line with its settings; each picture a line when it is begun and one when it is
    done or has failed. Each is one write of a whole line; one that was cut counts for nothing. A
    line reaches the disk when the system wishes, or when the run ends: a process that is killed
    loses none, and what a power cut takes is found by the outputs themselves, each of which is on
    the disk before it has its name.

    It may come from anywhere, with the folder: so it has to be a plain file, lines that are not as
    we write them are passed over, and only those of the outputs that are asked for are kept.

    Args:
        root: The output folder.
        settings: Of this run, from `Settings.resolved`.
        targets: The outputs in it that will be asked for.
        shared: Let other runs write to it, too, as beside the inputs, where each has a few names.

    Raises:
        OutputError: In its place is no plain file that can be read, or one that is too large.
    """

    def __init__(
        self,
        root: Path,
        settings: dict[str, Any],
        targets: Iterable[Path] = (),
        *,
        shared: bool = False,
    ) -> None:
        self.root = root
        self.path = root / NAME
        self.settings = settings
        self.key = _digest(settings)
        self.passed_over = 0
        """Lines that are not as we write them."""
        self._shared = shared
        # Lines, parsed when they are asked for: of many pictures they take less memory.
        self._lines: dict[str, bytes] = {}
        self._runs: dict[str, dict[str, Any]] = {}
        self._file: int | None = None
        self.recall(targets)

    def recall(self, targets: Iterable[Path]) -> None:
        """Look up, once more, what is known of these outputs, to be judged next.

        Raises:
            OutputError: As of the class.
        """
        self.passed_over = 0
        self._read({self._name(target) for target in targets})

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

    def knows(self, target: Path) -> bool:
        """Whether there is anything in it of an output."""
        return self._name(target) in self._lines

    def other_input(self, source: Path, target: Path) -> Path | None:
        """The input that an output was made from, if that is another one and still there."""
        before = self._last(target).get("input", os.path.abspath(source))
        return (
            Path(before) if before != os.path.abspath(source) and os.path.exists(before) else None
        )

    def __enter__(self) -> "Journal":
        """Open it to be written to, alone."""
        with contextlib.ExitStack() as stack:
            try:
                make_folder(self.root)
                self._file = self._open(os.O_RDWR | os.O_APPEND | os.O_CREAT)
                stack.callback(self._close)
                sync_folder(self.root)
            except OSError as error:
                raise OutputError(
                    f"can't write to {self.path}: {error.strerror or error}"
                ) from error
            if not lock(self._file, self._shared):
                raise OutputError(
                    f"another run is writing to {self.root}: let it end, or use another `output`"
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
            stack.pop_all()
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
                self._close()

    def _close(self) -> None:
        if self._file is not None:
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

    def _open(self, flags: int) -> int:
        """Open it, if it is a plain file: nobody leads us to another one, or lets us wait."""
        kind = _kind(os.lstat(self.path).st_mode) if os.path.lexists(self.path) else None
        if kind is None:
            file = os.open(self.path, flags | NO_LINK | NO_WAIT, 0o666)
            kind = _kind(os.fstat(file).st_mode)
            if kind is None:
                return file
            os.close(file)
        raise OutputError(
            f"the journal {self.path} should be a plain file: move away what is in its place, or "
            f"use another `output`. Received: a {kind}"
        )

    def _read(self, names: set[str]) -> None:
        """Read what is known of the outputs of these names."""
        try:
            file = self._open(os.O_RDONLY)
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(f"can't read {self.path}: {error.strerror or error}") from error
        with open(file, "rb") as lines:
            if os.fstat(file).st_size > _MOST:
                raise OutputError(
                    f"the journal {self.path} should have at most {_MOST:,} bytes: move it away, "
                    "and all outputs count as finished, or use another `output`. "
                    f"Received: {os.fstat(file).st_size:,} bytes"
                )
            while line := lines.readline(_MOST_LINE):
                whole = line
                while len(whole) == _MOST_LINE and not whole.endswith(b"\n"):
                    whole = lines.readline(_MOST_LINE)  # the rest of a line that is too long
                record = _parse(line) if whole is line else None
                if record is None:
                    self.passed_over += 1
                elif record["event"] == "run":
                    self._runs.pop(record["settings"], None)
                    self._runs[record["settings"]] = record["values"]
                    if len(self._runs) > _MOST_RUNS:
                        del self._runs[next(iter(self._runs))]
                elif record["output"] in names:
                    self._lines[record["output"]] = line

    def _write(self, record: dict[str, Any]) -> None:
        assert self._file is not None
        line = json.dumps(record).encode() + b"\n"
        while line:  # a disk that is just full takes a part; the next try says why
            line = line[os.write(self._file, line) :]

    def _difference(self, key: str) -> str:
        """How the settings of an earlier run differ from those of this one."""
        before, now = self._runs.get(key), self.settings
        if before is None:
            return "other settings"
        return "other settings: " + ", ".join(
            f"{name} {before.get(name)} before, {now.get(name)} now"
            if len(str(now.get(name))) < 20
            else name
            for name in {**now, **before}
            if before.get(name) != now.get(name)
        )


_FIELDS: dict[str, dict[str, Any]] = {
    "run": {"event": str, "settings": str, "values": dict, "version": str, "time": str},
    "begun": {"event": str, "output": str},
    "done": {
        **{"event": str, "output": str, "input": str, "settings": str},
        **{"input_stamp": Stamp, "output_stamp": Stamp},
    },
    "failed": {"event": str, "output": str, "input": str, "reason": str},
}
"""What each kind of line has."""


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a line of a journal; None if it is not as we write them."""
    try:
        record = json.loads(line.decode("ascii"))
        fields = _FIELDS[record["event"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if record.keys() != fields.keys():
        return None
    for name, kind in fields.items():
        if not _fits(record[name], kind):
            return None
    return record  # type: ignore[no-any-return]


def _fits(value: Any, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str)
    if not isinstance(value, dict):
        return False
    if kind is Stamp:
        return (
            value.keys() == {"size", "mtime_ns", "sha256"}
            and type(value["size"]) is type(value["mtime_ns"]) is int
            and isinstance(value["sha256"], str | None)
        )
    return all(
        isinstance(one, str | int | float | None) and len(str(one)) <= _MOST_VALUE
        for one in value.values()
    )


def _kind(mode: int) -> str | None:
    """What is no plain file; None for one that is."""
    if stat.S_ISREG(mode):
        return None
    tests = {"link": stat.S_ISLNK, "folder": stat.S_ISDIR, "FIFO": stat.S_ISFIFO}
    return next((name for name, test in tests.items() if test(mode)), "device or socket")


def _digest(settings: dict[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lock(file: int, shared: bool) -> bool:
    """Lock a file for this process, until it is closed; False if another one has done so."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks
        return True
    return True
