"""Colour that a file describes by numbers instead of a profile: primaries and transfer function.

PNG does so by cICP, gAMA and cHRM, AVIF and HEIF by nclx. What is made of them is what browsers
show on a usual screen.
"""

from typing import NamedTuple

import numpy as np
import pyvips

# ITU-T H.273, tables 2 and 3: x and y of red, green, blue and white.
_D65 = (0.3127, 0.3290)
_PRIMARIES = {
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65),
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.310, 0.316),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
SRGB = _PRIMARIES[1]
REC2020 = _PRIMARIES[9]
_PQ, _HLG = 16, 18
_GAMMAS = {4: 2.2, 5: 2.8}
# Light of a white page, and the brightest that a picture in PQ or HLG is made for, in cd/m2.
_PAGE, _PEAK = 203, 1000
_LEVELS = 2**16
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


class Signal(NamedTuple):
    """How numbers in a file stand for colour."""

    primaries: tuple[float, ...] = SRGB
    """x and y of red, green, blue and white."""
    transfer: int | float = 13
    """The code of ITU-T H.273, or an exponent."""

    @property
    def possible(self) -> bool:
        """Whether the primaries span colours and the white is among them."""
        x, y = np.reshape(self.primaries, (4, 2)).T
        columns = np.stack([x, y, 1 - x - y])
        return y[3] > 0 and bool(abs(np.linalg.det(columns[:, :3])) > 1e-6)


def signal_of(primaries: int, transfer: int, video: bool) -> Signal | None:
    """Colour by the codes of ITU-T H.273; None where browsers don't follow them.

    Args:
        primaries: Code of table 2.
        transfer: Code of table 3.
        video: Whether the codes are those of a video codec, in which the curves of cameras stand
            for sRGB in practice; in PNG they stand for that of the screens such pictures were
            made on.
    """
    if video:
        primaries = 1 if primaries == 2 else primaries
        transfer = 13 if transfer in (1, 2, 6, 14, 15) else transfer
    elif transfer in (1, 6, 11, 14, 15):
        return Signal(_PRIMARIES[primaries], 2.4) if primaries in _PRIMARIES else None
    if primaries not in _PRIMARIES or transfer not in (4, 5, 7, 8, 13, _PQ, 17, _HLG):
        return None
    return Signal(_PRIMARIES[primaries], float(_GAMMAS.get(transfer, 0)) or transfer)


def linear_srgb(image: pyvips.Image, signal: Signal) -> pyvips.Image:
    """Convert pixels to linear light with the primaries of sRGB, which white is 1.

    Args:
        image: One or three bands of 8 or 16 bits.
        signal: What its numbers stand for.

    Returns:
        Three float bands, `scrgb`, cut to 0..1 as browsers do.
    """
    levels = 2**16 if image.format == "ushort" else 2**8
    curve = _linear(np.linspace(0, 1, levels), signal.transfer).astype(np.float32)
    light = image.maplut(pyvips.Image.new_from_array(curve[None]))
    if image.bands == 1:
        light = light.bandjoin([light, light])
    light = light.copy(interpretation="scrgb")
    primaries = signal.primaries
    if signal.transfer in (_PQ, _HLG):
        if signal.transfer == _HLG:
            light = _on_screen(light, primaries)
        light = _mapped(_recomb(light, _between(primaries, REC2020)))
        primaries = REC2020
    if primaries != SRGB:
        light = _recomb(light, _between(primaries, SRGB))
    return (light > 1).ifthenelse(1, (light < 0).ifthenelse(0, light)).copy(interpretation="scrgb")


def _linear(value: np.ndarray, transfer: int | float) -> np.ndarray:
    """Light of a number in 0..1: white is 1; of PQ and HLG the page's white, and scene's peak."""
    if isinstance(transfer, float):
        return np.asarray(np.power(value, transfer))
    match transfer:
        case 7:
            curved = np.power((value + 0.1115) / 1.1115, 1 / 0.45)
            return np.where(value < 0.0228 * 4, value / 4, curved)
        case 8:
            return value
        case 16:  # ITU-R BT.2100, table 4
            m1, m2 = 2610 / 16384, 2523 / 4096 * 128
            c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
            power = np.power(value, 1 / m2)
            light = np.maximum(power - c1, 0) / (c2 - c3 * power)
            return np.asarray(10000 / _PAGE * np.power(light, 1 / m1))
        case 17:
            return np.asarray(np.power(value, 2.6) * (52.37 / 48))
        case 18:  # table 5
            a, b, c = 0.17883277, 0.28466892, 0.55991073
            return np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
    curved = np.power((np.maximum(value, 0.04045) + 0.055) / 1.055, 2.4)
    return np.where(value > 0.04045, curved, value / 12.92)


def _on_screen(scene: pyvips.Image, primaries: tuple[float, ...]) -> pyvips.Image:
    """HLG: from light of the scene to that of a screen of 1000 cd/m2, ITU-R BT.2100, table 5."""
    luminance = _recomb(scene, _xyz(primaries)[1:2])
    return scene * (luminance**0.2) * (_PEAK / _PAGE)


def _mapped(light: pyvips.Image) -> pyvips.Image:
    """Bring light above the white of a page below it, as Chromium does.

    The largest of the channels decides by how much all are dimmed, so that hues stay: half up to
    the page's white, less and less on a curve from there to the peak.

    Reference:
        - SMPTE ST 2094-50, annex C.2 and C.3 (the curve for screens without headroom).
    """
    peak, knee, kappa = _PEAK / _PAGE, 0.5, 0.65
    middle = ((1 - kappa) + kappa / knee, (1 - kappa) * knee + kappa)
    # A quadratic curve of Bezier through (1, knee) and (peak, 1).
    a = 1 - 2 * middle[0] + peak
    b = middle[0] - 1
    top = light[0].bandrank([light[1], light[2]], index=2)
    bent = (top > 1).ifthenelse((top < peak).ifthenelse(top, peak), 1)
    t = (((bent - 1) * a + b**2) ** 0.5 - b) / a
    y = (t * (knee - 2 * middle[1] + 1) + 2 * (middle[1] - knee)) * t + knee
    # Above the peak all is white: divided by what it is, not by the peak.
    return light * (y / (top > 1).ifthenelse(top, 1))


def _recomb(image: pyvips.Image, matrix: np.ndarray) -> pyvips.Image:
    return image.recomb(pyvips.Image.new_from_array(matrix.tolist()))


def _between(source: tuple[float, ...], target: tuple[float, ...]) -> np.ndarray:
    """The matrix from light in some primaries to that in others, whites adapted by Bradford."""
    white, wanted = (_xyz(primaries).sum(1) for primaries in (source, target))
    cones = (_BRADFORD @ wanted) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    return np.asarray(np.linalg.inv(_xyz(target)) @ adapted @ _xyz(source))


def _xyz(primaries: tuple[float, ...]) -> np.ndarray:
    """The matrix from light in some primaries to XYZ, where Y of white is 1."""
    x, y = np.reshape(primaries, (4, 2)).T
    columns = np.stack([x, y, 1 - x - y])
    white = columns[:, 3] / y[3]
    return np.asarray(columns[:, :3] * np.linalg.solve(columns[:, :3], white))
