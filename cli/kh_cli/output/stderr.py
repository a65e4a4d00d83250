"""What a person reads beside the results: stderr."""

import sys

from kh_zoo.shown import shown


def tell(*lines: str) -> None:
    """Print lines on stderr; what is in them from outside can't move the cursor, or hide."""
    print("\n".join(map(shown, lines)), file=sys.stderr, flush=True)
