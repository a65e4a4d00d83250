"""What can go wrong for a user, each with a message of one line that says what to do."""

import os
import sys
import traceback
from collections.abc import Iterator

from kh_zoo.shown import shown

_MOST_CHARACTERS = 1000


class ZooError(Exception):
    """Base of the errors of this package."""

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) <= _MOST_CHARACTERS:
            return text
        # What a stranger's file says is quoted in it.
        return f"{text[:_MOST_CHARACTERS]}... ({len(text):,} characters)"


class VariantError(ZooError, ValueError):
    """No variant, folder or run of that name."""


class ModelError(ZooError, ValueError):
    """A model folder that is not what it should be."""


class EngineError(ZooError, ValueError):
    """No engine of that name, or one whose packages are not installed."""


class RunnerError(ZooError, ValueError):
    """No runner of that name, or one that can't be used here."""


class DataError(ZooError, ValueError):
    """A folder of pictures that lacks what it is used for."""


class PictureError(ZooError):
    """A picture that can't be read; the next one may be fine."""


class PredictionError(PictureError):
    """A picture for which a model predicts what is no colour."""


class OutputError(ZooError):
    """A place that can't be written to."""


class HubError(ZooError):
    """The Hugging Face Hub can't be reached, or refuses."""


class WorkerError(ZooError):
    """A process that colours pictures could not begin."""


class ForkError(ZooError, RuntimeError):
    """A forked process that would wait for ever for threads of its parent."""


class PluginError(ZooError):
    """Something in a plugin that can't be taken as it is."""


class PluginWarning(UserWarning):
    """A plugin failed (the error is the `__cause__`), or `KH_PLUGINS` names none that is there."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what it was raised for, and so on.

    Example:

    >>> from kh_zoo.errors import causes
    >>> try:
    ...     int("x")
    ... except ValueError as error:
    ...     wrapped = RuntimeError("no number")
    ...     wrapped.__cause__ = error
    >>> [type(one).__name__ for one in causes(wrapped)]
    ['RuntimeError', 'ValueError']
    """
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def show_traceback(error: BaseException | None) -> None:
    """Print the traceback on stderr, if KH_DEBUG=1 asks for it."""
    if error and debugging():
        for line in "".join(traceback.format_exception(error)).splitlines():
            print(shown(line), file=sys.stderr)


def debugging() -> bool:
    """Whether KH_DEBUG=1 asks for what is otherwise kept from the user."""
    return os.environ.get("KH_DEBUG", "") not in ("", "0")
