"""A forked process says that it can't colour, instead of waiting for ever."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
PROGRAM = """
import os, sys, signal, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of Python, which warns of threads
how, model, picture = sys.argv[1:]
from kh_zoo import Colorizer
one = Colorizer(model)
if how == "new":
    one.colorize(picture)
child = os.fork()
if child:
    signal.alarm(60)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.alarm(20)
if how in ("made, then a new one", "new"):
    one = Colorizer(model)
try:
    one.colorize(picture)
except Exception as error:
    print(type(error).__name__, error)
    sys.exit(7)
"""


@pytest.mark.parametrize(
    ("how", "code"),
    [("made", 7), ("new", 7), ("made, then a new one", 0)],
)
def test_a_forked_process(tmp_path, model, how, code):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, str(model), "examples/coffee.jpg"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == code, result.stderr
    if code:
        assert result.stdout.startswith("ForkError this process was forked from one that has ")
        assert "'spawn'" in result.stdout
