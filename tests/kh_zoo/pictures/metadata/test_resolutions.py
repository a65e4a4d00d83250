"""Resolutions that only XMP states, and numbers that are none: nothing is refused or printed."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from kh_zoo.colorizer import Colorizer
from kh_zoo.pictures.picture import Picture

GRAY = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8) + 60
X, Y, UNIT = 282, 283, 296
NAN, INFINITE = float("nan"), float("inf")
CODES = {3: "H", 4: "I", 5: "I", 10: "i", 11: "f", 12: "d"}


class Gray:
    def predict_ab(self, lightness):
        return np.zeros((*lightness.shape, 2), np.float32)


def _packet(x, y, unit):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:XResolution="{x}" '
        f'tiff:YResolution="{y}" tiff:ResolutionUnit="{unit}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def _tiff(path, fields):
    """GRAY with fields of any type and value, of which other writers make none."""
    height, width = GRAY.shape
    all_fields = {256: (3, width), 257: (3, height), 258: (3, 8), 259: (3, 1), 262: (3, 1)}
    all_fields |= {273: (4, 8), 277: (3, 1), 278: (3, height), 279: (4, GRAY.size), **fields}
    rows, values, at = b"", b"", 8 + GRAY.size
    behind = at + 2 + 12 * len(all_fields) + 4
    for tag, (kind, *numbers) in sorted(all_fields.items()):
        content = struct.pack(f"<{len(numbers)}{CODES.get(kind, 'H')}", *numbers)
        count = len(numbers) // (2 if kind in (5, 10) else 1)
        place = content.ljust(4, b"\0")
        if len(content) > 4:
            place = struct.pack("<I", behind + len(values))
            values += content
        rows += struct.pack("<HHI", tag, kind, count) + place
    start = b"II*\0" + struct.pack("<I", at) + GRAY.tobytes()
    path.write_bytes(start + struct.pack("<H", len(all_fields)) + rows + bytes(4) + values)


def _coloured(source, suffix="png"):
    """What Pillow reads in the output: EXIF's resolution, and the unit."""
    target = source.with_name(f"written.{suffix}")
    Colorizer(Gray(), size=16).colorize_file(source, target)
    with Image.open(target) as image:
        np.testing.assert_allclose(np.asarray(image.convert("L")).astype(int), GRAY, atol=2)
        fields = image.getexif()
        return tuple(fields.get(tag) for tag in (X, Y, UNIT))


IN_XMP = {
    "inches": (("3000000/10000", "1500000/10000", 2), (300, 150, 2)),
    "centimetres": (("118/1", "118/1", 3), (118, 118, 3)),
    "decimal": (("299.5", "299.5", 2), (299.5, 299.5, 2)),
    "by zero": (("300/0", "300/0", 2), (None, None, None)),
    "negative": (("-300/1", "-300/1", 2), (None, None, None)),
    "no number": (("nan", "inf", 2), (None, None, None)),
    "huge": (("1e99999999", "9" * 400, 2), (None, None, None)),
    "unknown unit": (("300/1", "300/1", 9), (None, None, None)),
}


@pytest.mark.parametrize("name", IN_XMP)
def test_stated_by_xmp_alone(name, tmp_path):
    stated, wanted = IN_XMP[name]
    source = tmp_path / "a.webp"
    Image.fromarray(GRAY).save(source, xmp=_packet(*stated), lossless=True)
    assert _coloured(source) == wanted
    with Image.open(tmp_path / "written.png") as image:
        xmp = image.info["xmp"].decode()
    assert ("tiff:XResolution" in xmp) == (wanted[0] is not None)


def test_xmp_counts_less_than_what_else_states_one(tmp_path):
    packet = _packet("300/1", "300/1", 2)
    for dpi, wanted in ((150, 150), (72, 300)):  # 72 is written by who knows none
        source = tmp_path / "a.png"
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet.decode())
        Image.fromarray(GRAY).save(source, dpi=(dpi, dpi), pnginfo=texts)
        assert _coloured(source) == (wanted, wanted, 2)


NONE = (None, None, None)
IN_TIFF = {
    "absurd": ({X: (5, 4 * 10**9, 1), Y: (5, 4 * 10**9, 1), UNIT: (3, 2)}, NONE),
    "tiny": ({X: (5, 1, 2**32 - 1), Y: (5, 1, 2**32 - 1), UNIT: (3, 2)}, NONE),
    "by zero": ({X: (5, 300, 0), Y: (5, 300, 0), UNIT: (3, 2)}, NONE),
    "no number": ({X: (11, NAN), Y: (12, INFINITE), UNIT: (3, 2)}, NONE),
    "double": ({X: (12, 1e300), Y: (12, 1e300), UNIT: (3, 3)}, NONE),
    "negative": ({X: (10, -300, 1), Y: (10, -300, 1), UNIT: (3, 2)}, NONE),
    "unknown unit": ({X: (5, 300, 1), Y: (5, 300, 1), UNIT: (3, 9)}, NONE),
    "floats": ({X: (11, 300.0), Y: (12, 300.0), UNIT: (3, 2)}, (300, 300, 2)),
    "whole numbers": ({X: (3, 300), Y: (4, 300), UNIT: (3, 2)}, (300, 300, 2)),
    "of a microscope": ({X: (5, 10**8, 1), Y: (5, 10**8, 1), UNIT: (3, 3)}, (10**8, 10**8, 3)),
    "no fill order": ({266: (3, 0)}, NONE),
    "no orientation": ({274: (3, 0)}, NONE),
    "orientation 9": ({274: (3, 9)}, NONE),
    "inks": ({334: (3, 4)}, NONE),
    "limits": ({280: (12, NAN), 340: (11, NAN), 341: (10, -1, 0)}, NONE),
    "an unknown type": ({65000: (99, 1)}, NONE),
}


@pytest.mark.parametrize("name", IN_TIFF)
def test_fields_of_tiff_that_mean_nothing(name, tmp_path, capfd):
    """The picture is read, and what is left of it is what other programs read."""
    fields, wanted = IN_TIFF[name]
    source = tmp_path / "a.tif"
    _tiff(source, fields)
    assert _coloured(source) == wanted
    assert capfd.readouterr() == ("", "")


def _jpeg2000(above, below, exponent):
    stream = io.BytesIO()
    Image.fromarray(GRAY).save(stream, "JPEG2000")
    content = stream.getvalue()
    at = content.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", content, at)
    numbers = struct.pack(">HHHHbb", above, below, above, below, exponent, exponent)
    box = struct.pack(">I4sI4s", 26, b"res ", 18, b"resc") + numbers
    head = struct.pack(">I", length + len(box)) + content[at + 4 : at + length]
    return content[:at] + head + box + content[at + length :]


def _bmp(number):
    stream = io.BytesIO()
    Image.fromarray(GRAY).save(stream, "BMP")
    content = stream.getvalue()
    return content[:38] + struct.pack("<ii", number, number) + content[46:]


@pytest.mark.parametrize(
    "content",
    [
        *(_jpeg2000(65535, 1, 127), _jpeg2000(1, 65535, -128), _jpeg2000(1, 0, 0)),
        *(_bmp(2**31 - 1), _bmp(-(2**31))),
    ],
    ids=["huge", "tiny", "by zero", "bmp", "bmp below zero"],
)
def test_numbers_that_libvips_has_no_room_for(content, tmp_path, capfd):
    source = tmp_path / ("a.bmp" if content[:2] == b"BM" else "a.jp2")
    source.write_bytes(content)
    resolution = Picture(source).metadata().resolution
    assert resolution is None or resolution.x < 10**9
    assert capfd.readouterr() == ("", "")
