"""What a batch will read and write, decided and checked before the first picture is touched."""

import dataclasses
import os
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from kh_zoo.errors import OutputError, ZooError
from kh_zoo.pictures.formats import READ, UNREAD
from kh_zoo.pictures.output import SUFFIXES, is_own_output
from kh_zoo.plugins.registry import plugins

FALLBACK = ".png"
"""What is written where the input's own format can't be: it keeps depth and transparency."""
ALIKE = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
"""Suffixes that name the format of another."""
MARK = ".color"
"""Ends the stem of a picture that is written beside its input."""
FOLDER_MARK = "-color"
"""Ends the name of the folder that is written beside an input folder."""


class PlanError(ZooError, ValueError):
    """A batch that should not start: nothing to do, or an output that is in the way."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to read and the file to write."""

    source: Path
    target: Path
    root: Path | None = None
    """The output folder, which has a journal; None if the target is beside its input or named."""
    number: int = 0
    """Its place among the pictures of the batch, finished ones too."""
    reason: str = ""
    """Why it is passed over, or done again."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A batch of pictures."""

    jobs: tuple[Job, ...]
    """To be done, in the order of the paths, folders sorted."""
    finished: tuple[Job, ...]
    """Whose output is already there."""
    own: tuple[Path, ...]
    """Files and folders passed over because they are outputs themselves."""
    unreadable: tuple[tuple[Path, str], ...]
    """Folders that can't be listed, each with the reason."""


def plan_batch(
    paths: Iterable[Path],
    *,
    output: Path | None = None,
    suffix: str | None = None,
    overwrite: bool = False,
) -> Plan:
    """Decide what is read and what is written.

    `photo.jpg` becomes `photo.color.jpg` beside it, and the pictures of `dir/` go into `dir-color/`
    under their own names, in the same tree. Outputs of an earlier batch are no input: they are
    known by their names and by the mark inside them. In folders, other files than pictures and
    what is hidden are passed over; links to folders are followed, each folder being read once.

    Example:
        >>> plan = plan_batch([Path("photo.jpg")])  # doctest: +SKIP
        >>> plan.jobs  # doctest: +SKIP
        (Job(source=PosixPath('photo.jpg'), target=PosixPath('photo.color.jpg')),)

    Args:
        paths: Pictures and folders. A picture named here is tried whatever its suffix.
        output: The folder that takes the place of `dir-color/` and of the inputs' own folders; for
            a single picture also a file name.
        suffix: Of the files to write, one of `SUFFIXES`; by default the input's own where it is one
            of them, else `FALLBACK`.
        overwrite: Do again what is already there.

    Raises:
        PlanError: If a path is not there, two inputs would write one output, an output would
            overwrite an input, or there is no picture at all.
        OutputError: If a folder to write in is no folder, or can't be written to.
    """
    paths = [Path(path) for path in paths]
    if suffix is not None and suffix not in SUFFIXES:
        raise PlanError(f"`format` should be one of {_names(SUFFIXES)}. Received: {suffix[1:]!r}")
    for path in paths:
        if not path.is_dir() and not path.is_file():
            raise PlanError(
                f"`PATH` should be a picture or a folder of pictures, which is there. "
                f"Received: {path}"
            )
    name = _file_name(paths, output, suffix)
    folder = None if name else output

    candidates: list[Job] = []
    own: list[Path] = []
    unreadable: list[tuple[Path, str]] = []
    roots: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            root = folder or _beside(path)
            if _is_output_folder(path) or os.path.realpath(root) == os.path.realpath(path):
                own.append(path)
                continue
            roots[root] = None
            for source in _walk(path, root, own, unreadable):
                target = root / source.relative_to(path).with_name(_name(source, "", suffix))
                candidates.append(Job(source, target, root))
        elif path.stem.endswith(MARK):
            own.append(path)
        else:
            mark = "" if output else MARK
            target = name or (folder or path.parent) / _name(path, mark, suffix)
            roots[target.parent] = None
            candidates.append(Job(path, target, folder))

    marked = {job.source for job in candidates if is_own_output(job.source)}
    own += sorted(marked)
    jobs: list[Job] = []
    finished: list[Job] = []
    distinct = _distinct([job for job in candidates if job.source not in marked])
    for number, job in enumerate(distinct):
        if job.target.is_file() and not overwrite:
            finished.append(dataclasses.replace(job, number=number, reason="already there"))
        else:
            jobs.append(dataclasses.replace(job, number=number))
    if not jobs and not finished and not unreadable:
        passed = f" ({own[0]} is an output itself)" if own else ""
        raise PlanError(f"no pictures found{passed} in: {', '.join(map(str, paths))}")
    if jobs:
        for root in roots:
            _check_writable(root)
    return Plan(tuple(jobs), tuple(finished), tuple(dict.fromkeys(own)), tuple(unreadable))


def _names(suffixes: Iterable[str]) -> str:
    return ", ".join(suffix[1:] for suffix in suffixes)


def _file_name(paths: list[Path], output: Path | None, suffix: str | None) -> Path | None:
    """Return `output` if it names a file, `None` if it names a folder."""
    if output is None or output.is_dir():
        return None
    picture = output.suffix.lower() in SUFFIXES
    if len(paths) > 1 or paths[0].is_dir():
        if picture or output.is_file():
            raise PlanError(
                f"`--output` should be a folder for more than one picture. Received: {output}"
            )
        return None
    if not output.suffix and not output.is_file():
        return None
    if not picture:
        raise PlanError(
            "`--output` should be a folder, or a file name that ends in one of "
            f"{', '.join(SUFFIXES)}. Received: {output}"
        )
    if suffix and not _alike(output.suffix, suffix):
        raise PlanError(
            f"`--output` and `--format` should name one format. Received: {output} and {suffix[1:]}"
        )
    return output


def _name(source: Path, mark: str, suffix: str | None) -> str:
    """Return the file name for the output of `source`."""
    stem = source.stem if _is_picture(source) else source.name
    if suffix is None:
        own = source.suffix.lower()
        alike = ALIKE.get(own, own)
        suffix = source.suffix if own in SUFFIXES else alike if alike in SUFFIXES else FALLBACK
    elif source.suffix.lower() in SUFFIXES and _alike(source.suffix, suffix):
        suffix = source.suffix
    return stem + mark + suffix


def _is_picture(path: Path) -> bool:
    """Whether a file in a folder is taken for a picture, by its suffix."""
    suffix = path.suffix.lower()
    return suffix in READ or suffix in UNREAD or suffix in plugins().readers


def _alike(one: str, other: str) -> bool:
    """Whether two suffixes name one format."""
    one, other = one.lower(), other.lower()
    return ALIKE.get(one, one) == ALIKE.get(other, other)


def _beside(folder: Path) -> Path:
    if folder.name in ("", ".."):  # `.` and `..` have no name of their own
        folder = folder.resolve()
    if not folder.name:
        raise PlanError(f"`--output` should name a folder for the outputs of {folder}")
    return folder.with_name(folder.name + FOLDER_MARK)


def _is_output_folder(folder: Path) -> bool:
    """Whether `folder` is `dir-color` and `dir` stands beside it."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    stem = folder.name.removesuffix(FOLDER_MARK)
    return stem not in ("", folder.name) and folder.with_name(stem).is_dir()


def _walk(top: Path, root: Path, own: list[Path], unreadable: list[tuple[Path, str]]) -> list[Path]:
    """Return the pictures below `top`, sorted, without those in the output folder `root`."""
    found: list[Path] = []
    seen = {os.path.realpath(root)}
    folders, links = [top], list[Path]()
    while folders or links:
        # Links last: so that a folder that is also linked to is found at its own place.
        folder = folders.pop() if folders else links.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            unreadable.append((folder, error.strerror or str(error)))
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if _is_output_folder(path):
                    own.append(path)
                else:
                    (links if entry.is_symlink() else folders).append(path)
            elif _is_picture(path):
                # A link that leads nowhere is tried, so that it is named among the failures.
                if path.stem.endswith(MARK):
                    own.append(path)
                elif entry.is_file() or not path.exists():
                    found.append(path)
    return sorted(found)


def _distinct(jobs: list[Job]) -> list[Job]:
    """Return each job once, and refuse outputs that would be written twice or over an input."""
    sources = {os.path.realpath(job.source): job.source for job in jobs}
    by_target: dict[str, Job] = {}
    for job in jobs:
        folder = os.path.realpath(job.target.parent)
        written = os.path.join(folder, job.target.name)
        if written in sources:
            raise PlanError(
                f"`--output` should be another folder: {job.source} would overwrite the input "
                f"{sources[written]}"
            )
        # Two names that some file systems take for one, these too.
        key = unicodedata.normalize("NFC", written).casefold()
        other = by_target.setdefault(key, job)
        if os.path.realpath(other.source) != os.path.realpath(job.source):
            raise PlanError(
                f"two inputs would write one output, {job.target}: {other.source} and {job.source}"
            )
    return list(by_target.values())


def _check_writable(folder: Path) -> None:
    """Try to write in `folder`, or where it would be made."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise OutputError(
            f"`--output` should be a folder that can be written to. "
            f"Received: {folder} ({error.strerror or error})"
        ) from None
