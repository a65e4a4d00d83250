"""A process that is told by lines of JSON what to do: both of its ends.

Each question is a line on its standard input, and answered by a line. It ends, wherever it is, when
its standard input does: so it never outlives who started it.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from kh_zoo import errors
from kh_zoo.errors import PluginWarning, WorkerError

_THREADS = "OMP_NUM_THREADS"
"""What says how many threads an engine uses. Not VIPS_CONCURRENCY: AVIF files depend on that."""


class Process:
    """The process, seen from the one that starts it. It is started again when it has ended.

    Args:
        timeout: After so many seconds without an answer the process is ended.
        threads: How many threads it computes with; None for as many as there are cores.
    """

    module: str
    """What it runs."""

    def __init__(self, timeout: float, threads: int | None = None) -> None:
        self.timeout = timeout
        self.threads = threads
        self.warnings: list[str] = []
        """What plugins have warned of."""
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process, unless it runs, and don't wait for it."""
        with self._lock:
            if self._stopped or self._process:
                return
            some = {_THREADS: str(self.threads)} if self.threads else {}
            self._process = subprocess.Popen(
                # -P: a file beside the pictures is not taken for a module.
                [sys.executable, "-P", "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="ascii",
                env={**some, **os.environ},
                # Ctrl-C is for who started it.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Ask, and wait for the answer; what has ended meanwhile says so, with the reason."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return {"ended": True, "reason": "interrupted"}
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self.timeout, end)
        timer.daemon = True
        timer.start()
        try:
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(question) + "\n")
                process.stdin.flush()
                while line := process.stdout.readline():
                    answer: dict[str, Any] = json.loads(line)
                    if "warning" not in answer:
                        return answer
                    self.warnings.append(answer["warning"])
        except ValueError:  # a line that was cut, because the process has ended
            pass
        finally:
            timer.cancel()
        self.close()
        if late.is_set():
            reason = f"no end after {self.timeout:g} s (`--timeout`)"
        else:
            reason = f"the process that colours ended ({_end(process.returncode)})"
        return {"ended": True, "reason": reason}

    def stop(self) -> None:
        """End the process at once, and start none again."""
        with self._lock:
            self._stopped = True
            if self._process:
                self._process.kill()

    def close(self) -> None:
        """Let the process end, and wait for it."""
        with self._lock:
            process, self._process = self._process, None
        if process and process.stdin and process.stdout:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()
            process.stdout.close()


def raise_reason(answer: dict[str, Any]) -> NoReturn:
    """Raise here what was raised there."""
    kind = getattr(errors, answer.get("kind", ""), WorkerError)
    raise kind(answer["reason"])


def _end(code: int) -> str:
    """What a return code says."""
    if code >= 0:
        return f"exit code {code}"
    import signal

    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    return f"{name}, which the system sends where memory is short" if name == "SIGKILL" else name


def converse() -> tuple[
    "queue.SimpleQueue[dict[str, Any]]",
    Callable[[dict[str, Any]], None],
]:
    """Return the questions, as they come, and what answers one; called in the process itself."""
    # What a plugin prints must not be among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    lock = threading.Lock()

    def answer(record: dict[str, Any]) -> None:
        with lock:
            answers.write(json.dumps(record) + "\n")
            answers.flush()

    questions = _questions(sys.stdin)
    _forward_warnings(answer)
    return questions, answer


def _questions(stream: TextIO) -> "queue.SimpleQueue[dict[str, Any]]":
    """Read in a thread, so that the end is noticed in the middle of a picture."""
    questions: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            questions.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return questions


def _forward_warnings(answer: Callable[[dict[str, Any]], None]) -> None:
    """Let who started this process say what plugins warn of; what it has said is not repeated."""
    from kh_zoo.plugins.registry import plugins

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        _ = plugins().readers
    show = warnings.showwarning

    def forward(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if isinstance(message, PluginWarning):
            errors.show_traceback(message.__cause__)
            answer({"warning": str(message)})
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = forward
    warnings.simplefilter("always", PluginWarning)
