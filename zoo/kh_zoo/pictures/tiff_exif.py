"""EXIF in TIFF, which libvips neither reads nor writes, and IPTC, which it cuts short."""

import contextlib
import struct
from pathlib import Path
from typing import Any, BinaryIO

import pyvips
from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from kh_zoo.pictures.pillow_reader import carried, copy_fields, quiet

# Of the fields that a TIFF shares with EXIF, those that describe the picture, not how it is stored.
_DESCRIPTIVE = (
    *(ExifTags.Base.DocumentName, ExifTags.Base.ImageDescription, ExifTags.Base.Make),
    *(ExifTags.Base.Model, ExifTags.Base.DateTime, ExifTags.Base.Artist),
    *(ExifTags.Base.HostComputer, ExifTags.Base.Copyright),
)
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_IPTC = 33723
_SRGB = 1
_CLASSIC = 42
_ENTRY = 12  # bytes, of a directory of a TIFF file that is no BigTIFF


def with_exif(image: pyvips.Image, path: Path) -> pyvips.Image:
    """Give an image that libvips read from a TIFF file the EXIF of that file.

    Args:
        image: The image.
        path: The TIFF file.

    Returns:
        The image with the fields in which libvips keeps EXIF; without them if the file has none, or
        damaged ones.
    """
    with path.open("rb") as file, quiet():
        try:
            content = _content(TiffImagePlugin.TiffImageFile(file).getexif())
        except Exception:  # Pillow's readers raise nearly anything on damaged files
            return image
    if not content:
        return image
    exif = Image.Exif()
    for tag, value in content.items():
        if tag in _DIRECTORIES:
            exif.get_ifd(tag).update(value)
        else:
            exif[tag] = value
    image = image.copy()
    copy_fields(carried("RGB", exif=exif), image, ("exif-",))
    return image


def write_exif_and_iptc(
    path: Path, exif: bytes | None, iptc: bytes | None, width: int, height: int
) -> None:
    """Add metadata to a TIFF file that libvips wrote; a BigTIFF file is left as it is.

    A new directory, behind all else in the file, takes the place of the first: it has the entries
    of that one, and those that it lacks.

    Args:
        path: The TIFF file, of one page.
        exif: EXIF as JPEG files have it.
        iptc: The records of IPTC.
        width: Width of the picture, in pixels.
        height: Height of the picture, in pixels.
    """
    added: dict[int, Any] = {}
    with path.open("r+b") as file, quiet():
        order = "<" if file.read(2) == b"II" else ">"
        magic, start = struct.unpack(order + "HI", file.read(6))
        if exif:
            read = Image.Exif()
            # Damaged EXIF raises nearly anything.
            with contextlib.suppress(Exception):
                read.load(exif)
                added = _content(read)
        if iptc:
            added[_IPTC] = iptc
        if magic != _CLASSIC or not added:
            return
        taken = added.get(ExifTags.IFD.Exif, {})
        right = {
            ExifTags.Base.ColorSpace: _SRGB,
            ExifTags.Base.ExifImageWidth: width,
            ExifTags.Base.ExifImageHeight: height,
        }
        taken.update({tag: value for tag, value in right.items() if tag in taken})
        end = file.seek(0, 2)
        end += file.write(bytes(end % 2))
        directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II" if order == "<" else b"MM")
        for tag, value in added.items():
            directory[tag] = value
        directory.tagtype[_IPTC] = TiffTags.BYTE
        # Pillow writes a whole directory: its entries are taken, what they point to stays there.
        file.write(directory.tobytes(end))
        entries = {**_entries(file, end, order), **_entries(file, start, order)}
        start = file.seek(0, 2)
        file.write(struct.pack(order + "H", len(entries)))
        file.write(b"".join(entries[tag] for tag in sorted(entries)) + bytes(4))
        file.seek(4)
        file.write(struct.pack(order + "I", start))


def _content(exif: Image.Exif) -> dict[int, Any]:
    """What of EXIF is kept, the two directories in it as dictionaries."""
    content: dict[int, Any] = {tag: exif[tag] for tag in _DESCRIPTIVE if tag in exif}
    for directory in _DIRECTORIES:
        if exif.get_ifd(directory):
            content[directory] = dict(exif.get_ifd(directory))
    return content


def _entries(file: BinaryIO, start: int, order: str) -> dict[int, bytes]:
    """The entries of a directory as they stand in the file, by tag."""
    file.seek(start)
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = (file.read(_ENTRY) for _ in range(count))
    return {struct.unpack_from(order + "H", entry)[0]: entry for entry in entries}
