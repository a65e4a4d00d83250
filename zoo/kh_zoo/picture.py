"""Read a picture file of any usual kind as lightness, with libvips."""

import os
from pathlib import Path

import numpy as np
import pyvips

from kh_zoo.errors import PictureError
from kh_zoo.plugins import plugins

MAX_PIXELS = 500_000_000
"""A picture of more pixels is refused before anything of it is decoded."""

# What libvips may open: it knows more, such as tables and drawings, which are no photographs.
_LOADERS = (
    *("jpegload", "pngload", "webpload", "tiffload", "gifload", "heifload"),
    *("jxlload", "jp2kload"),
)
# Bands of colour in each kind of pixel; a further one is alpha.
_COLOR_BANDS = {
    **{"b-w": 1, "grey16": 1, "srgb": 3, "rgb": 3, "rgb16": 3},
    **{"cmyk": 4, "lab": 3, "labs": 3},
}


class Picture:
    """A picture file: its header is read and judged, its pixels not yet decoded.

    Sizes are those at which the picture is displayed, that is, after its EXIF orientation.

    Example:

    >>> from kh_zoo.picture import Picture
    >>> picture = Picture("examples/coffee.jpg")
    >>> picture.small_lightness(96, 64).shape  # NumPy
    (64, 96)
    >>> lightness, alpha = picture.full()  # libvips
    >>> lightness.width, lightness.height, alpha
    (600, 400, None)

    Args:
        path: A JPEG, PNG, WebP, TIFF, GIF or AVIF file: bilevel, grey, palette, RGB or CMYK, 8 or
            16 bits, with or without alpha. Of several pages or frames the first one counts. Or a
            file with the suffix of a plugin's reader, which is read at once.

    Raises:
        PictureError: The file is no such picture, or is larger than `MAX_PIXELS`. The message is
            one line, the reason alone, without the path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            size = self.path.stat().st_size
            if self.path.is_dir():
                raise PictureError("a folder, not a picture")
            if size == 0:
                raise PictureError("the file is empty (0 bytes)")
            self.path.open("rb").close()
        except OSError as error:
            raise PictureError(error.strerror or str(error)) from error
        self._read = _read_with_plugin(self.path)
        header = _open_header(self.path) if self._read is None else self._read
        if header.width * header.height > MAX_PIXELS:
            raise PictureError(
                f"{header.width} x {header.height} pixels, where at most {MAX_PIXELS:,} are read "
                "(a decompression bomb?)"
            )
        known = header.interpretation in _COLOR_BANDS
        if not known or (
            header.format not in ("uchar", "ushort")
            and header.interpretation not in ("lab", "labs")
        ):
            raise PictureError(
                f"pixels of an unknown kind ({header.bands} x {header.format}, "
                f"{header.interpretation}): save it as RGB or grey, 8 or 16 bits a channel"
            )
        self._orientation = header.get("orientation") if header.get_typeof("orientation") else 1
        self._stored = (header.width, header.height)
        turned = self._orientation >= 5
        self.width, self.height = self._stored[::-1] if turned else self._stored
        self.sixteen_bit = header.format == "ushort"

    def small_lightness(self, width: int, height: int) -> np.ndarray:
        """Decode a small copy, as displayed. A large JPEG is decoded small, which is faster.

        The whole file is read, so that one that is cut short is found here.

        Args:
            width: Width of the copy, in pixels.
            height: Height of the copy, in pixels.

        Returns:
            float32 array `(height, width)`, L in 0..100.

        Raises:
            PictureError: The file is damaged or cut short.
        """
        if self._orientation >= 5:
            width, height = height, width
        try:
            image = self._open("sequential", shrink_to=(width, height))
            small = _lightness(image).resize(
                width / image.width, vscale=height / image.height, kernel="lanczos3"
            )
            # In memory before it is turned: turning reads in another order than the file's.
            lightness = small.copy_memory().autorot().numpy()
        except pyvips.Error as error:
            raise PictureError(f"damaged or cut short ({last_line(error)})") from error
        return np.asarray(np.clip(lightness, 0, 100))

    def full(self, access: str = "sequential") -> tuple[pyvips.Image, pyvips.Image | None]:
        """Open the picture at full size, as displayed.

        Args:
            access: `"sequential"` reads the file once from top to bottom, in little memory (a
                picture that must be turned is held in memory, a large one in a temporary file);
                `"random"` allows the images to be read in any order, more than once.

        Returns:
            L, one float band in 0..100, with the metadata of the file; and alpha (one band of 8 or
            16 bits, as in the file) or `None`.

        Raises:
            PictureError: The file can't be opened.
        """
        try:
            # A mirrored picture (2) streams, one that is turned (3 and above) does not.
            image = self._open("random" if self._orientation > 2 else access).autorot()
            bands = _COLOR_BANDS[image.interpretation]
            alpha = image[bands] if image.bands > bands else None
            return _lightness(image), alpha
        except pyvips.Error as error:
            raise PictureError(f"damaged or cut short ({last_line(error)})") from error

    def _open(self, access: str, shrink_to: tuple[int, int] | None = None) -> pyvips.Image:
        if self._read is not None:
            return self._read
        image = open_image(self.path, access, fail_on="error")
        if shrink_to and image.get("vips-loader") == "jpegload_source":
            # At least twice the size asked for, so that the exact reduction decides the quality.
            room = min(image.width // shrink_to[0], image.height // shrink_to[1])
            shrink = max(factor for factor in (1, 2, 4, 8) if factor == 1 or 2 * factor <= room)
            image = open_image(self.path, access, fail_on="error", shrink=shrink)
        return image


def _open_header(path: Path) -> pyvips.Image:
    try:
        header = open_image(path)
    except pyvips.Error as error:
        if "not in a known format" in error.detail:
            raise PictureError(
                "not a picture, or of an unknown format (JPEG, PNG, WebP, TIFF, GIF and AVIF "
                "are known), or cut short"
            ) from error
        raise PictureError(f"damaged or cut short ({last_line(error)})") from error
    loader = header.get("vips-loader").removesuffix("_source")
    if loader not in _LOADERS:
        raise PictureError(
            "not a photograph (JPEG, PNG, WebP, TIFF, GIF and AVIF are read), but "
            f"{loader.removesuffix('load')}"
        )
    return header


def _read_with_plugin(path: Path) -> pyvips.Image | None:
    """Read a file with the reader that a plugin has for its suffix; None if there is none."""
    suffix = path.suffix.lower()
    reader = plugins().readers.get(suffix)
    if reader is None:
        return None
    plugin = plugins().owner("suffix", suffix)
    try:
        picture = reader(path)
    except PictureError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise PictureError(
            f"plugin {plugin!r} can't read it ({type(error).__name__}: {text})"
        ) from error
    if isinstance(picture, pyvips.Image):
        return picture
    array = np.asarray(picture)
    bands = array.shape[2] if array.ndim == 3 else 1
    if (
        array.dtype.kind != "u"
        or array.itemsize > 2
        or array.ndim not in (2, 3)
        or not array.size
        or bands > 4
    ):
        raise PictureError(
            f"plugin {plugin!r} gives an array of {array.dtype} {array.shape}, where uint8 or "
            "uint16 is needed, (height, width) or (height, width, 1 to 4)"
        )
    # In the byte order of this machine.
    array = array.astype(np.uint8 if array.itemsize == 1 else np.uint16)
    return pyvips.Image.new_from_array(array, interpretation="auto")


def open_image(
    path: str | os.PathLike[str], access: str = "sequential", **options: str | int
) -> pyvips.Image:
    """Open a file of any name: libvips itself takes brackets for options, and wants UTF-8."""
    source = pyvips.Source.new_from_file(os.fsencode(path))
    return pyvips.Image.new_from_source(source, "", access=access, **options)


def last_line(error: pyvips.Error) -> str:
    """The last reason that libvips gives, as one line; those before may stem from earlier calls."""
    lines = [line.strip() for line in error.detail.splitlines() if line.strip()]
    return lines[-1] if lines else str(error.message)


def _lightness(image: pyvips.Image) -> pyvips.Image:
    """L of a picture of any kind, through its own ICC profile where it has a usable one."""
    color = image.extract_band(0, n=_COLOR_BANDS[image.interpretation])
    if color.get_typeof("icc-profile-data"):
        # A profile that can't be used counts as none, as in browsers.
        try:
            color = color.icc_transform("srgb", embedded=True, depth=_depth(color))
        except pyvips.Error:
            color = color.copy()
            color.remove("icc-profile-data")
    if color.interpretation == "rgb":
        color = color.copy(interpretation="srgb" if color.format == "uchar" else "rgb16")
    return color.colourspace("lab")[0]


def _depth(image: pyvips.Image) -> int:
    return 8 if image.format == "uchar" else 16
