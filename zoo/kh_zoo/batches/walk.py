"""Which files of a folder are pictures, which are outputs, and what is passed over."""

import os
import stat
from collections import Counter
from pathlib import Path

from kh_zoo.pictures.formats import READ, UNREAD
from kh_zoo.plugins.registry import plugins

MARK = ".color"
"""Ends the stem of a picture that is written beside its input."""
FOLDER_MARK = "-color"
"""Ends the name of the folder that is written beside an input folder."""
_NOT_OURS = frozenset(
    (
        *("@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "lost+found"),
        *("system volume information", "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    )
)
"""What systems and storage boxes keep among the files: previews, what was deleted, settings."""
_HIDDEN = "hidden"
_OF_THE_SYSTEM = "of the system"


class Walk:
    """The files below a folder; links to folders are followed, each folder being read once.

    Args:
        top: The folder.
        output: A folder in it that is no input.
    """

    def __init__(self, top: Path, output: Path | None = None) -> None:
        self.found: list[Path] = []
        """The pictures, sorted."""
        self.own: list[Path] = []
        """Files and folders that are outputs themselves, by their names."""
        self.unreadable: list[tuple[Path, str]] = []
        """What can't be looked at, each with the reason."""
        self.passed: Counter[str] = Counter()
        """How many files and folders were passed over, by their kind."""
        self.has_output = False
        """Whether the output folder is in it."""
        written = os.path.realpath(output) if output else None
        seen = set[str]()
        folders, links = [top], list[Path]()
        while folders or links:
            # Links last: so that a folder that is also linked to is found at its own place.
            folder = folders.pop() if folders else links.pop()
            real = os.path.realpath(folder)
            if real == written:
                self.has_output = True
                continue
            if real in seen:
                continue
            seen.add(real)
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                self.unreadable.append((folder, error.strerror or str(error)))
                continue
            for entry in entries:
                path = folder / entry.name
                if entry.name.startswith("."):
                    self.passed[_HIDDEN] += 1
                elif entry.name.casefold() in _NOT_OURS:
                    self.passed[_OF_THE_SYSTEM] += 1
                elif self._take(path):
                    (links if entry.is_symlink() else folders).append(path)
        self.found.sort()

    def _take(self, path: Path) -> bool:
        """Put a file where it belongs; True for a folder that is to be read."""
        mode, reason = 0, ""
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:  # a link that leads nowhere
            pass
        except OSError as error:  # one to itself, or one into a folder that can't be read
            reason = error.strerror or str(error)
        if stat.S_ISDIR(mode):
            if is_output_folder(path):
                self.own.append(path)
                return False
            return True
        if is_picture(path):
            if path.stem.endswith(MARK):
                self.own.append(path)
            elif not mode or stat.S_ISREG(mode):  # what isn't there is tried, so that it is named
                self.found.append(path)
            else:
                self.passed["no files"] += 1
        elif reason:
            self.unreadable.append((path, reason))
        else:
            self.passed[path.suffix.lower() or "without a suffix"] += 1
        return False


def is_picture(path: Path) -> bool:
    """Whether a file in a folder is taken for a picture, by its suffix."""
    suffix = path.suffix.lower()
    return suffix in READ or suffix in UNREAD or suffix in plugins().readers


def is_output_folder(folder: Path) -> bool:
    """Whether `folder` is `dir-color` and `dir` stands beside it."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    stem = folder.name.removesuffix(FOLDER_MARK)
    return stem not in ("", folder.name) and os.path.isdir(folder.with_name(stem))
