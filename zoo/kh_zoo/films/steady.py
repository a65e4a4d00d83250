"""Colour without flicker: each frame's is averaged with its neighbours', along the motion."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np

# Measured by benchmarks/flicker.py.
RADIUS = 6
"""Frames on either side that a frame's colour is averaged with."""
_CUT = 0.6
"""Less than this of a frame is found again in the one before where a new scene begins."""
_TOLERANCE = 0.5
"""Of the structure, which has a standard deviation of about 1: how alike is the same place."""
_NEIGHBOURHOOD = 8
"""Standard deviation, in pixels, of where a place's own brightness and contrast are taken from."""
_PATCH = 2
"""Standard deviation, in pixels, of what is compared."""
_LEAST_CONTRAST = 2
"""In units of L: less is noise."""

Item = TypeVar("Item")
Flow = np.ndarray[Any, np.dtype[np.float32]]


class _Frame(NamedTuple):
    item: Any
    structure: np.ndarray
    ab: np.ndarray
    """As it was predicted."""
    forward: np.ndarray | None
    """From each pixel of the frame before to where it is here; None where a scene begins."""
    backward: np.ndarray | None
    """From each pixel of this frame to where it is in the one before."""


def steady(
    frames: Iterable[tuple[Item, np.ndarray, np.ndarray]], radius: int = RADIUS
) -> Iterator[tuple[Item, np.ndarray]]:
    """Make the colour of a film steady.

    The colour of a frame becomes the mean of what was predicted for it and for as many frames
    before as after it, up to `radius`, each moved to where the motion has brought it. A place
    counts by how alike it looks, whatever its brightness, so that what was covered or has just
    come into sight is not mixed with something else. A scene begins where hardly anything is found
    again: its first and its last frame have no neighbours, and are left as they are.

    As the neighbours are taken from both sides alike, colour neither lags behind nor runs ahead;
    and the result depends on nothing but these frames, so that a film can be gone on with anywhere.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.films.steady import steady
    >>> lightness = np.random.default_rng(0).uniform(0, 100, (32, 48)).astype("float32")
    >>> red = np.zeros((32, 48, 2), "float32") + [9, 0]
    >>> frames = [(i, lightness, red * (i % 2)) for i in range(5)]
    >>> [f"{ab[16, 24, 0]:.1f}" for _, ab in steady(frames)]
    ['0.0', '3.0', '3.6', '3.0', '0.0']

    Args:
        frames: Of each its name, L `(h, w)` at the size of the prediction, and the predicted A and
            B `(h, w, 2)`, in CIELAB units. All of one size.
        radius: How many frames are looked at before and after each.

    Yields:
        The name and the colour of each frame, `radius` frames after it was taken.
    """
    window: deque[_Frame] = deque()
    at = 0  # in the window: the frame that is next
    before: np.ndarray | None = None
    for item, lightness, ab in frames:
        window.append(_follow(window[-1] if window else None, before, item, lightness, ab))
        before = lightness
        if len(window) > at + radius:
            yield window[at].item, _mean(window, at, radius)
            at += 1
        if at > radius:
            window.popleft()
            at -= 1
    for rest in range(at, len(window)):
        yield window[rest].item, _mean(window, rest, radius)


def _follow(
    last: _Frame | None,
    before: np.ndarray | None,
    item: Any,
    lightness: np.ndarray,
    ab: np.ndarray,
) -> _Frame:
    structure, ab = _structure(lightness), np.asarray(ab, np.float32)
    if last is not None and before is not None:
        backward = _flow(lightness, before)
        if _alike(structure, last.structure, _grid(lightness) + backward).mean() >= _CUT:
            return _Frame(item, structure, ab, _flow(before, lightness), backward)
    return _Frame(item, structure, ab, None, None)


def _mean(window: deque[_Frame], at: int, radius: int) -> np.ndarray:
    here = window[at]
    total, count = here.ab.copy(), np.ones(here.structure.shape, np.float32)
    reach = 0
    while (
        reach < min(radius, at, len(window) - 1 - at)
        and window[at - reach].forward is not None
        and window[at + reach + 1].forward is not None
    ):
        reach += 1
    for step in (-1, 1):
        place = _grid(here.structure)
        for distance in range(1, reach + 1):
            other = window[at + step * distance]
            flow = window[at - distance + 1].backward if step < 0 else other.forward
            place = place + _at(flow, place)
            weight = _alike(here.structure, other.structure, place)
            total += weight[..., None] * _at(other.ab, place, cv2.INTER_CUBIC)
            count += weight
    return total / count[..., None]


def _structure(lightness: np.ndarray) -> np.ndarray:
    """L without the brightness and the contrast that a place has."""

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x, (0, 0), _NEIGHBOURHOOD)

    detail = lightness - blur(lightness)
    return np.asarray(detail / (np.sqrt(blur(detail * detail)) + _LEAST_CONTRAST))


def _alike(structure: np.ndarray, other: np.ndarray, place: np.ndarray) -> np.ndarray:
    """How surely each pixel is what the other frame has at `place`: 0..1."""
    error = cv2.GaussianBlur((structure - _at(other, place)) ** 2, (0, 0), _PATCH)
    height, width = structure.shape
    x, y = place[..., 0], place[..., 1]
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    return np.asarray(np.exp(error * (-0.5 / _TOLERANCE**2)) * inside, np.float32)


def _flow(lightness: np.ndarray, other: np.ndarray) -> np.ndarray:
    """From each pixel to where it is in the other frame: x and y, in pixels."""
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder.setFinestScale(0)
    flow = np.zeros((*lightness.shape, 2), np.float32)
    return np.asarray(finder.calc(_eight_bit(lightness), _eight_bit(other), flow))


def _eight_bit(lightness: np.ndarray) -> np.ndarray:
    """Of one brightness and contrast, so that a flash is no motion."""
    normal = (lightness - lightness.mean()) / (lightness.std() + _LEAST_CONTRAST)
    return np.asarray(np.clip(normal * 50 + 128, 0, 255), np.uint8)


def _grid(lightness: np.ndarray) -> np.ndarray:
    height, width = lightness.shape
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def _at(values: Any, place: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    x, y = np.ascontiguousarray(place[..., 0]), np.ascontiguousarray(place[..., 1])
    return np.asarray(cv2.remap(values, x, y, how, borderMode=cv2.BORDER_REPLICATE))
