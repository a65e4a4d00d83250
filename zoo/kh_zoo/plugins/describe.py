"""What of an error a user reads."""

from kh_zoo.errors import ZooError, show_traceback
from kh_zoo.memory import is_near_limit, is_out_of_memory, memory_limit
from kh_zoo.plugins.registry import plugins


def describe(error: BaseException) -> str:
    """The reason, on one line; with KH_DEBUG=1 the traceback is shown."""
    show_traceback(error)
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return f"not enough memory ({memory_limit()}): fewer `jobs` or a smaller `size` need less"
    short = f" (memory is short: {memory_limit()})" if is_near_limit() else ""
    match error:
        case ZooError() | ImportError(name=None):  # the library's own: which backend is missing
            return text + short
        case OSError(strerror=str(reason)):
            return f"{reason}: {error.filename}" if error.filename else reason
        case OSError():  # the library's own, such as of a download that was cut
            return text
        case _:
            plugin = plugins().culprit(error)
            if short and not plugin:
                return f"{type(error).__name__}: {text}{short}"
            where = f"plugin {plugin!r}" if plugin else "kh"
            return (
                f"{type(error).__name__}: {text} (a bug in {where}: please report it, with what it "
                "prints under KH_DEBUG=1)"
            )
