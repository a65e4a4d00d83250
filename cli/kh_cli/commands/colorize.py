"""`kh colorize`: grey pictures in, coloured pictures out."""

import codecs
import contextlib
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kh_cli.films import FilmOptions, colorize_films
from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
from kh_cli.options.picture_options import Device, Quality, Timeout
from kh_cli.output.errors import FAILED, WrongUse
from kh_cli.output.interrupt import noted_interrupt
from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line, write_record
from kh_cli.output.streams import STREAM, as_stream, streams
from kh_zoo.films.kinds import is_film

if TYPE_CHECKING:
    from kh_zoo.batches.batch import Outcome
    from kh_zoo.batches.plan import Plan

_NOTES = 5
"""Kinds of notes in the summary; `--json` has all."""
_KINDS = 8
"""Kinds of files in the summary that were passed over."""


def colorize(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Pictures and folders of them, or films. photo.jpg becomes photo.color.jpg, and "
            "the pictures in dir/ go into dir-color/ under their own names. - is a picture on "
            "standard input.",
            show_default=False,
        ),
    ] = None,
    listing: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="File with further PATHs, one a line; - is standard input. Default: none.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write into; for a single picture also a file name, or - for standard "
            "output. Default: beside the input.",
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant",
            "-m",
            metavar="NAME|PATH|OWNER/REPO",
            help="Model: a name from `kh list`, the folder of a model or of a training run, or a "
            "repository on the Hugging Face Hub, which is pulled unless it was. Default: the one "
            "that `kh list` marks.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            max=4096,
            help="Short side, in pixels, of the copy that the colours are predicted on, rounded to "
            "a multiple of 16. The output keeps the input's size. Default: what `kh show` says.",
        ),
    ] = None,
    saturation: Annotated[
        float,
        typer.Option(
            min=0,
            max=10,
            help="Factor of the colours' strength: 0 is grey, 1 is as predicted.",
        ),
    ] = 1.0,
    vivid: Annotated[
        bool,
        typer.Option(
            "--vivid",
            help="Take the model's head that dares: strong colours, more often wrong. `kh show` "
            "says whether it has one. Default: the one that errs least.",
        ),
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="SUFFIX",
            help="File format to write, such as jpg, png, webp, tif or avif. Default: the input's, "
            "or png where that can't be written.",
        ),
    ] = None,
    quality: Quality = None,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="h264|hevc|av1|ffv1",
            help="Of films; ffv1 loses nothing. Default: h264, or hevc for more than 8 bits, of "
            "quality 65.",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Write grey and colour side by side. Default: colour alone."
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Redo what is already there. Default: it is skipped."),
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            help="What computes: onnx; keras (slower; on the backend set for Keras); or the engine "
            "of a plugin. Default: onnx, or keras for a Keras model that runs on nothing else."
        ),
    ] = None,
    device: Device = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Pictures at a time; each takes memory for a model. Default: as many as cores, at "
            "most 4.",
        ),
    ] = None,
    runner: Annotated[
        str,
        typer.Option(
            help="Where pictures are coloured: local, this machine; ray, a Ray cluster; or the "
            "runner of a plugin."
        ),
    ] = "local",
    timeout: Timeout = 900,
    offline: Offline = False,
    cache_dir: CacheDir = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a line of JSON for every input. Default: the path of every file written.",
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="No progress and no summary, only errors. Default: both."
        ),
    ] = False,
) -> None:
    """Colour grey pictures: files and whole folders.

    Metadata and size are kept, the inputs are never touched, and outputs are never taken for
    inputs. What is finished is skipped on a rerun, and done again with other options.

    Exit code: 0 done; 1 some picture failed (each is named with the reason, the rest is done);
    2 wrong use, or nothing to do; 130 interrupted (143 by `kill`).
    """
    set_hub(offline, cache_dir)
    from kh_zoo.catalog.records import DEFAULT_VARIANT
    from kh_zoo.pictures.formats import suffix_of
    from kh_zoo.runners import create_runner
    from kh_zoo.workers.settings import Settings

    settings = Settings(
        model=variant or DEFAULT_VARIANT,
        engine=engine,
        device=device,
        size=size,
        saturation=saturation,
        vivid=vivid,
        quality=quality,
        compare=compare,
    )
    paths = [*(paths or ()), *(_listed(listing) if listing else ())]
    paths, output = [as_stream(path, 0) for path in paths], output and as_stream(output, 1)
    if not paths:
        raise WrongUse("`PATH` should be a picture or a folder of pictures. Received: none")
    suffix = suffix_of(format)
    if any(map(is_film, paths)) or codec:
        values = FilmOptions(output, suffix, overwrite, codec, runner, json, quiet)
        raise typer.Exit(colorize_films(paths, settings, values))
    workers = 1 if len(paths) == 1 and not paths[0].is_dir() else jobs
    with (
        create_runner(runner, settings, workers, timeout) as running,
        contextlib.ExitStack() as opened,
    ):
        running.start()
        paths, output, names = opened.enter_context(streams(paths, output, suffix, json))
        # Heavier, so not before the process has been started.
        from kh_zoo.batches.batch import Batch
        from kh_zoo.batches.plan import plan_batch

        plan = plan_batch(paths, output=output, suffix=suffix, overwrite=overwrite)
        pull_model(settings.model, quiet)
        batch = Batch(plan, settings, running)
        plan = batch.plan
        progress = opened.enter_context(Progress("colouring", len(plan.jobs), quiet=quiet))
        interrupted = opened.enter_context(noted_interrupt())
        for journal in batch.journals.values():
            if journal.passed_over:
                progress.say(f"{journal.path}: {journal.passed_over} lines passed over, not ours")
        report = _Report(progress, json, names)
        if plan.jobs and not quiet:
            report.begin(plan, running.workers)
        for outcome in batch.run(interrupted, progress.advance):
            report.take(outcome)
        report.left = len(plan.jobs) - batch.tried
    stopped = interrupted.noted
    if not quiet or stopped:
        report.summarize(plan, running.device, stopped is not None)
    if stopped:
        raise typer.Exit(stopped.code)
    if report.failed:
        raise typer.Exit(FAILED)


def _listed(listing: Path) -> list[Path]:
    """Read the paths that a file names, one on each line, or zeros between, as `find -print0`."""
    source = sys.stdin.fileno() if listing == STREAM else listing
    try:
        with open(source, "rb", closefd=listing != STREAM) as file:
            content = file.read()
    except OSError as error:
        raise WrongUse(
            f"`--from` should be a file with a path on each line. Received: {listing} "
            f"({error.strerror})"
        ) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # of Windows
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    names = content.split(b"\0") if b"\0" in content else content.split(b"\n")
    # A name may be no UTF-8.
    paths = [os.fsdecode(name if b"\0" in content else name.rstrip(b"\r")) for name in names]
    return [Path(path) for path in paths if path]


class _Report:
    """Prints what becomes of each input, in the order of the inputs, and counts it."""

    def __init__(self, progress: Progress, json: bool, names: dict[Path, str]) -> None:
        self.progress = progress
        self.json = json
        self.names = names
        self.written = 0
        self.failed = 0
        self.left = 0
        self.notes: Counter[str] = Counter()
        self.started = time.monotonic()

    def begin(self, plan: "Plan", workers: int) -> None:
        """Say how many there are, how they are done, and why some are done again."""
        if len(plan.jobs) > 1:
            self.progress.say(f"{len(plan.jobs)} to colour, {workers} at a time (`--jobs`)")
        for reason, count in Counter(job.reason for job in plan.jobs if job.reason).items():
            self.progress.say(f"{count} of them again: {reason}")

    def take(self, outcome: "Outcome") -> None:
        """Print an outcome."""
        source, target = outcome.source, outcome.target
        if self.json:
            write_record(
                {
                    "input": self.names.get(source, str(source)),
                    "output": str(target) if target else None,
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "notes": outcome.notes,
                    "seconds": round(outcome.seconds, 3),
                }
            )
        if outcome.status == "failed":
            self.failed += 1
            self.progress.say(f"{self.names.get(source, source)}: {outcome.reason}")
        if outcome.fatal:
            self.progress.say("stopped: what is left would fail for the same reason")
        if outcome.status == "done":
            self.written += 1
            self.notes.update(outcome.notes)
            if target and not self.json and target not in self.names:
                write_line(target)

    def summarize(self, plan: "Plan", device: str, interrupted: bool) -> None:
        stopped = "interrupted: " if interrupted else ""
        on = f" on {device}" if device else ""
        seconds = time.monotonic() - self.started
        lines = [f"{stopped}{self.written} coloured in {seconds:.1f} s{on}"]
        lines += [f"{count} of them: {note}" for note, count in self.notes.most_common(_NOTES)]
        for reason, count in Counter(job.reason for job in plan.finished).items():
            lines.append(f"{count} skipped: {reason}, --overwrite redoes them")
        if plan.own:
            lines.append(f"{len(plan.own)} skipped: outputs themselves")
        if plan.passed:
            kinds = Counter(plan.passed).most_common()
            said = ", ".join(f"{count} {kind}" for kind, count in kinds[:_KINDS])
            more = sum(count for _, count in kinds[_KINDS:])
            also = f", {more} others" if more else ""
            lines.append(f"{sum(plan.passed.values())} passed over: {said}{also}")
        if self.failed:
            lines.append(f"{self.failed} failed")
        if self.left:
            lines.append(f"{self.left} left: the same command goes on from here")
        tell(*lines)
