"""Temporary files of outputs, which a process that was killed has left."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{8}(?P<suffix>\.[^.]+)", re.DOTALL)
"""What `Output` calls a file until it is whole."""

_LONGEST = 255  # bytes that the usual file systems allow


def unfinished_name(name: str, token: str) -> str:
    """What a file is called until it is whole.

    Example:

    >>> from kh_zoo.pictures.unfinished import unfinished_name
    >>> unfinished_name("photo.jpg", "0123abcd")
    '.photo.0123abcd.jpg'

    Args:
        name: The name of the output.
        token: Eight hexadecimal digits.
    """
    stem, suffix = os.path.splitext(name)
    unfinished = f".{stem}.{token}{suffix}"
    if len(os.fsencode(unfinished)) <= _LONGEST:
        return unfinished
    return f".{_short(name)}.{token}{suffix}"


def _short(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


def remove_unfinished(targets: Iterable[Path]) -> int:
    """Remove the temporary files of outputs, and of nothing else.

    Args:
        targets: The outputs. None of them may be being written.

    Returns:
        How many there were.
    """
    names: defaultdict[Path, set[str]] = defaultdict(set)
    for target in targets:
        names[target.parent] |= {target.name, _short(target.name) + target.suffix}
    removed = 0
    for folder, ours in names.items():
        try:
            entries = list(os.scandir(folder))
        except OSError:  # not there yet
            continue
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found and found["stem"] + found["suffix"] in ours:
                Path(entry.path).unlink(missing_ok=True)
                removed += 1
    return removed
