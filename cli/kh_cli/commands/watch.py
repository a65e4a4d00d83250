"""`kh watch`: what arrives in a folder is coloured, until Ctrl-C."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
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
from kh_cli.output.errors import FAILED
from kh_cli.output.interrupt import noted_interrupt
from kh_cli.output.picture_report import PictureReport
from kh_cli.output.progress import Progress
from kh_zoo.shown import counted

if TYPE_CHECKING:
    from kh_zoo.batches.arrivals import Arrivals
    from kh_zoo.batches.batch import Batch, Outcome
    from kh_zoo.batches.plan import Plan

_STEP = 0.1
"""Seconds after which Ctrl-C is noticed."""


def watch(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder that is watched, with the folders in it.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder to write into, in the same tree. Default: DIR-color."
        ),
    ] = None,
    settle: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=3600,
            help="Seconds for which a picture has not changed when it is taken for complete.",
        ),
    ] = 5,
    model: ModelOption = None,
    size: Size = None,
    saturation: Saturation = 1.0,
    vivid: Vivid = False,
    format: Format = None,
    quality: Quality = None,
    engine: Engine = None,
    device: Device = "auto",
    jobs: Jobs = None,
    timeout: Timeout = 900,
    offline: Offline = False,
    cache_dir: CacheDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Colour the pictures of a folder, and what arrives in it, until Ctrl-C.

    What is written, skipped and done again is that of `kh colorize DIR`, with which it shares the
    journal. A picture is coloured when it is complete, and again when it changes. One that can't be
    read is tried once more after half a minute, before it counts as failed.

    Exit code: 0 all was coloured when it ended; 1 some picture failed (each is named with the
    reason, the rest is done); 2 wrong use; 130 ended before all was done (143 by `kill`).
    """
    set_hub(offline, cache_dir)
    from kh_zoo.catalog.records import DEFAULT_VARIANT
    from kh_zoo.pictures.formats import suffix_of
    from kh_zoo.runners import DEFAULT_RUNNER, create_runner
    from kh_zoo.workers.settings import Settings

    settings = Settings(
        model=model or DEFAULT_VARIANT,
        engine=engine,
        device=device,
        size=size,
        saturation=saturation,
        vivid=vivid,
        quality=quality,
    )
    with (
        create_runner(DEFAULT_RUNNER, settings, jobs, timeout) as running,
        contextlib.ExitStack() as opened,
    ):
        running.start()
        # Heavier, so not before the process has been started.
        from kh_zoo.batches.arrivals import Arrivals
        from kh_zoo.batches.batch import Batch
        from kh_zoo.batches.journal import Journal
        from kh_zoo.batches.plan import (
            check_format,
            check_watched,
            mirror,
            passed_in_output,
            plan_arrived,
        )

        suffix = suffix_of(format)
        check_format(suffix)
        root = check_watched(folder, output)
        pull_model(settings.model, quiet)
        journal = Journal(root, settings.resolved())
        settings.check_gpu()
        progress = opened.enter_context(Progress("watching", None, quiet=quiet))
        interrupted = opened.enter_context(noted_interrupt())
        if journal.passed_over:
            lines = counted(journal.passed_over, "line")
            progress.say(f"{journal.path}: {lines} passed over, not ours")
        opened.enter_context(journal)
        watching = _Watching(
            Arrivals(folder, root, settle=settle),
            PictureReport(progress, json),
            lambda plan: Batch(plan, settings, running, held=journal),
            interrupted,
        )
        if not quiet:
            progress.say(f"watching {folder}, writing into {root}: Ctrl-C ends it")
        while not interrupted() and not watching.fatal:
            complete = watching.look()
            if complete:
                watching.color(plan_arrived(folder, complete, output=root, suffix=suffix), quiet)
            else:
                watching.wait()
        watching.end()
        report, arrivals = watching.report, watching.arrivals
        passed = arrivals.passed
        if arrivals.has_output:
            passed += passed_in_output(root, mirror(folder, arrivals.pictures, root, suffix))
    stopped = interrupted.noted
    report.summarize(running.device, passed, left="the same command goes on from here")
    if stopped and report.left:
        raise typer.Exit(stopped.code)
    if report.failed:
        raise typer.Exit(FAILED)


class _Watching:
    """Round after round: what is complete is coloured as by `kh colorize`."""

    def __init__(
        self,
        arrivals: "Arrivals",
        report: PictureReport,
        batch_of: "Callable[[Plan], Batch]",
        interrupted: Callable[[], bool],
    ) -> None:
        self.arrivals = arrivals
        self.report = report
        self.batch_of = batch_of
        self.interrupted = interrupted
        self.fatal = False
        self._tried = 0
        self._left = 0
        self._doubtful: dict[Path, Outcome] = {}
        """What became of pictures that may have been incomplete."""

    def look(self) -> list[Path]:
        """Return what has become complete."""
        from kh_zoo.batches.batch import Outcome

        complete = self.arrivals.look()
        for path, reason in self.arrivals.unreadable:
            self.report.take(Outcome(path, None, "failed", reason))
        return complete

    def wait(self) -> None:
        """Wait until it is time to look again."""
        end = time.monotonic() + self.arrivals.pause
        while time.monotonic() < end and not self.interrupted():
            time.sleep(_STEP)

    def color(self, plan: "Plan", quiet: bool) -> None:
        """Colour what is complete."""
        batch = self.batch_of(plan)
        if not quiet:
            self.report.begin(batch.plan)
        before, total = self._tried, self._tried + len(batch.plan.jobs)
        advance = self.report.progress.advance
        for outcome in batch.run(self.interrupted, lambda n: advance(before + n, total=total)):
            self.fatal |= outcome.fatal
            failed = outcome.status == "failed" and not outcome.fatal
            if failed and self.arrivals.may_be_incomplete(outcome.source):
                self._doubtful[outcome.source] = outcome
            else:
                self.report.take(outcome)
        self._tried += batch.tried
        self._left += len(batch.plan.jobs) - batch.tried

    def end(self) -> None:
        """Count what was not coloured."""
        self.report.left = self._left
        for path, tried in self.arrivals.waiting.items():
            if tried:
                self.report.take(self._doubtful[path])
            else:
                self.report.left += 1
        self.report.own += len(self.arrivals.own)
