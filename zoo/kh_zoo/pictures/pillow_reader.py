"""Read with Pillow what libvips can't: BMP, HEIC, JPEG 2000, AVIF that moves, TIFF in YCbCr."""

import contextlib
import io
import logging
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from pi_heif import HeifImageFile
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    TiffImagePlugin,
)

from kh_zoo.errors import PictureError
from kh_zoo.pictures.headers.boxes import boxes
from kh_zoo.pictures.headers.raster_headers import jpeg2000_size

# By the file's first bytes. The classes themselves: `Image.open` would add warnings of its own.
_KINDS: tuple[tuple[int, bytes, type[ImageFile.ImageFile]], ...] = (
    (0, b"BM", BmpImagePlugin.BmpImageFile),
    (0, b"\xff\x4f\xff\x51", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (4, b"ftypavis", AvifImagePlugin.AvifImageFile),
    *((4, b"ftyp" + brand, HeifImageFile) for brand in (b"heic", b"heix", b"heim", b"heis")),
    *((4, b"ftyp" + brand, HeifImageFile) for brand in (b"hevc", b"hevx", b"mif1", b"msf1")),
    (0, b"II*\0", TiffImagePlugin.TiffImageFile),
    (0, b"MM\0*", TiffImagePlugin.TiffImageFile),
    (0, b"II+\0", TiffImagePlugin.TiffImageFile),
    (0, b"MM\0+", TiffImagePlugin.TiffImageFile),
)
_FEWER_MODES = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "PA": "RGBA"}
# The boxes in which JPEG 2000 files carry metadata.
_XMP = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_EXIF = b"JpgTiffExif->JP2"
_LOCK = threading.Lock()
# What it logs of damaged files would reach standard error where nobody has set logging up.
logging.getLogger("PIL").addHandler(logging.NullHandler())
_OUTER_BOXES = (b"jp2h", b"asoc")


def read_with_pillow(
    path: Path, check_size: Callable[[int, int], None], tiff: bool
) -> tuple[pyvips.Image, int] | None:
    """Read all of a file that libvips can't read, or misreads.

    Args:
        path: Path of a file.
        check_size: Called with width and height before anything is decoded; raises if that is
            too large.
        tiff: Whether TIFF is read, too.

    Returns:
        The picture in memory, with its metadata, and the number of its frames; `None` if Pillow is
        not the reader of such files.

    Raises:
        PictureError: The file is damaged or cut short.
    """
    with path.open("rb") as file:
        start = file.read(12)
        kind = next((kind for at, magic, kind in _KINDS if start[at:].startswith(magic)), None)
        if kind is None or (kind is TiffImagePlugin.TiffImageFile and not tiff):
            return None
        file.seek(0)
        with quiet():
            try:
                image = kind(file)
                check_size(*image.size)
                frames = getattr(image, "n_frames", 1)
                image.load()
                decoded = _decoded(image, path)
                return _with_metadata(decoded, image, path), frames
            except PictureError:
                raise
            except Exception as error:  # Pillow's readers raise nearly anything on damaged files
                raise PictureError(_reason(error)) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's warnings of what is odd in a file.

    Warnings are of the whole process: one thread at a time.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def carried(mode: str, **metadata: Any) -> pyvips.Image:
    """Metadata as libvips keeps them: it takes EXIF apart where it reads a file, so let it.

    Args:
        mode: Pillow's mode of the picture that has the metadata.
        metadata: As Pillow saves them in JPEG.

    Returns:
        An image of one pixel that has them.
    """
    carrier = io.BytesIO()
    Image.new(mode, (1, 1)).save(carrier, "JPEG", **metadata)
    return pyvips.Image.new_from_buffer(carrier.getvalue(), "")


def copy_fields(source: pyvips.Image, target: pyvips.Image, begins: tuple[str, ...]) -> None:
    """Give an image the fields of another whose names begin so."""
    for field in source.get_fields():
        if field.startswith(begins):
            target.set_type(source.get_typeof(field), field, source.get(field))


def _decoded(image: ImageFile.ImageFile, path: Path) -> pyvips.Image:
    mode = _FEWER_MODES.get(image.mode, image.mode)
    if mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    pixels = np.asarray(image if mode == image.mode else image.convert(mode))
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    if image.format == "JPEG2000" and pixels.dtype == np.uint8:
        pixels = _with_white(pixels, path)
    interpretation = "cmyk" if mode == "CMYK" else "auto"
    return pyvips.Image.new_from_array(pixels, interpretation=interpretation)


def _with_white(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Mend the white of JPEG 2000 of more than 8 bits, which Pillow rounds up to 256: black.

    Told that there is a bit more, it makes a picture of half the contrast, white far above 128.
    """
    with path.open("rb") as file:
        size = jpeg2000_size(file)
        end = file.tell()
        content = bytearray(path.read_bytes())
    if size is None or not any(depth & 127 > 7 for depth in size[40::3]):
        return pixels
    for at in range(end - len(size) + 40, end, 3):
        content[at] += 1
    image = Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(content))
    again = np.asarray(image)
    return np.where((pixels == 0) & (again > 128), 255, pixels).astype(np.uint8)


def _reason(error: Exception) -> str:
    return f"damaged or cut short ({' '.join(str(error).split()) or type(error).__name__})"


def _with_metadata(decoded: pyvips.Image, image: ImageFile.ImageFile, path: Path) -> pyvips.Image:
    """Give the picture the metadata of the file, in the fields in which libvips keeps them."""
    info = dict(image.info)
    if image.format == "JPEG2000":
        info.update(_jpeg2000_metadata(path))
    kept = {name: info[name] for name in ("exif", "xmp", "dpi", "icc_profile") if info.get(name)}
    if not kept:
        return decoded
    header = carried("CMYK" if image.mode == "CMYK" else "RGB", **kept)
    decoded = decoded.copy(xres=header.xres, yres=header.yres)
    copy_fields(header, decoded, ("exif-", "xmp-", "icc-", "orientation", "resolution-unit"))
    return decoded


def _jpeg2000_metadata(path: Path) -> dict[str, bytes]:
    found = {}
    content = path.read_bytes()
    for kind, body in _inner_boxes(content) if content[4:8] == b"jP  " else ():
        if kind == b"uuid" and body[:16] == _XMP:
            found["xmp"] = body[16:]
        elif kind == b"uuid" and body[:16] == _EXIF:
            found["exif"] = b"Exif\0\0" + body[16:].removeprefix(b"Exif\0\0")
        elif kind == b"colr" and body[:1] in (b"\2", b"\3"):
            found["icc_profile"] = body[3:]
    return found


def _inner_boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    for kind, body in boxes(content):
        if kind in _OUTER_BOXES:
            yield from _inner_boxes(body)
        else:
            yield kind, body
