"""Which files are taken for pictures, by their suffixes: the one table of them."""

_ALIKE = {
    ".jpg": (".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo"),
    ".png": (".apng",),
    ".webp": (),
    ".tif": (".tiff", ".btf", ".tf8", ".ptif"),
    ".avif": (".avifs",),
    ".heic": (".heif", ".hif", ".heics", ".heifs"),
    ".gif": (),
    ".bmp": (".dib",),
    ".jp2": (".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    ".ppm": (".pgm", ".pbm", ".pnm"),
    ".tga": (".icb", ".vda", ".vst"),
    ".pcx": (),
    ".psd": (),
    ".sgi": (),
}
ALIKE = {other: suffix for suffix, others in _ALIKE.items() for other in others}
"""Suffixes that name the format of another."""
READ = (*_ALIKE, *ALIKE)
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
