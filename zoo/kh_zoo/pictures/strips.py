"""A picture that Python computes in strips, as an image of libvips."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pyvips

_PNG = b"\x89PNG\r\n\x1a\n"
_RGB = 2


class StripSource:
    """An image of libvips that is read from strips of pixels while they are computed.

    libvips takes pixels from Python all at once, or as a file that it reads: so the strips become a
    PNG stream without compression, in memory for a moment only. An error of `strips` can't pass
    through libvips, which then says that the file is cut short; it is kept in `error`.

    Example:

    >>> import numpy as np
    >>> import pyvips
    >>> from kh_zoo.pictures.strips import StripSource
    >>> strips = (np.full((8, 40, 3), 10 * i, "uint8") for i in range(4))
    >>> image = StripSource(strips, like=pyvips.Image.black(40, 32), sixteen_bit=False).image
    >>> image.width, image.height, image.avg()
    (40, 32, 15.0)

    Args:
        strips: RGB from top to bottom, arrays `(rows, width, 3)` of uint8 or uint16. The next one
            is asked for when libvips needs it, in a thread of libvips.
        like: An image of the same width and height, whose metadata are taken.
        sixteen_bit: uint16 instead of uint8.
    """

    def __init__(self, strips: Iterator[np.ndarray], like: pyvips.Image, sixteen_bit: bool) -> None:
        self.error: Exception | None = None
        """What `strips` raised; None as long as it has raised nothing."""
        self._stream = _png(strips, like.width, like.height, sixteen_bit)
        self._rest = memoryview(b"")
        source = pyvips.SourceCustom()
        source.on_read(self._read)
        try:
            image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error")
        except pyvips.Error as error:
            raise self.error or error from None
        self.image: pyvips.Image = _with_metadata(image, like)
        """sRGB, to be read once from top to bottom."""

    def _read(self, size: int) -> bytes:
        if not self._rest:
            try:
                self._rest = memoryview(next(self._stream, b""))
            except Exception as error:
                self.error = error
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


def _with_metadata(image: pyvips.Image, like: pyvips.Image) -> pyvips.Image:
    own, wanted = set(image.get_fields()), like.get_fields()
    image = image.copy(xres=like.xres, yres=like.yres)
    for field in wanted:
        if field not in own:
            image.set_type(like.get_typeof(field), field, like.get(field))
    # Setting EXIF brings back what was taken out of it, such as an orientation that was applied.
    for field in set(image.get_fields()).difference(own, wanted):
        image.remove(field)
    return image


def _png(
    strips: Iterator[np.ndarray], width: int, height: int, sixteen_bit: bool
) -> Iterator[bytes]:
    bits = 16 if sixteen_bit else 8
    header = struct.pack(">IIBBBBB", width, height, bits, _RGB, 0, 0, 0)
    yield _PNG + _chunk(b"IHDR", header)
    compressor = zlib.compressobj(level=0)
    for strip in strips:
        # PNG has 16 bits with the high byte first, and a zero before each row: no filter.
        pixels = strip.astype(">u2").view(np.uint8) if sixteen_bit else strip
        rows = np.zeros((len(strip), 1 + pixels[0].size), np.uint8)
        rows[:, 1:] = pixels.reshape(len(strip), -1)
        yield _chunk(b"IDAT", compressor.compress(rows.data))
    yield _chunk(b"IDAT", compressor.flush()) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
