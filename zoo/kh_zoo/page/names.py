"""Names of pictures as a browser says them, made names of files."""

import os
import re
import unicodedata
from collections.abc import Container
from pathlib import PurePosixPath

_MOST_BYTES = 200
"""Of a name; file systems hold 255, and others are made from it."""
_MOST_DEPTH = 32
_NOT_IN_NAMES = r'[\x00-\x1f\x7f\\<>:"|?*]' if os.name == "nt" else r"[\x00-\x1f\x7f\\]"
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)")  # of Windows


def safe_path(name: str) -> PurePosixPath:
    r"""Return the path of a picture below the folder that it is written to.

    Example:

    >>> from kh_zoo.page.names import safe_path
    >>> safe_path("scans/1920.jpg").as_posix()
    'scans/1920.jpg'
    >>> safe_path("..\\passwd.jpg").as_posix()
    '_._passwd.jpg'

    Args:
        name: Name of a file, or its path from the folder that was chosen, with `/`.

    Returns:
        The same where it can be; what can't stand in a name of a file is a low line.

    Raises:
        ValueError: It is empty, absolute, leads out of the folder, or is too deep.
    """
    parts = name.split("/")
    if not 1 <= len(parts) <= _MOST_DEPTH or any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"`name` should be that of a file, or its path from the folder chosen. "
            f"Received: {name[:_MOST_BYTES]!r}"
        )
    return PurePosixPath(*map(_safe, parts))


def free_path(path: PurePosixPath, taken: Container[str]) -> PurePosixPath:
    """Return a path, with a number where it is taken.

    Example:

    >>> from pathlib import PurePosixPath
    >>> from kh_zoo.page.names import free_path
    >>> free_path(PurePosixPath("a/B.jpg"), {"a/b.jpg"}).as_posix()
    'a/B (2).jpg'

    Args:
        path: That is wanted.
        taken: Those that are not to be had, as `key` makes them.
    """
    found, number = path, 1
    while key(found) in taken:
        number += 1
        found = path.with_name(f"{path.stem} ({number}){path.suffix}")
    return found


def key(path: PurePosixPath) -> str:
    """Return what is alike for paths that some file systems take for one."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def _safe(part: str) -> str:
    part = re.sub(_NOT_IN_NAMES, "_", part.encode("utf-8", "replace").decode())
    part = re.sub(r"^\.|[. ]$", "_", _DEVICE.sub(r"\1_", part) if _DEVICE.match(part) else part)
    stem, suffix = os.path.splitext(part)
    if len(suffix.encode()) > _MOST_BYTES // 4:
        stem, suffix = part, ""
    room = _MOST_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + suffix
