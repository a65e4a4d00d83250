"""`kh compare`: the same pictures through several models, to look at."""

import itertools
import os
from pathlib import Path
from typing import Annotated

import typer

from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
from kh_cli.options.model_options import Models
from kh_cli.options.output_options import (
    Overwrite,
    Quiet,
    check_absent,
    check_suffix,
    prepare_place,
)
from kh_cli.output.errors import FAILED, WRONG_USE, WrongUse
from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line
from kh_zoo.shown import counted


def compare(
    models: Models,
    data: Annotated[
        list[Path],
        typer.Option(
            exists=True,
            help="A picture or a folder of them; give it again for more.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            metavar="FILE",
            help="What to write: a page to zoom in, .html, which needs no other file; or a sheet, "
            ".jpg or .png.",
        ),
    ] = Path("comparison.html"),
    count: Annotated[
        int, typer.Option(min=1, help="At most so many pictures, evenly spread over those found.")
    ] = 12,
    saturation: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            max=10,
            help="Factor of the colours' strength; given several times, every model has a column "
            "for each. Default: 1, as predicted.",
            show_default=False,
        ),
    ] = None,
    vivid: Annotated[
        bool,
        typer.Option(
            "--vivid",
            help="A further column for each model: its vivid head, as for `kh colorize`. Default: "
            "none.",
        ),
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            max=4096,
            help="As for `kh colorize`. Default: what each model was made for.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    offline: Offline = False,
    cache_dir: CacheDir = None,
    quiet: Quiet = False,
) -> None:
    """Put the same pictures through several models, side by side.

    The columns are grey, each model's colours, and the picture itself, if it has colours. In the
    page a click shows all pictures of a row at full resolution, at the spot under the pointer.

    Exit code: 0 done; 1 some picture could not be read (each is named, the rest is there); 2 wrong
    use, or no picture found.
    """
    set_hub(offline, cache_dir)
    from kh_zoo.colorizer import Colorizer
    from kh_zoo.measuring.comparison import FORMATS, compare
    from kh_zoo.measuring.split import evenly

    check_suffix("--output", output, *FORMATS)
    check_absent("--output", output, overwrite)
    prepare_place("--output", output)
    for model in models:
        pull_model(model, quiet)

    pictures = [pair for path in data for pair in _pictures(path)]
    if not pictures:
        raise WrongUse(f"`--data` should hold pictures. Received: {', '.join(map(str, data))}")
    if os.path.realpath(output) in {os.path.realpath(path) for _, path in pictures}:
        raise WrongUse(f"`--output` should not be a picture of `--data`. Received: {output}")
    found = evenly(pictures, count)
    colorizers = {}
    for model, head in itertools.product(models, [False, True] if vivid else [False]):
        for factor in saturation or [1.0]:
            heading = model + ", vivid" * head + (f", {factor:g}" if saturation else "")
            colorizers[heading] = Colorizer(model, size=size, saturation=factor, vivid=head)
    failures = 0
    with Progress("comparing", len(found), quiet=quiet) as progress:

        def on_picture(done: int, name: str, failure: Exception | None) -> None:
            nonlocal failures
            progress.advance(done)
            if failure:
                failures += 1
                progress.say(f"{name}: {failure}")

        written = compare(colorizers, found, output, on_picture=on_picture)
    if not written:
        raise typer.Exit(WRONG_USE)
    write_line(output)
    if not quiet:
        tell(f"{counted(written, 'picture')}, {counted(len(colorizers), 'model')}")
    if failures:
        raise typer.Exit(FAILED)


def _pictures(path: Path) -> list[tuple[str, Path]]:
    """The pictures at a path, with their names: in a folder, that below it."""
    if not path.is_dir():
        return [(path.name, path)]
    from kh_zoo.batches.walk import Walk

    return [(str(file.relative_to(path)), file) for file in Walk(path).found]
