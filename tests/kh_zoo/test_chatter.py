"""What TensorFlow prints of processors when it is imported reaches nobody who did not ask."""

import os
import subprocess
import sys

import pytest

# In the place of TensorFlow: it prints as that does, from C and before it reads its settings, and
# later what they let through.
LOUD = """
import os

def say(words):
    try:
        os.write(2, words)
    except OSError:  # C does not care
        pass

say(b"I0000 cudart_stub.cc: Could not find cuda drivers\\n")
LEVEL = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0")

def compute():
    if int(LEVEL) < 3:
        say(b"E0000 cuda_platform.cc: failed call to cuInit\\n")
"""
PROGRAM = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
if "closed" in sys.argv:
    os.close(2)
from kh_zoo.chatter import silence
silence(), silence()
import tensorflow
tensorflow.compute()
assert tensorflow.__name__ == "tensorflow" and tensorflow.__spec__.origin.startswith(sys.argv[1])
import tensorflow.part
if "closed" not in sys.argv:
    os.write(2, b"ours\\n")
    child = "import sys; sys.path.insert(0, sys.argv[1]); import tensorflow; tensorflow.compute()"
    said = subprocess.run([sys.executable, "-c", child, sys.argv[1]], stderr=subprocess.PIPE)
    print("cuInit" in said.stderr.decode())
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(LOUD)
    (tmp_path / "tensorflow" / "part.py").write_text("")

    def run(*words, **environment):
        known = {name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path), *words],
            env={**known, "KH_DEBUG": "", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_nothing_of_it_is_shown_and_all_else_is(run):
    result = run()
    assert (result.returncode, result.stderr) == (0, "ours\n")
    assert result.stdout == "False\n"


def test_whoever_asks_sees_it(run):
    result = run(KH_DEBUG="1")
    assert result.returncode == 0
    assert "cudart" in result.stderr
    assert "cuInit" in result.stderr
    assert result.stdout == "True\n"


def test_a_level_of_ones_own_counts(run):
    result = run(TF_CPP_MIN_LOG_LEVEL="0")
    assert "cudart" not in result.stderr  # before it reads its settings
    assert "cuInit" in result.stderr


def test_a_standard_error_that_is_closed(run):
    result = run("closed")
    assert (result.returncode, result.stderr) == (0, "")
