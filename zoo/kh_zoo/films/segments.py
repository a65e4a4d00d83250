"""What is finished of a film, on the disk: so that a run that was killed is gone on with."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

from kh_zoo.batches.journal import lock
from kh_zoo.errors import OutputError
from kh_zoo.files.whole_files import make_folder, write_whole

_SETTINGS = "settings.json"


class Encoded(NamedTuple):
    """A frame in the film's codec, and when it is shown."""

    pts: int
    duration: int
    keyframe: bool
    data: bytes


class Segments:
    """A folder beside the output, with some hundred encoded frames in each file.

    A segment counts once its list of frames is there, which is written last, whole or not at all.
    Others, and those of other settings, are removed.

    Args:
        target: The film that is being made.
        settings: All that decides what is in the segments.
        length: Of a segment, in frames.

    Raises:
        OutputError: The folder can't be written to, or another process does so.
    """

    def __init__(self, target: Path, settings: dict[str, Any], length: int) -> None:
        self.folder = target.with_name(f".{target.name}.unfinished")
        self._settings = json.dumps({**settings, "length": length}, sort_keys=True)
        self.length = length
        self._lists: list[list[list[int]]] = []
        self._payload: BinaryIO | None = None
        self._open: list[list[int]] = []

    def __enter__(self) -> "Segments":
        try:
            make_folder(self.folder)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
            if not lock(self._lock, shared=False):
                os.close(self._lock)
                raise OutputError(f"another run is writing to {self.folder}: let it end")
            known = self.folder / _SETTINGS
            if not known.is_file() or known.read_text() != self._settings:
                for path in self.folder.iterdir():
                    if path.name != "lock":
                        path.unlink()
                write_whole(known, self._settings.encode())
            while self._list(len(self._lists)).is_file():
                self._lists.append(json.loads(self._list(len(self._lists)).read_text()))
        except OSError as error:
            raise OutputError(f"can't write to {self.folder}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._payload:
            self._payload.close()
        os.close(self._lock)

    @property
    def frames(self) -> int:
        """How many are in the finished segments."""
        return sum(map(len, self._lists))

    def add(self, frame: Encoded) -> None:
        """Add a frame to the segment that is not finished yet."""
        if self._payload is None:
            self._payload = self._data(len(self._lists)).open("wb")
        self._payload.write(frame.data)
        self._open.append([frame.pts, frame.duration, frame.keyframe, len(frame.data)])

    def finish(self) -> None:
        """Finish the segment."""
        if self._payload is None:
            return
        self._payload.flush()
        os.fsync(self._payload.fileno())
        self._payload.close()
        self._payload = None
        write_whole(self._list(len(self._lists)), json.dumps(self._open).encode())
        self._lists.append(self._open)
        self._open = []

    def read(self) -> Iterator[Encoded]:
        """All frames of the finished segments."""
        for number, frames in enumerate(self._lists):
            with self._data(number).open("rb") as payload:
                for pts, duration, keyframe, size in frames:
                    yield Encoded(pts, duration, bool(keyframe), payload.read(size))

    def remove(self) -> None:
        """Remove the folder, when the film has its name."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _data(self, number: int) -> Path:
        return self.folder / f"{number:06}.frames"

    def _list(self, number: int) -> Path:
        return self.folder / f"{number:06}.json"
