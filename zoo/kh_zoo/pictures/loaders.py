"""libvips in this process: what it may open, and reasons that can always be read.

libvips knows tables, drawings and formats of its own, whose parsers are no place for a file that
came from elsewhere. All of them are off before the first file is opened, under whatever name it
comes; what a later libvips adds is off too.
"""

import pyvips
from pyvips import ffi, vips_lib

WANTED = ("Jpeg", "Png", "Webp", "Tiff", "Nsgif", "Heif")
"""Of the classes `VipsForeignLoad*` of libvips. Not Uhdr, which would read a JPEG with a gain map
to linear light: `Jpeg` reads its picture for usual screens."""


def _set_up() -> None:
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in WANTED:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    pyvips.Error.__init__ = _take_reason


def _take_reason(error: pyvips.Error, message: str, detail: str | None = None) -> None:
    """`pyvips.Error.__init__` for reasons that are no UTF-8, as names and parts of files may be.

    pyvips's own raises UnicodeDecodeError for them, and leaves them in the buffer of the process,
    where every later failure meets them again.
    """
    error.message = message
    if not detail:
        detail = ffi.string(vips_lib.vips_error_buffer()).decode(errors="backslashreplace")
        vips_lib.vips_error_clear()
    error.detail = detail


_set_up()
