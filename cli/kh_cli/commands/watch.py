"""`kh watch`: what arrives in a folder is coloured, until Ctrl-C."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kh_cli.options.hub_options import CacheDir, Offline, bring, set_hub
from kh_cli.options.picture_options import (
    Device,
    Engine,
    Format,
    Jobs,
    Json,
    Quality,
    Quiet,
    Saturation,
    Size,
    Timeout,
    Variant,
    Vivid,
    suffix_of,
)
from kh_cli.output.errors import FAILED
from kh_cli.output.interrupt import noted_interrupt
from kh_cli.output.picture_report import PictureReport
from kh_cli.output.progress import Progress

if TYPE_CHECKING:
    from kh_zoo.batches.arrivals import Arrivals
    from kh_zoo.batches.journal import Journal
    from kh_zoo.runners import Runner
    from kh_zoo.runners.outcome import Outcome

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
    variant: Variant = None,
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
    from kh_zoo.batches.settings import Settings
    from kh_zoo.catalog.records import DEFAULT_VARIANT
    from kh_zoo.runners import DEFAULT_RUNNER, create_runner

    settings = Settings(
        model=variant or DEFAULT_VARIANT,
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
        from kh_zoo.batches.journal import Journal
        from kh_zoo.batches.plan import check_format, check_watched

        suffix = suffix_of(format)
        check_format(suffix)
        root = check_watched(folder, output)
        bring(settings.model, quiet)
        journal = Journal(root, settings.resolved())
        settings.check_gpu()
        progress = opened.enter_context(Progress("watching", None, quiet=quiet))
        interrupted = opened.enter_context(noted_interrupt())
        if journal.passed_over:
            progress.say(f"{journal.path}: {journal.passed_over} lines passed over, not ours")
        opened.enter_context(journal)
        watching = _Watching(
            Arrivals(folder, root, settle=settle),
            *(root, suffix, journal, running),
            *(PictureReport(progress, json), quiet, interrupted),
        )
        if not quiet:
            progress.say(f"watching {folder}, writing into {root}: Ctrl-C ends it")
        watching.run()
        report = watching.report
    stopped = interrupted.noted
    report.summarize(running.device, left="the same command goes on from here")
    if stopped and report.left:
        raise typer.Exit(stopped.code)
    if report.failed:
        raise typer.Exit(FAILED)


class _Watching:
    """Round after round: what is complete is coloured as by `kh colorize`."""

    def __init__(
        self,
        arrivals: "Arrivals",
        root: Path,
        suffix: str | None,
        journal: "Journal",
        running: "Runner",
        report: PictureReport,
        quiet: bool,
        interrupted: Callable[[], bool],
    ) -> None:
        self.arrivals = arrivals
        self.root = root
        self.suffix = suffix
        self.journal = journal
        self.running = running
        self.report = report
        self.quiet = quiet
        self.interrupted = interrupted
        self.begun = 0
        self.fatal = False
        self._doubtful: dict[Path, Outcome] = {}
        """What became of pictures that may have been incomplete."""

    def run(self) -> None:
        """Watch until it is interrupted, or nothing more can be written."""
        while not self.interrupted() and not self.fatal:
            complete = self.arrivals.look()
            for path, reason in self.arrivals.unreadable:
                self.report.fail(path, None, reason)
            if complete:
                self._color(complete)
            else:
                end = time.monotonic() + self.arrivals.pause
                while time.monotonic() < end and not self.interrupted():
                    time.sleep(_STEP)
        self._end()

    def _color(self, pictures: list[Path]) -> None:
        from kh_zoo.batches.plan import plan_arrived
        from kh_zoo.batches.resume import judge
        from kh_zoo.pictures.unfinished import remove_unfinished

        plan = plan_arrived(self.arrivals.folder, pictures, output=self.root, suffix=self.suffix)
        self.journal.recall(job.target for job in (*plan.jobs, *plan.finished))
        journals = {self.root: self.journal}
        plan = judge(plan, journals)
        self.report.add(plan)
        if not plan.jobs:
            return
        if not self.quiet:
            self.report.begin(plan)
        self.begun += len(plan.jobs)
        self.report.progress.advance(self.report.tried, total=self.begun)
        remove_unfinished(job.target for job in (*plan.jobs, *plan.finished))
        for outcome in self.running.run(plan.jobs, journals, self.interrupted):
            source = outcome.job.source
            self.fatal |= outcome.fatal
            failed = outcome.reason is not None and not outcome.fatal
            again = failed and self.arrivals.may_be_incomplete(source)
            if again:
                self._doubtful[source] = outcome
            self.report.take(outcome, silent=again)
        self.report.flush()

    def _end(self) -> None:
        for path, tried in self.arrivals.waiting.items():
            if tried:
                outcome = self._doubtful[path]
                self.report.fail(path, outcome.job.target, str(outcome.reason), outcome.seconds)
            else:
                self.report.left += 1
        self.report.left += self.begun - self.report.tried
        self.report.own += len(self.arrivals.own)
        self.report.passed = self.arrivals.passed
