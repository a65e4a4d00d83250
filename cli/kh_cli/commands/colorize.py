"""`kh colorize`: grey pictures in, coloured pictures out."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kh_cli.films import FilmOptions, colorize_films
from kh_cli.options.completion import completes
from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
from kh_cli.options.listed_paths import listed_paths
from kh_cli.options.model_options import ModelOption
from kh_cli.options.output_options import Json, Quiet
from kh_cli.options.picture_options import (
    Device,
    Engine,
    Format,
    Jobs,
    Quality,
    Saturation,
    Size,
    Timeout,
    Vivid,
)
from kh_cli.output.errors import FAILED, WrongUse
from kh_cli.output.interrupt import noted_interrupt
from kh_cli.output.picture_report import PictureReport
from kh_cli.output.progress import Progress
from kh_cli.output.streams import as_stream, streams
from kh_zoo.extras import needs
from kh_zoo.films.kinds import is_film
from kh_zoo.shown import counted

if TYPE_CHECKING:
    from kh_zoo.runners import Runner
    from kh_zoo.workers.settings import Settings


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
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="File with further PATHs, one a line; - is standard input; may be repeated. "
            "Default: none.",
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
    model: ModelOption = None,
    size: Size = None,
    saturation: Saturation = 1.0,
    vivid: Vivid = False,
    format: Format = None,
    quality: Quality = None,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="h264|hevc|av1|ffv1",
            autocompletion=completes("h264", "hevc", "av1", "ffv1"),
            help="Of films; ffv1 loses nothing. Default: h264, or hevc for more than 8 bits, of "
            "quality 65.",
        ),
    ] = None,
    video: Annotated[
        bool,
        typer.Option(
            "--video",
            help="The pictures of a folder are the frames of a film, by the numbers in their "
            "names: they are coloured without flicker. Default: each for itself.",
        ),
    ] = False,
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
    engine: Engine = None,
    device: Device = "auto",
    jobs: Jobs = None,
    runner: Annotated[
        str,
        typer.Option(
            autocompletion=completes("local", "ray"),
            help="Where pictures are coloured: local, this machine; ray, a Ray cluster; or the "
            "runner of a plugin.",
        ),
    ] = "local",
    timeout: Timeout = 900,
    offline: Offline = False,
    cache_dir: CacheDir = None,
    json: Json = False,
    quiet: Quiet = False,
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
        model=model or DEFAULT_VARIANT,
        engine=engine,
        device=device,
        size=size,
        saturation=saturation,
        vivid=vivid,
        quality=quality,
        compare=compare,
        video=video,
    )
    paths = [*(paths or ()), *(path for file in listing or () for path in listed_paths(file))]
    paths, output = [as_stream(path, 0) for path in paths], output and as_stream(output, 1)
    if not paths:
        raise WrongUse("`PATH` should be a picture or a folder of pictures. Received: none")
    suffix = suffix_of(format)
    if any(map(is_film, paths)) or codec:
        if video:
            raise WrongUse("`--video` is for folders of frames; a film file needs no such option")
        values = FilmOptions(output, suffix, overwrite, codec, runner, json, quiet)
        raise typer.Exit(colorize_films(paths, settings, values))
    if video and (file := next((path for path in paths if path.is_file()), None)):
        raise WrongUse(f"`--video` should be given folders of frames. Received: {file}, a file")
    workers = 1 if len(paths) == 1 and not paths[0].is_dir() else jobs
    with (
        _frame_runner(settings, runner, jobs)
        if video
        else create_runner(runner, settings, workers, timeout) as running,
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
                lines = counted(journal.passed_over, "line")
                progress.say(f"{journal.path}: {lines} passed over, not ours")
        report = PictureReport(progress, json, names)
        if plan.jobs and not quiet:
            if len(plan.jobs) > 1:
                at_a_time = f"{running.workers} at a time (`--jobs`)"
                progress.say(f"{len(plan.jobs)} to colour, {at_a_time}")
            report.begin(plan)
        for outcome in batch.run(interrupted, progress.advance):
            report.take(outcome)
        report.left = len(plan.jobs) - batch.tried
    stopped = interrupted.noted
    if not quiet or stopped:
        report.summarize(
            running.device,
            plan.passed,
            stopped="interrupted: " if stopped else "",
            skipped=", --overwrite redoes them",
            left="the same command goes on from here",
        )
    if stopped:
        raise typer.Exit(stopped.code)
    if report.failed:
        raise typer.Exit(FAILED)


def _frame_runner(settings: "Settings", runner: str, jobs: int | None) -> "Runner":
    if runner != "local":
        raise WrongUse(f"`--runner` should be local with `--video`. Received: {runner}")
    with needs("video", "`--video`"):
        from kh_zoo.films.frame_runner import FrameRunner
    return FrameRunner(settings, jobs)
