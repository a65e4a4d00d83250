"""`kh`: its commands, and what happens around them."""

import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Annotated

import typer
from typer.main import get_group

from kh_cli import built_in
from kh_cli.output.errors import report, show_warning
from kh_zoo.chatter import silence
from kh_zoo.errors import PluginError, PluginWarning
from kh_zoo.plugins.registry import Plugin, plugins


@cache
def create_app() -> typer.Typer:
    """Return `kh` with its own commands and those of plugins."""
    # Plain help and usage errors: half the time of Rich ones, and errors stay on one line.
    app = typer.Typer(
        name="kh",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(kh)

    def take(plugin: Plugin, register_commands: Callable[..., object]) -> None:
        own = typer.Typer(rich_markup_mode=None)
        register_commands(app=own)
        if own.registered_callback:
            raise PluginError("`app.callback` is that of `kh`: add a group with `app.add_typer`")
        # Typer looks at the parameters of a command here, and refuses those that it can't parse.
        plugins().claim(plugin, "command", get_group(own).commands)
        app.add_typer(own)

    plugins().add_built_in("kh_cli", built_in)
    plugins().call("register_commands", take)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from kh_zoo import __version__

        print("kh", __version__)
        raise typer.Exit


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
    silence()
    warnings.showwarning = show_warning
    # While the shell completes a word, a warning would be in the way.
    warnings.simplefilter("ignore" if "_KH_COMPLETE" in os.environ else "always", PluginWarning)
    try:
        try:
            create_app()()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(report(error))
