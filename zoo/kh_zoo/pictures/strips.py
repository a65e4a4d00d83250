"""A picture that Python computes in strips, as an image of libvips."""

import contextlib
import os
import struct
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pyvips

# Of what libvips reads at once, in bytes.
_PIECE = 2**18
# What libvips says of each TIFF file.
_OF_THE_STREAM = ("n-pages", "orientation")
# Types of TIFF's fields: their numbers, and what `struct` calls them.
_SHORT, _LONG, _LONG8 = (3, "H"), (4, "I"), (16, "Q")


class StripSource(contextlib.AbstractContextManager["StripSource"]):
    """An image of libvips that is read from strips of pixels while they are computed.

    libvips takes pixels from Python all at once, or as a file that it reads: so the strips become a
    TIFF file without compression, in memory for a moment only. An error of `strips` can't pass
    through libvips, which then says that the file is cut short; it is kept in `error`.

    Its end as a context ends `strips`, too. Where the image is not read to its end, as when the
    disk is full, that is not left to the collector of garbage: it may come while a thread is begun,
    and then what waits for another thread waits for ever.

    Example:

    >>> import numpy as np
    >>> import pyvips
    >>> from kh_zoo.pictures.strips import StripSource
    >>> strips = (np.full((8, 40, 3), 10 * i, "uint8") for i in range(4))
    >>> with StripSource(strips, like=pyvips.Image.black(40, 32), sixteen_bit=False) as source:
    ...     source.image.width, source.image.height, source.image.avg()
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
        header, self._end = _header(like.width, like.height, sixteen_bit)
        self._strips, self._piece = strips, memoryview(header)
        self._start = self._at = 0  # of the piece, and of what is read next
        self._lock = threading.Lock()
        source = pyvips.SourceCustom()
        source.on_read(self._read)
        source.on_seek(self._seek)
        try:
            image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error")
        except pyvips.Error as error:
            self.__exit__()
            raise self.error or error from None
        self.image: pyvips.Image = _with_metadata(image, like)
        """sRGB, to be read once from top to bottom."""

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if close := getattr(self._strips, "close", None):
                close()

    def _read(self, size: int) -> bytes:
        # Pixels are asked for in their order; what is asked for twice would be a fault of the file.
        while self._at >= self._start + len(self._piece):
            self._start += len(self._piece)
            try:
                with self._lock:
                    self._piece = next(self._strips).data.cast("B")
            except StopIteration:
                self._piece = memoryview(b"")
            except Exception as error:
                self.error, self._piece = error, memoryview(b"")
            if not self._piece:
                return b""
        start = self._at - self._start
        content = bytes(self._piece[start : start + size]) if start >= 0 else b""
        self._at += len(content)
        return content

    def _seek(self, offset: int, whence: int) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at


def _with_metadata(image: pyvips.Image, like: pyvips.Image) -> pyvips.Image:
    image = image.copy(xres=like.xres, yres=like.yres)
    for field in _OF_THE_STREAM:
        image.remove(field)
    own, wanted = set(image.get_fields()), like.get_fields()
    for field in wanted:
        if field not in own:
            image.set_type(like.get_typeof(field), field, like.get(field))
    # Setting EXIF brings back what was taken out of it, such as an orientation that was applied.
    for field in set(image.get_fields()).difference(own, wanted):
        image.remove(field)
    return image


def _header(width: int, height: int, sixteen_bit: bool) -> tuple[bytes, int]:
    """What stands before the pixels of a BigTIFF file of RGB, uncompressed; and its whole size."""
    row = width * 3 * (2 if sixteen_bit else 1)
    rows = max(1, _PIECE // row)
    sizes = [row * min(rows, height - top) for top in range(0, height, rows)]
    order, mark = ("<", b"II") if sys.byteorder == "little" else (">", b"MM")
    fields = 8
    behind = 32 + 20 * fields
    pixels = behind + (16 * len(sizes) if len(sizes) > 1 else 0)
    header = struct.pack(f"{order}2sHHHQQ", mark, 43, 8, 0, 16, fields)
    lists = b""
    for tag, (number, kind), values in (
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [16 if sixteen_bit else 8] * 3),  # bits of each sample
        (262, _SHORT, [2]),  # RGB
        (273, _LONG8, [pixels + row * top for top in range(0, height, rows)]),  # where strips begin
        (277, _SHORT, [3]),  # samples of a pixel
        (278, _LONG, [rows]),
        (279, _LONG8, sizes),
    ):
        content = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(content) > 8:
            place = behind + len(lists)
            lists += content
            content = struct.pack(f"{order}Q", place)
        header += struct.pack(f"{order}HHQ8s", tag, number, len(values), content)
    return header + struct.pack(f"{order}Q", 0) + lists, pixels + row * height
