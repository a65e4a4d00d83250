"""Metadata of a file of any kind."""

from pathlib import Path

import pyvips
from PIL import GifImagePlugin

from kh_zoo.pictures import jpeg_metadata, png_metadata, tiff_metadata, webp_metadata
from kh_zoo.pictures.metadata import COMMENT, Metadata, Text, image_metadata
from kh_zoo.pictures.pillow_reader import quiet

_KINDS = (
    (b"\xff\xd8\xff", jpeg_metadata.read),
    (b"\x89PNG\r\n\x1a\n", png_metadata.read),
    *((magic, tiff_metadata.read) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"RIFF", webp_metadata.read),
)


def read_metadata(path: Path, image: pyvips.Image | None = None) -> Metadata:
    """Read what a file says besides its pixels.

    Example:

    >>> from pathlib import Path
    >>> from kh_zoo.pictures.read_metadata import read_metadata
    >>> read_metadata(Path("examples/coffee.jpg")).texts
    []

    Args:
        path: Path of the file.
        image: The file as libvips or Pillow open it, for kinds of files that only they take apart.

    Raises:
        OSError: The file can't be read.
    """
    with path.open("rb") as file:
        start = file.read(8)
        for magic, read in _KINDS:
            if start.startswith(magic):
                return read(file)
        found = Metadata() if image is None else image_metadata(image)
        if start.startswith(b"GIF8"):
            file.seek(0)
            found.texts += _gif_comment(file)
    return found


def _gif_comment(file) -> list[Text]:
    with quiet():
        try:
            comment = GifImagePlugin.GifImageFile(file).info.get("comment", b"")
        except Exception:  # Pillow's readers raise nearly anything on damaged files
            return []
    return [Text(COMMENT, comment.decode("utf-8", "replace"))] if comment else []
