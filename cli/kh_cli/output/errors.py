"""From an exception to what the user reads and the exit code: the one place for both."""

import warnings
from typing import TextIO

from kh_cli.output.interrupt import Interrupt
from kh_cli.output.stderr import tell
from kh_zoo.errors import (
    HubError,
    PictureError,
    PluginWarning,
    WorkerError,
    ZooError,
    causes,
    show_traceback,
)
from kh_zoo.plugins.describe import describe

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class WrongUse(Exception):  # noqa: N818
    """A command that was given something it can't work with."""


def explain(error: BaseException) -> tuple[str, int]:
    """Return the reason, on one line, and the exit code; with KH_DEBUG=1 show the traceback."""
    # A library that was just being loaded makes another error of it.
    for one in causes(error):
        if isinstance(one, KeyboardInterrupt):
            return "interrupted", one.code if isinstance(one, Interrupt) else INTERRUPTED
    match error:
        case WrongUse():
            show_traceback(error)
            return " ".join(str(error).split()), WRONG_USE
        case PictureError() | HubError() | WorkerError():
            return describe(error), FAILED
        case ZooError() | ImportError(name=None):
            return describe(error), WRONG_USE
        case _:
            return describe(error), FAILED


def report(error: BaseException) -> int:
    """Print the error on stderr and return the exit code."""
    text, code = explain(error)
    tell(f"Error: {text}")
    return code


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning on stderr: that of a plugin on one line, others as Python does."""
    if isinstance(message, PluginWarning):
        show_traceback(message.__cause__)
        tell(f"Warning: {message}")
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        tell(*text.splitlines())
