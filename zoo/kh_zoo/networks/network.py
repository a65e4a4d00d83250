"""A network: nodes in order, each reading what stands before it, and the names of its outputs."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from kh_zoo.errors import ModelError
from kh_zoo.nearest import nearest
from kh_zoo.networks.memory import Step, bytes_at_once
from kh_zoo.networks.operations import (
    OPERATIONS,
    Map,
    Shapes,
    resize_shift,
    unknown_operation,
)

INPUT = "lightness"
"""The one input: L of CIELAB, 0..100."""
MAX_NODES = 5_000
MAX_CELLS = 2**28
"""Numbers, at most, in a map where the picture has `CHECKED_SIDE` pixels a side."""
CHECKED_SIDE = 256
MAX_PARAMETERS = 2**30
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_TENSOR = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Node:
    """One step of a network.

    Args:
        name: Of its output map.
        op: One of `OPERATIONS`.
        inputs: Names of the maps that it reads.
        attributes: As its operation asks for.
        tensors: Names of its tensors in the file, by their role.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)

    def to_table(self) -> dict[str, Any]:
        """Return the table that stands for it in `config.json`."""
        table = {**asdict(self), "inputs": list(self.inputs)}
        return {key: value for key, value in table.items() if value != {}}


@dataclass(frozen=True)
class Network:
    """Nodes in order, and the map that each output is.

    Example:

    >>> from kh_zoo.networks.network import Network, Node
    >>> attributes = {
    ...     "filters": 2, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same",
    ...     "dilation": [1, 1], "groups": 1,
    ... }
    >>> node = Node("ab", "convolution", ("lightness",), attributes, {"kernel": "ab.kernel"})
    >>> network = Network((node,), {"tint": "ab"})
    >>> network.tensor_shapes()
    {'ab.kernel': (2, 1, 3, 3)}
    >>> tuple(network.maps(48, 64)["ab"])
    (2, 48, 64)

    Args:
        nodes: Each reads the input, or what stands before it.
        outputs: The name of a map, by the name of an output.

    Raises:
        ModelError: If a name is there twice, or of nothing that stands before it; an operation, an
            attribute or a tensor is unknown, missing or absurd; maps don't fit together; a map is
            larger than 2**28 numbers where the picture is 256 x 256 pixels.
    """

    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]

    def __post_init__(self) -> None:
        if len(self.nodes) > MAX_NODES:
            raise ModelError(f"`nodes` should be at most {MAX_NODES}. Received: {len(self.nodes)}")
        before = {INPUT}
        for node in self.nodes:
            _check_node(node, before)
            before.add(node.name)
        for output, name in self.outputs.items():
            if name not in before:
                raise ModelError(
                    f"`outputs` should name nodes.{nearest(str(name), before)} "
                    f"Received: {name!r} for {output!r}"
                )
        maps = self.maps(CHECKED_SIDE, CHECKED_SIDE)
        for name, one in maps.items():
            if math.prod(one) > MAX_CELLS:
                raise ModelError(
                    f"`nodes` should have maps of at most {MAX_CELLS:,} numbers where the picture "
                    f"has {CHECKED_SIDE} pixels a side. Received: {name!r} of {tuple(one)}"
                )
        parameters = sum(math.prod(shape) for shape in self.tensor_shapes().values())
        if parameters > MAX_PARAMETERS:
            raise ModelError(
                f"`nodes` should have at most {MAX_PARAMETERS:,} parameters. "
                f"Received: {parameters:,}"
            )

    def maps(self, height: int, width: int) -> dict[str, Map]:
        """Return every map by its name, for a picture of `height` x `width` pixels.

        Raises:
            ModelError: If maps don't fit together, or have no cell.
        """
        found = {INPUT: Map(1, height, width)}
        for node in self.nodes:
            given = [found[name] for name in node.inputs]
            try:
                found[node.name] = OPERATIONS[node.op].result(given, node.attributes)
            except ValueError as error:
                raise ModelError(
                    f"the node {node.name!r} ({node.op}) {error}, where the picture has "
                    f"{height} x {width} pixels"
                ) from None
        return found

    def bytes_at_once(self, height: int, width: int) -> int:
        """Bytes, in float32, of the maps that are needed at once; engines may need less."""
        maps = self.maps(height, width)
        first = Step(INPUT, (), 4 * math.prod(maps[INPUT]))
        steps = [
            Step(node.name, node.inputs, 4 * math.prod(maps[node.name])) for node in self.nodes
        ]
        return bytes_at_once([first, *steps], self.outputs.values())

    def fits(self, side: int) -> bool:
        """Whether every map has a cell, where the picture has `side` pixels a side."""
        try:
            self.maps(side, side)
        except ModelError:
            return False
        return True

    @cached_property
    def channels(self) -> dict[str, int]:
        """Channels of every map, by its name."""
        maps = self.maps(CHECKED_SIDE, CHECKED_SIDE)
        return {name: one.channels for name, one in maps.items()}

    def stride(self, name: str) -> int:
        """Pixels of the picture per cell of a map."""
        return round(CHECKED_SIDE / self.maps(CHECKED_SIDE, CHECKED_SIDE)[name].height)

    def tensor_shapes(self) -> Shapes:
        """Shape of every tensor in float32, by its name in the file.

        Raises:
            ModelError: If two nodes share one in different shapes.
        """
        shapes: Shapes = {}
        maps = self.maps(CHECKED_SIDE, CHECKED_SIDE)
        for node in self.nodes:
            given = [maps[name] for name in node.inputs]
            asked = OPERATIONS[node.op].tensors(given, node.attributes)
            for role, name in node.tensors.items():
                if shapes.setdefault(name, asked[role]) != asked[role]:
                    raise ModelError(
                        f"the tensor {name!r} should have one shape. Received: {shapes[name]} "
                        f"and {asked[role]}"
                    )
        return shapes

    def kernels(self) -> tuple[str, ...]:
        """Names of the tensors that may be stored as int8: kernels of convolutions."""
        return tuple(
            dict.fromkeys(node.tensors["kernel"] for node in self.nodes if node.op == "convolution")
        )

    def part(self, outputs: Iterable[str]) -> "Network":
        """Return the network of some outputs, without what they don't need."""
        kept = {name: self.outputs[name] for name in outputs}
        needed = set(kept.values())
        nodes = []
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
                nodes.append(node)
        return Network(tuple(reversed(nodes)), kept)

    def to_table(self) -> dict[str, Any]:
        """Return the table that stands for it in `config.json`."""
        return {
            "nodes": [node.to_table() for node in self.nodes],
            "outputs": dict(self.outputs),
        }


def read_network(table: Any) -> Network:
    """Read what `Network.to_table` gives, from anywhere.

    Raises:
        ModelError: If it is no network, as for `Network`.
    """
    if not isinstance(table, dict) or set(table) != {"nodes", "outputs"}:
        raise ModelError("`network` should be a table of `nodes` and `outputs`")
    nodes, outputs = table["nodes"], table["outputs"]
    if not isinstance(nodes, list) or not isinstance(outputs, dict) or not outputs:
        raise ModelError("`network` should have a list of `nodes` and a table of `outputs`")
    if not all(isinstance(name, str) for name in outputs.values()):
        raise ModelError("`outputs` should name nodes")
    return Network(tuple(_read_node(one) for one in nodes), outputs)


def _read_node(table: Any) -> Node:
    keys = {"name", "op", "inputs", "attributes", "tensors"}
    if not isinstance(table, dict) or not {"name", "op", "inputs"} <= set(table) <= keys:
        shown = sorted(map(str, table)) if isinstance(table, dict) else type(table).__name__
        raise ModelError(
            f"`nodes` should be tables with the keys {sorted(keys)}. Received: {shown}"
        )
    inputs = table["inputs"]
    if not isinstance(inputs, list) or not all(isinstance(name, str) for name in inputs):
        raise ModelError(f"`inputs` of {table['name']!r} should be a list of names")
    attributes, tensors = table.get("attributes", {}), table.get("tensors", {})
    if not isinstance(attributes, dict) or not isinstance(tensors, dict):
        raise ModelError(f"`attributes` and `tensors` of {table['name']!r} should be tables")
    return Node(table["name"], table["op"], tuple(inputs), attributes, tensors)


def _check_node(node: Node, before: set[str]) -> None:
    if not isinstance(node.name, str) or not _NAME.fullmatch(node.name):
        raise ModelError(f"`name` should be of letters, digits, _ and -. Received: {node.name!r}")
    if node.name in before:
        raise ModelError(f"`nodes` should have no name twice. Received: {node.name!r}")
    operation = OPERATIONS.get(node.op) if isinstance(node.op, str) else None
    if operation is None:
        raise unknown_operation(node.op)
    for name in node.inputs:
        if name not in before:
            raise ModelError(
                f"`inputs` of {node.name!r} should stand before it.{nearest(name, before)} "
                f"Received: {name!r}"
            )
    count = operation.inputs
    if len(node.inputs) != count if count else len(node.inputs) < 2:
        raise ModelError(
            f"`inputs` of {node.name!r} should be {count or 'two or more'}, as of every "
            f"{node.op}. Received: {len(node.inputs)}"
        )
    _check_keys(node, "attributes", node.attributes, operation.attributes, operation.attributes)
    for key, check in operation.attributes.items():
        try:
            check(node.attributes[key])
        except ValueError as error:
            raise ModelError(
                f"`{key}` of {node.name!r} {error}. Received: {str(node.attributes[key])[:60]}"
            ) from None
    scale, offset = (node.attributes.get(key) for key in ("scale", "offset"))
    if node.op == "resize" and resize_shift(scale, offset) is None:  # type: ignore[arg-type]
        raise ModelError(
            f"`offset` of {node.name!r} should align cells or their corners: a whole number, or "
            f"one more than half of 1 - `scale`. Received: {offset} at the scale {scale}"
        )
    # The shapes don't matter for the names.
    roles = operation.tensors([Map(1, 1, 1)], {"filters": 1, "groups": 1, "kernel_size": [1, 1]})
    needed = [role for role in roles if role not in operation.optional]
    _check_keys(node, "tensors", node.tensors, roles, needed)
    for name in node.tensors.values():
        if not isinstance(name, str) or not _TENSOR.fullmatch(name):
            raise ModelError(f"`tensors` of {node.name!r} should be names. Received: {name!r}")


def _check_keys(
    node: Node, what: str, given: Mapping[str, Any], known: Iterable[str], needed: Iterable[str]
) -> None:
    if not set(needed) <= set(given) <= set(known):
        raise ModelError(
            f"`{what}` of {node.name!r} ({node.op}) should be {sorted(known)}. "
            f"Received: {sorted(map(str, given))}"
        )


def convolution(
    name: str,
    x: str,
    filters: int,
    window: Sequence[int] = (1, 1),
    padding: str | Sequence[int] = "valid",
    kernel: str | None = None,
    bias: str | None = None,
) -> Node:
    """A plain convolution; its kernel is called after it, where it has no other name."""
    tensors = {"kernel": kernel or f"{name}.kernel", **({"bias": bias} if bias else {})}
    attributes = {
        "filters": filters,
        "kernel_size": list(window),
        "strides": [1, 1],
        "padding": padding if isinstance(padding, str) else list(padding),
        "dilation": [1, 1],
        "groups": 1,
    }
    return Node(name, "convolution", (x,), attributes, tensors)
