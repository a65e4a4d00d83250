"""Strides and centres of cells, which may differ down and across."""

import math
import numbers
from collections.abc import Sequence

GivenStride = int | Sequence[int]
GivenCenter = float | Sequence[float] | Sequence[Sequence[float]]

Stride = int | tuple[int, int]
"""Pixels per cell; a pair, down and across, where they differ."""

Center = float | tuple[float, ...] | tuple[tuple[float, ...], tuple[float, ...]]
"""Place of the first cell: one; one for each remainder of the size; a pair of such tuples."""


def plain_stride(given: object) -> Stride | None:
    """Return a stride as ints, or None if it is none."""
    pair = tuple(given) if isinstance(given, list | tuple) else (given, given)
    if len(pair) != 2 or not all(isinstance(n, numbers.Integral) and int(n) > 0 for n in pair):
        return None
    down, across = map(int, pair)
    return down if down == across else (down, across)


def plain_center(given: object) -> Center | None:
    """Return a centre as floats, or None if it is none."""
    if not isinstance(given, list | tuple):
        found = _numbers([given])
        return found[0] if found else None
    if not any(isinstance(one, list | tuple) for one in given):
        return _numbers(given)
    axes = [_numbers(one) for one in given if isinstance(one, list | tuple)]
    if len(given) != 2 or len(axes) != 2 or axes[0] is None or axes[1] is None:
        return None
    return axes[0] if axes[0] == axes[1] else (axes[0], axes[1])


def _numbers(given: Sequence[object]) -> tuple[float, ...] | None:
    found = tuple(float(n) for n in given if isinstance(n, numbers.Real) and math.isfinite(n))
    return found if found and len(found) == len(given) else None


def strides_of_axes(stride: Stride) -> tuple[int, int]:
    """Down and across."""
    return stride if isinstance(stride, tuple) else (stride, stride)


def joined_center(down: tuple[float, ...], across: tuple[float, ...]) -> Center:
    """A centre from those of its axes, each one for each remainder of the size."""
    if down != across:
        return down, across
    return down if len(down) > 1 else down[0]


def centers_of_axes(center: Center) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Down and across, each one for each remainder of the size."""
    if not isinstance(center, tuple):
        return (center,), (center,)
    down, across = center[0], center[-1]
    if isinstance(down, tuple) and isinstance(across, tuple):
        return down, across
    flat = tuple(n for n in center if not isinstance(n, tuple))
    return flat, flat
