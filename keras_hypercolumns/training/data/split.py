"""Which pictures there are, and on which side of the split each of them falls."""

import hashlib
from pathlib import Path

SPLITS = ("train", "validation", "test")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def split_of(name: str) -> str:
    """Return the split of the picture named `name`, its path below the data folder.

    The sha256 of the name, as a number, modulo 20: 0 is test, 1 is validation, the rest training.
    A picture keeps its side wherever it is stored and whatever stands beside it.

    >>> split_of("flowers/daisy/100080576_f52e8ee070_n.jpg")
    'train'
    """
    remainder = int(hashlib.sha256(name.encode("utf-8")).hexdigest(), 16) % 20
    return {0: "test", 1: "validation"}.get(remainder, "train")


def list_pictures(folder: str | Path, split: str | None = None) -> list[str]:
    """Return the names of the pictures below `folder`, sorted, of one split or of all."""
    names = (
        path.relative_to(folder).as_posix()
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in SUFFIXES
    )
    return sorted(name for name in names if split in (None, split_of(name)))
