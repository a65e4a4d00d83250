"""Films of `kh colorize`: one after the other, each with a bar of its frames."""

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from kh_cli.options.hub_options import pull_model
from kh_cli.output.errors import DONE, FAILED, INTERRUPTED, WrongUse, explain
from kh_cli.output.interrupt import noted_interrupt
from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line, write_record
from kh_zoo.extras import needs
from kh_zoo.films.kinds import CODECS, FALLBACK, FORMATS, is_film
from kh_zoo.shown import counted

if TYPE_CHECKING:
    from kh_zoo.batches.plan import Plan
    from kh_zoo.films.colorize_film import FilmResult
    from kh_zoo.workers.settings import Settings


class FilmOptions(NamedTuple):
    """Options of `kh colorize`, as far as they are for films."""

    output: Path | None
    suffix: str | None
    overwrite: bool
    codec: str | None
    runner: str
    json: bool
    quiet: bool


def colorize_films(paths: list[Path], settings: "Settings", options: FilmOptions) -> int:
    """Colour films; what goes wrong with one does not end the others.

    Returns:
        The exit code.
    """
    _check(paths, settings, options)
    with needs("video", "Colouring a film"):
        from kh_zoo.films.colorize_film import colorize_film
    from kh_zoo.batches.journal import Journal
    from kh_zoo.batches.resume import judge
    from kh_zoo.workers.stamp import Stamp

    plan = _plan(paths, options)
    pull_model(settings.model, options.quiet)
    resolved = settings.resolved()
    targets: defaultdict[Path, list[Path]] = defaultdict(list)
    for job in (*plan.jobs, *plan.finished):
        targets[job.root].append(job.target)
    # Films take hours: others may be written into the same folder meanwhile.
    journals = {
        root: Journal(root, {**resolved, "codec": options.codec}, names, shared=True)
        for root, names in targets.items()
    }
    plan = judge(plan, journals)
    plan.check()
    for source in plan.own:
        _report(source, None, "skipped", "an output itself", None, 0, options)
    for job in plan.finished:
        reason = f"{job.reason}, --overwrite redoes it"
        _report(job.source, job.target, "skipped", reason, None, 0, options)
    for job in plan.refused:
        _report(job.source, job.target, "failed", job.reason, None, 0, options)
    if not plan.jobs:
        settings.check_gpu()
        return FAILED if plan.refused else DONE
    colorizer = settings.colorizer()
    failed = bool(plan.refused)
    with ExitStack() as opened:
        interrupted = opened.enter_context(noted_interrupt())
        for journal in journals.values():
            opened.enter_context(journal)
        for job in plan.jobs:
            started = time.monotonic()
            if job.reason and not options.quiet:
                tell(f"{job.source}: again: {job.reason}")
            result: FilmResult | None = None
            reason = ""
            with Progress(job.source.name, None, quiet=options.quiet, log=True) as progress:
                try:
                    read = Stamp.of(job.source)
                    journals[job.root].begin(job.target)
                    result = colorize_film(
                        job.source,
                        job.target,
                        colorizer,
                        codec=options.codec,
                        quality=settings.quality,
                        settings=resolved,
                        on_progress=_advance(progress),
                        stopped=interrupted,
                    )
                    written = Stamp.of(job.target)
                    if result and read and written:
                        journals[job.root].done(job.source, job.target, read, written)
                except Exception as error:
                    reason, _ = explain(error)
            if result is None and not reason:
                tell("interrupted: the same command goes on from here")
                return interrupted.noted.code if interrupted.noted else INTERRUPTED
            if result is None:
                journals[job.root].failed(job.source, job.target, reason)
            reason = reason or (result.reason if result else "")
            status = "failed" if reason else "done"
            failed |= bool(reason)
            seconds = time.monotonic() - started
            _report(job.source, job.target, status, reason, result, seconds, options)
    return FAILED if failed else DONE


def _advance(progress: Progress) -> Callable[[int, int | None], None]:
    return lambda done, total: progress.advance(done, total=total)


def _check(paths: list[Path], settings: "Settings", options: FilmOptions) -> None:
    if other := [path for path in paths if not is_film(path)]:
        raise WrongUse(
            f"`PATH` should be films alone, or pictures and folders of pictures. "
            f"Received: {other[0]} among films, or with `--codec`"
        )
    if missing := [path for path in paths if not path.is_file()]:
        raise WrongUse(f"`PATH` should be a film which is there. Received: {missing[0]}")
    if settings.compare:
        raise WrongUse("`--compare` is for pictures. Received: a film")
    if options.runner != "local":
        raise WrongUse(f"`--runner` should be local for films. Received: {options.runner}")
    if options.codec not in (None, *CODECS):
        raise WrongUse(f"`--codec` should be one of {', '.join(CODECS)}. Received: {options.codec}")
    if options.codec == "ffv1" and settings.quality is not None:
        raise WrongUse(
            f"`--quality` is not for ffv1, which loses nothing. Received: {settings.quality}"
        )
    if options.suffix and options.suffix not in FORMATS:
        raise WrongUse(
            f"`--format` should be one of {', '.join(name[1:] for name in FORMATS)} for films. "
            f"Received: {options.suffix[1:]}"
        )


def _plan(paths: list[Path], options: FilmOptions) -> "Plan":
    """Decide where each film goes to, like pictures."""
    from kh_zoo.batches.plan import Job, Plan
    from kh_zoo.batches.walk import MARK

    output = options.output
    named = output is not None and not output.is_dir() and output.suffix != ""
    if named and len(paths) > 1:
        raise WrongUse(f"`--output` should be a folder for more than one film. Received: {output}")
    place: Literal["folder", "beside", "named"] = (
        "named" if named else "folder" if output else "beside"
    )
    own = tuple(dict.fromkeys(source for source in paths if source.stem.endswith(MARK)))
    inputs = {source.resolve() for source in paths}
    jobs: dict[Path, Job] = {}
    for source in dict.fromkeys(paths):
        if source in own:
            continue
        suffix = options.suffix or (source.suffix if source.suffix.lower() in FORMATS else FALLBACK)
        if output is None:
            target = source.with_name(f"{source.stem}{MARK}{suffix}")
        else:
            target = output if named else output / f"{source.stem}{suffix}"
        if target.resolve() in inputs:
            raise WrongUse(f"`--output` should not be an input. Received: {target}")
        if target in jobs:
            raise WrongUse(f"two films would write one output. Received: {target}")
        jobs[target] = Job(source, target, target.parent, place, len(jobs))
    there = [target for target in jobs if target.exists() and not options.overwrite]
    finished = tuple(dataclasses.replace(jobs.pop(at), reason="already there") for at in there)
    return Plan(tuple(jobs.values()), finished, (), own, (), {})


def _report(
    source: Path,
    target: Path | None,
    status: str,
    reason: str,
    result: "FilmResult | None",
    seconds: float,
    options: FilmOptions,
) -> None:
    notes = result.notes if result else ()
    if options.json:
        write_record(
            {
                "input": str(source),
                "output": target and str(target),
                "status": status,
                "reason": reason or None,
                "notes": notes,
                "seconds": round(seconds, 3),
            }
        )
    elif result:
        write_line(target)
    if status == "failed" or (status == "skipped" and not options.quiet):
        tell(f"{source}: {reason}")
    if result and not options.quiet:
        tell("; ".join((f"{counted(result.frames, 'frame')} in {seconds:.1f} s", *notes)))
