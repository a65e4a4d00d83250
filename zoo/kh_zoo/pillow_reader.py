"""Read with Pillow what libvips can't: BMP, JPEG 2000, AVIF that moves, TIFF in Lab."""

import io
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyvips
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    TiffImagePlugin,
)

from kh_zoo.errors import PictureError

# By the file's first bytes. The classes themselves: `Image.open` would add warnings of its own.
_KINDS: tuple[tuple[int, bytes, type[ImageFile.ImageFile]], ...] = (
    (0, b"BM", BmpImagePlugin.BmpImageFile),
    (0, b"\xff\x4f\xff\x51", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (4, b"ftypavis", AvifImagePlugin.AvifImageFile),
    (0, b"II*\0", TiffImagePlugin.TiffImageFile),
    (0, b"MM\0*", TiffImagePlugin.TiffImageFile),
)
_FEWER_MODES = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "PA": "RGBA"}
# The boxes in which JPEG 2000 files carry metadata.
_XMP = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_EXIF = b"JpgTiffExif->JP2"
_SUBSAMPLING = 530  # the TIFF field YCbCrSubSampling
_OUTER_BOXES = (b"jp2h", b"asoc")


def read_with_pillow(
    path: Path, check_size: Callable[[int, int], None]
) -> tuple[pyvips.Image, int] | None:
    """Read all of a file that libvips can't read, or misreads.

    Args:
        path: Path of a file.
        check_size: Called with width and height before anything is decoded; raises if that is
            too large.

    Returns:
        The picture in memory, with its metadata, and the number of its frames; `None` if Pillow is
        not the reader of such files.

    Raises:
        PictureError: The file is damaged or cut short.
    """
    with path.open("rb") as file:
        start = file.read(12)
        kind = next((kind for at, magic, kind in _KINDS if start[at:].startswith(magic)), None)
        if kind is None:
            return None
        file.seek(0)
        try:
            image = kind(file)
        except Exception as error:  # Pillow's readers raise nearly anything on damaged files
            if kind is TiffImagePlugin.TiffImageFile:
                return None
            raise PictureError(_reason(error)) from error
        if kind is TiffImagePlugin.TiffImageFile and not _misread(image):
            return None
        check_size(*image.size)
        try:
            frames = getattr(image, "n_frames", 1)
            image.load()
            return _with_metadata(_decoded(image), image, path), frames
        except Exception as error:
            raise PictureError(_reason(error)) from error


def _misread(image: ImageFile.ImageFile) -> bool:
    """Whether libvips takes the pixels of a TIFF file for others: Lab, and YCbCr without JPEG."""
    if image.mode == "YCbCr" and "jpeg" not in image.info.get("compression", ""):
        if image.tag_v2.get(_SUBSAMPLING) != (1, 1):  # type: ignore[attr-defined]
            raise PictureError(
                "YCbCr with fewer pixels of colour, which can't be decoded here: save it as RGB"
            )
        return True
    return image.mode == "LAB"


def _decoded(image: ImageFile.ImageFile) -> pyvips.Image:
    mode = _FEWER_MODES.get(image.mode, image.mode)
    if mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    pixels = np.asarray(image if mode == image.mode else image.convert(mode))
    if mode == "LAB":
        lab = (pixels * [100 / 255, 1, 1] - [0, 128, 128]).astype("float32")
        return pyvips.Image.new_from_array(lab, interpretation="lab")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    interpretation = "cmyk" if mode == "CMYK" else "auto"
    return pyvips.Image.new_from_array(pixels, interpretation=interpretation)


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
    # libvips takes EXIF apart only where it reads a file: so let it read one.
    carrier = io.BytesIO()
    Image.new("CMYK" if image.mode == "CMYK" else "RGB", (1, 1)).save(carrier, "JPEG", **kept)
    header = pyvips.Image.new_from_buffer(carrier.getvalue(), "")
    decoded = decoded.copy(xres=header.xres, yres=header.yres)
    for field in header.get_fields():
        if field.startswith(("exif-", "xmp-", "icc-", "orientation", "resolution-unit")):
            decoded.set_type(header.get_typeof(field), field, header.get(field))
    return decoded


def _jpeg2000_metadata(path: Path) -> dict[str, bytes]:
    found = {}
    content = path.read_bytes()
    for kind, body in _boxes(content) if content[4:8] == b"jP  " else ():
        if kind == b"uuid" and body[:16] == _XMP:
            found["xmp"] = body[16:]
        elif kind == b"uuid" and body[:16] == _EXIF:
            found["exif"] = b"Exif\0\0" + body[16:].removeprefix(b"Exif\0\0")
        elif kind == b"colr" and body[:1] in (b"\2", b"\3"):
            found["icc_profile"] = body[3:]
    return found


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a JPEG 2000 file, ISO/IEC 15444-1, annex I: length, kind, body."""
    start = 0
    while start + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        header = 8
        if length == 1 and start + 16 <= len(content):
            length, header = struct.unpack_from(">Q", content, start + 8)[0], 16
        length = length or len(content) - start
        if length < header:
            return
        body = content[start + header : start + length]
        if kind in _OUTER_BOXES:
            yield from _boxes(body)
        else:
            yield kind, body
        start += length
