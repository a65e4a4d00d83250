"""The way of a picture, as CONTRIBUTING.md tells it, is the one that it goes."""

import os
import re
import subprocess
import sys
from pathlib import Path

from whole_process import KH

ROOT = Path(__file__).parents[2]
# Notes each call of a function of ours, in every process and thread.
WATCH = """
import sys, threading, time

calls = open({path!r}, "a", buffering=1)

def note(frame, event, _):
    module = frame.f_globals.get("__name__", "")
    if event == "call" and module.startswith("kh_"):
        calls.write(f"{{time.monotonic_ns()}} {{module}}:{{frame.f_code.co_qualname}}\\n")

sys.setprofile(note)
threading.setprofile(note)
"""


def test_is_as_told(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = re.findall(r"^\d+\. `([\w.]+:[\w.]+)`", text, re.MULTILINE)
    assert len(told) > 10
    watch, calls = tmp_path / "watch", tmp_path / "calls"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(WATCH.format(path=str(calls)), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(watch), os.environ.get("PYTHONPATH"))))
    subprocess.run(
        [sys.executable, KH, "colorize", ROOT / "examples" / "chelsea.jpg", "-o", tmp_path / "out"],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    first = {}
    for line in calls.read_text(encoding="utf-8").splitlines():
        moment, name = line.split(" ", 1)
        first[name] = min(first.get(name, int(moment)), int(moment))
    assert [name for name in told if name not in first] == []
    assert told == sorted(told, key=first.get)
