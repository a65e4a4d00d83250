"""Read with Pillow what libvips can't: HEIC, JPEG 2000, AVIF that moves, older and rare kinds."""

import contextlib
import io
import logging
import struct
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
    PcxImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    SgiImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
)

from kh_zoo.errors import PictureError
from kh_zoo.pictures.formats import TIFF_STARTS
from kh_zoo.pictures.headers.boxes import boxes
from kh_zoo.pictures.headers.raster_headers import jpeg2000_size
from kh_zoo.pictures.metadata.exif import Exif
from kh_zoo.pictures.metadata.photoshop import RESOLUTION, resolution_of

_IN_FIELDS = (3, 6)
"""The packings of BMP in which fields are given, the latter with one of alpha."""
_WITH_ALPHA = 56
"""Bytes of the least header of BMP that has one."""
_ROWS = 64


class _Bmp(BmpImagePlugin.BmpImageFile):
    """BMP, also with 16 or 32 bits a pixel in fields that Pillow does not know."""

    _fields: tuple[int, ...] = ()

    def _open(self) -> None:
        assert self.fp
        header = self.fp.read(70).ljust(70, b"\0")
        self.fp.seek(0)
        start, size, width, height = struct.unpack_from("<IIii", header, 10)
        self._bits, packing = struct.unpack_from("<HI", header, 28)
        alpha = size >= _WITH_ALPHA or packing == _IN_FIELDS[1]
        fields = struct.unpack_from("<4I" if alpha else "<3I", header, 54)
        known = self._bits == 32 or fields[3:] in ((), (0,))
        try:
            super()._open()
        except OSError:
            known = False
            if packing not in _IN_FIELDS or self._bits not in (16, 32):
                raise
        if packing in _IN_FIELDS and not known:
            self._fields = fields if all(fields[3:]) else fields[:3]
            self._start, self._upwards = start, height > 0
            self._size, self._mode = (width, abs(height)), ("RGB", "RGBA")[len(self._fields) > 3]
            across, down = struct.unpack_from("<ii", header, 38)
            self.info["dpi"] = (across * 0.0254, down * 0.0254)

    def load(self) -> Any:
        if not self._fields or not self.fp:
            return super().load()
        width, height = self.size
        row = -(-width * self._bits // 32) * 4
        pixels = np.empty((height, width, len(self._fields)), np.uint8)
        self.fp.seek(self._start)
        for top in range(0, height, _ROWS):
            rows = min(_ROWS, height - top)
            content = self.fp.read(row * rows)
            if len(content) < row * rows:
                raise OSError("pixels at its end are missing")
            numbers = np.frombuffer(content, f"<u{self._bits // 8}").reshape(rows, -1)[:, :width]
            for band, field in enumerate(self._fields):
                pixels[top : top + rows, :, band] = _levels(numbers, field)
        self._fields = ()
        self.tile = []
        self.im = Image.fromarray(pixels[::-1] if self._upwards else pixels).im
        return super().load()


def _levels(numbers: np.ndarray, field: int) -> np.ndarray:
    """What stands in a field of some bits, of 255."""
    least = field & -field or 1
    return np.asarray(np.rint((numbers & field) // least * (255 / max(field // least, 1))))


# By the file's first bytes. The classes themselves: `Image.open` would add warnings of its own.
_KINDS: tuple[tuple[int, bytes, type[ImageFile.ImageFile]], ...] = (
    (0, b"BM", _Bmp),
    (0, b"\xff\x4f\xff\x51", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (4, b"ftypavis", AvifImagePlugin.AvifImageFile),
    *((4, b"ftyp" + brand, HeifImageFile) for brand in (b"heic", b"heix", b"heim", b"heis")),
    *((4, b"ftyp" + brand, HeifImageFile) for brand in (b"hevc", b"hevx", b"mif1", b"msf1")),
    *(
        (0, b"P%d%c" % (i, end), PpmImagePlugin.PpmImageFile)
        for i in range(1, 7)
        for end in b"\n\r\t "
    ),
    *((0, bytes([10, version, 1]), PcxImagePlugin.PcxImageFile) for version in (0, 2, 3, 5)),
    (0, b"8BPS\0\1", PsdImagePlugin.PsdImageFile),
    (0, b"\x01\xda", SgiImagePlugin.SgiImageFile),
    *((0, start, TiffImagePlugin.TiffImageFile) for start in TIFF_STARTS),
)
_PSD_DEPTH = 22
"""Where the bits of a PSD file stand."""
_TARGA_ALPHA = 17
"""Where a TGA file says, in four bits, how many of a pixel are alpha."""
_TARGA = (".tga", ".icb", ".vda", ".vst")
_FEWER_MODES = {
    **{"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "PA": "RGBA"},
    **{"La": "LA", "RGBa": "RGBA"},  # whose colours are darker by their alpha
}
# The boxes in which JPEG 2000 files carry metadata.
_XMP = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_EXIF = b"JpgTiffExif->JP2"
_IPTC = uuid.UUID("33c7a4d2-b81d-4723-a0ba-f1a3e097ad38").bytes
# The resources in which PSD files do.
_PHOTOSHOP = {1028: "iptc", 1058: "exif", 1060: "xmp"}
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
        if kind is None and path.suffix.lower() in _TARGA:  # which begins with nothing of its own
            kind = TgaImagePlugin.TgaImageFile
        if kind is None or (kind is TiffImagePlugin.TiffImageFile and not tiff):
            return None
        if kind is PsdImagePlugin.PsdImageFile:
            file.seek(_PSD_DEPTH)
            if (bits := int.from_bytes(file.read(2))) > 8:
                raise PictureError(
                    f"PSD of {bits} bits a channel, which can't be decoded here: save it as TIFF"
                )
        file.seek(0)
        with quiet():
            try:
                image = kind(file)
                check_size(*image.size)
                frames = 1 if image.format == "PSD" else getattr(image, "n_frames", 1)
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


def _decoded(image: ImageFile.ImageFile, path: Path) -> pyvips.Image:
    mode = _FEWER_MODES.get(image.mode, image.mode)
    if mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    pixels = np.asarray(image if mode == image.mode else image.convert(mode))
    if image.format in ("BMP", "TGA") and mode == "RGBA" and not _is_alpha(pixels[..., 3], path):
        pixels = pixels[..., :3]
    if image.format == "PPM" and mode == "I":  # brought to 16 bits
        pixels = pixels.astype(np.uint16)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    if image.format == "JPEG2000" and pixels.dtype == np.uint8 and image.mode != "P":
        pixels = _with_white(pixels, path)
    interpretation = "cmyk" if mode == "CMYK" else "auto"
    return pyvips.Image.new_from_array(pixels, interpretation=interpretation)


def _is_alpha(band: np.ndarray, path: Path) -> bool:
    """Whether what follows the colours is alpha; programs that have none leave zeros there."""
    with path.open("rb") as file:
        header = file.read(_TARGA_ALPHA + 1)
    return bool(band.any() and (header[:2] == b"BM" or header[_TARGA_ALPHA] & 15))


def _with_white(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Mend the white of JPEG 2000, which Pillow shifts to 8 bits.

    Of more bits it rounds white up to 256: black. Told that there is a bit more, it makes a picture
    of half the contrast, white far above 128. Of fewer bits white is what they can hold, shifted.
    """
    with path.open("rb") as file:
        size = jpeg2000_size(file)
        end = file.tell()
        content = bytearray(path.read_bytes())
    depths = [1 + (depth & 127) for depth in size[40::3]] if size else []
    if depths and max(depths) < 8:
        bands = pixels.shape[2] if pixels.ndim > 2 else 1
        whites = np.array([256 - 2 ** (8 - depth) for depth in depths[:bands]])
        return np.rint(pixels * (255 / whites)).astype(np.uint8)
    if size is None or max(depths, default=8) == 8:
        return pixels
    for at in range(end - len(size) + 40, end, 3):
        content[at] += 1
    image = Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(content))
    again = np.asarray(image)
    return np.where((pixels == 0) & (again > 128), 255, pixels).astype(np.uint8)


def _reason(error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if reason.lower().startswith(("unsupported", "unknown")):
        return f"of a kind that can't be decoded here ({reason}): save it as PNG or as plain TIFF"
    return f"damaged or cut short ({reason})"


def _with_metadata(decoded: pyvips.Image, image: ImageFile.ImageFile, path: Path) -> pyvips.Image:
    """Give the picture the metadata of the file, in the fields in which libvips keeps them."""
    info = dict(image.info)
    if image.format == "JPEG2000":
        info.update(_jpeg2000_metadata(path))
    elif isinstance(image, PsdImagePlugin.PsdImageFile):
        resources = {number: body for number, _, body in image.resources}
        info.update({name: resources.get(number) for number, name in _PHOTOSHOP.items()})
        if resolution := resolution_of(resources.get(RESOLUTION, b"")):
            info["dpi"] = resolution
    x, y = (float(value) / 25.4 for value in info.get("dpi") or (0, 0))
    if x > 0 and y > 0:
        decoded = decoded.copy(xres=x, yres=y)
        decoded.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    else:
        decoded = decoded.copy()
    fields = {"exif": "exif-data", "xmp": "xmp-data", "icc_profile": "icc-profile-data"}
    fields["iptc"] = "iptc-data"
    for name, field in fields.items():
        if info.get(name):
            decoded.set_type(pyvips.GValue.blob_type, field, info[name])
    orientation = Exif.from_bytes(info.get("exif") or b"").orientation
    if orientation:
        decoded.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return decoded


def _jpeg2000_metadata(path: Path) -> dict[str, bytes]:
    found = {}
    content = path.read_bytes()
    for kind, body in _inner_boxes(content) if content[4:8] == b"jP  " else ():
        if kind == b"uuid" and body[:16] == _XMP:
            found["xmp"] = body[16:]
        elif kind == b"uuid" and body[:16] == _IPTC:
            found["iptc"] = body[16:]
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
