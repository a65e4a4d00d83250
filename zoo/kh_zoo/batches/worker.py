"""A process that colours one picture after the other: what goes wrong in it ends there.

Started by `Worker`, and told by lines of JSON on its standard input what to do. Each is answered by
a line. It ends, wherever it is, when its standard input does: so it never outlives who started it.
"""

import contextlib
import errno
import json
import os
import queue
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, TextIO

from kh_zoo import errors
from kh_zoo.batches.journal import Stamp
from kh_zoo.batches.settings import Settings
from kh_zoo.chatter import silence
from kh_zoo.errors import OutputError, PluginWarning, WorkerError, ZooError
from kh_zoo.pictures.unfinished import remove_unfinished
from kh_zoo.plugins.describe import describe

_THREADS = "OMP_NUM_THREADS"
"""What says how many threads an engine uses. Not VIPS_CONCURRENCY: AVIF files depend on that."""


class Worker:
    """The process, seen from the one that starts it. It is started again when it has ended.

    Args:
        settings: How pictures are coloured.
        timeout: After so many seconds without an answer the process is ended.
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
                # -P: a file beside the pictures is not taken for a module.
                [sys.executable, "-P", "-m", "kh_zoo.batches.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="ascii",
                env={**some, **os.environ},
                # Ctrl-C is for who started it.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    def load(self) -> None:
        """Load the model, unless that was done.

        Raises:
            ZooError: It can't be loaded.
        """
        self.start()
        if self._loaded:
            return
        answer = self._ask(self.settings.__dict__)
        if "reason" in answer:
            kind = getattr(errors, answer.get("kind", ""), WorkerError)
            raise kind(answer["reason"])
        self.device = answer["device"]
        self._loaded = True

    def colorize(self, source: Path, target: Path) -> dict[str, Any]:
        """Colour a picture.

        Returns:
            With `reason` why it failed, or with `read`, `written` and `notes`.
        """
        self.load()
        before = _identity(target)
        answer = self._ask({"source": str(source), "target": str(target)})
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
        if process and process.stdin and process.stdout:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()
            process.stdout.close()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
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
    import signal

    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    return f"{name}, which the system sends where memory is short" if name == "SIGKILL" else name


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

    questions = _questions(sys.stdin)
    _forward_warnings(answer)
    from kh_zoo.colorizer import Colorizer

    settings = Settings(**questions.get())
    try:
        colorizer = Colorizer(
            settings.model,
            engine=settings.engine,
            device=settings.device,
            size=settings.size,
            saturation=settings.saturation,
            vivid=settings.vivid,
        )
    except Exception as error:
        kind = type(error).__name__ if isinstance(error, ZooError) else "WorkerError"
        answer({"reason": describe(error), "kind": kind})
        return
    answer({"device": getattr(colorizer.engine, "device", "")})
    while True:
        question = questions.get()
        answer(_colorize(colorizer, Path(question["source"]), Path(question["target"]), settings))


def _colorize(colorizer: Any, source: Path, target: Path, settings: Settings) -> dict[str, Any]:
    started = time.monotonic()
    try:
        read = Stamp.of(source, digest=True)
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
        os._exit(0)

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
