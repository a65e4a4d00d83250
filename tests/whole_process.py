"""`kh` as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

KH = Path(sys.executable).with_name("kh")


def kh(*arguments, cwd=None, stdin=subprocess.DEVNULL, **environment):
    return subprocess.run(
        [KH, *map(str, arguments)],
        cwd=cwd,
        stdin=stdin,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
