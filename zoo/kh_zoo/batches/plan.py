"""What a batch will read and write, decided and checked before the first picture is touched."""

import dataclasses
import os
import stat
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from kh_zoo.batches.journal import NAME as JOURNAL
from kh_zoo.batches.walk import FOLDER_MARK, MARK, Walk, is_output_folder, is_picture
from kh_zoo.errors import OutputError, ZooError
from kh_zoo.pictures.formats import ALIKE
from kh_zoo.pictures.output import SUFFIXES, is_own_output

_IN_OUTPUT = "in the output folder"
FALLBACK = ".png"
"""What is written where the input's own format can't be: it keeps depth and transparency."""


class PlanError(ZooError, ValueError):
    """A batch that should not start: nothing to do, or an output that is in the way."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to read and the file to write."""

    source: Path
    target: Path
    root: Path
    """The output folder, which has a journal."""
    place: Literal["folder", "beside", "named"] = "folder"
    """Whether the root is a folder for outputs, or that of the input; or the target was named."""
    number: int = 0
    """Its place among the pictures of the batch, finished ones too."""
    reason: str = ""
    """Why it is passed over, done again, or refused."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A batch of pictures."""

    jobs: tuple[Job, ...]
    """To be done, in the order of the paths, folders sorted."""
    finished: tuple[Job, ...]
    """Whose output is already there."""
    refused: tuple[Job, ...]
    """Whose output would take the place of another file, each with the reason."""
    own: tuple[Path, ...]
    """Files and folders passed over because they are outputs themselves."""
    unreadable: tuple[tuple[Path, str], ...]
    """Folders that can't be listed, and links that can't be followed, each with the reason."""
    passed: Mapping[str, int]
    """How many files and folders in the folders were passed over, by their kind."""

    def check(self) -> None:
        """Raise `PlanError` if nothing is left to be done, or was ever, since all is refused."""
        if self.refused and not (self.jobs or self.finished or self.unreadable):
            more = f" (and {len(self.refused) - 1} more)" if len(self.refused) > 1 else ""
            raise PlanError(self.refused[0].reason + more)


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
    known by their names and by the mark inside them. In folders, other files than pictures, what is
    hidden and what systems keep there are passed over, and pictures that somebody has put into the
    output folder; links to folders are followed, each folder being read once. An output that two
    inputs would write, or that would overwrite an input, is refused.

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
        PlanError: If a path is not there, all outputs are refused, or there is no picture at all.
        OutputError: If a folder to write in is no folder, or can't be written to.
    """
    paths = [Path(path) for path in paths]
    check_format(suffix)
    for path in paths:
        _check_there(path)
    name = _file_name(paths, output, suffix)
    folder = None if name else output

    candidates: list[Job] = []
    own: list[Path] = []
    unreadable: list[tuple[Path, str]] = []
    passed: Counter[str] = Counter()
    roots: dict[Path, None] = {}
    walked_roots: dict[Path, None] = {}
    for path in paths:
        if os.path.isdir(path):
            root = folder or _beside(path)
            if os.path.realpath(root) == os.path.realpath(path):
                walked_roots[root] = None
                own.append(path)
                continue
            if is_output_folder(path):
                own.append(path)
                continue
            roots[root] = None
            walk = Walk(path, root)
            own += walk.own
            unreadable += walk.unreadable
            passed += walk.passed
            if walk.has_output:
                walked_roots[root] = None
            candidates += mirror(path, walk.found, root, suffix)
        elif path.stem.endswith(MARK) or path.name == JOURNAL:
            own.append(path)
        else:
            mark = "" if output else MARK
            target = name or (folder or path.parent) / _name(path, mark, suffix)
            roots[target.parent] = None
            place: Literal["folder", "beside", "named"]
            place = "named" if name else "folder" if folder else "beside"
            candidates.append(Job(path, target, folder or target.parent, place))

    plan = _decide(candidates, overwrite)
    for root in walked_roots:
        passed += passed_in_output(root, candidates)
    plan = dataclasses.replace(
        plan,
        own=tuple(dict.fromkeys((*own, *plan.own))),
        unreadable=tuple(unreadable),
        passed=passed,
    )
    if not (plan.jobs or plan.finished or plan.unreadable or plan.refused):
        if folder and os.path.realpath(folder) in map(os.path.realpath, paths):
            raise PlanError(f"`output` should be another folder than the input. Received: {folder}")
        also = f" ({plan.own[0]} is an output itself)" if plan.own else ""
        if passed[_IN_OUTPUT]:
            also = f" (those {_IN_OUTPUT} are no input: {passed[_IN_OUTPUT]})"
        raise PlanError(f"no pictures found{also} in: {', '.join(map(str, paths))}")
    plan.check()
    if plan.jobs:
        for root in roots:
            check_writable(root)
    return plan


def plan_arrived(
    folder: Path, arrived: Iterable[Path], *, output: Path, suffix: str | None = None
) -> Plan:
    """Decide for some pictures below a folder what `plan_batch` would for all of them.

    Args:
        folder: The folder, and
        arrived: the pictures, as `Walk` finds them.
        output: As of `plan_batch`, which it should have been checked by: see `check_watched`.
        suffix: As of `plan_batch`.
    """
    return _decide(mirror(folder, arrived, output, suffix), False)


def passed_in_output(root: Path, jobs: Iterable[Job]) -> Counter[str]:
    """Count the pictures in an output folder that are neither outputs nor inputs of the jobs.

    Somebody else has put them there, and would miss them: see `Plan.passed`.
    """
    known = {os.path.realpath(path) for job in jobs for path in (job.source, job.target)}
    return Counter(
        _IN_OUTPUT
        for path in Walk(root).found
        if os.path.realpath(path) not in known and not is_own_output(path)
    )


def check_watched(folder: Path, output: Path | None) -> Path:
    """Return the output folder for a folder in which pictures arrive.

    Raises:
        PlanError: `folder` is none that pictures are taken from, or both are one.
        OutputError: `output` is no folder, or can't be written to.
    """
    if not os.path.isdir(folder):
        raise PlanError(f"`folder` should be a folder, which is there. Received: {folder}")
    if is_output_folder(folder):
        raise PlanError(f"`folder` should be one of inputs. Received: {folder}, one of outputs")
    root = output or _beside(folder)
    if os.path.realpath(root) == os.path.realpath(folder):
        raise PlanError(f"`output` should be another folder than `folder`. Received: {root}")
    check_writable(root)
    return root


def mirror(folder: Path, sources: Iterable[Path], root: Path, suffix: str | None) -> list[Job]:
    """What becomes of pictures in a folder: in `root`, at the same place."""
    return [
        Job(source, root / source.relative_to(folder).with_name(_name(source, "", suffix)), root)
        for source in sources
    ]


def _decide(candidates: list[Job], overwrite: bool) -> Plan:
    """Tell what is to be done from what is finished, refused, or an output itself."""
    own = {job.source for job in candidates if is_own_output(job.source)}
    jobs: list[Job] = []
    finished: list[Job] = []
    distinct, refused = _distinct([job for job in candidates if job.source not in own])
    for number, job in enumerate(distinct):
        if os.path.isfile(job.target) and not overwrite:
            finished.append(dataclasses.replace(job, number=number, reason="already there"))
        else:
            jobs.append(dataclasses.replace(job, number=number))
    return Plan(tuple(jobs), tuple(finished), tuple(refused), tuple(sorted(own)), (), {})


def check_format(suffix: str | None) -> None:
    """Raise `PlanError` for a suffix of what can't be written; None is that of the input."""
    if suffix is not None and suffix not in SUFFIXES:
        raise PlanError(f"`format` should be one of {_names(SUFFIXES)}. Received: {suffix[1:]!r}")


def _check_there(path: Path) -> None:
    """Refuse what is not there, or neither a file nor a folder.

    What can't be looked at, such as a link to itself, is tried, so that it is named and the rest
    done.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            return
    except OSError:
        return
    else:
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return
    hint = ""
    if path.parts[:1] in (("http:",), ("https:",)):
        hint = " Nothing is fetched from an address: save the picture first."
    elif path.parts[:1] == ("file:",):
        hint = " A path has no file:// before it."
    raise PlanError(
        f"`paths` should be a picture or a folder of pictures, which is there.{hint} Received: "
        f"{path}"
    )


def _names(suffixes: Iterable[str]) -> str:
    return ", ".join(suffix[1:] for suffix in suffixes)


def _file_name(paths: list[Path], output: Path | None, suffix: str | None) -> Path | None:
    """Return `output` if it names a file, `None` if it names a folder."""
    if output is None or os.path.isdir(output):
        return None
    picture = output.suffix.lower() in SUFFIXES
    if len(paths) > 1 or os.path.isdir(paths[0]):
        if picture or os.path.isfile(output):
            raise PlanError(
                f"`output` should be a folder for more than one picture. Received: {output}"
            )
        return None
    if not output.suffix and not os.path.isfile(output):
        return None
    if not picture:
        raise PlanError(
            "`output` should be a folder, or a file name that ends in one of "
            f"{', '.join(SUFFIXES)}. Received: {output}"
        )
    if suffix and not _alike(output.suffix, suffix):
        raise PlanError(
            f"`output` and `format` should name one format. Received: {output} and {suffix[1:]}"
        )
    return output


def _name(source: Path, mark: str, suffix: str | None) -> str:
    """Return the file name for the output of `source`."""
    stem = source.stem if is_picture(source) else source.name
    if suffix is None:
        own = source.suffix.lower()
        alike = ALIKE.get(own, own)
        suffix = source.suffix if own in SUFFIXES else alike if alike in SUFFIXES else FALLBACK
    elif source.suffix.lower() in SUFFIXES and _alike(source.suffix, suffix):
        suffix = source.suffix
    return stem + mark + suffix


def _alike(one: str, other: str) -> bool:
    """Whether two suffixes name one format."""
    one, other = one.lower(), other.lower()
    return ALIKE.get(one, one) == ALIKE.get(other, other)


def _beside(folder: Path) -> Path:
    if folder.name in ("", ".."):  # `.` and `..` have no name of their own
        folder = folder.resolve()
    if not folder.name:
        raise PlanError(f"`output` should name a folder for the outputs of {folder}")
    return folder.with_name(folder.name + FOLDER_MARK)


def _distinct(jobs: list[Job]) -> tuple[list[Job], list[Job]]:
    """Return each job once; apart, those whose output two would write, or that is an input."""
    sources = {os.path.realpath(job.source): job.source for job in jobs}
    by_target: dict[str, list[Job]] = {}
    refused: list[Job] = []
    for job in jobs:
        folder = os.path.realpath(job.target.parent)
        written = os.path.join(folder, job.target.name)
        if written in sources:
            reason = (
                f"`output` should be another one: {job.target} would overwrite the input "
                f"{sources[written]}"
            )
            refused.append(dataclasses.replace(job, reason=reason))
            continue
        # Two names that some file systems take for one, these too.
        key = unicodedata.normalize("NFC", written).casefold()
        by_target.setdefault(key, []).append(job)
    distinct: list[Job] = []
    for same in by_target.values():
        first = same[0]
        others = {os.path.realpath(job.source): job for job in same}
        if len(others) == 1:
            distinct.append(first)
            continue
        for job in others.values():
            other = next(one for one in others.values() if one is not job)
            reason = (
                f"two inputs would write one output, {job.target}: "
                f"{' and '.join(str(one.source) for one in same if one in (job, other))}"
            )
            refused.append(dataclasses.replace(job, reason=reason))
    return distinct, refused


def check_writable(folder: Path) -> None:
    """Try to write in `folder`, or where it would be made.

    Raises:
        OutputError: That can't be.
    """
    existing = folder
    while not os.path.exists(existing) and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise OutputError(
            f"`output` should be a folder that can be written to. "
            f"Received: {folder} ({error.strerror or error})"
        ) from None
