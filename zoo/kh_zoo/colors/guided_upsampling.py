"""Bring colour predicted at a small size up to the full size, along the edges of the lightness."""

import numpy as np

# Measured by benchmarks/edges.py: windows of 3 x 3, and a slope that fades where the lightness
# differs from its neighbourhood's by less than about 11 units of L.
RADIUS = 1
EPSILON = 128.0
# Of the small copy, continued outwards: how far four neighbours reach beyond it.
_BORDER = 2


class GuidedUpsampling:
    """Upsample colour with the full-size lightness as the guide, some rows at a time.

    The fast guided filter: at the small size each neighbourhood gets a slope `a`, by which its
    colour changes with its lightness. `a` and `b` are brought up, and `a * L + b` at full size puts
    the colour's edges where the lightness has them. What a row comes to does not depend on the rows
    that are asked for with it.

    Three things differ from the paper, each measured to be closer to the truth. `b` is such that at
    the small size the result is the prediction itself; the paper's is a smoothed copy of it, which
    is further from the truth than plain bilinear. The slope is fitted to what the 3 x 3 mean
    removes, since what it will be applied to is detail, too. And the coefficients are brought up
    bicubically, with the centres of pixels aligned.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.colors.guided_upsampling import GuidedUpsampling
    >>> small_lightness = np.full((16, 16), 50.0)
    >>> small_ab = np.full((16, 16, 2), 20.0)
    >>> upsampling = GuidedUpsampling(small_lightness, small_ab, width=64, height=48)
    >>> ab = upsampling.rows(20, np.full((8, 64), 50.0, "float32"))
    >>> ab.shape, ab[:, 0, 10].round().tolist()
    ((2, 8, 64), [20.0, 20.0])

    Args:
        small_lightness: L of the picture at the small size, `(h, w)`, in 0..100.
        small_ab: A and B at the small size, `(h, w, 2)`, in CIELAB units.
        width: Width of the picture at full size, in pixels.
        height: Height of the picture at full size, in pixels.

    Reference:
        - He and Sun, Fast Guided Filter, 2015, arXiv:1505.00996.
        - Keys, Cubic convolution interpolation for digital image processing, 1981.
    """

    def __init__(
        self, small_lightness: np.ndarray, small_ab: np.ndarray, width: int, height: int
    ) -> None:
        guide = np.asarray(small_lightness, np.float32)
        ab = np.moveaxis(np.asarray(small_ab, np.float32), -1, 0)
        detail = guide - _box_mean(guide)
        slope = _box_mean(detail * (ab - _box_mean(ab))) / (_box_mean(detail**2) + EPSILON)
        # a of A, a of B, b of A and b of B.
        coefficients = np.pad(
            np.concatenate([slope, ab - slope * guide]),
            ((0, 0), (_BORDER, _BORDER), (_BORDER, _BORDER)),
            mode="edge",
        )
        small = coefficients.transpose(2, 1, 0)
        wide = _enlarged(small.reshape(len(small), -1), *_cubic(width, guide.shape[1]))
        # All coefficients of a row side by side, for the same in the other direction.
        wide = wide.reshape(width, -1, 4).transpose(1, 2, 0)
        self._wide = wide.reshape(len(wide), -1)
        self._first, self._weights = _cubic(height, guide.shape[0])

    def rows(self, top: int, lightness: np.ndarray) -> np.ndarray:
        """Compute the colour of some rows.

        Args:
            top: Which row of the picture is the first one, from 0.
            lightness: L of these rows at full size, float32 `(rows, width)`, in 0..100.

        Returns:
            A and B, float32 `(2, rows, width)`, in CIELAB units.
        """
        here = np.s_[top : top + len(lightness)]
        rows = _enlarged(self._wide, self._first[here], self._weights[here])
        coefficients = rows.reshape(len(rows), 4, -1)
        ab = coefficients[:, :2]
        ab *= lightness[:, None]
        ab += coefficients[:, 2:]
        return ab.swapaxes(0, 1)


def _cubic(size: int, small: int) -> tuple[np.ndarray, np.ndarray]:
    """The first of four neighbours among `small` padded ones, and their weights: `(size, 4)`."""
    at = (np.arange(size) + 0.5) * small / size - 0.5
    before = np.floor(at)
    t = at - before
    weights = [
        -0.5 * t + t**2 - 0.5 * t**3,
        1 - 2.5 * t**2 + 1.5 * t**3,
        0.5 * t + 2 * t**2 - 1.5 * t**3,
        -0.5 * t**2 + 0.5 * t**3,
    ]
    return before.astype(int) - 1 + _BORDER, np.stack(weights, axis=1).astype(np.float32)


def _enlarged(small: np.ndarray, first: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rows `(size, n)` between the padded ones `(small, n)`: see `_cubic`."""
    large = np.empty((len(first), small.shape[1]), np.float32)
    # Rows between the same neighbours are one product of matrices.
    ends = [*np.flatnonzero(np.diff(first)) + 1, len(first)]
    for start, end in zip([0, *ends], ends, strict=False):
        neighbours = small[first[start] : first[start] + 4]
        np.matmul(weights[start:end], neighbours, out=large[start:end])
    return large


def _box_mean(x: np.ndarray) -> np.ndarray:
    """Mean over windows of `2 * RADIUS + 1` of the last two axes, borders continued outwards."""
    window = 2 * RADIUS + 1
    for axis in (-2, -1):
        x = np.moveaxis(x, axis, 0)
        padded = np.pad(x, ((RADIUS, RADIUS), *[(0, 0)] * (x.ndim - 1)), mode="edge")
        x = padded[: len(x)] / window
        for i in range(1, window):
            x += padded[i : i + len(x)] / window
        x = np.moveaxis(x, 0, axis)
    return x
