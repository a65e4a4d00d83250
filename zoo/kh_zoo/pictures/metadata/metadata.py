"""What a picture file says besides its pixels, whatever its format."""

import codecs
import dataclasses
from fractions import Fraction
from typing import Any, NamedTuple

import pyvips

from kh_zoo.pictures.metadata.exif import (
    ARTIST,
    CAMERA,
    COPYRIGHT,
    DOCUMENT_NAME,
    IMAGE_DESCRIPTION,
    ORIENTATION,
    RESOLUTION_UNIT,
    SOFTWARE,
    USER_COMMENT,
    X_RESOLUTION,
    Y_RESOLUTION,
    Entry,
    Exif,
)
from kh_zoo.pictures.metadata.photoshop import records_in
from kh_zoo.pictures.metadata.xmp import Xmp, corrected

COMMENT = "Comment"
"""The keyword of a text that is a comment in JPEG and GIF."""
NO_UNIT, INCH, CENTIMETRE = 1, 2, 3
"""Units of a resolution, as EXIF counts them."""

_UNITS = {NO_UNIT: Fraction(0), INCH: Fraction(10_000, 254), CENTIMETRE: Fraction(100)}
# What programs write that know no resolution: EXIF says so.
_USUAL = 72
# Where the texts of PNG go in formats that have EXIF only.
_FIELDS = {
    **{"Description": IMAGE_DESCRIPTION, "Title": DOCUMENT_NAME},
    **{"Author": ARTIST, "Copyright": COPYRIGHT},
}
_UNDEFINED = 7
# Pixels a unit that some instrument may make; other numbers are no resolution.
_LEAST, _MOST = Fraction(1, 1000), 10**9
# Of an inch, by which whole numbers of pixels a metre are off.
_ROUNDING = Fraction(2, 100)


class Text(NamedTuple):
    """A text of PNG, or a comment."""

    keyword: str
    content: str
    international: bool = False
    """In UTF-8, with the two that follow."""
    language: str = ""
    translated: str = ""
    """The keyword in that language."""


class Resolution(NamedTuple):
    """Pixels a unit, to the right and down; without a unit, the shape of a pixel alone."""

    x: Fraction
    y: Fraction
    unit: int

    def per(self, unit: int) -> tuple[Fraction, Fraction]:
        """In another unit."""
        factor = _UNITS[self.unit] / _UNITS[unit]
        return self.x * factor, self.y * factor

    @property
    def per_metre(self) -> tuple[int, int]:
        """Rounded, as PNG has it."""
        return round(self.x * _UNITS[self.unit]), round(self.y * _UNITS[self.unit])


@dataclasses.dataclass
class Metadata:
    """What is carried from one file to another.

    Example:

    >>> from kh_zoo.pictures.metadata.metadata import Metadata, Text
    >>> metadata = Metadata(texts=[Text("Author", "Łukasz")])
    >>> metadata.move_texts(comments=True)
    []
    >>> metadata.exif.text(0x013B)  # Artist
    'Łukasz'
    """

    exif: Exif = dataclasses.field(default_factory=Exif)
    xmp: bytes = b""
    iptc: bytes = b""
    """The records."""
    texts: list[Text] = dataclasses.field(default_factory=list)
    resolution: Resolution | None = None
    chunks: dict[bytes, bytes] = dataclasses.field(default_factory=dict)
    """Those that only PNG has, as they are, by their kind."""
    compression: str = ""
    """How the pixels of TIFF are stored, where that is worth keeping: the name that libvips has for
    it."""
    lossless: bool = False
    """Whether it is WebP without loss."""

    def take_resolution(self) -> None:
        """Let the resolution that XMP states count, where there is no other, but for 72."""
        if self.resolution and _is_known(self.resolution):
            return  # before a packet is read for nothing
        try:
            x, y, unit = Xmp(self.xmp).resolution
        except ValueError:  # no packet, or none in it
            return
        if unit in _UNITS and not (x == _USUAL and unit == INCH):
            self.resolution = _chosen(self.resolution, Resolution(x, y, unit))

    def turn(self, orientation: int, width: int, height: int) -> None:
        """Make it true of the pixels as they are displayed.

        An orientation that only XMP states stays, since pictures are not turned by it, here as in
        browsers: so whoever follows it sees of the output what they see of the source.

        Args:
            orientation: What the reader turns them by, 1..8, as EXIF counts, if EXIF does not say.
            width: Width as displayed, in pixels.
            height: Height as displayed, in pixels.
        """
        stated = self.exif.orientation
        if orientation == 1 and stated is None:
            return
        orientation = stated or orientation
        if orientation >= 5:
            width, height = height, width

        def change(xmp: Xmp) -> None:
            xmp.reset_orientation()
            if orientation > 1:
                xmp.turn(orientation, width, height)

        self.xmp = corrected(self.xmp, change)
        if stated is not None:
            self.exif.set_short(ORIENTATION, 1)
        self.exif.turn(orientation, width, height)
        if orientation > 1:
            # They have directions.
            for kind in (b"oFFs", b"sCAL"):
                self.chunks.pop(kind, None)
        if self.resolution and orientation >= 5:
            x, y, unit = self.resolution
            self.resolution = Resolution(y, x, unit)

    def describe(self, width: int, height: int, software: str) -> None:
        """Make it true of a file that is written: sRGB, of a size in pixels, by that software."""
        self.exif.describe(width, height)
        self.exif.set_text(SOFTWARE, software)
        for tag in (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT):
            self.exif.main.pop(tag, None)
        numbers: tuple[str | None, str | None, str | None] = (None, None, None)
        if self.resolution:
            x, y, unit = self.resolution
            self.exif.set_rational(X_RESOLUTION, x)
            self.exif.set_rational(Y_RESOLUTION, y)
            self.exif.set_short(RESOLUTION_UNIT, unit)
            x, y = (value.limit_denominator(2**20) for value in (x, y))
            numbers = (
                f"{x.numerator}/{x.denominator}",
                f"{y.numerator}/{y.denominator}",
                str(unit),
            )

        def change(xmp: Xmp) -> None:
            xmp.describe(width, height, software)
            xmp.set_resolution(*numbers)

        self.xmp = corrected(self.xmp, change)

    def move_texts(self, comments: bool) -> list[str]:
        """Move texts into EXIF, for a format that has no other place for them.

        Args:
            comments: The format has a place for comments.

        Returns:
            The keywords of those that have no place there, or whose place is taken.
        """
        lost: list[str] = []
        kept: list[Text] = []
        for text in map(meant, self.texts):
            field = _FIELDS.get(text.keyword)
            if text.keyword == COMMENT and comments:
                kept.append(text)
            elif text.keyword == COMMENT and USER_COMMENT not in self.exif.camera:
                self._comment(text.content)
            elif field and field not in self.exif.main:
                self.exif.set_text(field, text.content)
            elif not field or self.exif.text(field) != text.content:
                lost.append(text.keyword)
        self.texts = kept
        return lost

    def _comment(self, text: str) -> None:
        camera = self.exif.main.setdefault(CAMERA, {})
        if text.isascii():
            content = b"ASCII\0\0\0" + text.encode()
        else:
            order = "le" if self.exif.order == "<" else "be"
            content = b"UNICODE\0" + text.encode(f"utf-16-{order}")
        if isinstance(camera, dict):
            camera[USER_COMMENT] = Entry(_UNDEFINED, len(content), content)


def decoded(content: bytes) -> str:
    """A text whose encoding nobody states: UTF-16 by its mark, UTF-8 if it can be, else Latin-1.

    Example:

    >>> from kh_zoo.pictures.metadata.metadata import decoded
    >>> decoded("Größe".encode()) == decoded("Größe".encode("latin-1")) == "Größe"
    True

    Args:
        content: The text, without what ends it.
    """
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def chosen_resolution(stated: Resolution | None, exif: Exif) -> Resolution | None:
    """The resolution of a file that may state two.

    That of the format itself counts more than EXIF's, unless it is what programs write that know
    none, 72 an inch.

    Args:
        stated: What the format itself states.
        exif: EXIF of the file.
    """
    x, y = exif.rational(X_RESOLUTION), exif.rational(Y_RESOLUTION)
    unit = (exif.numbers(RESOLUTION_UNIT)[:1] or (INCH,))[0]
    own = Resolution(x or y, y or x, unit) if (x or y) and unit in _UNITS else None  # type: ignore[arg-type]
    return _chosen(stated, own)


def _chosen(*stated: Resolution | None) -> Resolution | None:
    possible = [
        found
        for found in stated
        if found and all(_LEAST <= value <= _MOST for value in (found.x, found.y))
    ]
    real = [found for found in possible if found.unit != NO_UNIT]
    known = [found for found in real if _is_known(found)]
    shape = [found for found in possible if found.unit == NO_UNIT and found.x != found.y]
    return next(iter([*known, *real, *shape]), None)


def _is_known(stated: Resolution) -> bool:
    """Whether it has a unit, and is not what programs write that know none."""
    return stated.unit != NO_UNIT and round(stated.per(INCH)[0]) != _USUAL


def meant(text: Text) -> Text:
    """A text whose bytes are UTF-8, which many programs write where PNG says Latin-1.

    Example:

    >>> from kh_zoo.pictures.metadata.metadata import Text, meant
    >>> meant(Text("Author", "Å\x81ukasz")).content
    'Łukasz'

    Args:
        text: The text; one that is not international as if it were in Latin-1.
    """
    if text.international:
        return text
    try:
        return text._replace(content=decoded(text.content.encode("latin-1")))
    except UnicodeEncodeError:
        return text


def of_metres(x: Fraction, y: Fraction) -> Resolution:
    """Pixels a metre as pixels an inch, where a whole number of them is what was meant.

    Example:

    >>> from fractions import Fraction
    >>> from kh_zoo.pictures.metadata.metadata import of_metres
    >>> resolution = of_metres(Fraction(23622), Fraction(23622))
    >>> int(resolution.x), resolution.unit == 2  # inches
    (600, True)
    """
    inches = [value * Fraction(254, 10_000) for value in (x, y)]
    whole = [Fraction(round(value)) for value in inches]
    if all(abs(one - other) < _ROUNDING for one, other in zip(inches, whole, strict=True)):
        return Resolution(whole[0], whole[1], INCH)
    x, y = (value.limit_denominator(100) / 100 for value in (x, y))
    return Resolution(x, y, CENTIMETRE)


def image_metadata(image: pyvips.Image) -> Metadata:
    """The metadata of an image of libvips, for files that only libraries take apart."""
    exif = Exif.from_bytes(_blob(image, "exif-data"))
    # Of AVIF and HEIC it does not count, and of others it is the image's.
    stated = exif.main.pop(ORIENTATION, None)
    xmp = _blob(image, "xmp-data")
    if stated:
        xmp = corrected(xmp, Xmp.reset_orientation)
    resolution = None
    if image.get_typeof("resolution-unit") and (image.xres, image.yres) != (1, 1):
        resolution = of_metres(*(Fraction(value) * 1000 for value in (image.xres, image.yres)))
    return Metadata(
        exif=exif,
        xmp=xmp,
        iptc=records_in(_blob(image, "iptc-data")),
        resolution=chosen_resolution(resolution, exif),
    )


def _blob(image: pyvips.Image, name: str) -> bytes:
    content: Any = image.get(name) if image.get_typeof(name) else b""
    return bytes(content)
