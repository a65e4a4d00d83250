"""What a forked process can't do: the threads of libvips and of an engine stay with its parent."""

import ctypes
import os
import weakref
from typing import Any

from kh_zoo.errors import ForkError

_ENGINES: "weakref.WeakSet[Any]" = weakref.WeakSet()
_first_use: int | None = None


def check_fork(made_in: int | None = None) -> None:
    """Note that pictures are read in this process.

    Args:
        made_in: The process in which what is used was made, if that matters.

    Raises:
        ForkError: It is the child of one that has read pictures, or made what is used, so that this
            one would wait for ever for threads that it does not have.
    """
    global _first_use
    here = os.getpid()
    _first_use = _first_use or here
    if {here, _first_use, made_in or here} != {here}:
        raise ForkError(
            "this process was forked from one that has made a `Colorizer` or read pictures, whose "
            "threads it lacks: start processes with multiprocessing's 'spawn', or fork before "
            f"and make the `Colorizer` in each. Received: process {here}, forked from another one"
        )


def keep_in_forks(engine: object) -> None:
    """Let an engine not be ended in a forked process: that, too, would wait for its threads."""
    _ENGINES.add(engine)


def _keep() -> None:
    for engine in _ENGINES:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_keep)
