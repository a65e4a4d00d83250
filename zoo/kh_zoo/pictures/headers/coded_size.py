"""How many pixels AV1 and HEVC have by their own headers, whatever the file around them says."""

import struct
from typing import BinaryIO

_SEQUENCE = 1  # the kind of OBU
_MOST_UNITS, _LOOKED_AT = 100, 64
_PARAMETERS = 33  # the kind of NAL unit


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


def av1_pixels(file: BinaryIO) -> int:
    """The pixels of the largest frame of AV1, section 5.5 of its specification.

    Args:
        file: A file at the first of its open bitstream units.
    """
    most = 0
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
            most = max(most, _sequence_pixels(_Bits(file.read(_LOOKED_AT))))
        if not sized:
            break
        file.seek(at + size)
    return most


def _sequence_pixels(bits: _Bits) -> int:
    bits.take(4)
    if bits.take(1):  # a still picture's short header
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
    return (bits.take(of_width) + 1) * (bits.take(of_height) + 1)


def hevc_pixels(configuration: bytes) -> int:
    """The pixels of the largest picture of HEVC, ITU-T H.265, section 7.3.2.2.

    Args:
        configuration: The body of a box `hvcC`.
    """
    most = 0
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
                most = max(most, _parameters_pixels(_Bits(unit.replace(b"\0\0\3", b"\0\0"))))
            if at >= len(configuration):
                break
    return most


def _parameters_pixels(bits: _Bits) -> int:
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
    return bits.exponential() * bits.exponential()
