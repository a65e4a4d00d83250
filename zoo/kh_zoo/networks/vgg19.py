"""Networks of the first format: a single-channel VGG-19 with the heads of one or more variants."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kh_zoo.errors import ModelError
from kh_zoo.networks.network import INPUT, Network, Node, convolution

LIGHTNESS_SCALE, LIGHTNESS_OFFSET = 1 / 50, -1.0
"""What a trunk of the input `"scaled"` sees: `L * LIGHTNESS_SCALE + LIGHTNESS_OFFSET`, -1..1."""
AB_SCALE = 50.0
"""CIELAB units of A and B per unit of a head's output."""
BINS = 313
"""Colours that a vivid head scores."""
VIVID_STRIDE = 4
"""Pixels per cell of the map that a vivid head scores them on."""
POOLINGS = {"average": "average_pooling", "max": "max_pooling"}
INPUTS = ("scaled", "gray")
_CONVOLUTIONS = (2, 2, 4, 4, 4)
_CHANNELS = (64, 128, 256, 512, 512)


class Tap(NamedTuple):
    """A feature map of VGG-19: its channels, and the pixels of the picture per cell."""

    channels: int
    stride: int


def _taps() -> dict[str, Tap]:
    taps = {}
    for block, (convolutions, channels) in enumerate(
        zip(_CONVOLUTIONS, _CHANNELS, strict=True), start=1
    ):
        for i in range(1, convolutions + 1):
            for kind in ("conv", "relu"):
                taps[f"{kind}{block}_{i}"] = Tap(channels, 2 ** (block - 1))
        taps[f"pool{block}"] = Tap(channels, 2**block)
    return taps


TAPS = _taps()
"""In their order from the picture up."""


def vgg19_network(
    pooling: str, trunk_input: str, heads: Mapping[str, Iterable[str]], vivid: Iterable[str]
) -> Network:
    """Build the network that a configuration of the first format stands for.

    Args:
        pooling: `"average"` or `"max"`.
        trunk_input: `"scaled"`, L in -1..1, or `"gray"`, the sRGB grey value, 0..255.
        heads: Taps of each variant, in the order of its channels.
        vivid: Those of the heads that score colour bins.

    Raises:
        ModelError: If a tap is unknown.
    """
    for taps in heads.values():
        for tap in taps:
            if tap not in TAPS:
                raise ModelError(
                    "`taps` should name feature maps of VGG-19: convB_I, reluB_I or poolB. "
                    f"Received: {tap!r}"
                )
    nodes = _trunk(pooling, trunk_input, {tap for taps in heads.values() for tap in taps})
    outputs = {}
    for head, taps in heads.items():
        nodes += _head(head, list(taps), head in vivid, {node.name for node in nodes})
        outputs[head] = nodes[-1].name
    return Network(tuple(nodes), outputs)


def _trunk(pooling: str, trunk_input: str, taps: set[str]) -> list[Node]:
    if trunk_input == "gray":
        nodes = [Node("scale_lightness", "lightness_to_gray", (INPUT,))]
    else:
        factor = {"factor": LIGHTNESS_SCALE, "offset": LIGHTNESS_OFFSET}
        nodes = [Node("scale_lightness", "scaling", (INPUT,), factor)]
    last = max(map(list(TAPS).index, taps))
    for tap, (channels, _) in list(TAPS.items())[: last + 1]:
        x = nodes[-1].name
        if tap.startswith("conv"):
            nodes.append(convolution(tap, x, channels, (3, 3), (1, 1, 1, 1), bias=f"{tap}.bias"))
        elif tap.startswith("relu"):
            nodes.append(Node(tap, "relu", (x,)))
        else:
            nodes.append(_pooling(tap, POOLINGS[pooling], x, 2))
    return nodes


def _pooling(name: str, op: str, x: str, side: int) -> Node:
    window = {"pool_size": [side] * 2, "strides": [side] * 2, "padding": "valid"}
    return Node(name, op, (x,), window)


def _head(head: str, taps: list[str], vivid: bool, there: set[str]) -> list[Node]:
    """A linear head, on the pixels or, if it is vivid, on cells of 4 x 4 of them."""
    cell = VIVID_STRIDE if vivid else 1
    nodes: list[Node] = []

    def averaged(x: str, stride: int) -> str:
        name = f"coarse_{x}"
        if name not in there and all(node.name != name for node in nodes):
            nodes.append(_pooling(name, "average_pooling", x, cell // stride))
        return name

    by_stride: dict[int, list[str]] = {}
    for tap in taps:
        stride = TAPS[tap].stride
        x = averaged(tap, stride) if stride < cell else tap
        # Interpolation leaves a constant as it is: the bias may be added before.
        bias = f"{head}.bias" if tap == taps[0] else None
        kernel, filters = f"{head}.{tap}.kernel", BINS if vivid else 2
        nodes.append(convolution(f"{head}_{tap}", x, filters, kernel=kernel, bias=bias))
        by_stride.setdefault(max(stride // cell, 1), []).append(nodes[-1].name)
    reference = averaged(INPUT, 1) if vivid else INPUT
    parts = []
    for stride, projected in by_stride.items():
        x = projected[0]
        if len(projected) > 1:
            nodes.append(Node(f"{head}_sum_{stride}", "add", tuple(projected)))
            x = nodes[-1].name
        if stride > 1:
            nodes.append(resize(f"{head}_up_{stride}", x, reference, stride))
            x = nodes[-1].name
        parts.append(x)
    total = parts[0]
    if len(parts) > 1:
        nodes.append(Node(f"{head}_sum", "add", tuple(parts)))
        total = nodes[-1].name
    if not vivid:
        scale = {"factor": AB_SCALE, "offset": 0.0}
        return [*nodes, Node(f"{head}_ab", "scaling", (total,), scale)]
    shares, mean = f"{head}_shares", f"{head}_mean"
    return [
        *nodes,
        Node(shares, "softmax", (total,)),
        convolution(mean, shares, 2, kernel=f"{head}.bins"),
        resize(f"{head}_ab", mean, INPUT, VIVID_STRIDE),
    ]


def resize(name: str, x: str, reference: str, scale: int) -> Node:
    """Bring a map up, the areas of its cells aligned with those of the pixels."""
    return Node(name, "resize", (x, reference), {"scale": scale, "offset": (1 - scale) / 2})
