"""The message for an unknown name: what was received, the choices, and the nearest of them."""

import difflib
from collections.abc import Iterable


def unknown_name(argument: str, received: object, choices: Iterable[str]) -> str:
    """Return the text of an error about `argument`, whose value is none of `choices`."""
    choices = list(choices)
    nearest = difflib.get_close_matches(str(received), choices, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return (
        f"`{argument}` should be one of {', '.join(map(repr, choices))}.{hint} "
        f"Received: {received!r}"
    )
