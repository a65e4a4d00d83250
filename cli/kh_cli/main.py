"""`kh`: its commands, and what happens around them."""

import os
import sys
from typing import Annotated

import typer

from kh_cli.commands.colorize import colorize
from kh_cli.commands.evaluate import evaluate
from kh_cli.commands.export import export
from kh_cli.commands.list import list_variants
from kh_cli.commands.show import show
from kh_cli.commands.train import train
from kh_cli.errors import report

# Plain help and usage errors: half the time of Rich ones, and errors stay on one line.
app = typer.Typer(
    name="kh",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(colorize)
app.command("list")(list_variants)
app.command()(show)
app.command()(evaluate)
app.command()(train)
app.command()(export)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print("kh", version("keras-hypercolumns"))
        raise typer.Exit


@app.callback()
def kh(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Colour grey photographs, and train models of your own that do.

    `kh colorize photo.jpg` writes photo.color.jpg. With KH_DEBUG=1 an error shows its traceback.
    """


def main() -> None:
    """Run `kh`: no traceback for a user, the exit code, and quiet when the reader has gone."""
    # A file name that is no UTF-8 is printed as the bytes that it is.
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(report(error))
