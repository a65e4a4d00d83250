"""Films of `kh colorize`: one after the other, each with a bar of its frames."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kh_cli.options.hub_options import pull_model
from kh_cli.output.errors import DONE, FAILED, INTERRUPTED, WrongUse, explain
from kh_cli.output.interrupt import noted_interrupt
from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line, write_record
from kh_zoo.extras import needs
from kh_zoo.films.kinds import CODECS, FALLBACK, FORMATS, is_film

if TYPE_CHECKING:
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
    from kh_zoo.batches.walk import MARK
    from kh_zoo.colorizer import Colorizer

    pull_model(settings.model, options.quiet)
    colorizer: Colorizer | None = None
    failed = False
    with noted_interrupt() as interrupted:
        for source, target in _targets(paths, options).items():
            started = time.monotonic()
            result: FilmResult | None = None
            reason, status = "", "done"
            if source.stem.endswith(MARK):
                status, reason = "skipped", "an output itself"
            elif target.exists() and not options.overwrite:
                status, reason = "skipped", "already there, --overwrite redoes it"
            else:
                colorizer = colorizer or Colorizer(
                    settings.model,
                    engine=settings.engine,
                    device=settings.device,
                    size=settings.size,
                    saturation=settings.saturation,
                    vivid=settings.vivid,
                )
                with Progress(source.name, None, quiet=options.quiet, log=True) as progress:
                    try:
                        target.parent.mkdir(parents=True, exist_ok=True)
                        result = colorize_film(
                            source,
                            target,
                            colorizer,
                            codec=options.codec,
                            quality=settings.quality,
                            settings=settings.resolved(),
                            on_progress=_advance(progress),
                            stopped=interrupted,
                        )
                    except Exception as error:
                        reason, _ = explain(error)
                if result is None and not reason:
                    tell("interrupted: the same command goes on from here")
                    return interrupted.noted.code if interrupted.noted else INTERRUPTED
                reason = result.reason if result else reason
                status = "failed" if reason else "done"
                failed |= bool(reason)
            _report(source, target, status, reason, result, time.monotonic() - started, options)
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


def _targets(paths: list[Path], options: FilmOptions) -> dict[Path, Path]:
    """Decide where each film goes to, like pictures."""
    from kh_zoo.batches.walk import MARK

    output = options.output
    named = output is not None and not output.is_dir() and output.suffix != ""
    if named and len(paths) > 1:
        raise WrongUse(f"`--output` should be a folder for more than one film. Received: {output}")
    targets: dict[Path, Path] = {}
    for source in paths:
        own = source.suffix if source.suffix.lower() in FORMATS else FALLBACK
        suffix = options.suffix or own
        if output is None:
            target = source.with_name(f"{source.stem}{MARK}{suffix}")
        else:
            target = output if named else output / f"{source.stem}{suffix}"
        if target.resolve() in {path.resolve() for path in paths}:
            raise WrongUse(f"`--output` should not be an input. Received: {target}")
        if target in targets.values() and source not in targets:
            raise WrongUse(f"two films would write one output. Received: {target}")
        targets[source] = target
    return targets


def _report(
    source: Path,
    target: Path,
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
                "output": str(target),
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
        tell("; ".join((f"{result.frames} frames in {seconds:.1f} s", *notes)))
