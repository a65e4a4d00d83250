"""What a person reads beside the results: stderr."""

import re
import sys

from kh_zoo.shown import shown

OPTIONS = {
    **{name: f"--{name}" for name in ("codec", "compare", "data", "device", "engine", "format")},
    **{name: f"--{name}" for name in ("jobs", "output", "overwrite", "port", "quality", "runner")},
    **{name: f"--{name}" for name in ("runtime", "saturation", "size", "timeout", "vivid")},
    **{name: f"--{name}" for name in ("precision", "to", "whole")},
    **{"every_picture": "--all", "paths": "PATH", "folder": "DIR", "variant": "MODEL"},
    **{"recipe": "RECIPE"},
}
"""What the arguments of the library are on the command line."""
_ARGUMENT = re.compile(f"`({'|'.join(OPTIONS)})`")


def tell(*lines: str) -> None:
    """Print lines on stderr; what is in them from outside can't move the cursor, or hide."""
    print("\n".join(map(told, lines)), file=sys.stderr, flush=True)


def told(text: str) -> str:
    """A line as it is printed: the library says `output` for what is `--output` here."""
    return shown(_ARGUMENT.sub(lambda match: f"`{OPTIONS[match[1]]}`", text))
