"""What a network will take, from its description: before anything of it is built."""

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

MAX_BYTES = 2**30
"""Of the maps that are needed at once, at the size that colours are predicted at."""


class Step(NamedTuple):
    """One step of a network: the map that it makes, and those that it reads."""

    name: Hashable
    inputs: Sequence[Hashable]
    bytes: int
    """Of its map."""
    within: int = 0
    """Bytes that it takes while it is made, beside its inputs."""


def bytes_at_once(steps: Sequence[Step], outputs: Iterable[Hashable]) -> int:
    """Return the most bytes that maps take at once, where each goes when nobody needs it any more.

    Example:

    >>> from kh_zoo.networks.memory import Step, bytes_at_once
    >>> steps = [Step("x", [], 10), Step("y", ["x"], 40), Step("z", ["y"], 5)]
    >>> bytes_at_once(steps, ["z"])
    50

    Args:
        steps: In the order that they are made in.
        outputs: Names of what is kept.
    """
    last: dict[Hashable, int] = {}
    for number, step in enumerate(steps):
        last |= dict.fromkeys([step.name, *step.inputs], number)
    last |= dict.fromkeys(outputs, len(steps))
    live: dict[Hashable, int] = {}
    most = now = 0
    for number, step in enumerate(steps):
        live[step.name] = step.bytes
        now += step.bytes
        most = max(most, now + step.within)
        for name in {step.name, *step.inputs}:
            if last[name] == number:
                now -= live.pop(name, 0)
    return most
