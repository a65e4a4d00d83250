"""Which files are taken for pictures, by their suffixes: the one table of them."""

_FORMATS = {
    ".jpg": ("JPEG", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo"),
    ".png": ("PNG", ".apng"),
    ".webp": ("WebP",),
    ".tif": ("TIFF", ".tiff", ".btf", ".tf8", ".ptif"),
    ".gif": ("GIF",),
    ".avif": ("AVIF", ".avifs"),
    ".heic": ("HEIC", ".heif", ".hif", ".heics", ".heifs"),
    ".bmp": ("BMP", ".dib"),
    ".jp2": ("JPEG 2000", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    ".ppm": ("PNM", ".pgm", ".pbm", ".pnm"),
    ".tga": ("TGA", ".icb", ".vda", ".vst"),
    ".pcx": ("PCX",),
    ".sgi": ("SGI",),
    ".psd": ("PSD",),
}
"""By the suffix: what the format is called, and its other suffixes."""
KNOWN = tuple(name for name, *_ in _FORMATS.values())
"""What the formats are called."""
ALIKE = {other: suffix for suffix, (_, *others) in _FORMATS.items() for other in others}
"""Suffixes that name the format of another."""
READ = (*_FORMATS, *ALIKE)
"""Of the files that are read."""
UNREAD = (".jxl",)
"""Of pictures that can't be read unless a plugin does: so that they are named as failures instead
of passed over in silence."""
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF file begins, a BigTIFF too, of either byte order."""


def suffix_of(format: str | None) -> str | None:
    """The suffix of a format that is given by its name, or by a suffix; None for none.

    Example:

    >>> from kh_zoo.pictures.formats import suffix_of
    >>> suffix_of("png"), suffix_of(".JPG")
    ('.png', '.jpg')
    """
    return f".{format.lower().removeprefix('.')}" if format else None
