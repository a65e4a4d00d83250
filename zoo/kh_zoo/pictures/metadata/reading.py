"""Metadata of a file of any kind."""

from collections.abc import Callable
from pathlib import Path

import pyvips

from kh_zoo.pictures.formats import TIFF_STARTS
from kh_zoo.pictures.metadata import gif, jpeg, png, tiff, webp
from kh_zoo.pictures.metadata.metadata import Metadata, image_metadata

_KINDS = (
    (b"\xff\xd8\xff", jpeg.read),
    (b"\x89PNG\r\n\x1a\n", png.read),
    (b"RIFF", webp.read),
)


def read_metadata(path: Path, opened: Callable[[], pyvips.Image], directory: int = 0) -> Metadata:
    """Read what a file says besides its pixels.

    Example:

    >>> from pathlib import Path
    >>> import pyvips
    >>> from kh_zoo.pictures.metadata.reading import read_metadata
    >>> path = Path("examples/coffee.jpg")
    >>> read_metadata(path, lambda: pyvips.Image.new_from_file(str(path))).texts
    []

    Args:
        path: Path of the file.
        opened: Gives the file as libvips or Pillow open it, for kinds that only they take apart.
        directory: Where in a TIFF file the fields of the picture begin, if not at the first ones.

    Raises:
        OSError: The file can't be read.
        pyvips.Error: As `opened` raises.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(TIFF_STARTS):
            return tiff.read(file, directory)
        for magic, read in _KINDS:
            if start.startswith(magic):
                return read(file)
        found = image_metadata(opened())
        if start.startswith(b"GIF8"):
            gif.read(file, found)
    return found
