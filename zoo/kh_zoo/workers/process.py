"""A process that is told by lines of JSON what to do: both of its ends.

Each question is a line on its standard input, and answered by a line. It ends, wherever it is, when
its standard input does: so it never outlives who started it.
"""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn, TextIO

from kh_zoo import errors
from kh_zoo.errors import PluginWarning, WorkerError
from kh_zoo.memory import memory_limit
from kh_zoo.pictures.unfinished import remove_unfinished

_STEP = 0.5
"""Seconds that are waited for an answer at a time."""
_PATIENCE = 10
"""Seconds that the process may take to end."""

_THREADS = "OMP_NUM_THREADS"
"""What says how many threads an engine uses. Not VIPS_CONCURRENCY: AVIF files depend on that."""


class Process:
    """The process, seen from the one that starts it. It is started again when it has ended.

    Args:
        timeout: After so many seconds without an answer the process is ended. Those in which this
            one was stopped, as by Ctrl-Z, don't count.
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
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopped = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process, unless it runs, and don't wait for it."""
        with self._lock:
            if self._stopped or self._process:
                return
            some = {_THREADS: str(self.threads)} if self.threads else {}
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="ascii",
                env={**some, **os.environ},
                # Ctrl-C is for who started it.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            self._answers = queue.SimpleQueue()
            come = (self._process.stdout, self._answers)
            threading.Thread(target=_read, args=come, daemon=True).start()

    def command(self) -> list[str]:
        """What is started."""
        # -P: a file beside the pictures is not taken for a module.
        return [sys.executable, "-P", "-m", self.module]

    def ask(self, question: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Ask, and wait for the answer; what has ended meanwhile says so, with the reason."""
        timeout = timeout or self.timeout
        process = self._process
        if process is None or process.stdin is None:
            return {"ended": True, "reason": "interrupted"}
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
        answer = self._answer(timeout)
        if answer is not None:
            return answer
        late = process.poll() is None
        if late:
            process.kill()
        self.close()
        if late:
            return {"ended": True, "reason": f"no end after {timeout:g} s (`timeout`)"}
        reason = f"the process that colours ended ({_end(process.returncode)})"
        return {"ended": True, "died": True, "reason": reason}

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
        if process and process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:  # such as one that is stopped
                process.kill()
                process.wait()

    def _answer(self, left: float) -> dict[str, Any] | None:
        """Wait for an answer; None if it takes too long, or the process has ended."""
        while left > 0:
            try:
                # In steps, each of which counts once: this process may be stopped for an hour.
                line = self._answers.get(timeout=min(left, _STEP))
            except queue.Empty:
                left -= _STEP
                continue
            try:
                answer: dict[str, Any] = json.loads(line)
            except ValueError:  # the end, or a line that was cut by it
                self._wait()
                return None
            if "warning" not in answer:
                return answer
            self.warnings.append(answer["warning"])
        return None

    def _wait(self) -> None:
        """Wait for a process that has closed its answers, and should end."""
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)


def _read(lines: IO[str], answers: "queue.SimpleQueue[str]") -> None:
    """Hand on lines in a thread, and at the end an empty one."""
    with lines, contextlib.suppress(ValueError):  # of what is no ASCII
        for line in lines:
            answers.put(line)
    answers.put("")


def raise_reason(answer: dict[str, Any]) -> NoReturn:
    """Raise here what was raised there."""
    kind = getattr(errors, answer.get("kind", ""), WorkerError)
    raise kind(answer["reason"])


def _end(code: int) -> str:
    """What a return code says."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    if name in ("SIGKILL", "SIGABRT", "SIGBUS"):
        return f"{name}, as where memory is short: {memory_limit()}"
    return name


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

    _end_at_signals()
    questions = _questions(sys.stdin)
    _forward_warnings(answer)
    return questions, answer


def _questions(stream: TextIO) -> "queue.SimpleQueue[dict[str, Any]]":
    """Read in a thread, so that the end is noticed in the middle of a picture."""
    questions: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            questions.put(json.loads(line))
        _end_now(0)

    threading.Thread(target=read, daemon=True).start()
    return questions


UNDER_WAY: list[Path] = []
"""The outputs that the process is writing, which are removed where it ends in the middle."""


def _end_now(code: int) -> None:
    """End in the middle of a picture, and leave nothing of it."""
    remove_unfinished(UNDER_WAY)
    os._exit(code)


def _end_at_signals() -> None:
    """End when the system asks for it, also while a library computes."""
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda *_: None)

    def wait(*_: object) -> None:
        _end_now(128 + wake.recv(1)[0])

    threading.Thread(target=wait, args=[woken], daemon=True).start()  # which is kept open so


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
