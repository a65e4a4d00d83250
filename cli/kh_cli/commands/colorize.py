"""`kh colorize`: grey pictures in, coloured pictures out."""

import errno
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from kh_cli.errors import FAILED, INTERRUPTED, explain
from kh_cli.hub_options import CacheDir, Offline, bring, set_hub
from kh_cli.interrupt import noted_interrupt
from kh_cli.progress import Progress
from kh_cli.stdout import write_record


def colorize(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Pictures, and folders of them. photo.jpg becomes photo.color.jpg, and the "
            "pictures in dir/ go into dir-color/ under their own names.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write into; for a single picture also a file name. "
            "Default: beside the input.",
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
    quality: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Of a file format that loses detail. Default: 92 for jpg, 90 for webp, 75 for "
            "avif.",
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
    inputs. What is finished is skipped on a rerun.

    Exit code: 0 done; 1 some picture failed (each is named with the reason, the rest is done);
    2 wrong use, or nothing to do; 130 interrupted.
    """
    set_hub(offline, cache_dir)
    from kh_zoo.catalog import DEFAULT_VARIANT
    from kh_zoo.plan import plan_batch

    plan = plan_batch(
        paths,
        output=output,
        suffix=f".{format.lower().removeprefix('.')}" if format else None,
        overwrite=overwrite,
    )
    if plan.jobs:
        bring(variant or DEFAULT_VARIANT, quiet)
    with (
        Progress("colouring", len(plan.jobs), quiet=quiet) as progress,
        noted_interrupt() as check_interrupt,
    ):
        batch = _Batch(progress, json)
        for job in plan.finished:
            batch.record(job.source, job.target, "skipped", "already there")
        for path in plan.own:
            batch.record(path, None, "skipped", "an output itself")
        for path, reason in plan.unreadable:
            batch.fail(path, None, reason)
        try:
            if plan.jobs:
                from kh_zoo.colorizer import Colorizer

                colorizer = Colorizer(
                    variant or DEFAULT_VARIANT,
                    engine=engine,
                    size=size,
                    saturation=saturation,
                    vivid=vivid,
                )
            for number, job in enumerate(plan.jobs):
                started = time.monotonic()
                try:
                    notes = colorizer.colorize_file(
                        job.source, job.target, quality=quality, compare=compare
                    )
                except Exception as error:
                    batch.fail(
                        job.source, job.target, explain(error)[0], time.monotonic() - started
                    )
                    if _disk_full(error):
                        progress.say("stopped: the disk is full")
                        batch.left = len(plan.jobs) - number - 1
                        break
                else:
                    batch.write(job.source, job.target, notes, time.monotonic() - started)
                progress.advance(number + 1)
                check_interrupt()
        except KeyboardInterrupt:
            batch.left = len(plan.jobs) - batch.written - batch.failed
            batch.interrupted = True
    if not quiet or batch.interrupted:
        batch.summarize(len(plan.finished), len(plan.own))
    if batch.interrupted:
        raise typer.Exit(INTERRUPTED)
    if batch.failed:
        raise typer.Exit(FAILED)


class _Batch:
    """Prints what becomes of each input, and counts it."""

    def __init__(self, progress: Progress, json: bool) -> None:
        self.progress = progress
        self.json = json
        self.written = 0
        self.failed = 0
        self.left = 0
        self.interrupted = False
        self.started = time.monotonic()

    def record(
        self,
        source: Path,
        target: Path | None,
        status: str,
        reason: str | None = None,
        seconds: float = 0.0,
    ) -> None:
        if self.json:
            write_record(
                {
                    "input": str(source),
                    "output": str(target) if target else None,
                    "status": status,
                    "reason": reason,
                    "seconds": round(seconds, 3),
                }
            )

    def write(self, source: Path, target: Path, notes: tuple[str, ...], seconds: float) -> None:
        self.written += 1
        self.record(source, target, "done", "; ".join(notes) or None, seconds)
        if not self.json:
            print(target, flush=True)

    def fail(self, source: Path, target: Path | None, reason: str, seconds: float = 0.0) -> None:
        self.failed += 1
        self.record(source, target, "failed", reason, seconds)
        self.progress.say(f"{source}: {reason}")

    def summarize(self, finished: int, own: int) -> None:
        stopped = "interrupted: " if self.interrupted else ""
        lines = [f"{stopped}{self.written} coloured in {time.monotonic() - self.started:.1f} s"]
        if finished:
            lines.append(f"{finished} skipped: already there, --overwrite redoes them")
        if own:
            lines.append(f"{own} skipped: outputs themselves")
        if self.failed:
            lines.append(f"{self.failed} failed")
        if self.left:
            lines.append(f"{self.left} left: the same command goes on from here")
        print("\n".join(lines), file=sys.stderr)


def _disk_full(error: BaseException | None) -> bool:
    """Whether the disk is full, so that every further picture would fail too."""
    full = (errno.ENOSPC, errno.EDQUOT)
    while error is not None:
        if isinstance(error, OSError) and error.errno in full:
            return True
        if any(os.strerror(number) in str(error) for number in full):  # libvips has but the text
            return True
        error = error.__cause__ or error.__context__
    return False
