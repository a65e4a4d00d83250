"""What AV1 and HEVC say of a picture in their own headers, whatever the file around them says."""

import struct
from typing import BinaryIO, NamedTuple

from kh_zoo.errors import PictureError

_SEQUENCE = 1  # the kind of OBU
_MOST_UNITS, _LOOKED_AT = 100, 4096
_PARAMETERS = 33  # the kind of NAL unit
_MOST_PARAMETERS = 16


class Coded(NamedTuple):
    """What counts where the file around does not say."""

    pixels: int = 0
    primaries: int = 2
    """Code of ITU-T H.273, as is the next; 2: not stated."""
    transfer: int = 2
    full: bool = False
    """Whether black is at 0, instead of at 16 of 255."""


class _Bits:
    """Bits from the highest to the lowest; zeros behind the end."""

    def __init__(self, content: bytes) -> None:
        self._content = int.from_bytes(content)
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            return 0
        return self._content >> self._left & (1 << count) - 1

    def exponential(self) -> int:
        """A number in the code of Golomb."""
        zeros = 0
        while self._left > 0 and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def exponentials(self, count: int) -> None:
        for _ in range(count):
            self.exponential()


def read_av1(file: BinaryIO) -> Coded:
    """Read the first header of AV1, section 5.5 of its specification; pixels are of the largest.

    Args:
        file: A file at the first of its open bitstream units.
    """
    found = []
    for _ in range(_MOST_UNITS):
        head = file.read(1)
        if not head:
            break
        kind, extended, sized = head[0] >> 3 & 15, head[0] & 4, head[0] & 2
        file.read(1 if extended else 0)
        size = 0
        for shift in range(0, 56, 7) if sized else ():
            byte = file.read(1) or b"\0"
            size |= (byte[0] & 127) << shift
            if byte[0] < 128:
                break
        at = file.tell()
        if kind == _SEQUENCE:
            found.append(_sequence(_Bits(file.read(_LOOKED_AT))))
        if not sized:
            break
        file.seek(at + size)
    return _largest(found)


def _largest(found: list[Coded]) -> Coded:
    return found[0]._replace(pixels=max(coded.pixels for coded in found)) if found else Coded()


def _sequence(bits: _Bits) -> Coded:
    profile = bits.take(3)
    bits.take(1)
    still = bits.take(1)
    if still:  # a short header
        bits.take(5)
    else:
        delay = 0
        if bits.take(1):  # timing
            bits.take(64)
            if bits.take(1):
                bits.exponential()
            if bits.take(1):  # a model of the decoder
                delay = bits.take(5) + 1
                bits.take(42)
        displayed = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delay and bits.take(1):
                bits.take(2 * delay + 1)
            if displayed and bits.take(1):
                bits.take(4)
    of_width, of_height = bits.take(4) + 1, bits.take(4) + 1
    pixels = (bits.take(of_width) + 1) * (bits.take(of_height) + 1)
    if not still and bits.take(1):  # frames have numbers
        bits.take(7)
    bits.take(3)
    if not still:
        bits.take(4)
        ordered = bits.take(1)
        bits.take(2 * ordered)
        # Tools for screen content are on, or each frame says so; whole vectors the same.
        if (bits.take(1) or bits.take(1)) and not bits.take(1):
            bits.take(1)
        bits.take(3 * ordered)
    bits.take(3)
    if bits.take(1) and profile == 2:  # more than 8 bits
        bits.take(1)
    monochrome = profile != 1 and bits.take(1)
    primaries, transfer, matrix = (bits.take(8) for _ in range(3)) if bits.take(1) else (2, 2, 2)
    # sRGB as it is has no range of its own.
    full = (not monochrome and (primaries, transfer, matrix) == (1, 13, 0)) or bits.take(1)
    return Coded(pixels, primaries, transfer, bool(full))


def read_hevc(configuration: bytes) -> Coded:
    """Read the first parameters of HEVC, ITU-T H.265, section 7.3.2.2; pixels are of the largest.

    Args:
        configuration: The body of a box `hvcC`.

    Raises:
        PictureError: It has more of them than there are numbers for.
    """
    found: list[Coded] = []
    at = 23
    for _ in range(configuration[22] if len(configuration) > 22 else 0):
        if len(configuration) < at + 3:
            break
        kind, units = struct.unpack_from(">BH", configuration, at)
        at += 3
        for _ in range(units):
            length = int.from_bytes(configuration[at : at + 2])
            unit = configuration[at + 4 : at + 2 + length]
            at += 2 + length
            if kind & 63 == _PARAMETERS:
                if len(found) == _MOST_PARAMETERS:
                    raise PictureError("damaged (more headers of HEVC than it can have)")
                plain = unit[:_LOOKED_AT].replace(b"\0\0\3", b"\0\0")
                found.append(_parameters(_Bits(plain)))
            if at >= len(configuration):
                break
    return _largest(found)


def _parameters(bits: _Bits) -> Coded:
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.exponential()
    if bits.exponential() == 3:
        bits.take(1)
    coded = Coded(bits.exponential() * bits.exponential())
    bits.exponentials(4 * bits.take(1) + 2)  # a frame around, depths
    of_order = bits.exponential() + 4
    bits.exponentials(3 * (layers + 1 if bits.take(1) else 1) + 6)
    if bits.take(1) and bits.take(1):
        _skip_scaling_lists(bits)
    bits.take(2)
    if bits.take(1):  # PCM
        bits.take(8)
        bits.exponentials(2)
        bits.take(1)
    for i in range(min(bits.exponential(), 64)):  # sets of reference pictures
        if i and bits.take(1):
            return coded  # told by differences, which no still picture needs
        for _ in range(min(bits.exponential() + bits.exponential(), 32)):
            bits.exponential()
            bits.take(1)
    if bits.take(1):  # pictures referred to for long
        bits.take(min(bits.exponential(), 32) * (of_order + 1))
    bits.take(2)
    if not bits.take(1):  # usability information
        return coded
    if bits.take(1) and bits.take(8) == 255:  # aspect
        bits.take(32)
    if bits.take(1):
        bits.take(1)
    if not bits.take(1):
        return coded
    bits.take(3)
    full = bool(bits.take(1))
    primaries, transfer = (bits.take(8), bits.take(8)) if bits.take(1) else (2, 2)
    return coded._replace(primaries=primaries, transfer=transfer, full=full)


def _skip_scaling_lists(bits: _Bits) -> None:
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            coded = bits.take(1)
            bits.exponentials(min(64, 16 << 2 * size) + (size > 1) if coded else 1)
