"""Nothing that we run on calls home, or leaves an identifier of the machine."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kh_zoo.telemetry import VARIABLES

STRACE = shutil.which("strace")

ENGINE = """
import sys, time
from kh_zoo import Colorizer
engine = Colorizer(sys.argv[1]).engine
import numpy as np
engine.predict_ab(np.zeros((64, 64), "float32"))
time.sleep(1)  # ONNX Runtime's thread for it begins late
"""
WORKER = """
import sys, time
from kh_cli.main import main
sys.argv = ["kh", "colorize", sys.argv[2], "--offline", "-q", "-m", sys.argv[1], "--jobs", "1"]
try:
    main()
finally:
    time.sleep(1)
"""


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photos" / "gray.png"
    path.parent.mkdir()
    Image.fromarray(np.arange(4096, dtype="uint8").reshape(64, 64)).save(path)
    return path


def watched(program, tmp_path, *arguments):
    """Run a program in a home of its own; what it left there, and what it connected to."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment["HOME"] = str(home)
    # A pool of threads spins until all have begun, which strace may hold back for minutes.
    environment["OMP_NUM_THREADS"] = "1"
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        environment.pop(name, None)
    trace = tmp_path / "trace"
    before = [
        STRACE,
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "trace=connect,sendto,sendmsg,sendmmsg",
        "-o",
        trace,
    ]
    result = subprocess.run(
        [*(before if STRACE else []), sys.executable, "-c", program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = trace.read_text().splitlines() if STRACE else []
    sent = [line for line in lines if re.search(r"AF_INET|htons\(53\)", line)]
    return sorted(path for path in home.rglob("*") if path.is_file()), sent, result


@pytest.mark.parametrize("program", [ENGINE, WORKER], ids=["engine", "worker"])
def test_onnx_runtime_is_silent(program, model, photo, tmp_path):
    files, sent, result = watched(program, tmp_path, model, photo)
    assert [str(path) for path in files if "onnx" in str(path).lower()] == []
    assert sent == []
    assert "elemetry" not in result.stderr


def test_what_was_imported_before_is_told_too(tmp_path):
    program = """
import onnxruntime, huggingface_hub.constants as constants
constants.HF_HUB_DISABLE_TELEMETRY = False
told = []
onnxruntime.disable_telemetry_events = lambda: told.append(True)
import kh_zoo.hub.client
assert constants.HF_HUB_DISABLE_TELEMETRY and told == [True]
"""
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HOME": str(tmp_path), "ORT_DISABLE_TELEMETRY": "1"},
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "module",
    [
        "kh_zoo.hub.client",
        "kh_zoo.publishing.publish",
        "kh_zoo.engines.onnx_engine",
        "kh_zoo.catalog.find",
    ],
)
def test_it_is_off_before_they_are_imported(module):
    # Also what a process starts has it off: a worker, and the driver of Ray.
    program = f"""
import builtins, os, sys
real = builtins.__import__
def checked(name, *arguments, **keywords):
    if name.split(".")[0] in ("onnxruntime", "ray", "huggingface_hub") and name not in sys.modules:
        assert os.environ.get("ORT_DISABLE_TELEMETRY") == "1", name
        assert os.environ.get("HF_HUB_DISABLE_TELEMETRY") == "1", name
        assert os.environ.get("RAY_USAGE_STATS_ENABLED") == "0", name
    return real(name, *arguments, **keywords)
builtins.__import__ = checked
import {module}
"""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
