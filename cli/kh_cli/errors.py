"""From an exception to what the user reads and the exit code: the one place for both."""

import os
import sys
import traceback
import warnings
from typing import TextIO

from kh_zoo.errors import PluginWarning
from kh_zoo.plugins import plugins

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class WrongUse(Exception):  # noqa: N818
    """A command that was given something it can't work with."""


def explain(error: BaseException) -> tuple[str, int]:
    """Return the reason, on one line, and the exit code; with KH_DEBUG=1 show the traceback."""
    from kh_zoo.errors import HubError, PictureError, ZooError

    _show_traceback(error)
    text = " ".join(str(error).split())
    match error:
        case KeyboardInterrupt():
            return "interrupted", INTERRUPTED
        case PictureError() | HubError():
            return text, FAILED
        case ZooError() | WrongUse():
            return text, WRONG_USE
        case ImportError(name=None):  # the library's own: which backend is missing
            return text, WRONG_USE
        case MemoryError():
            return "not enough memory: a smaller `--size` needs less", FAILED
        case OSError(strerror=str(reason)):
            return f"{reason}: {error.filename}" if error.filename else reason, FAILED
        case OSError():  # the library's own, such as of a download that was cut
            return text, FAILED
        case _:
            plugin = plugins().culprit(error)
            where = f"plugin {plugin!r}" if plugin else "kh"
            return (
                f"{type(error).__name__}: {text} (a bug in {where}: please report it, with what it "
                "prints under KH_DEBUG=1)",
                FAILED,
            )


def report(error: BaseException) -> int:
    """Print the error on stderr and return the exit code."""
    text, code = explain(error)
    print(f"Error: {text}", file=sys.stderr)
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
        _show_traceback(message.__cause__)
        print(f"Warning: {message}", file=sys.stderr)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        print(text, end="", file=file or sys.stderr)


def _show_traceback(error: BaseException | None) -> None:
    if error and os.environ.get("KH_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
