"""What a picture file says of itself, before any of it is decoded."""

import dataclasses
from pathlib import Path

from kh_zoo.errors import PictureError
from kh_zoo.signal_color import Signal


@dataclasses.dataclass
class Header:
    """What libvips needs to be told of a file, or does not say of it."""

    width: int = 0
    height: int = 0
    memory: float = 0
    """Bytes that are held at once while it is decoded, strips not counted."""
    notes: list[str] = dataclasses.field(default_factory=list)
    rare: str | None = None
    """Why a sound file may not be decodable, and who converts it."""
    signal: Signal | None = None
    """Transfer function and primaries, where there is no ICC profile that counts more."""
    patches: dict[int, bytes] = dataclasses.field(default_factory=dict)
    """What is read in place of the file's own bytes, by position."""
    tail: bytes = b""
    """What is read behind the file's end."""
    options: dict[str, int] = dataclasses.field(default_factory=dict)
    """For libvips's loader: which page."""
    pages: int | None = None
    """How many there are that are no reduced copies, if that is known."""
    by_pillow: bool = False
    """Whether libvips would misread it."""
    orientation: int | None = None
    """As EXIF counts them, where the page itself does not say."""
    lab: str | None = None
    """What three bands of 8 bits are that libvips is told are RGB: `cielab` or `icclab`."""
    gray: bool = False
    """Whether the first band alone is the picture, however many there are."""
    white_is_zero: bool = False
    extra: str = "alpha"
    """What the first band behind those of colour is: `alpha`, `premultiplied` or `other`."""
    limited: bool = False
    """Whether black is at 16 and white at 235 of 255, which libvips does not undo."""


def read_header(path: Path) -> Header:
    """Read the header of a file of any kind.

    Raises:
        PictureError: The file is of a kind that is never read.
    """
    from kh_zoo import heif_header, jpeg_header, png_header, raster_headers, tiff_header

    with path.open("rb") as file:
        start = file.read(16)
        for at, magic, read in (
            (0, b"\xff\xd8\xff", jpeg_header.read),
            (0, b"\x89PNG\r\n\x1a\n", png_header.read),
            (0, b"II*\0", tiff_header.read),
            (0, b"MM\0*", tiff_header.read),
            (0, b"II+\0", tiff_header.read),
            (0, b"MM\0+", tiff_header.read),
            (0, b"RIFF", raster_headers.read_webp),
            (0, b"GIF8", raster_headers.read_gif),
            (0, b"BM", raster_headers.read_bmp),
            (0, b"\xff\x4f\xff\x51", raster_headers.read_jpeg2000),
            (0, b"\0\0\0\x0cjP  \r\n\x87\n", raster_headers.read_jpeg2000),
            (4, b"ftyp", heif_header.read),
        ):
            if start[at:].startswith(magic):
                try:
                    return read(file)
                except (OSError, OverflowError) as error:  # it leads to where no file reaches
                    raise PictureError("damaged or cut short (in its header)") from error
    return Header()
