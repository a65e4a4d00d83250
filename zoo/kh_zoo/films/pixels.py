"""From the pixels of a frame to lightness, and from lightness and colour to those of a frame."""

import functools
import re
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from kh_zoo.colors.gamut import lab_to_srgb_pixels
from kh_zoo.colors.guided_upsampling import GuidedUpsampling
from kh_zoo.colors.lab import srgb_to_lab

_PLANAR = re.compile(r"(gray|yuvj?a?4\d\dp)(\d*)(le)?")
"""Formats whose planes are read as they are, of 8 bits or of more in two bytes."""
_SAME = {"nv12": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p", "uyvy422": "yuv422p"} | {
    **{"yuyv422": "yuv422p", "p010le": "yuv420p10le", "p210le": "yuv422p10le"}
}
"""Others that hold the same in another order."""
_EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
# Of the numbers that files and frames have for a matrix: luma's share of red and of blue.
_BT601, _BT709 = (0.299, 0.114), (0.2126, 0.0722)
_MATRICES = {1: _BT709, 4: (0.3, 0.11), 5: _BT601, 6: _BT601, 7: (0.212, 0.087)}
_MATRICES |= {9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_COLORED = 0.04
"""Chroma, of 1, above which a pixel is one of a film in colour."""
_PIXELS = 2**16
"""So many are computed at once: their arrays stay in a processor's cache."""


def default_matrix(height: int) -> int:
    """What players take for the matrix of a film that names none: BT.709 or, if small, BT.601."""
    return 1 if height >= 720 else 6


class Lightness:
    """L of frames of one kind.

    Args:
        matrix: The number that the film has for its matrix, `AVColorSpace`.
        full_range: Whether black is 0, where it is 16 (of 8 bits) otherwise.
    """

    def __init__(self, matrix: int, full_range: bool) -> None:
        self.matrix = matrix
        self.full_range = full_range
        self.colored = False
        """Whether a frame was in colour."""

    def of(self, frame: av.VideoFrame) -> np.ndarray:
        """L of a frame: float32 `(height, width)`, in 0..100."""
        if frame.format.name in _SAME:
            frame = frame.reformat(format=_SAME[frame.format.name])
        found = _PLANAR.fullmatch(frame.format.name)
        if not found:
            return self._of_rgb(frame)
        bits = int(found[2] or 8)
        # `gray` may say that it is narrow, and often says nothing.
        full = self.full_range or found[1].startswith("yuvj")
        planes = [_plane(frame, i, bits) for i in range(1 if found[1] == "gray" else 3)]
        if len(planes) == 1 or not self._is_colored(planes[1:], bits):
            return np.take(_lightness_of_levels(bits, full), planes[0], mode="clip")
        self.colored = True
        black, luma, chroma = _spans(bits, full)
        y = (planes[0].astype(np.float32) - black) / luma
        cb, cr = ((_enlarge(x, y.shape) - 2 ** (bits - 1)) / chroma for x in planes[1:])
        kr, kb = _MATRICES.get(self.matrix, _BT709)
        red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
        green = (y - kr * red - kb * blue) / (1 - kr - kb)
        return _lightness_of_rgb(red, green, blue)

    def _of_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        deep = max(component.bits for component in frame.format.components) > 8
        rgb = frame.reformat(
            format="rgb48le" if deep else "rgb24",
            interpolation=_EXACT,
            dst_color_range=ColorRange.JPEG,
        ).to_ndarray()
        values = rgb.astype(np.float32) / (65535 if deep else 255)
        spread = np.ptp(values[::4, ::4], axis=-1)
        self.colored |= bool(np.percentile(spread, 99) > 2 * _COLORED)
        return _lightness_of_rgb(*np.moveaxis(values, -1, 0))

    def _is_colored(self, planes: list[np.ndarray], bits: int) -> bool:
        middle, most = 2 ** (bits - 1), _COLORED * 2**bits
        return any(
            np.percentile(np.abs(plane[::2, ::2].astype(np.int32) - middle), 99) > most
            for plane in planes
        )


class Painter:
    """Frames to encode from lightness and small colour.

    Args:
        format: Of the frames: `yuv420p`, `yuv422p` or `yuv444p`, or with `10le` or `12le` behind.
        matrix: As of `Lightness`.
        full_range: As of `Lightness`.
        interlaced: Whether every other row is of another time, so that they don't share chroma.
    """

    def __init__(
        self, format: str, matrix: int, full_range: bool, interlaced: bool = False
    ) -> None:
        found = _PLANAR.fullmatch(format)
        if not found or found[1] not in ("yuv420p", "yuv422p", "yuv444p"):
            raise ValueError(f"`format` should be a planar YUV format. Received: {format}")
        self.format = format
        self.bits = int(found[2] or 8)
        self.halved = found[1] != "yuv444p", found[1] == "yuv420p"
        self.full_range = full_range
        self.interlaced = interlaced
        self.shares = _MATRICES.get(matrix, _BT709)

    def paint(
        self, lightness: np.ndarray, small_lightness: np.ndarray, ab: np.ndarray
    ) -> av.VideoFrame:
        """Colour a frame.

        Args:
            lightness: L at full size, float32 `(height, width)`, in 0..100.
            small_lightness: L at the size of the prediction, `(h, w)`.
            ab: A and B at that size, `(h, w, 2)`, in CIELAB units.
        """
        height, width = lightness.shape
        upsampling = GuidedUpsampling(small_lightness, ab, width, height)
        frame = av.VideoFrame(width, height, self.format)
        planes = [_plane(frame, i, self.bits) for i in range(3)]
        rows = max(1, _PIXELS // width // 4) * 4
        for top in range(0, height, rows):
            strip = lightness[top : top + rows]
            pixels = lab_to_srgb_pixels(strip, upsampling.rows(top, strip), sixteen_bit=True)
            self._fill(planes, top, pixels)
        return frame

    def _fill(self, planes: list[np.ndarray], top: int, pixels: np.ndarray) -> None:
        red, green, blue = (pixels[..., i].astype(np.float32) / 65535 for i in range(3))
        kr, kb = self.shares
        y = kr * red + (1 - kr - kb) * green + kb * blue
        black, luma, chroma = _spans(self.bits, self.full_range)
        peak, middle = 2**self.bits - 1, 2 ** (self.bits - 1)
        _store(planes[0][top : top + len(y)], y * luma + black, peak)
        for plane, other, share in ((planes[1], blue, kb), (planes[2], red, kr)):
            value = self._reduce((other - y) / (2 * (1 - share)))
            first = top // 2 if self.halved[1] else top
            rows = plane[first : first + len(value)]
            _store(rows, value * chroma + middle, peak)

    def _reduce(self, chroma: np.ndarray) -> np.ndarray:
        """To where a sample of chroma lies: on every other column, between two rows."""
        wide, high = self.halved
        if wide:
            padded = np.pad(chroma, ((0, 0), (1, 1 + chroma.shape[1] % 2)), mode="edge")
            chroma = (padded[:, :-2:2] + padded[:, 2::2]) / 4 + padded[:, 1:-1:2] / 2
        if high and self.interlaced:
            padded = np.pad(chroma, ((0, -len(chroma) % 4), (0, 0)), mode="symmetric")
            first, second = ((padded[i::4] + padded[i + 2 :: 4]) / 2 for i in (0, 1))
            rows = np.stack([first, second], axis=1).reshape(-1, first.shape[1])
            return np.asarray(rows[: -(-len(chroma) // 2)])
        if high:
            padded = np.pad(chroma, ((0, len(chroma) % 2), (0, 0)), mode="edge")
            chroma = (padded[::2] + padded[1::2]) / 2
        return chroma


def display_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size in square pixels, from that in pixels of an aspect."""
    return (max(1, round(width * aspect)), height) if aspect else (width, height)


def _spans(bits: int, full_range: bool) -> tuple[int, int, int]:
    """The level of black, and the spans of luma and of chroma."""
    if full_range:
        return 0, 2**bits - 1, 2**bits - 1
    scale: int = 2 ** (bits - 8)
    return 16 * scale, 219 * scale, 224 * scale


def _store(rows: np.ndarray, values: np.ndarray, peak: int) -> None:
    rows[:] = np.clip(np.rint(values), 0, peak)


def _plane(frame: av.VideoFrame, index: int, bits: int) -> np.ndarray:
    """A plane of a frame, not copied."""
    plane = frame.planes[index]
    kind = np.dtype(np.uint8 if bits == 8 else "<u2")
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    return np.asarray(rows[: plane.height, : plane.width])


def _enlarge(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    for axis in (0, 1):
        factor = -(-shape[axis] // plane.shape[axis])
        plane = np.repeat(plane, factor, axis) if factor > 1 else plane
    return plane[: shape[0], : shape[1]].astype(np.float32)


@functools.cache
def _lightness_of_levels(bits: int, full_range: bool) -> np.ndarray:
    black, luma, _ = _spans(bits, full_range)
    values = np.clip((np.arange(2**bits) - black) / luma, 0, 1)
    rgb = np.repeat(values[:, None], 3, axis=1)
    return np.asarray(np.clip(srgb_to_lab(rgb)[:, 0], 0, 100), np.float32)


@functools.cache
def _luminance_of_levels() -> np.ndarray:
    """Luminance of each of 65536 grey levels, which is also the linear light of a channel."""
    f = (_lightness_of_levels(16, True).astype(np.float64) + 16) / 116
    line = (f - 16 / 116) / 7.787
    return np.where(f > 0.2068966, f**3, line).astype(np.float32)


def _lightness_of_rgb(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    table = _luminance_of_levels()
    luminance = np.zeros(red.shape, np.float32)
    for channel, share in ((red, 0.212671), (green, 0.715160), (blue, 0.072169)):
        levels = np.clip(channel * 65535 + 0.5, 0, 65535).astype(np.uint16)
        luminance += np.take(table, levels) * np.float32(share)
    f = np.where(luminance > 0.008856, np.cbrt(luminance), 7.787 * luminance + 16 / 116)
    return np.asarray(np.clip(116 * f - 16, 0, 100), np.float32)
