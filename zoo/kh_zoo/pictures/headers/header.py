"""What a picture file says of itself, before any of it is decoded."""

import dataclasses

from kh_zoo.pictures.signal_color import Signal

CREDENTIALS = "its content credentials (C2PA) are not kept: they are signed for it as it was"
"""The note of a picture that has such."""


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
    options: dict[str, int | str] = dataclasses.field(default_factory=dict)
    """For libvips's loader: which page, and what it fails on."""
    pages: int | None = None
    """How many there are that are no reduced copies, if that is known."""
    by_pillow: bool = False
    """Whether libvips would misread it."""
    orientation: int | None = None
    """As EXIF counts them, where the page itself does not say."""
    turned: int | None = None
    """As EXIF counts them, what the decoder turns pixels by, whatever EXIF says."""
    lab: str | None = None
    """What three bands of numbers are that libvips is told are RGB: `cielab` or `icclab`."""
    gray: bool = False
    """Whether the first band alone is the picture, however many there are."""
    white_is_zero: bool = False
    """Whether white is zero in what libvips gives."""
    alpha: int | None = 0
    """Which of the bands behind those of colour is alpha; None: none of them."""
    premultiplied: bool = False
    """Whether the colours are darker by their alpha, which libvips does not undo."""
    directory: int = 0
    """Where in a TIFF file the fields of the picture begin."""
    limited: bool = False
    """Whether black is at 16 and white at 235 of 255, which libvips does not undo."""
    frame: tuple[int, int, int, int] | None = None
    """Left, top, width and height of what there are pixels for, where that may not be all."""
    behind: tuple[int, ...] = ()
    """Red, green and blue, of 255, that are shown around it by who shows no transparency."""

    def note(self, text: str) -> None:
        """Add a note, once, however often the file gives reason to."""
        if text not in self.notes:
            self.notes.append(text)
