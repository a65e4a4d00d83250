"""Write a coloured picture: whole or not at all, marked as our own, its metadata kept."""

import os
import re
import secrets
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyvips

from kh_zoo.errors import OutputError
from kh_zoo.pictures.picture import last_line, open_image
from kh_zoo.pictures.tiff_exif import write_exif_and_iptc

SOFTWARE = "keras-hypercolumns"
"""What the EXIF field Software (in TIFF: the XMP property tiff:Software) of an output says."""

# EXIF fields that describe the source's pixels and would be wrong for the output's: the thumbnail
# (it would stay grey), and the colour space, which is sRGB now.
_STALE = re.compile(r"jpeg-thumbnail-data|icc-profile-data|bits-per-sample|palette.*|exif-ifd1-.*")
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC_BLOCK = b"8BIM\x04\x04\0\0"  # Photoshop's resource of that number, without a name
_EMPTY_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta>'
)
_XMP_SOFTWARE = (
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b' tiff:Software="%s"/>' % SOFTWARE.encode()
)


class _Format(NamedTuple):
    name: str
    max_side: int
    alpha: bool
    sixteen_bit: bool
    quality: int | None  # the default; None: without loss
    options: dict[str, Any]


_JPEG = _Format("JPEG", 65500, False, False, 92, {})
_PNG = _Format("PNG", 2**31 - 1, True, True, None, {})
_WEBP = _Format("WebP", 16383, True, False, 90, {})
_TIFF = _Format(
    "TIFF", 2**31 - 1, True, True, None, {"compression": "deflate", "predictor": "horizontal"}
)
_AVIF = _Format("AVIF", 16384, True, False, 75, {"compression": "av1", "bitdepth": 8})
_FORMATS = {
    **{".jpg": _JPEG, ".jpeg": _JPEG, ".png": _PNG, ".webp": _WEBP},
    **{".tif": _TIFF, ".tiff": _TIFF, ".avif": _AVIF},
}
SUFFIXES = tuple(_FORMATS)
"""The suffixes of files that can be written."""


class Output:
    """A file to be written: its format, by its suffix, and the place.

    The file appears when it is complete: it is written under another name in the same folder, which
    is created if it is missing, and then renamed. Whatever happens before, nothing is left.

    Example:

    >>> import pyvips
    >>> from kh_zoo.pictures.output import Output
    >>> output = Output("coffee.color.png", source="examples/coffee.jpg")
    >>> output.write(pyvips.Image.new_from_file("examples/coffee.jpg"), None)
    >>> output.target.exists()
    True

    Args:
        target: Path of the file. JPEG, PNG, WebP, TIFF or AVIF, by its suffix.
        source: Path of the picture that is coloured; it is never written to.
        quality: 1..100, of JPEG, WebP and AVIF; 92, 90 and 75 by default. From 90 on JPEG and AVIF
            keep colour at full resolution. PNG and TIFF lose nothing and have no quality.

    Raises:
        OutputError: The suffix is unknown, or `target` is `source`. Messages of this class are one
            line, the reason alone.
        ValueError: `quality` is not in 1..100.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        source: str | os.PathLike[str],
        quality: int | None = None,
    ) -> None:
        self.target = Path(target)
        suffix = self.target.suffix.lower()
        if suffix not in _FORMATS:
            raise OutputError(
                f"no known output format: use one of {', '.join(SUFFIXES)}. "
                f"Received: {self.target.name}"
            )
        if quality is not None and not 1 <= quality <= 100:
            raise ValueError(f"`quality` must be in 1..100. Received: {quality}")
        try:
            if _same_file(self.target, Path(source)):
                raise OutputError("the output would overwrite its own source: name another file")
        except OSError as error:
            raise OutputError(error.strerror or str(error)) from error
        self._format = _FORMATS[suffix]
        self._quality = quality or self._format.quality
        self.sixteen_bit = self._format.sixteen_bit

    def write(self, rgb: pyvips.Image, alpha: pyvips.Image | None = None) -> None:
        """Write the picture.

        Args:
            rgb: sRGB, 8 bits (16 where `sixteen_bit` says that the format holds them), with the
                metadata of the source.
            alpha: One band of 8 or 16 bits. JPEG holds none: there the picture is laid on white.

        Raises:
            OutputError: The folder can't be written to, the disk is full, or the picture has more
                pixels a side than the format allows.
        """
        form = self._format
        if max(rgb.width, rgb.height) > form.max_side:
            raise OutputError(
                f"{form.name} holds at most {form.max_side} pixels a side, the picture is "
                f"{rgb.width} x {rgb.height}: use another format"
            )
        image = with_alpha(rgb, alpha) if alpha else rgb
        if alpha and not form.alpha:
            image = image.flatten(background=255).cast(rgb.format)
        image = _describe(image, form)
        options = dict(form.options)
        if self._quality:
            options["Q"] = self._quality
        if form is _TIFF:
            # Classic TIFF ends at 4 GB; compression may make it smaller, which can't be known.
            options["bigtiff"] = image.width * image.height * image.bands * 2 > 2**32
            exif, iptc = (_field(image, f"{name}-data") for name in ("exif", "iptc"))
            image.remove("iptc-data")  # which libvips would cut short
        name = f".{self.target.stem}.{secrets.token_hex(4)}{self.target.suffix}"
        temporary = self.target.with_name(name)
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            # Python says more plainly than libvips why a file can't be created.
            temporary.open("xb").close()
            try:
                _save(image, temporary, options)
            except pyvips.Error:
                # Of a full disk libvips gives no clear reason; Python meets it, too, and does.
                with temporary.open("ab") as file:
                    file.write(bytes(2**20))
                raise
            else:
                if form is _TIFF:
                    write_exif_and_iptc(temporary, exif, iptc, image.width, image.height)
                with temporary.open("r+b") as file:  # or a power cut could leave a name and nothing
                    os.fsync(file.fileno())
                os.replace(temporary, self.target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"can't write to {self.target.parent}: {error.strerror or error}"
            ) from error
        except pyvips.Error as error:
            raise OutputError(f"can't be written: {last_line(error)}") from error


def is_own_output(path: str | os.PathLike[str]) -> bool:
    """Whether a file was written by this package. Only its header is read.

    Example:

    >>> from kh_zoo.pictures.output import is_own_output
    >>> is_own_output("examples/coffee.jpg")
    False

    Args:
        path: Path of any file.

    Returns:
        `True` if it carries our mark; `False` also where it can't be read.
    """
    try:
        header = open_image(path)
    except pyvips.Error:
        return False
    if header.get_typeof("exif-ifd0-Software"):
        return str(header.get("exif-ifd0-Software")).startswith(SOFTWARE)
    return bool(header.get_typeof("xmp-data")) and _XMP_SOFTWARE in header.get("xmp-data")


def with_alpha(rgb: pyvips.Image, alpha: pyvips.Image) -> pyvips.Image:
    """Join colour and alpha, alpha brought to the bits of the colour."""
    if alpha.format == "uchar" and rgb.format == "ushort":
        alpha = alpha * 257
    elif alpha.format == "ushort" and rgb.format == "uchar":
        alpha = (alpha / 257).rint()
    return rgb.bandjoin(alpha.cast(rgb.format))


def _describe(image: pyvips.Image, form: _Format) -> pyvips.Image:
    """Mark the picture, and drop or correct what its metadata say about the source's pixels."""
    image = image.copy()
    for field in image.get_fields():
        if _STALE.fullmatch(field):
            image.remove(field)
    if image.get_typeof("exif-ifd2-ColorSpace"):
        image.set_type(pyvips.GValue.gstr_type, "exif-ifd2-ColorSpace", "1")
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Software", SOFTWARE)
    packet = image.get("xmp-data") if image.get_typeof("xmp-data") else _EMPTY_XMP
    # The pixels are upright now; some viewers follow XMP where it contradicts EXIF.
    packet = re.sub(rb'(tiff:Orientation(?:=["\']|>)\s*)[2-8]', rb"\g<1>1", packet)
    packet = re.sub(rb'tiff:Software="[^"]*"|<tiff:Software>[^<]*</tiff:Software>', b"", packet)
    packet = packet.replace(b"</rdf:RDF>", _XMP_SOFTWARE + b"</rdf:RDF>", 1)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", packet)
    if image.get_typeof("iptc-data"):
        records = _iptc_records(image.get("iptc-data"))
        image.remove("iptc-data")
        if records:
            content = _in_photoshop_block(records) if form is _JPEG else records
            image.set_type(pyvips.GValue.blob_type, "iptc-data", content)
    return image


def _field(image: pyvips.Image, name: str) -> bytes | None:
    return image.get(name) if image.get_typeof(name) else None


def _iptc_records(content: bytes) -> bytes:
    """The IPTC records alone: TIFF holds them so, JPEG in a block of Photoshop's.

    libvips hands on what it finds, whatever the format is that it writes.
    """
    if content.startswith(_PHOTOSHOP):
        at = content.find(_IPTC_BLOCK)
        if at < 0 or len(content) < at + 12:
            return b""
        (length,) = struct.unpack_from(">I", content, at + 8)
        content = content[at + 12 : at + 12 + length]
    return content if content.startswith(b"\x1c") else b""


def _in_photoshop_block(records: bytes) -> bytes:
    block = _IPTC_BLOCK + struct.pack(">I", len(records)) + records
    return _PHOTOSHOP + block + bytes(len(records) % 2)


def _save(image: pyvips.Image, path: Path, options: dict[str, Any]) -> None:
    """Compute and write, in a thread: so Ctrl-C is heard, and stops libvips between two strips."""
    with ThreadPoolExecutor(1) as pool:
        target = pyvips.Target.new_to_file(os.fsencode(path))
        done = pool.submit(image.write_to_target, target, path.suffix, **options)
        try:
            done.result()
        except BaseException:
            image.set_kill(True)
            raise


def _same_file(target: Path, source: Path) -> bool:
    if target.exists():
        return target.samefile(source)
    return target.resolve() == source.resolve()
