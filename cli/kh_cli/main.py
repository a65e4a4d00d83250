"""Where `kh` begins: while it imports the rest, and at its end, Ctrl-C ends it at once."""

import os
import signal


def main() -> None:
    """Run `kh`."""
    end_at_interrupt()
    from kh_cli.app import run

    try:
        run()
    finally:
        end_at_interrupt()


def end_at_interrupt() -> None:
    """Let Ctrl-C end this process, wherever it is: nothing is under way."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as of a job in the background
        signal.signal(signal.SIGINT, _end)


def _end(*_: object) -> None:
    os.write(2, b"Error: interrupted\n")
    os._exit(128 + signal.SIGINT)
