"""A disk that is full from a certain call on: any that would write into a folder.

What Python writes is met, call by call; native code is not (`test_full_disk.py` meets it). Put
beside `sitecustomize`, as `install` does, it is in the processes of a program, too.
"""

import _io
import builtins
import errno
import functools
import io
import os
from pathlib import Path

FOLDER, AT = "FAILING_DISK", "FAILING_DISK_AT"
NAMES = ("replace", "rename", "mkdir", "link", "symlink", "fsync", "write", "truncate", "ftruncate")


def install(folder, place):
    """Let the processes that are started from now on have such a disk, whose module is in
    `place`; its number is taken from the environment."""
    place.mkdir()
    (place / "sitecustomize.py").write_text("import failing_disk\nfailing_disk.start()\n")
    (place / "failing_disk.py").write_text(Path(__file__).read_text("utf-8"))
    return {FOLDER: str(folder), "PYTHONPATH": str(place)}


class Disk:
    """Refuses the calls from the one numbered `at` on; 0 refuses none."""

    def __init__(self):
        self.folder = os.path.realpath(os.environ[FOLDER])
        self.begin(int(os.environ.get(AT, 0)))

    def begin(self, at):
        self.calls, self.at = 0, at
        os.environ[AT] = str(at)

    def call(self, path):
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return
        if not os.path.realpath(os.fspath(path)).startswith(self.folder + os.sep):
            return
        self.calls += 1
        if self.at and self.calls >= self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))


def start():
    """Put it in place of what Python writes with."""
    disk = Disk()

    class Raw(io.FileIO):
        def write(self, data):
            disk.call(self.fileno())
            return super().write(data)

    whole = io.open

    @functools.wraps(whole)
    def opened(
        file,
        mode="r",
        buffering=-1,
        encoding=None,
        errors=None,
        newline=None,
        closefd=True,
        opener=None,
    ):
        if not set(mode) & set("wax+"):
            return whole(file, mode, buffering, encoding, errors, newline, closefd, opener)
        disk.call(file)
        raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    for module in (builtins, io, _io):
        module.open = opened

    def counted(name):
        original = getattr(os, name)

        @functools.wraps(original)
        def function(path, *arguments, **keywords):
            disk.call(arguments[0] if name in ("replace", "rename", "link", "symlink") else path)
            return original(path, *arguments, **keywords)

        setattr(os, name, function)

    for name in NAMES:
        counted(name)
    builtins.failing_disk = disk
