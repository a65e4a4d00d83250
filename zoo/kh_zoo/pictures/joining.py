"""The lightness of a picture and the colour that is predicted for it become one picture."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyvips

from kh_zoo.colors.gamut import lab_to_srgb_pixels
from kh_zoo.colors.guided_upsampling import GuidedUpsampling
from kh_zoo.pictures.picture import unreadable
from kh_zoo.pictures.strips import StripSource

# So many pixels are computed at once: their arrays stay in a processor's cache.
_PIXELS = 2**16


def join(
    lightness: pyvips.Image,
    small_lightness: np.ndarray,
    small_ab: np.ndarray,
    sixteen_bit: bool = False,
) -> StripSource:
    """Colour a picture, strip by strip while the result is read.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.pictures.joining import join
    >>> from kh_zoo.pictures.picture import Picture
    >>> picture = Picture("examples/coffee.jpg")
    >>> small = picture.small_lightness(96, 64)
    >>> lightness, _ = picture.full()
    >>> with join(lightness, small, np.zeros((64, 96, 2))) as joined:
    ...     joined.image.width, joined.image.height, joined.image.bands
    (600, 400, 3)

    Args:
        lightness: L at full size, one float band, in 0..100; read once from top to bottom. Its
            metadata are those of the result.
        small_lightness: L at the size of the prediction, `(h, w)`.
        small_ab: A and B at that size, `(h, w, 2)`, in CIELAB units.
        sixteen_bit: 16 bits a channel instead of 8.

    Returns:
        The sRGB image, and the `PictureError` if `lightness` can't be read to its end.
    """
    upsampling = GuidedUpsampling(small_lightness, small_ab, lightness.width, lightness.height)
    return StripSource(_strips(lightness, upsampling, sixteen_bit), lightness, sixteen_bit)


def gray(lightness: pyvips.Image, sixteen_bit: bool = False) -> pyvips.Image:
    """The picture without colour: sRGB of 8 or 16 bits a channel."""
    lab = lightness.bandjoin([0, 0]).copy(interpretation="lab")
    return lab.colourspace("rgb16" if sixteen_bit else "srgb")


def _strips(
    lightness: pyvips.Image, upsampling: GuidedUpsampling, sixteen_bit: bool
) -> Iterator[np.ndarray]:
    # One thread for all that is read: a region of libvips belongs to the thread that made it. So
    # the next strip is read while one is computed. It begins here: one that began within a call of
    # libvips was once seen to wait for ever.
    reader = ThreadPoolExecutor(1)
    region = reader.submit(pyvips.Region.new, lightness)
    return _joined(reader, region, lightness, upsampling, sixteen_bit)


def _joined(
    reader: ThreadPoolExecutor,
    made: "Future[pyvips.Region]",
    lightness: pyvips.Image,
    upsampling: GuidedUpsampling,
    sixteen_bit: bool,
) -> Iterator[np.ndarray]:
    width, height = lightness.width, lightness.height
    rows = max(1, _PIXELS // width)
    with reader:
        region = made.result()

        def read(top: int) -> "Future[bytes]":
            return reader.submit(region.fetch, 0, top, width, min(rows, height - top))

        following = read(0)
        for top in range(0, height, rows):
            try:
                content = following.result()
            except pyvips.Error as error:
                raise unreadable(error) from error
            if top + rows < height:
                following = read(top + rows)
            strip = np.frombuffer(content, np.float32).reshape(-1, width)
            yield lab_to_srgb_pixels(strip, upsampling.rows(top, strip), sixteen_bit)
