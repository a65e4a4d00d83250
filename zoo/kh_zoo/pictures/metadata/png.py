"""Metadata of PNG files, which stand in chunks before or behind the pixels."""

import os
import re
import shutil
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

from kh_zoo.pictures.metadata.exif import Exif
from kh_zoo.pictures.metadata.metadata import (
    NO_UNIT,
    Metadata,
    Resolution,
    Text,
    chosen_resolution,
    decoded,
    meant,
    of_metres,
)
from kh_zoo.pictures.metadata.photoshop import block_of, records_in

OWN = {
    b"oFFs": "position on a page",
    b"pCAL": "calibration",
    b"sCAL": "scale",
    b"tIME": "time of change",
}
"""Chunks that other formats have no fields for."""

_SIGNATURE = 8  # bytes
_XMP = "XML:com.adobe.xmp"
# Texts in which ImageMagick and exiftool keep what PNG had no chunk for, as digits.
_RAW = re.compile(r"Raw profile type (?P<kind>exif|APP1|xmp|iptc|8bim|icc|icm)", re.IGNORECASE)
_RAW_HEAD = re.compile(r"\s*\S[^\n]*\n\s*\d+\s")
_IPTC = "Raw profile type iptc"
_LONGEST_KEYWORD = 79
_READ = (b"eXIf", b"pHYs", b"tEXt", b"zTXt", b"iTXt", *OWN)
_MOST = 2**25
"""Bytes of all texts, compressed and not."""
_IN_LINE = 36


def read(file: BinaryIO) -> Metadata:
    """Read the metadata of a PNG file; what is damaged in them is left out."""
    found = Metadata()
    stated = None
    exif = b""
    room = _MOST
    for kind, body in _chunks(file):
        if kind == b"eXIf":
            exif = exif or body  # of two the first, as for libpng
        elif kind == b"pHYs" and len(body) == 9:
            x, y, unit = struct.unpack(">IIB", body)
            if unit == 1:
                stated = of_metres(Fraction(x), Fraction(y))
            else:
                stated = Resolution(Fraction(x), Fraction(y), NO_UNIT)
        elif kind in OWN:
            found.chunks[kind] = body
        elif text := _text(kind, body, room):
            room -= len(text.content)
            raw = _RAW.fullmatch(text.keyword)
            if raw:
                _take_raw(found, raw["kind"].lower(), text.content)
            elif text.keyword == _XMP:
                found.xmp = meant(text).content.encode()
            else:
                found.texts.append(text)
    if exif:
        found.exif = Exif.from_bytes(exif)
    found.resolution = chosen_resolution(stated, found.exif)
    return found


def write(source: BinaryIO, target: BinaryIO, metadata: Metadata) -> list[str]:
    """Copy a PNG file that has no metadata, with some.

    Args:
        source: The file, from its start.
        target: What is written to.
        metadata: What is added.

    Returns:
        What there is no room for: nothing.
    """
    target.write(source.read(_SIGNATURE))
    while True:
        start = source.read(8)
        length, kind = struct.unpack(">I4s", start)
        if kind == b"IDAT":
            break
        body = source.read(length + 4)
        if kind != b"pHYs":  # which libvips makes up
            target.write(start + body)
    for kind, body in _described(metadata):
        check = zlib.crc32(body, zlib.crc32(kind))
        target.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check))
    target.write(start)
    shutil.copyfileobj(source, target)
    return []


def _described(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    resolution = metadata.resolution
    if resolution:
        x, y = resolution.per_metre
        unit = 1
        if resolution.unit == NO_UNIT:
            ratio = (resolution.x / resolution.y).limit_denominator(10**6)
            x, y, unit = ratio.numerator, ratio.denominator, 0
        if min(x, y) > 0 and max(x, y) < 2**31:
            yield b"pHYs", struct.pack(">IIB", x, y, unit)
    yield from metadata.chunks.items()
    yield b"eXIf", metadata.exif.to_bytes()
    if metadata.xmp:
        yield b"iTXt", _XMP.encode() + bytes(5) + metadata.xmp
    if metadata.iptc:
        digits = block_of(metadata.iptc).hex()
        lines = [digits[i : i + 2 * _IN_LINE] for i in range(0, len(digits), 2 * _IN_LINE)]
        content = "\niptc\n{:8}\n{}\n".format(len(digits) // 2, "\n".join(lines))
        yield b"zTXt", _IPTC.encode() + bytes(2) + zlib.compress(content.encode())
    for text in metadata.texts:
        yield _packed(text)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that are no pixels; one that is damaged is none."""
    file.seek(_SIGNATURE)
    left = _MOST
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind not in _READ or length > left:
            if kind == b"IEND":
                return
            file.seek(length + 4, os.SEEK_CUR)
            continue
        left -= length
        body, check = file.read(length), file.read(4)
        if check == struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))):
            yield kind, body


def _text(kind: bytes, body: bytes, room: int) -> Text | None:
    keyword, _, rest = body.partition(b"\0")
    name = keyword.decode("latin-1")
    if kind == b"tEXt":
        return Text(name, rest.decode("latin-1"))
    if kind == b"zTXt":
        return Text(name, _decompressed(rest[1:], room).decode("latin-1"))
    if kind != b"iTXt":
        return None
    compressed, rest = rest[:1] == b"\1", rest[2:]
    language, _, rest = rest.partition(b"\0")
    translated, _, content = rest.partition(b"\0")
    content = _decompressed(content, room) if compressed else content
    words = (decoded(content), True, language.decode("latin-1"))
    return Text(name, *words, translated.decode(errors="replace"))


def _packed(text: Text) -> tuple[bytes, bytes]:
    keyword = text.keyword.encode("latin-1", "replace")[:_LONGEST_KEYWORD]
    if not text.international:
        try:
            return b"tEXt", keyword + b"\0" + text.content.encode("latin-1")
        except UnicodeEncodeError:  # it comes from another format
            pass
    rest = (text.language.encode("latin-1"), text.translated.encode(), text.content.encode())
    return b"iTXt", keyword + bytes(3) + b"\0".join(rest)


def _decompressed(content: bytes, room: int) -> bytes:
    try:
        # A limit of 0 would be none.
        return zlib.decompressobj().decompress(content, max(room, 1))[:room]
    except zlib.error:
        return b""


def _take_raw(found: Metadata, kind: str, content: str) -> None:
    """Take what stands in digits, behind a line of its kind, in any words, and its length."""
    head = _RAW_HEAD.match(content)
    try:
        profile = bytes.fromhex(content[head.end() :]) if head else b""
    except ValueError:
        return
    if kind == "xmp" or profile.startswith(b"http://ns.adobe.com/xap"):
        found.xmp = found.xmp or profile.removeprefix(b"http://ns.adobe.com/xap/1.0/\0")
    elif kind in ("exif", "app1") and not found.exif.main:
        found.exif = Exif.from_bytes(profile)
    elif kind in ("iptc", "8bim"):
        found.iptc = found.iptc or records_in(profile)
