"""From an exception to what the user reads and the exit code: the one place for both."""

import os
import sys
import traceback

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class WrongUse(Exception):  # noqa: N818
    """A command that was given something it can't work with."""


def explain(error: BaseException) -> tuple[str, int]:
    """Return the reason, on one line, and the exit code; with KH_DEBUG=1 show the traceback."""
    from kh_zoo.errors import HubError, PictureError, ZooError

    if os.environ.get("KH_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
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
            return (
                f"{type(error).__name__}: {text} (a bug in kh: please report it, with what it "
                "prints under KH_DEBUG=1)",
                FAILED,
            )


def report(error: BaseException) -> int:
    """Print the error on stderr and return the exit code."""
    text, code = explain(error)
    print(f"Error: {text}", file=sys.stderr)
    return code
