"""The message for an unknown name: what was received, the choices, and the nearest of them."""

import difflib
from collections.abc import Iterable


def unknown_name(argument: str, received: object, choices: Iterable[str]) -> str:
    """Return the text of an error about `argument`, whose value is none of `choices`."""
    choices = list(choices)
    return (
        f"`{argument}` should be one of {', '.join(map(repr, choices))}."
        f"{nearest(str(received), choices)} Received: {received!r}"
    )


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return a hint for the message of an error, or nothing if no choice is near."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.4)
    return f" Did you mean {found[0]!r}?" if found else ""
