"""The options of every command that may use the Hub, and bringing a model from there."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kh_cli.output.progress import Progress

if TYPE_CHECKING:
    from kh_zoo.catalog.find import Source
    from kh_zoo.hub.store import Stored

Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="Never use the network. Default: as HF_HUB_OFFLINE says, or else as needed.",
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        help="Folder of what was pulled. Default: as HF_HUB_CACHE or HF_HOME say, or else that of "
        "the Hub's client.",
        show_default=False,
    ),
]
_AT_ONCE = 4


def set_hub(offline: bool, cache_dir: Path | None) -> None:
    """Hand the options to the Hub's client, which reads its settings once, when it is imported."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    if cache_dir is not None:
        os.environ["HF_HUB_CACHE"] = str(cache_dir.absolute())


def pull_model(model: str, quiet: bool) -> None:
    """Pull a model that is only on the Hub, with a bar, before it is opened."""
    from kh_zoo.catalog.find import find, nowhere
    from kh_zoo.errors import HubError

    source = find(model)
    if source.folder is None:
        [found] = pull_all([source], quiet=quiet)
        if isinstance(found, HubError):
            raise nowhere(source, found)
        if isinstance(found, BaseException):
            raise found


def pull_all(
    sources: "list[Source]", *, every_file: bool = False, refresh: bool = False, quiet: bool = False
) -> "list[Stored | Exception]":
    """Pull models of the Hub, several at once, under one bar; return each, or why it failed."""
    from kh_zoo.hub.store import pull

    stopped = threading.Event()
    lock = threading.Lock()
    came: dict[str, int] = {}
    totals: dict[str, int] = {}

    def work(source: "Source") -> "Stored | Exception":
        key = f"{source.repository}@{source.revision}"

        def on_bytes(more: int, total: int) -> None:
            if stopped.is_set():
                raise InterruptedError("interrupted")
            with lock:
                came[key] = came.get(key, 0) + more
                totals[key] = total
                progress.advance(sum(came.values()), total=sum(totals.values()))

        try:
            return pull(
                str(source.repository),
                source.revision,
                every_file=every_file,
                refresh=refresh,
                files=source.files,
                on_bytes=on_bytes,
            )
        except Exception as error:
            return error

    with (
        Progress("pulling", None, quiet=quiet, unit="bytes", log=True) as progress,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        try:
            return list(pool.map(work, sources))
        except KeyboardInterrupt:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
