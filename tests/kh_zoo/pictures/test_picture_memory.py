"""What a picture costs is known from its header: refused, or little memory is taken."""

import io
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_picture_kinds import HEIC
from test_signal_color import MONOCHROME_HEIC

from kh_zoo.errors import PictureError, ZooError
from kh_zoo.pictures.headers.coded import Coded, read_hevc
from kh_zoo.pictures.picture import Picture

SIDE = 22_000
LIMIT = 1000


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width, height, depth, kind, interlaced):
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    pixels = _chunk(b"IDAT", zlib.compress(bytes(999)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + pixels + _chunk(b"IEND", b"")


def _tiff(width, height, more=None, order="<"):
    """One directory of fields by number, and no pixels to speak of."""
    fields = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 400, 277: 1, 278: height}
    fields |= {279: 100, **(more or {})}
    entries = b"".join(
        struct.pack(order + "HHIHH", tag, 3, 2, *value)
        if isinstance(value, tuple)
        else struct.pack(order + "HHII", tag, 4, 1, value)
        for tag, value in sorted(fields.items())
    )
    start = b"II*\0" if order == "<" else b"MM\0*"
    head = start + struct.pack(order + "IH", 8, len(fields))
    return (head + entries + bytes(4)).ljust(400, b"\0") + bytes(200)


def _small(kind, mode="RGB", **options):
    stream = io.BytesIO()
    Image.new(mode, (64, 64)).save(stream, kind, **options)
    return bytearray(stream.getvalue())


def _patched(content, after, offset, patch):
    at = content.index(after) + offset
    content[at : at + len(patch)] = patch
    return content


def _jpeg(marker, mode="RGB", **options):
    content = _small("JPEG", mode, **options)
    return _patched(content, marker, 5, struct.pack(">HH", SIDE, SIDE))


def _webp(lossless):
    content = _small("WEBP", lossless=lossless)
    if lossless:
        return _patched(content, b"VP8L", 9, struct.pack("<I", 16382 | 16382 << 14))
    return _patched(content, b"VP8 ", 14, struct.pack("<HH", 16383, 16383))


def _jpeg2000():
    size = struct.pack(">II", SIDE, SIDE)
    content = _patched(_small("JPEG2000"), b"\xff\x51", 6, size)
    return _patched(_patched(content, b"\xff\x51", 22, size), b"ihdr", 4, size)


def _bmp():
    size = struct.pack("<ii", SIDE, SIDE)
    return _patched(_small("BMP", "P"), b"BM", 18, size)


def _gif(frame):
    size = struct.pack("<HH", SIDE, SIDE)
    content = _small("GIF", "P")
    return (
        _patched(content, b"," + bytes(4), 5, size) if frame else _patched(content, b"GIF", 6, size)
    )


def _directories(count):
    """As many pages, each with a directory of its own of nine fields."""
    page = _tiff(16, 16)[8:400].rstrip(b"\0")
    content = bytearray(b"II*\0\x08\0\0\0")
    for number in range(count):
        content += page[: 2 + 9 * 12].ljust(2 + 9 * 12, b"\0")
        following = len(content) + 4 if number < count - 1 else 0
        content += struct.pack("<I", following)
    return content + bytes(300)


def _overlapping():
    """Twenty directories, of 60,000 entries each, which are the same bytes for all."""
    starts = [8 + 4 * number for number in range(20)]
    content = bytearray(b"II*\0\x08\0\0\0" + bytes(60_000 * 12 + 100))
    for start, following in zip(starts, [*starts[1:], 0], strict=True):
        content[start : start + 2] = struct.pack("<H", 60_000)
        at = start + 2 + 60_000 * 12
        content[at : at + 4] = struct.pack("<I", following)
    return content


WIDE = 33_554_445
REFUSED = {
    "jpeg progressive": lambda: _jpeg(b"\xff\xc2", progressive=True),
    "jpeg progressive grey": lambda: _jpeg(b"\xff\xc2", "L", progressive=True),
    "jpeg progressive cmyk": lambda: _jpeg(b"\xff\xc2", "CMYK", progressive=True),
    "png interlaced": lambda: _png(SIDE, SIDE, 8, 2, 1),
    "png interlaced palette": lambda: _png(SIDE, SIDE, 8, 3, 1),
    "png interlaced 16": lambda: _png(SIDE, SIDE, 16, 6, 1),
    "png wide": lambda: _png(WIDE, 9, 8, 2, 0),
    "webp": lambda: _webp(False),
    "webp lossless": lambda: _webp(True),
    "jpeg 2000": _jpeg2000,
    "bmp": _bmp,
    "gif": lambda: _gif(False),
    "gif frame": lambda: _gif(True),
    "avif": lambda: _patched(_small("AVIF"), b"ispe", 8, struct.pack(">II", SIDE, SIDE)),
    "tiff tile": lambda: _tiff(SIDE, SIDE, {259: 5, 322: SIDE, 323: SIDE, 324: 400, 325: 100}),
    "tiff planes": lambda: _tiff(SIDE, SIDE, {259: 5, 262: 2, 277: 3, 284: 2}),
    "tiff jpeg": lambda: _tiff(SIDE, SIDE, {259: 7}),
    "tiff ycbcr": lambda: _tiff(SIDE, SIDE, {262: 6, 277: 3, 530: (1, 1)}),
    **{f"tiff wide {order}": lambda order=order: _tiff(WIDE, 9, order=order) for order in "<>"},
    "tiff wide bilevel": lambda: _tiff(WIDE, 9, {258: 1, 259: 4}),
}
# Refused as damaged by what decodes them, or read: but without much memory.
CHEAP = {
    **{
        f"tiff {kind} of {bits} bits, {samples} samples, {compression}": (
            lambda kind=kind, bits=bits, samples=samples, compression=compression: _tiff(
                SIDE, SIDE, {258: bits, 259: compression, 262: kind, 277: samples}
            )
        )
        for kind, samples in ((0, 1), (1, 2), (2, 3), (3, 1), (5, 4), (8, 3), (9, 3), (32845, 3))
        for bits in (8, 16)
        for compression in (1, 5, 8, 50000)
    },
    "tiff of many samples": lambda: _tiff(2000, 2000, {277: 30_000}),
    "jpeg": lambda: _jpeg(b"\xff\xc0"),
    "png": lambda: _png(SIDE, SIDE, 16, 6, 0),
    "6,000 pages": lambda: _directories(6_000),
    "directories without end": _overlapping,
}
READ_ALL = """
import json, resource, sys, time
from kh_zoo.errors import PictureError
from kh_zoo.pictures.picture import Picture

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

reasons, before = {}, peak()
for path in sys.argv[1:]:
    started = time.monotonic()
    try:
        Picture(path).small_lightness(64, 64)
        reasons[path] = ""
    except PictureError as error:
        reasons[path] = str(error)
    assert time.monotonic() - started < 30, path
    assert peak() - before < 250, f"{path}: {peak() - before:.0f} MB"
print(json.dumps(reasons))
"""


def test_no_header_takes_memory(tmp_path):
    pytest.importorskip("resource")
    makers = {**REFUSED, **CHEAP}
    paths = {}
    for number, (name, make) in enumerate(makers.items()):
        paths[name] = tmp_path / str(number)
        paths[name].write_bytes(make())
    command = [sys.executable, "-c", READ_ALL, *map(str, paths.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reasons = json.loads(done.stdout)
    for name in REFUSED:
        assert "KH_MAX_MEMORY=" in reasons[str(paths[name])], name
        assert f"at most {LIMIT:,}" in reasons[str(paths[name])]
    assert "entries" in reasons[str(paths["directories without end"])]


def test_the_limit_is_what_the_environment_says(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=True)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=1)
    monkeypatch.setenv("KH_MAX_MEMORY", "4")
    with pytest.raises(PictureError, match=r"900 x 700 pixels .* KH_MAX_MEMORY=11 allows it"):
        Picture(tmp_path / "a.webp")
    assert Picture(tmp_path / "a.tif").width == 900  # in strips
    monkeypatch.setenv("KH_MAX_MEMORY", "11")
    assert Picture(tmp_path / "a.webp").width == 900
    for text in ("1.5", "many", "-3"):
        monkeypatch.setenv("KH_MAX_MEMORY", text)
        with pytest.raises(ZooError, match=r"`KH_MAX_MEMORY` should be .* Received: '"):
            Picture(tmp_path / "a.webp")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_avif_that_is_larger_than_its_file_says(tmp_path, monkeypatch, mode):
    content = bytearray()
    for size in (64, 1200):
        stream = io.BytesIO()
        Image.new(mode, (size, size)).save(stream, "AVIF", speed=10)
        content = bytearray(stream.getvalue())
        (tmp_path / f"{size}.avif").write_bytes(content)
    lies = _patched(content, b"ispe", 8, struct.pack(">II", 64, 64))
    (tmp_path / "lies.avif").write_bytes(lies)
    monkeypatch.setenv("KH_MAX_MEMORY", "20")
    assert Picture(tmp_path / "64.avif").width == 64
    for name in ("1200.avif", "lies.avif"):
        with pytest.raises(PictureError, match=r"KH_MAX_MEMORY=\d+ allows it"):
            Picture(tmp_path / name)


def test_the_size_that_hevc_itself_says():
    assert read_hevc(HEIC[HEIC.index(b"hvcC") + 4 :]).pixels == 64 * 64
    assert read_hevc(MONOCHROME_HEIC[MONOCHROME_HEIC.index(b"hvcC") + 4 :]).pixels == 96 * 64
    assert read_hevc(b"") == read_hevc(bytes(22) + b"\xff" + HEIC) == Coded()
