"""What of a picture's metadata arrives in the output, read with another program than wrote it.

`KH_WRITE=1 python -m pytest tests/kh_zoo/pictures/test_picture_metadata.py` writes the table into
the page.
"""

import io
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, IptcImagePlugin

from kh_zoo.colorizer import Colorizer

PAGE = Path(__file__).parents[3] / "docs" / "pictures.md"
FORMATS = ("jpg", "png", "tif", "webp", "avif")
PROPERTIES = ("EXIF", "XMP", "IPTC", "DPI", "alpha", "16 bits", "sRGB, without a profile")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'dc:format="Daguerreotype"/></rdf:RDF></x:xmpmeta>'
)
IPTC = b"\x1c\x02\x5a\x00\x04Rome"  # record 2, data set 90: city
START, END = (
    "<!-- kept: written by tests/kh_zoo/pictures/test_picture_metadata.py -->",
    "<!-- end -->",
)


class Gray:
    def predict_ab(self, lightness):
        return np.zeros((*lightness.shape, 2), np.float32)


def _exif():
    exif = Image.Exif()
    exif[0x013B], exif[0x0112] = "Ada", 6
    exif.get_ifd(0x8769)[0x9003] = "2001:02:03 04:05:06"
    return exif


def _profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A described JPEG and a deep PNG with alpha, written by Pillow, coloured into every format."""
    folder = tmp_path_factory.mktemp("metadata")
    options = {"exif": _exif(), "xmp": XMP, "dpi": (300, 300), "icc_profile": _profile()}
    content = io.BytesIO()
    Image.new("RGB", (48, 32), (90, 90, 90)).save(content, "JPEG", **options)
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + b"\0"
    segment = b"\xff\xed" + struct.pack(">H", 2 + len(block)) + block
    (folder / "in.jpg").write_bytes(content.getvalue()[:2] + segment + content.getvalue()[2:])
    steps = np.linspace(0, 65535, 48 * 72).astype(np.uint16).reshape(48, 72)
    deep = pyvips.Image.new_from_array(
        np.stack([steps, np.full_like(steps, 40_000)], -1), interpretation="grey16"
    )
    deep.write_to_file(str(folder / "in.png"))
    colorizer = Colorizer(Gray(), size=32)
    for suffix in FORMATS:
        colorizer.colorize_file(folder / "in.jpg", folder / f"described.{suffix}")
        colorizer.colorize_file(folder / "in.png", folder / f"deep.{suffix}")
    return folder


def _kept(folder, suffix):
    """The properties that an output has, as Pillow and tifffile read it."""
    with Image.open(folder / f"described.{suffix}") as image:
        assert image.size == (32, 48)  # upright
        exif = image.getexif()
        assert exif.get(0x0112, 1) == 1
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        packet = packet.encode() if isinstance(packet, str) else packet
        city = (IptcImagePlugin.getiptcinfo(image) or {}).get((2, 90))
        if suffix == "png":  # which Pillow leaves as digits
            digits = image.text.get("Raw profile type iptc", "").split(maxsplit=2)[-1:]
            city = city or (b"Rome" if IPTC in bytes.fromhex("".join(digits)) else None)
        dpi = image.info.get("dpi") or (float(exif.get(0x011A, 0)),)
        found = {
            "EXIF": exif.get(0x013B) == "Ada"
            and exif.get_ifd(0x8769).get(0x9003) == "2001:02:03 04:05:06",
            "XMP": b"Daguerreotype" in packet,
            "IPTC": city == b"Rome",
            "DPI": round(float(dpi[0])) == 300,
            "sRGB, without a profile": "icc_profile" not in image.info,
        }
    deep = folder / f"deep.{suffix}"
    with Image.open(deep) as image:
        found["alpha"] = image.mode == "RGBA"
    if suffix == "tif":
        found["16 bits"] = tifffile.imread(deep).dtype == np.uint16
    else:
        found["16 bits"] = suffix == "png" and deep.read_bytes()[24] == 16  # IHDR's bit depth
    return found


def test_the_table_in_the_documentation(outputs):
    rows = [f"| output | {' | '.join(PROPERTIES)} |", "| --- " * (1 + len(PROPERTIES)) + "|"]
    for suffix in FORMATS:
        found = _kept(outputs, suffix)
        cells = ["yes" if found[name] else "no" for name in PROPERTIES]
        rows.append(f"| {suffix} | {' | '.join(cells)} |")
    table = f"{START}\n\n" + "\n".join(rows) + f"\n\n{END}"
    page = PAGE.read_text()
    if os.environ.get("KH_WRITE"):
        page = re.sub(f"{START}.*{END}", table, page, flags=re.DOTALL)
        PAGE.write_text(page)
    assert table in page, "run with KH_WRITE=1"


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("suffix", FORMATS)
def test_exiftool_reads_the_same(outputs, suffix):
    names = "$EXIF:Artist|$XMP:Format|$IPTC:City|$EXIF:XResolution|$ImageSize|$Warning"
    done = subprocess.run(
        ["exiftool", "-f", "-p", names, str(outputs / f"described.{suffix}")],
        capture_output=True,
        text=True,
        check=True,
    )
    found = _kept(outputs, suffix)
    artist, text, city, dpi, size, warning = done.stdout.strip().split("|")
    assert (artist == "Ada") == found["EXIF"]
    assert (text == "Daguerreotype") == found["XMP"]
    assert (city == "Rome") == found["IPTC"]
    assert dpi == "300"
    assert size == "32x48"
    assert warning == "-"


def test_iptc_of_tiff_arrives_in_tiff_and_jpeg(tmp_path):
    padded = IPTC + bytes(-len(IPTC) % 4)
    Image.new("L", (20, 20), 90).save(tmp_path / "a.tif", tiffinfo={33723: padded})
    Colorizer(Gray(), size=16).colorize_file(tmp_path / "a.tif", tmp_path / "b.tif")
    Colorizer(Gray(), size=16).colorize_file(tmp_path / "b.tif", tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert IptcImagePlugin.getiptcinfo(image)[2, 90] == b"Rome"


def test_metadata_of_jpeg_2000_arrive(tmp_path):
    Image.new("L", (20, 30), 90).save(tmp_path / "a.jp2")
    exif = b"JpgTiffExif->JP2" + _exif().tobytes().removeprefix(b"Exif\0\0")
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP
    with (tmp_path / "a.jp2").open("ab") as file:
        for body in (exif, xmp):
            file.write(struct.pack(">I", 8 + len(body)) + b"uuid" + body)
    Colorizer(Gray(), size=16).colorize_file(tmp_path / "a.jp2", tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.size == (30, 20)
        assert image.getexif()[0x013B] == "Ada"
        assert b"Daguerreotype" in image.info["xmp"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_exif_of_tiff_arrives(tmp_path, order, suffix):
    # An Exif directory of two entries, the first one pointing to 20 bytes; tifffile writes the
    # rest, and refuses to write a pointer to a directory: so it is a field of another number first.
    date = b"1931:05:06 07:08:09\0"
    pixels = np.linspace(0, 65535, 40 * 50).astype(np.uint16).reshape(40, 50)
    extra = [(315, "s", 0, "Ada", True), (65000, "I", 1, 0, True)]
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, pixels, byteorder=order, extratags=extra, datetime=True)
    content = bytearray(source.read_bytes())
    at = len(content) + len(content) % 2
    with tifffile.TiffFile(source) as file:
        entry = file.pages[0].tags[65000]
        content[entry.offset : entry.offset + 2] = struct.pack(order + "H", 34665)
        content[entry.valueoffset : entry.valueoffset + 4] = struct.pack(order + "I", at)
        wanted = file.pages[0].tags["DateTime"].value
    content += bytes(len(content) % 2) + struct.pack(order + "H", 2)
    content += struct.pack(order + "HHII", 0x9003, 2, len(date), at + 2 + 24 + 4)
    content += struct.pack(order + "HHIHH", 0x8822, 3, 1, 3, 0) + bytes(4) + date
    source.write_bytes(content)
    target = tmp_path / f"b.{suffix}"
    Colorizer(Gray(), size=16).colorize_file(source, target)
    with Image.open(target) as image:
        exif = image.getexif()
        assert (exif[315], exif[306]) == ("Ada", wanted)
        assert exif.get_ifd(0x8769)[0x9003] == "1931:05:06 07:08:09"
        assert exif.get_ifd(0x8769)[0x8822] == 3
    if suffix == "tif":
        assert np.abs(tifffile.imread(target)[..., 1].astype(int) - pixels).max() < 16


def test_damaged_exif_of_a_tiff_costs_only_itself(tmp_path):
    Image.new("L", (30, 20), 99).save(tmp_path / "a.tif", tiffinfo={34665: 10**9})
    Colorizer(Gray(), size=16).colorize_file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert (tifffile.imread(tmp_path / "b.tif") == 99).all()
