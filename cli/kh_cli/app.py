"""`kh`: its commands, and what happens around them."""

import codecs
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Annotated

import typer
from typer.main import get_group

from kh_cli import built_in
from kh_cli.output.errors import FAILED, WrongUse, report, show_warning
from kh_cli.output.help import Group
from kh_cli.output.interrupt import interrupt_behind, raise_interrupts
from kh_cli.output.stdout import write_text
from kh_zoo.chatter import silence
from kh_zoo.errors import PluginError, PluginWarning
from kh_zoo.plugins.registry import Plugin, plugins

_HOME = re.compile(r"(--[^=]+=|-\w)?~(/|$)")
"""What begins with a `~` that the shell has left: alone, or as the value of an option."""


@cache
def create_app() -> typer.Typer:
    """Return `kh` with its own commands and those of plugins."""
    # Plain help and usage errors: half the time of Rich ones, and errors stay on one line.
    app = typer.Typer(
        name="kh",
        cls=Group,
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

        write_text(f"kh {__version__}")
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


def run() -> None:
    """Run `kh`: no traceback for a user, the exit code, and quiet when the reader has gone."""
    _open_streams()
    silence()
    warnings.showwarning = show_warning
    # While the shell completes a word, a warning would be in the way.
    warnings.simplefilter("ignore" if "_KH_COMPLETE" in os.environ else "always", PluginWarning)
    raise_interrupts()
    try:
        try:
            _check_arguments(sys.argv[1:])
            create_app()()
        except SystemExit as end:
            raise (interrupt_behind(end) or end) from None
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        sys.exit(FAILED)
    except (Exception, KeyboardInterrupt) as error:
        code = report(error)
        _drop_output()
        sys.exit(code)


def _check_arguments(arguments: list[str]) -> None:
    """Refuse what the shell has made no path of: an empty one would be the folder that one is in,
    all of whose pictures would be coloured, and `~` a folder of that name."""
    for argument in arguments:
        if not argument or (argument.startswith("--") and argument.endswith("=")):
            raise WrongUse(
                "an argument should not be empty, as that of a variable is which isn't set. "
                f"Received: {shlex.join(arguments)}"
            )
        if _HOME.match(argument):
            raise WrongUse(
                "`~` should stand behind a space and without quotes, as in -o ~/out: only then the "
                f"shell puts your home folder there. Received: {argument}"
            )


def _open_streams() -> None:
    """See to it that something is there to be written to, and takes every character."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:  # closed, so that any file would get its number
            while os.open(os.devnull, os.O_RDWR) < number:
                pass
            setattr(sys, name, open(number, mode, errors="replace"))  # noqa: SIM115
    codecs.register_error("kh", _as_bytes_or_escaped)
    sys.stdout.reconfigure(errors="kh")  # type: ignore[union-attr]


def _as_bytes_or_escaped(error: UnicodeError) -> tuple[bytes, int]:
    """A file name that is no UTF-8 is printed as the bytes that it is; what the encoding of the
    output lacks, by its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    escaped = (
        char.encode("ascii", "surrogateescape")
        if "\udc80" <= char <= "\udcff"
        else char.encode("ascii", "backslashreplace")
        for char in part
    )
    return b"".join(escaped), error.end


def _drop_output() -> None:
    """What is left in the buffer, and can't be written, must not be tried again at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
