"""A plot of a tap study: channels against explained variance."""

import html
import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT, _MARGIN = 640, 400, 56
_COLORS = ("#4c78a8", "#e45756", "#54a24b", "#b279a2")
_SIDES = {"start": 8, "end": -8}


def study_plot(groups: Mapping[str, Sequence[tuple[str, int, float]]]) -> str:
    """Return an SVG picture with a point for every subset of taps.

    Args:
        groups: By the label of each kind of subset, names, numbers of channels and explained
            variances. Points of the last kind have their names beside them.
    """
    points = [point for group in groups.values() for point in group]
    low, high = (choose(channels for _, channels, _ in points) for choose in (min, max))
    top = math.ceil(max(explained for *_, explained in points) * 20) / 20

    def place(channels: float, explained: float) -> tuple[float, float]:
        across = math.log(channels / low) / math.log(high / low)
        x = _MARGIN + across * (_WIDTH - 2 * _MARGIN)
        return x, _HEIGHT - _MARGIN - max(explained, 0) / top * (_HEIGHT - 2 * _MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for step in range(round(top * 20) + 1):
        x, y = place(low, step / 20)
        parts.append(f'<path d="M{x:.0f} {y:.1f}H{_WIDTH - _MARGIN}" stroke="#ddd"/>')
        parts.append(_text(x - 6, y + 4, f"{step / 20:.2f}", "end"))
    for channels in (64, 128, 256, 512, 1024, 2048, 4096):
        if low <= channels <= high:
            x, y = place(channels, 0)
            parts.append(_text(x, y + 18, str(channels), "middle"))
    parts.append(_text(_WIDTH / 2, _HEIGHT - 12, "channels of the hypercolumn", "middle"))
    parts.append(_text(8, 18, "explained variance of A and B", "start"))
    for number, (label, group) in enumerate(groups.items()):
        color = _COLORS[number % len(_COLORS)]
        y = _HEIGHT - _MARGIN - 18 * (len(groups) - number)
        parts.append(f'<circle cx="{_WIDTH - 200}" cy="{y}" r="4" fill="{color}"/>')
        parts.append(_text(_WIDTH - 190, y + 4, label, "start"))
        for rank, (name, channels, explained) in enumerate(sorted(group, key=_channels)):
            x, y = place(channels, explained)
            title = html.escape(f"{name}: {channels} channels, {explained:.3f}")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}" fill-opacity="0.7">'
                f"<title>{title}</title></circle>"
            )
            if number == len(groups) - 1:
                side = "end" if x > _WIDTH * 0.8 else "start"
                # In turns at three heights: neighbours are often near.
                parts.append(_text(x + _SIDES[side], y + 14 + 14 * (rank % 3), name, side))
    return "\n".join([*parts, "</svg>\n"])


def _channels(point: tuple[str, int, float]) -> int:
    return point[1]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
