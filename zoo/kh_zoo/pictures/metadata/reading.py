"""Metadata of a file of any kind."""

from collections.abc import Callable
from pathlib import Path

import pyvips

from kh_zoo.pictures.metadata import gif, jpeg, png, tiff, webp
from kh_zoo.pictures.metadata.metadata import Metadata, image_metadata

_KINDS = (
    (b"\xff\xd8\xff", jpeg.read),
    (b"\x89PNG\r\n\x1a\n", png.read),
    *((magic, tiff.read) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"RIFF", webp.read),
)


def read_metadata(path: Path, opened: Callable[[], pyvips.Image]) -> Metadata:
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

    Raises:
        OSError: The file can't be read.
        pyvips.Error: As `opened` raises.
    """
    with path.open("rb") as file:
        start = file.read(8)
        for magic, read in _KINDS:
            if start.startswith(magic):
                return read(file)
        found = image_metadata(opened())
        if start.startswith(b"GIF8"):
            found.texts += gif.read_comments(file)
    return found
