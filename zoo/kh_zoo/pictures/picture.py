"""Read a picture file of any usual kind as lightness, with libvips."""

import functools
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from kh_zoo.errors import PictureError
from kh_zoo.pictures.formats import KNOWN
from kh_zoo.pictures.headers.header import Header
from kh_zoo.pictures.headers.header_reader import read_header
from kh_zoo.pictures.loaders import last_line, open_image
from kh_zoo.pictures.memory import check_memory
from kh_zoo.pictures.metadata.exif import ORIENTATION
from kh_zoo.pictures.metadata.metadata import Metadata, image_metadata
from kh_zoo.pictures.metadata.reading import read_metadata
from kh_zoo.pictures.patched_source import patched_source
from kh_zoo.pictures.pillow_reader import read_with_pillow
from kh_zoo.pictures.reducing import reduced
from kh_zoo.pictures.signal_color import Signal, linear_srgb
from kh_zoo.plugins.registry import plugins

MAX_PIXELS = 500_000_000
"""A picture of more pixels is refused before anything of it is decoded."""
COLOR = "colour: only its lightness is used"
"""The note of a picture that is in colour already."""

# Of files that move: what is read of them is a frame, of others a page.
_MOVING = ("gifload", "webpload", "heifload")
# What may be white where pixels are not of 8 or 16 bits: the least that holds all of them.
_WHITES = {
    "char": (2**7 - 1,),
    "short": (2**8 - 1, 2**15 - 1),
    "int": (2**8 - 1, 2**16 - 1, 2**31 - 1),
    "uint": (2**8 - 1, 2**16 - 1, 2**32 - 1),
    "float": (1, 2**8 - 1, 2**16 - 1),
}
# Filters leave floats a little below black and above white.
_OVERSHOOT = 0.1
# A picture is coloured where a hundredth of it has more than this chroma, in units of CIELAB.
_COLORED = 10
_LAB = ("lab", "labs")
# In the reasons of libvips that mean a sound file.
_OF_A_KIND = (
    *("not configured", "not implemented", "samples out of range", "not supported"),
    *("whole number of bytes", "not 1 bands", "samples per pixel", "bits per sample"),
)
# No code of a JPEG file ends within.
_NOISE = b"\x55\xaa" * 32
_PROFILE = "icc-profile-data"
# Bands of colour in each kind of pixel; a further one is alpha.
_COLOR_BANDS = {
    **{"b-w": 1, "grey16": 1, "srgb": 3, "rgb": 3, "rgb16": 3, "scrgb": 3},
    **{"cmyk": 4, "lab": 3, "labs": 3},
}


class Picture:
    """A picture file: its header is read and judged, its pixels not yet decoded.

    Sizes are those at which the picture is displayed, that is, after its EXIF orientation.

    Example:

    >>> from kh_zoo.pictures.picture import Picture
    >>> picture = Picture("examples/coffee.jpg")
    >>> picture.small_lightness(96, 64).shape  # NumPy
    (64, 96)
    >>> lightness, alpha = picture.full()  # libvips
    >>> lightness.width, lightness.height, alpha
    (600, 400, None)

    Args:
        path: A JPEG, PNG, WebP, TIFF, GIF, AVIF, HEIC, BMP or JPEG 2000 file: bilevel, grey,
            palette, RGB, CMYK or Lab, 1 to 16 bits, 32-bit whole numbers or floats, with or without
            alpha. Of several pages or frames the first one counts, unless it is a reduced copy of
            another. BMP, HEIC, JPEG 2000, and files with the suffix of a plugin's reader, are read
            at once.

    Raises:
        PictureError: The file is no such picture, is larger than `MAX_PIXELS`, or would take more
            memory than `KH_MAX_MEMORY` megabytes (by default 1000). The message is one line, the
            reason alone, without the path.
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
        self._white: int | None = None
        self._by_plugin = self._read is not None
        self._header = Header() if self._read else read_header(self.path)
        self._check_cost(self._header.width, self._header.height)
        self.notes: list[str] = list(self._header.notes)
        """What is not taken from the file, in a few words each; complete after
        `small_lightness`."""
        header = self._prepared(self._begin())
        self._check_cost(header.width, header.height)
        if header.interpretation not in _COLOR_BANDS or header.format == "double":
            raise PictureError(
                f"pixels of an unknown kind ({header.bands} x {header.format}, "
                f"{header.interpretation}): save it as RGB or grey, 8 or 16 bits a channel"
            )
        if header.format not in ("uchar", "ushort") and header.interpretation not in _LAB:
            self._white = self._find_white()
        self._orientation = header.get("orientation") if header.get_typeof("orientation") else 1
        self._stored = (header.width, header.height)
        turned = self._orientation >= 5
        self.width, self.height = self._stored[::-1] if turned else self._stored
        self.sixteen_bit = header.format != "uchar"

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
            lab = self._lab(image) if image.bands >= 3 else self._lightness(image)
            small = reduced(lab, width, height)
            # In memory before it is turned: turning reads in another order than the file's.
            pixels = small.copy_memory().autorot().numpy()
        except pyvips.Error as error:
            raise self._unreadable(error) from error
        if pixels.ndim == 3:
            if np.percentile(np.hypot(pixels[..., 1], pixels[..., 2]), 99) > _COLORED:
                self.notes = [*(note for note in self.notes if note != COLOR), COLOR]
            pixels = pixels[..., 0]
        return np.ascontiguousarray(np.clip(pixels, 0, 100))

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
            image = self._open("random" if self._orientation > 2 else access)
            image = image.autorot()
            bands = _COLOR_BANDS[image.interpretation]
            alpha = image[bands] if image.bands > bands else None
            if alpha is not None and alpha.format == "float":  # beside CIELAB
                alpha = alpha.cast("ushort")
            return self._lightness(image), alpha
        except pyvips.Error as error:
            raise self._unreadable(error) from error

    def metadata(self) -> Metadata:
        """What the file says besides its pixels, true of them as they are displayed.

        Raises:
            PictureError: The file can't be opened.
        """
        try:
            if self._read is not None and self._by_plugin:
                return image_metadata(self._read)
            metadata = read_metadata(
                self.path,
                lambda: self._read or self._open_file("sequential"),
                self._header.directory,
            )
        except OSError as error:
            raise PictureError(error.strerror or str(error)) from error
        except pyvips.Error as error:
            raise self._unreadable(error) from error
        metadata.take_resolution()
        turned = self._header.turned  # by boxes of AVIF and HEIF, which EXIF may repeat or not
        if turned and (turned > 1 or metadata.exif.orientation):
            metadata.exif.set_short(ORIENTATION, turned)
        metadata.turn(self._orientation, self.width, self.height)
        return metadata

    def colors(self) -> pyvips.Image:
        """Open the picture at full size, as displayed, with the colour that it has itself.

        Returns:
            sRGB of 8 bits, without alpha.

        Raises:
            PictureError: The file can't be opened.
        """
        try:
            return self._lab(self._open("random").autorot()).colourspace("srgb")
        except pyvips.Error as error:
            raise self._unreadable(error) from error

    def _check_cost(self, width: int, height: int) -> None:
        if width * height > MAX_PIXELS:
            raise PictureError(
                f"{width} x {height} pixels, where at most {MAX_PIXELS:,} are read "
                "(a decompression bomb?)"
            )
        check_memory(self._header.memory, width, height)

    def _begin(self) -> pyvips.Image:
        """Open the file, with as little of it read as its kind allows, and note what is left."""
        if self._read is not None:
            return self._read
        header, read = self._header, None
        try:
            image: Any = None if header.by_pillow else self._open_file("sequential")
        except pyvips.Error as error:
            read = read_with_pillow(self.path, self._check_cost, header.by_pillow)
            if read is None:
                raise self._unreadable(error) from error
        else:
            if header.tail:
                self._check_end(image)
            codec = "heif-compression"
            if image is None or (image.get_typeof(codec) and image.get(codec) == "hevc"):
                read = read_with_pillow(self.path, self._check_cost, header.by_pillow)
        if read is not None:
            self._read, frames = read
            if frames > 1:
                self.notes.append(f"first of {frames} frames")
            return self._read
        pages = header.pages
        if pages is None:
            pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
        if pages > 1:
            moving = image.get("vips-loader").startswith(_MOVING)
            self.notes.append(f"first of {pages} {'frames' if moving else 'pages'}")
        return image

    def _find_white(self) -> int:
        """What is white in a file that does not say so: of whole numbers of 32 bits, of floats."""
        try:
            image = self._prepared(self._open_file("sequential"))
            low, high = (float(x) for x in image.stats().numpy()[0, :2])
        except pyvips.Error as error:
            raise self._unreadable(error) from error
        whole = image.format != "float"
        for white in _WHITES[image.format]:
            over = 0 if whole else white * _OVERSHOOT
            # A picture that ends before a tenth of its range is one of an unknown range.
            if -over <= low and high <= white + over and (white <= 255 or high > 255):
                if not whole and white > 1 and high < white * _OVERSHOOT:
                    break
                return white
        raise PictureError(
            f"its pixels are {image.format} from {low:g} to {high:g}, of which it is not known "
            "what is black and white: save it as RGB or grey, 8 or 16 bits a channel"
        )

    def _open(self, access: str, shrink_to: tuple[int, int] | None = None) -> pyvips.Image:
        if self._read is not None:
            return self._in_16_bits(self._prepared(self._read))
        image = self._open_file(access)
        if shrink_to and image.get("vips-loader") == "jpegload_source":
            # At least twice the size asked for, so that the exact reduction decides the
            # quality; and no last pixel that stands for less than the others: it would stretch.
            room = min(image.width // shrink_to[0], image.height // shrink_to[1])
            sides = math.gcd(image.width, image.height)
            fit = [factor for factor in (2, 4, 8) if 2 * factor <= room and sides % factor == 0]
            image = self._open_file(access, shrink=max(fit, default=1))
        return self._in_16_bits(self._prepared(image))

    def _open_file(self, access: str, noise: bool = False, **more: int) -> pyvips.Image:
        header = self._header
        options = {"fail_on": "error", **header.options, **more}
        if not header.patches and not header.tail:
            return open_image(self.path, access, **options)
        tail = header.tail
        if noise:
            # A byte of ones at the end of the file is no marker then.
            tail = (b"\0" if tail == b"\xd9" else b"") + _NOISE + b"\xff\xd9"
        source = patched_source(self.path, header.patches, tail)
        return pyvips.Image.new_from_source(source, "", access=access, **options)

    def _check_end(self, image: pyvips.Image) -> None:
        """Of a file without its end: that no pixel depends on what would have followed."""
        try:
            differ = (image != self._open_file("sequential", noise=True)).max()
        except pyvips.Error as error:
            raise self._unreadable(error) from error
        if differ:
            raise PictureError("cut short (pixels at its end are missing)")

    def _prepared(self, image: pyvips.Image) -> pyvips.Image:
        """The pixels as they are meant, where libvips does not know better."""
        header = self._header
        if header.lab:
            image = _lab_of_numbers(image, header.lab)
        if header.gray:
            image = image.copy(interpretation="grey16" if image.format == "ushort" else "b-w")
        bands = _COLOR_BANDS.get(image.interpretation, image.bands)
        if image.bands > bands:
            colors = image.extract_band(0, n=bands)
            if header.alpha is None:
                image = colors
            elif header.alpha:
                image = colors.bandjoin(image[min(bands + header.alpha, image.bands - 1)])
            if header.premultiplied and self._read is None:
                image = _undarkened(image, bands)
        if header.white_is_zero and image.format in ("uchar", "ushort"):
            image = _inverted(image, bands)
        if header.limited:
            image = _full_range(image, bands)
        if header.frame and image.bands == bands:
            image = _transparent_around(image, header.frame, header.behind)
        if header.orientation:
            image = image.copy()
            image.set_type(pyvips.GValue.gint_type, "orientation", header.orientation)
        return image

    def _in_16_bits(self, image: pyvips.Image) -> pyvips.Image:
        if self._white is None:
            return image
        if self._header.white_is_zero:
            image = self._white - image
        space = "rgb16" if image.bands > 2 else "grey16"
        scaled = (image * (65535 / self._white)).rint().cast("ushort")
        return scaled.copy(interpretation=space)

    def _lightness(self, image: pyvips.Image) -> pyvips.Image:
        """L alone. Of grey levels it is looked up: each of 256 or 65536 is converted once."""
        if _COLOR_BANDS[image.interpretation] > 1:
            color = self._color(image)
            if color.interpretation != "srgb" or color.format != "uchar":
                return color.colourspace("lab")[0]
            # Of 8 bits, too: by luminance in 65536 steps, in half the time.
            luminance = color.colourspace("xyz")[1].linear(65535 / 100, 0.5).cast("ushort")
            return luminance.maplut(_luminance_to_lightness())
        levels = pyvips.Image.identity(ushort=image.format == "ushort")
        levels = levels.copy(interpretation=image.interpretation)
        if image.get_typeof(_PROFILE):
            levels.set_type(pyvips.GValue.blob_type, _PROFILE, image.get(_PROFILE))
        return image[0].maplut(self._lab(levels)[0])

    def _lab(self, image: pyvips.Image) -> pyvips.Image:
        """A picture of any kind in CIELAB."""
        return self._color(image).colourspace("lab")

    def _color(self, image: pyvips.Image) -> pyvips.Image:
        """A picture of any kind by its profile, or what else it says of its colour."""
        color = image.extract_band(0, n=_COLOR_BANDS[image.interpretation])
        signal = self._header.signal
        if signal and signal != Signal() and color.format in ("uchar", "ushort"):
            color = linear_srgb(color, signal)
        elif color.get_typeof(_PROFILE) and color.interpretation not in _LAB:
            # A profile that can't be used counts as none, as in browsers.
            try:
                color = color.icc_transform("srgb", embedded=True, depth=_depth(color))
            except pyvips.Error:
                color = color.copy()
                color.remove(_PROFILE)
        if color.interpretation == "rgb":
            color = color.copy(interpretation="srgb" if color.format == "uchar" else "rgb16")
        return color

    def _unreadable(self, error: pyvips.Error) -> PictureError:
        if self._header.rare:
            return PictureError(f"can't be decoded here ({last_line(error)}): {self._header.rare}")
        return unreadable(error)


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


def unreadable(error: pyvips.Error) -> PictureError:
    """The error of a file that libvips can't read: why, and what to do about it."""
    if "not in a known format" in error.detail:
        known = f"{', '.join(KNOWN[:-1])} and {KNOWN[-1]}"
        return PictureError(
            f"not a picture, or of an unknown format ({known} are known), or cut short"
        )
    reason = last_line(error)
    if any(words in reason for words in _OF_A_KIND):
        return PictureError(
            f"of a kind that can't be decoded here ({reason}): save it as PNG or as plain TIFF"
        )
    return PictureError(f"damaged or cut short ({reason})")


@functools.cache
def _luminance_to_lightness() -> pyvips.Image:
    """The table of L: an entry for each 65535th of white's luminance."""
    luminance = pyvips.Image.identity(ushort=True) * (100 / 65535)
    xyz = luminance.bandjoin([luminance, luminance]).copy(interpretation="xyz")
    return xyz.colourspace("lab")[0].copy(interpretation="b-w").copy_memory()


def _lab_of_numbers(image: pyvips.Image, kind: str) -> pyvips.Image:
    """CIELAB of three numbers: L to the highest, A and B with a sign (TIFF 6.0), or from -128 (of
    ICC, where L ends at 0xFF00 if they have 16 bits)."""
    unit, of_icc = (256 if image.format == "ushort" else 1), kind == "icclab"
    white = 0xFF00 if unit == 256 and of_icc else 256 * unit - 1
    lightness, ab = image[0] * (100 / white), image.extract_band(1, n=2) / unit
    ab = ab - 128 if of_icc else (ab >= 128).ifthenelse(ab - 256, ab)
    lab = lightness.bandjoin(ab)
    if image.bands > 3:
        # Alpha in 16 bits, as the output of such pictures has it.
        lab = lab.bandjoin(image.extract_band(3, n=image.bands - 3) * (257 if unit == 1 else 1))
    return lab.cast("float").copy(interpretation="lab")


def _undarkened(image: pyvips.Image, bands: int) -> pyvips.Image:
    """Colours as they are without their alpha."""
    most = 255 if image.format == "uchar" else 65535
    colors = image.unpremultiply(max_alpha=most).extract_band(0, n=bands).rint()
    return _with_colors(image, bands, colors)


def _inverted(image: pyvips.Image, bands: int) -> pyvips.Image:
    """The negative, but for what follows the colour."""
    most = 255 if image.format == "uchar" else 65535
    return _with_colors(image, bands, most - image.extract_band(0, n=bands))


def _full_range(image: pyvips.Image, bands: int) -> pyvips.Image:
    """Stretch numbers from 16 to 235, of 255, to all."""
    factor = 257 if image.format == "ushort" else 1
    stretched = (image.extract_band(0, n=bands) - 16 * factor) * (255 / 219)
    return _with_colors(image, bands, stretched.rint())


def _transparent_around(
    image: pyvips.Image, frame: tuple[int, int, int, int], behind: tuple[int, ...]
) -> pyvips.Image:
    """What lies around the frame of a GIF, as browsers show it; libvips makes it black."""
    left, top = frame[:2]
    across, down = min(frame[2], image.width - left), min(frame[3], image.height - top)
    if (across, down) == (image.width, image.height) or min(across, down) <= 0:
        return image
    inside = image.crop(left, top, across, down).bandjoin(255)
    color = [*(*behind, 0, 0, 0)[: image.bands], 0]
    return inside.embed(left, top, image.width, image.height, extend="background", background=color)


def _with_colors(image: pyvips.Image, bands: int, colors: pyvips.Image) -> pyvips.Image:
    """A picture with other colours, and what follows them as it was."""
    colors = colors.cast(image.format).copy(interpretation=image.interpretation)
    if image.bands == bands:
        return colors
    return colors.bandjoin(image.extract_band(bands, n=image.bands - bands))


def _depth(image: pyvips.Image) -> int:
    return 8 if image.format == "uchar" else 16
