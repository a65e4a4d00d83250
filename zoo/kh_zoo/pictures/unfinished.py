"""Temporary files of outputs, which a process that was killed has left."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{8}(?P<suffix>\.[^.]+)", re.DOTALL)
"""What `Output` calls a file until it is whole."""


def remove_unfinished(targets: Iterable[Path]) -> int:
    """Remove the temporary files of outputs, and of nothing else.

    Args:
        targets: The outputs. None of them may be being written.

    Returns:
        How many there were.
    """
    names: defaultdict[Path, set[str]] = defaultdict(set)
    for target in targets:
        names[target.parent].add(target.name)
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
