"""Read the header of a picture file of any kind."""

import struct
from pathlib import Path

from kh_zoo.errors import PictureError
from kh_zoo.pictures.formats import TIFF_STARTS
from kh_zoo.pictures.headers import (
    heif_header,
    jpeg_header,
    png_header,
    raster_headers,
    tiff_header,
)
from kh_zoo.pictures.headers.header import Header

# By the bytes at a position.
_KINDS = (
    (0, b"\xff\xd8\xff", jpeg_header.read),
    (0, b"\x89PNG\r\n\x1a\n", png_header.read),
    *((0, start, tiff_header.read) for start in TIFF_STARTS),
    (0, b"RIFF", raster_headers.read_webp),
    (0, b"GIF8", raster_headers.read_gif),
    (0, b"BM", raster_headers.read_bmp),
    (0, b"\xff\x4f\xff\x51", raster_headers.read_jpeg2000),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", raster_headers.read_jpeg2000),
    (4, b"ftyp", heif_header.read),
)
_CONVERTER = "ImageMagick, or what wrote it"
_RAW = "darktable, RawTherapee or the maker's program"
# What is no damage, but can't be decoded: what it is, and who converts it.
_OTHERS = (
    *((0, start, "JPEG XL", "djxl of libjxl") for start in (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    (0, b"II\xbc\x01", "JPEG XR", "JxrDecApp of jxrlib"),
    (0, b"v/1\x01", "OpenEXR", _CONVERTER),
    *((0, start, "PFM", _CONVERTER) for start in (b"PF\n", b"Pf\n")),
    (0, b"P7\n", "PAM", "netpbm or ImageMagick"),
    (0, b"8BPS\0\2", "PSB of Photoshop", "Photoshop or ImageMagick"),
    (0, b"gimp xcf", "XCF of GIMP", "GIMP"),
    (0, b"AT&TFORM", "DjVu", "ddjvu of DjVuLibre"),
    (128, b"DICM", "DICOM", "dcm2img of DCMTK"),
    (4, b"ftypcrx ", "raw data of a camera", _RAW),
    *(
        (0, start, "raw data of a camera", _RAW)
        for start in (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
    ),
)
_LONGEST_START = 144

# What numbers of a damaged file make of the reading of it: whatever leads to where no file reaches,
# or to fewer bytes than none.
_DAMAGED = (ArithmeticError, LookupError, OSError, ValueError, struct.error)


def read_header(path: Path) -> Header:
    """Read the header of a file of any kind.

    Raises:
        PictureError: The file is of a kind that is never read.
    """
    with path.open("rb") as file:
        start = file.read(_LONGEST_START)
        for at, magic, kind, program in _OTHERS:
            if start[at:].startswith(magic):
                raise PictureError(
                    f"{kind}, which can't be decoded here: save it as PNG or TIFF with {program}"
                )
        for at, magic, read in _KINDS:
            if start[at:].startswith(magic):
                try:
                    return read(file)
                except _DAMAGED as error:
                    raise PictureError("damaged or cut short (in its header)") from error
    return Header()
