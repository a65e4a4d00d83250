"""`kh` as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

KH = Path(sys.executable).with_name("kh")


def kh(*arguments, cwd=None, **environment):
    return subprocess.run(
        [KH, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
