"""`kh page`: pictures are dropped into a page of the browser, and coloured on this machine."""

import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from kh_cli.options.completion import complete_format
from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
from kh_cli.options.model_options import ModelOption
from kh_cli.options.picture_options import Device, Quality, Timeout
from kh_cli.output.errors import INTERRUPTED
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line
from kh_zoo.extras import needs
from kh_zoo.shown import counted


def page(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write each picture into as soon as it is coloured, and again when its "
            "colours are changed on the page. What is there already is never replaced. Default: "
            "only what is downloaded from the page is kept.",
        ),
    ] = None,
    model: ModelOption = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="SUFFIX",
            autocompletion=complete_format,
            help="File format to write, such as jpg, png, webp, tif or avif. Default: the "
            "picture's, or png where that can't be written.",
        ),
    ] = None,
    quality: Quality = None,
    engine: Annotated[
        str | None,
        typer.Option(help="What computes, as for `kh colorize`. Default: what suits the model."),
    ] = None,
    device: Device = "auto",
    timeout: Timeout = 900,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 is any that is free.")
    ] = 0,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser",
            help="Open the page in the browser, or only print its address.",
        ),
    ] = True,
    offline: Offline = False,
    cache_dir: CacheDir = None,
) -> None:
    """Open a page in the browser that colours the pictures that are dropped into it.

    Everything stays on this machine: the page is served to it alone, at an address that holds a
    secret, and loads nothing from elsewhere. Ctrl-C ends it.

    Exit code: 0 ended when all pictures were done; 2 wrong use; 130 ended before that.
    """
    set_hub(offline, cache_dir)
    with needs("page", "`kh page`"):
        from kh_zoo.page.server import PageServer
    from kh_zoo.batches.plan import check_format
    from kh_zoo.catalog.records import DEFAULT_VARIANT
    from kh_zoo.page.choices import list_choices
    from kh_zoo.page.gallery import Options
    from kh_zoo.pictures.formats import suffix_of

    suffix = suffix_of(format)
    check_format(suffix)
    model = model or DEFAULT_VARIANT
    pull_model(model, quiet=False)
    options = Options(
        choices=list_choices(model),
        engine=engine,
        device=device,
        suffix=suffix,
        quality=quality,
        output=output.absolute() if output else None,
        timeout=timeout,
    )
    server = PageServer(options, port)

    def ready() -> None:
        write_line(server.address)
        tell("The page is at this address, for this machine alone. Ctrl-C ends it.")
        if browser:
            # One in the terminal would keep us from serving.
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()

    with server:
        server.run(ready)
        left = server.gallery.left
    if left:
        tell(f"ended with {counted(left, 'picture')} not done")
        raise typer.Exit(INTERRUPTED)
