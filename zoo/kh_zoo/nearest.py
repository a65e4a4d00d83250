"""What was meant, most likely, by a name that is none."""

import difflib
from collections.abc import Iterable


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return a hint for the message of an error, or nothing if no choice is near.

    Example:

    >>> from kh_zoo.nearest import nearest
    >>> nearest("sepa", ["onnx", "sepia"])
    " Did you mean 'sepia'?"
    """
    found = difflib.get_close_matches(name, list(choices), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
