"""Write a coloured picture: whole or not at all, marked as our own, its metadata kept."""

import errno
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyvips

from kh_zoo.errors import OutputError
from kh_zoo.files.whole_files import check_place, make_folder, put_in_place
from kh_zoo.pictures.loaders import last_line, open_image
from kh_zoo.pictures.metadata import avif, jpeg, png, tiff, webp
from kh_zoo.pictures.metadata.exif import SOFTWARE as SOFTWARE_FIELD
from kh_zoo.pictures.metadata.exif import Exif
from kh_zoo.pictures.metadata.metadata import Metadata
from kh_zoo.pictures.metadata.reading import read_metadata
from kh_zoo.pictures.unfinished import unfinished_name

SOFTWARE = "keras-hypercolumns"
"""What the EXIF field Software of an output says."""

# Earlier outputs in TIFF have the mark in XMP only.
_XMP_SOFTWARE = b'tiff:Software="%s"' % SOFTWARE.encode()
# libvips makes a place for EXIF if there is some.
_SOME_EXIF = Exif().to_bytes()


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
    >>> output.write(pyvips.Image.new_from_file("examples/coffee.jpg"))
    ()
    >>> output.target.exists()
    True

    Args:
        target: Path of the file. JPEG, PNG, WebP, TIFF or AVIF, by its suffix.
        source: Path of the picture that is coloured; it is never written to.
        quality: 1..100, of JPEG, WebP and AVIF; 92, 90 and 75 by default. From 90 on JPEG and AVIF
            keep colour at full resolution. PNG and TIFF lose nothing and have no quality.

    Raises:
        OutputError: The suffix is unknown, or `target` is `source`, or no file but a pipe, say.
            Messages of this class are one line, the reason alone.
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
            check_place(self.target)
        except FileExistsError as error:
            raise OutputError(f"can't write {self.target}: {error.strerror}") from error
        except OSError as error:
            raise OutputError(error.strerror or str(error)) from error
        self._format = _FORMATS[suffix]
        self._quality = quality
        self.sixteen_bit = self._format.sixteen_bit

    def write(
        self,
        rgb: pyvips.Image,
        alpha: pyvips.Image | None = None,
        metadata: Metadata | None = None,
    ) -> tuple[str, ...]:
        """Write the picture.

        Args:
            rgb: sRGB, 8 bits (16 where `sixteen_bit` says that the format holds them).
            alpha: One band of 8 or 16 bits. JPEG holds none: there the picture is laid on white.
            metadata: What is to be kept of the source's, true of the picture as displayed.

        Returns:
            What of `metadata` the format has no place for, in a few words each.

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
        metadata = metadata or Metadata()
        metadata.describe(image.width, image.height, SOFTWARE)
        lost = _fit(metadata, form)
        temporary, described = (self.target.with_name(self._unfinished()) for _ in range(2))
        try:
            make_folder(self.target.parent)
            try:
                # Python says more plainly than libvips why a file can't be created.
                temporary.open("xb").close()
                try:
                    _save(_bare(image, form, metadata), temporary, self._options(image, metadata))
                except pyvips.Error:
                    # Of a full disk libvips gives no clear reason; Python meets it, too, and does.
                    with temporary.open("ab") as file:
                        file.write(bytes(2**20))
                    raise
                lost += _describe(temporary, described, form, metadata, image)
                put_in_place(described if described.exists() else temporary, self.target)
            finally:
                for path in (temporary, described):
                    path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise OutputError(
                    f"can't write {self.target}: larger than the disk, or `ulimit -f`, allows"
                ) from error
            raise OutputError(
                f"can't write to {self.target.parent}: {error.strerror or error}"
            ) from error
        except pyvips.Error as error:
            raise OutputError(f"can't be written: {last_line(error)}") from error
        return tuple(lost)

    def _unfinished(self) -> str:
        return unfinished_name(self.target.name, secrets.token_hex(4))

    def _options(self, image: pyvips.Image, metadata: Metadata) -> dict[str, Any]:
        form = self._format
        options: dict[str, Any] = {"keep": "none", **form.options}
        if form is _WEBP and self._quality is None and metadata.lossless:
            options["lossless"] = True
        elif form.quality:
            options["Q"] = self._quality or form.quality
        if form is _TIFF:
            # Classic TIFF ends at 4 GB; compression may make it smaller, which can't be known.
            options["bigtiff"] = image.width * image.height * image.bands * 2 > 2**32
            options["compression"] = metadata.compression or options["compression"]
        if form is _AVIF:
            options["keep"] = "exif|xmp"
        return options


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
        # What has no size may still have no end, or wait for some: pipes, devices, /proc/kmsg.
        if not os.stat(path).st_size:
            return False
        metadata = read_metadata(Path(path), lambda: open_image(path))
    except (OSError, pyvips.Error):
        return False
    mark = metadata.exif.text(SOFTWARE_FIELD) or ""
    return mark.startswith(SOFTWARE) or _XMP_SOFTWARE in metadata.xmp


def with_alpha(rgb: pyvips.Image, alpha: pyvips.Image) -> pyvips.Image:
    """Join colour and alpha, alpha brought to the bits of the colour."""
    if alpha.format == "uchar" and rgb.format == "ushort":
        alpha = alpha * 257
    elif alpha.format == "ushort" and rgb.format == "uchar":
        alpha = (alpha / 257).rint()
    return rgb.bandjoin(alpha.cast(rgb.format))


def _fit(metadata: Metadata, form: _Format) -> list[str]:
    """Move what has another place in the format, and drop what has none; return that."""
    lost = []
    if form is not _PNG:
        texts = metadata.move_texts(comments=form is _JPEG)
        lost = [f"text {', '.join(sorted(set(texts)))!r}"] if texts else []
        lost += [png.OWN[kind] for kind in sorted(metadata.chunks)]
    if metadata.iptc and form in (_WEBP, _AVIF):
        metadata.iptc = b""
        lost.append("IPTC")
    return [f"{what}, which {form.name} has no place for" for what in lost]


def _bare(image: pyvips.Image, form: _Format, metadata: Metadata) -> pyvips.Image:
    """The picture without metadata, but for those that libvips has to write itself."""
    image = image.copy()
    for field in image.get_fields():
        if field.startswith(("exif-", "xmp-", "iptc-", "icc-")):
            image.remove(field)
    if form is _AVIF:
        image.set_type(pyvips.GValue.blob_type, "exif-data", _SOME_EXIF)
        if metadata.xmp:
            image.set_type(pyvips.GValue.blob_type, "xmp-data", metadata.xmp)
    return image


def _describe(
    path: Path, described: Path, form: _Format, metadata: Metadata, image: pyvips.Image
) -> list[str]:
    """Add metadata to a file of libvips, in the file itself or a copy; return what has no place."""
    if form in (_TIFF, _AVIF):
        with path.open("r+b") as file:
            if form is _TIFF:
                tiff.write(file, metadata)
            else:
                avif.replace_exif(file, metadata.exif)
        return []
    with path.open("rb") as source, described.open("xb") as target:
        if form is _JPEG:
            return jpeg.write(source, target, metadata)
        if form is _PNG:
            return png.write(source, target, metadata)
        webp.write(source, target, metadata, image.width, image.height, image.bands == 4)
        return []


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
