"""Which pictures there are, and on which side of the split each of them falls.

The rule of `keras_hypercolumns.training.data.split`, for those who have no Keras.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

_Thing = TypeVar("_Thing")
SPLITS = ("train", "validation", "test")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def split_of(name: str) -> str:
    """Return the split of the picture named `name`, its path below the data folder.

    The sha256 of the name, as a number, modulo 20: 0 is test, 1 is validation, the rest training.
    A picture keeps its side wherever it is stored and whatever stands beside it.

    >>> split_of("flowers/daisy/100080576_f52e8ee070_n.jpg")
    'train'
    """
    content = name.encode("utf-8", "surrogateescape")  # it may be no UTF-8
    remainder = int(hashlib.sha256(content).hexdigest(), 16) % 20
    return {0: "test", 1: "validation"}.get(remainder, "train")


def list_pictures(folder: Path, split: str | None = None) -> list[str]:
    """Return the names of the pictures below `folder`, sorted, of one split or of all.

    Links to folders are followed, each folder being read once. What is hidden is passed over,
    and what is no file, such as a pipe.
    """
    found, read, tops = list[str](), set[str](), [os.fspath(folder)]
    for top in tops:
        for place, folders, files in os.walk(top):
            if (real := os.path.realpath(place)) in read:
                folders.clear()
                continue
            read.add(real)
            folders[:] = [name for name in folders if not _is_passed_over(name)]
            paths = [os.path.join(place, name) for name in folders]
            # Links last: what is also linked to is found at its own place.
            tops += [path for path in paths if os.path.islink(path)]
            within = Path(place).relative_to(folder)
            found += [
                (within / name).as_posix()
                for name in files
                if name.lower().endswith(SUFFIXES)
                and not _is_passed_over(name)
                and not _may_wait(os.path.join(place, name))
            ]
    return sorted(name for name in found if split in (None, split_of(name)))


def _is_passed_over(name: str) -> bool:
    """Whether a file or folder is hidden, or the previews that a storage box keeps."""
    return name.startswith(".") or name == "@eaDir"


def _may_wait(path: str) -> bool:
    """Whether it is a pipe or device; what isn't there is named once it is to be read."""
    return os.path.exists(path) and not os.path.isfile(path)


def evenly(things: Sequence[_Thing], count: int) -> list[_Thing]:
    """Return `count` of the things, evenly spread; all, if there are no more.

    >>> evenly("abcdef", 3)
    ['a', 'c', 'e']
    """
    if len(things) <= count:
        return list(things)
    return [things[len(things) * number // count] for number in range(count)]
