"""Measurements, each in a process of its own, and the Markdown tables of them.

A script calls `measure` with its cases. For each case the script is started again, as a child,
where `start` calls the script's `work` with the case, and that calls `report` for every
measurement. Peak memory is that of the whole child: interpreter, framework and weights included.
The parent imports nothing large, because the peak of a child begins with that of its parent.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

VARIANTS = ("full", "relu1to5", "relu3to5", "pool1to4")

# What Python, C++, TensorFlow and JAX, and PyTorch say where memory can't be had.
_OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "OOM", "RESOURCE_EXHAUSTED", "can't allocate memory")
_KIB = 1 if sys.platform == "darwin" else 1024


def start(main: Callable, work: Callable) -> None:
    """Run the script: `main`, or, in a child, `work` with a case."""
    if sys.argv[1:2] != ["--case"]:
        main()
        return
    case = json.loads(sys.argv[2])
    limit = int(case.pop("limit") * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    work(**case)


def report(measurement: str, call: Callable, seconds: float) -> None:
    """Repeat `call` for `seconds`, once at least, and report the median time.

    A first call, which traces and allocates, is not counted.
    """
    call()
    times: list[float] = []
    while sum(times) < seconds:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    report_time(measurement, statistics.median(times))


def process_age() -> float:
    """Seconds since this process was started (Linux only)."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def report_time(measurement: str, seconds: float) -> None:
    """Report a time that was taken, and the peak memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
    print(json.dumps([measurement, seconds, peak]), flush=True)


def measure(cases: dict[str, dict], options: argparse.Namespace) -> dict[str, dict]:
    """Return `{case: {measurement: (seconds, bytes)}}`, the medians over the rounds.

    The cases take turns. A measurement that ran out of memory is missing.
    """
    results: dict[str, dict[str, list]] = {name: {} for name in cases}
    for number in range(options.rounds):
        for name, case in cases.items():
            print(f"{number + 1}/{options.rounds} {case}", file=sys.stderr, flush=True)
            for measurement, *values in _run_child({**case, "limit": options.limit}):
                results[name].setdefault(measurement, []).append(values)
    return {
        name: {
            measurement: tuple(map(statistics.median, zip(*values, strict=True)))
            for measurement, values in measurements.items()
            if len(values) == options.rounds
        }
        for name, measurements in results.items()
    }


def _run_child(case):
    command = [sys.executable, sys.argv[0], "--case", json.dumps(case)]
    child = subprocess.run(command, capture_output=True, text=True)
    out_of_memory = child.returncode == -9 or any(text in child.stderr for text in _OUT_OF_MEMORY)
    if child.returncode and not out_of_memory:
        raise SystemExit(f"{child.stderr[-3000:]}\n{case} failed")
    return [json.loads(line) for line in child.stdout.splitlines() if line.startswith('["')]


def shared_parser(description: str, seconds: float) -> argparse.ArgumentParser:
    """A parser of the options that the scripts share; `seconds` is a default."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1, help="processes for each case")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="to repeat a measurement for"
    )
    parser.add_argument(
        "--limit", type=float, default=12, help="GB that a process may allocate (Linux only)"
    )
    return parser


def print_conditions(options: argparse.Namespace, packages: Iterable[str]) -> None:
    """Say what the table was measured on."""
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(
        f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores; "
        f"a process may allocate {options.limit:g} GB.\n"
    )


def backend_package() -> str:
    """The package of Keras's backend, as the variable KERAS_BACKEND chooses it."""
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def print_header(*columns: str) -> None:
    """Begin a Markdown table."""
    print_row(*columns)
    print_row(*("---" for _ in columns))


def print_row(*cells: object) -> None:
    """Print a row of a Markdown table."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def compared(first: tuple | None, second: tuple | None) -> list[str]:
    """Cells for two results: both times and their ratio, both peak memories and theirs."""
    cells = []
    for index, unit, scale in ((0, "s", 1), (1, "GB", 1e9)):
        pair = [result and result[index] / scale for result in (first, second)]
        cells += [f"{value:.2f} {unit}" if value else "out of memory" for value in pair]
        cells.append(f"{pair[0] / pair[1]:.1f}" if all(pair) else "")
    return cells
