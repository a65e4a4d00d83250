"""What fuzzing finds, kept once for each place in the code."""

import traceback
from pathlib import Path


def note(error: Exception, content: bytes) -> None:
    """Write the input that raised an error to `finding-*`, unless there is one of that place."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(f"finding-{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}")
    if not path.exists():
        path.write_bytes(content)
        traceback.print_exception(error)
