"""libvips in this process: what it may open, and reasons that can always be read.

libvips knows tables, drawings and formats of its own, whose parsers are no place for a file that
came from elsewhere. All of them are off before the first file is opened, under whatever name it
comes; what a later libvips adds is off too.
"""

import atexit
import contextlib
import os

import pyvips
from pyvips import ffi, glib_lib, vips_lib

from kh_zoo.forked import check_fork

WANTED = ("Jpeg", "Png", "Webp", "Tiff", "Nsgif", "Heif")
"""Of the classes `VipsForeignLoad*` of libvips. Not Uhdr, which would read a JPEG with a gain map
to linear light: `Jpeg` reads its picture for usual screens."""

# Libraries below libvips, which print of numbers that are too large for it.
_DOMAINS = (b"GLib", b"GLib-GObject", b"GLib-GIO", b"GModule")
_ALL_LEVELS = 255


def open_image(
    path: str | os.PathLike[str], access: str = "sequential", **options: str | int
) -> pyvips.Image:
    """Open a file of any name: libvips itself takes brackets for options, and wants UTF-8."""
    check_fork()
    source = pyvips.Source.new_from_file(os.fsencode(path))
    return pyvips.Image.new_from_source(source, "", access=access, **options)


def last_line(error: pyvips.Error) -> str:
    """The last reason that libvips gives, as one line; those before may stem from earlier calls."""
    lines = [line.strip() for line in error.detail.splitlines() if line.strip()]
    return lines[-1] if lines else str(error.message)


def _set_up() -> None:
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in WANTED:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    pyvips.Error.__init__ = _take_reason
    pyvips.Image.get_fields = _readable_fields
    for domain in _DOMAINS:  # to the log of Python, as pyvips does with those of libvips itself
        handler = glib_lib.g_log_set_handler(domain, _ALL_LEVELS, pyvips._log_handler_cb, ffi.NULL)
        atexit.register(glib_lib.g_log_remove_handler, domain, handler)


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


def _readable_fields(image: pyvips.Image) -> list[str]:
    """`pyvips.Image.get_fields` without names that are no UTF-8, as keywords of PNG may be.

    pyvips's own raises UnicodeDecodeError for them, and nothing else of it takes such a name.
    """
    names = vips_lib.vips_image_get_fields(image.pointer)
    found = []
    at = 0
    while names[at] != ffi.NULL:
        with contextlib.suppress(UnicodeDecodeError):
            found.append(ffi.string(names[at]).decode())
        glib_lib.g_free(names[at])
        at += 1
    glib_lib.g_free(names)
    return found


_set_up()
