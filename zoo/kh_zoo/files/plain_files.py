"""Files of a model folder from anywhere: plain ones only, inside of it, of a bounded size.

A link may lead to any file of the user, a device or a pipe may have no end. All that reads a file
of a model folder opens it here, or asks here for the path that another library opens.
"""

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kh_zoo.errors import ModelError

# None of them is there on Windows, but O_BINARY is there alone.
NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""For `os.open`: a pipe that nobody writes to is not waited for, and bytes stay as they are."""
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""For `os.open`: nobody leads us to another file."""


def inside(path: Path) -> Path:
    """Return where a file of a model folder lies, after checking that no link leads out of it.

    In the Hub's cache every file is a link to the `blobs` of its repository.

    Raises:
        ModelError: If it leads elsewhere, or nowhere.
    """
    try:
        folder, real = path.parent.resolve(), path.resolve()
    except (OSError, RuntimeError):  # the latter before Python 3.13
        raise ModelError(f"{path}: should be a file, not a link to itself") from None
    blobs = folder.parent.parent / "blobs"
    if real.parent != folder and not (folder.parent.name == "snapshots" and real.parent == blobs):
        raise ModelError(f"{path}: should be a file, not a link that leads out of its folder")
    return real


def plain_path(path: Path) -> Path:
    """Return where a file lies that another library opens, after checking that it is a plain one.

    Raises:
        ModelError: As for `open_plain`.
    """
    with open_plain(path):
        return inside(path)


@contextlib.contextmanager
def open_plain(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file of a model folder.

    Raises:
        ModelError: If it is no plain file (a folder, a pipe, a device), is not in its folder, or
            can't be read.
    """
    try:
        descriptor = os.open(inside(path), os.O_RDONLY | NO_WAIT | NO_LINK)
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ModelError(f"{path}: should be a file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_plain(path: Path, most: int) -> bytes:
    """Read a small file of a model folder.

    Args:
        path: Of the file.
        most: Bytes that it may have.

    Raises:
        ModelError: As for `open_plain`, or if it is larger.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ModelError(f"{path}: should have at most {most:,} bytes. Received: {size:,}")
        try:
            return file.read(most)
        except OSError as error:
            raise ModelError(f"{path}: can't be read ({error.strerror})") from None
