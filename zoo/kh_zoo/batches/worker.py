"""A process that colours one picture after the other: what goes wrong in it ends there.

Started by `Worker`, and told by lines of JSON on its standard input what to do. Each is answered by
a line. It ends, wherever it is, when its standard input does: so it never outlives who started it.
"""

import contextlib
import errno
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import IO, Any, TextIO

from kh_zoo import errors
from kh_zoo.batches.journal import Stamp
from kh_zoo.batches.settings import Settings
from kh_zoo.chatter import silence
from kh_zoo.errors import OutputError, PictureError, PluginWarning, WorkerError, ZooError
from kh_zoo.memory import is_near_limit, is_out_of_memory, memory_limit
from kh_zoo.pictures.unfinished import remove_unfinished
from kh_zoo.plugins.describe import describe

# -P: a file beside the pictures is not taken for a module.
_COMMAND = [sys.executable, "-P", "-m", "kh_zoo.batches.worker"]
_DEATHS = 3
"""A process that ends so many times before it has had a picture is not started again."""
_LOADING = 300
"""Seconds that a model may take to load, where a picture may take less."""
_STEP = 0.5
"""Seconds that are waited for an answer at a time."""
_PATIENCE = 10
"""Seconds that the process may take to end."""
_THREADS = "OMP_NUM_THREADS"
"""What says how many threads an engine uses. Not VIPS_CONCURRENCY: AVIF files depend on that."""


class Worker:
    """The process, seen from the one that starts it. It is started again when it has ended.

    Args:
        settings: How pictures are coloured.
        timeout: After so many seconds with a picture the process is ended. Those in which this
            process was stopped, as by Ctrl-Z, don't count.
        threads: How many threads it computes with; None for as many as there are cores.
    """

    def __init__(self, settings: Settings, timeout: float, threads: int | None) -> None:
        self.settings = settings
        self.timeout = timeout
        self.threads = threads
        self.device = ""
        """What it computes on, once the model is loaded, and if the engine says so."""
        self.warnings: list[str] = []
        """What plugins have warned of."""
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._loaded = False
        self._stopped = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process, unless it runs, and don't wait for it."""
        with self._lock:
            if self._stopped or self._process:
                return
            self._loaded = False
            some = {_THREADS: str(self.threads)} if self.threads else {}
            self._process = subprocess.Popen(
                _COMMAND,
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

    def load(self) -> None:
        """Load the model, unless that was done.

        Raises:
            ZooError: It can't be loaded, or the process ends again and again while it loads.
        """
        for deaths in range(1, _DEATHS + 1):
            self.start()
            if self._loaded:
                return
            answer = self._ask(self.settings.__dict__, max(self.timeout, _LOADING))
            if "reason" not in answer:
                self.device = answer["device"]
                self._loaded = True
                return
            if not answer.get("died") or deaths == _DEATHS:
                break
        kind = getattr(errors, answer.get("kind", ""), WorkerError)
        raise kind(answer["reason"])

    def colorize(self, source: Path, target: Path) -> dict[str, Any]:
        """Colour a picture.

        Returns:
            With `reason` why it failed, or with `read`, `written` and `notes`.
        """
        self.load()
        before = _identity(target)
        answer = self._ask({"source": str(source), "target": str(target)}, self.timeout)
        if answer.get("short_of_memory"):
            self.close()  # the next picture begins with what it has kept
        if answer.get("ended"):
            remove_unfinished([target])
            if _identity(target) != before:  # it has its name, so it is whole
                read, written = Stamp.of(source), Stamp.of(target)
                if read and written:
                    return {"read": read.__dict__, "written": written.__dict__, "notes": []}
        return answer

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

    def _ask(self, question: dict[str, Any], timeout: float) -> dict[str, Any]:
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
            return {"ended": True, "reason": f"no end after {timeout:g} s (`--timeout`)"}
        reason = f"the process that colours ended ({_end(process.returncode)})"
        return {"ended": True, "died": True, "reason": reason}

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


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _end(code: int) -> str:
    """What a return code says."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    if name in ("SIGKILL", "SIGABRT", "SIGBUS"):
        return f"{name}, as where memory is short: {memory_limit()}"
    return name


def main() -> None:
    """Answer until standard input ends."""
    silence()
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
    settings = Settings(**questions.get())
    try:
        colorizer = settings.colorizer()
    except Exception as error:
        kind = type(error).__name__ if isinstance(error, ZooError) else "WorkerError"
        answer({"reason": describe(error), "kind": kind})
        return
    answer({"device": getattr(colorizer.engine, "device", "")})
    while True:
        question = questions.get()
        source, target = Path(question["source"]), Path(question["target"])
        _UNDER_WAY.append(target)
        answer(_colorize(colorizer, source, target, settings))
        _UNDER_WAY.clear()


_UNDER_WAY: list[Path] = []
"""The output that is being written."""


def _end_now(code: int) -> None:
    """End in the middle of a picture, and leave nothing of it."""
    remove_unfinished(_UNDER_WAY)
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


def _colorize(colorizer: Any, source: Path, target: Path, settings: Settings) -> dict[str, Any]:
    started = time.monotonic()
    try:
        read = Stamp.of(source, digest=True)
        if read is None and source.exists() and not source.is_file():
            raise PictureError("no file any more")
        notes = colorizer.colorize_file(
            source, target, quality=settings.quality, compare=settings.compare
        )
        written = Stamp.of(target)
        if read is None or written is None:
            raise OutputError("vanished while it was coloured")
    except Exception as error:
        return {
            "reason": describe(error),
            "disk_full": _disk_full(error),
            "short_of_memory": is_out_of_memory(error) or is_near_limit(),
            "seconds": time.monotonic() - started,
        }
    return {
        "read": read.__dict__,
        "written": written.__dict__,
        "notes": notes,
        "seconds": time.monotonic() - started,
    }


def _questions(stream: TextIO) -> "queue.SimpleQueue[dict[str, Any]]":
    """Read in a thread, so that the end is noticed in the middle of a picture."""
    questions: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            questions.put(json.loads(line))
        _end_now(0)

    threading.Thread(target=read, daemon=True).start()
    return questions


def _forward_warnings(answer: Any) -> None:
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


def _disk_full(error: BaseException | None) -> bool:
    """Whether the disk is full, so that every further picture would fail too."""
    full = (errno.ENOSPC, errno.EDQUOT)
    while error is not None:
        if isinstance(error, OSError) and error.errno in full:
            return True
        if any(os.strerror(number) in str(error) for number in full):  # libvips has but the text
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    main()
