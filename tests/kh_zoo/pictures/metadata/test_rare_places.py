"""Metadata where few look for them arrive, too; made by hand, tifffile and exiftool."""

import io
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, IptcImagePlugin

from kh_zoo.colorizer import Colorizer

FORMATS = ("png", "jpg", "tif", "webp", "avif")
EXIFTOOL = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
GRAY = np.tile(np.arange(48, dtype=np.uint8) * 5, (32, 1))
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'dc:format="Tintype"/></rdf:RDF></x:xmpmeta>'
)
SMALL = {"subfiletype": 1, "photometric": "minisblack", "resolution": (72, 72), "resolutionunit": 2}


class Gray:
    def predict_ab(self, lightness):
        return np.zeros((*lightness.shape, 2), np.float32)


COLORIZER = Colorizer(Gray(), size=16)


def colored(path, suffix):
    target = path.with_name(f"{path.stem}.color.{suffix}")
    return target, COLORIZER.colorize_file(path, target)


def exif_of(path):
    with Image.open(path) as image:
        image.load()
        return image.getexif()


def xmp_of(path):
    with Image.open(path) as image:
        image.load()
        found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        return found.encode() if isinstance(found, str) else found


def plain(suffix):
    stream = io.BytesIO()
    Image.fromarray(GRAY).save(stream, suffix)
    return stream.getvalue()


def png(*chunks):
    content = plain("PNG")
    at = content.index(b"IDAT") - 4
    packed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return content[:at] + b"".join(packed) + content[at:]


def jpeg(*segments):
    content = plain("JPEG")
    packed = (struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body for kind, body in segments)
    return content[:2] + b"".join(packed) + content[2:]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("place", ["a page", "below"])
def test_fields_of_the_picture_behind_a_reduced_copy(tmp_path, place, suffix):
    """They count more than those of the copy, which count where it has none."""
    fields = [(315, 2, 0, "Ada", True), (700, 1, len(XMP), XMP, True)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        model = [(272, 2, 0, "Leica", True), (315, 2, 0, "nobody", True)]
        file.write(GRAY[::4, ::4].copy(), subifds=int(place == "below"), extratags=model, **SMALL)
        file.write(GRAY, subfiletype=0, resolution=(400, 400), resolutionunit=2, extratags=fields)
    target, notes = colored(tmp_path / "a.tif", suffix)
    exif = exif_of(target)
    assert (exif[315], exif[272], exif[282], notes) == ("Ada", "Leica", 400, ())
    assert b"Tintype" in xmp_of(target)


@pytest.mark.parametrize("suffix", FORMATS)
def test_fields_of_a_reduced_copy_are_the_pictures(tmp_path, suffix):
    """As in files of cameras, whose picture says nothing of itself."""
    fields = [(315, 2, 0, "Ada", True), (700, 1, len(XMP), XMP, True)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GRAY[::4, ::4].copy(), subifds=1, extratags=fields, **SMALL)
        file.write(GRAY, subfiletype=0, resolution=None, resolutionunit=None)
    target, _ = colored(tmp_path / "a.tif", suffix)
    assert exif_of(target)[315] == "Ada"
    assert b"Tintype" in xmp_of(target)


@EXIFTOOL
@pytest.mark.parametrize("length", [10, 300, 70_000])
def test_xmp_of_gif(tmp_path, length):
    Image.fromarray(GRAY).save(tmp_path / "a.gif", comment=b"Oma")
    title = "Łódź " * (length // 5)
    arguments = ["-q", "-overwrite_original", f"-XMP-dc:Title={title.strip()}"]
    subprocess.run(["exiftool", *arguments, str(tmp_path / "a.gif")], check=True)
    for suffix in ("png", "jpg", "tif"):
        target, _ = colored(tmp_path / "a.gif", suffix)
        command = ["exiftool", "-s3", "-XMP-dc:Title", str(target)]
        found = subprocess.run(command, capture_output=True, check=True)
        assert found.stdout.decode().strip() == title.strip()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("place", ["GIF", "iTXt", "tEXt"])
def test_texts_of_either_encoding(tmp_path, place, encoding):
    """Whatever the format asks for: programs write what they have."""
    words = "Großmutter é".encode(encoding)
    if place == "GIF":
        Image.fromarray(GRAY).save(tmp_path / "a.gif", comment=words)
        target, _ = colored(tmp_path / "a.gif", "jpg")
        with Image.open(target) as image:
            found = image.info["comment"].decode()
    else:
        body = b"Author\0" + (bytes(4) if place == "iTXt" else b"") + words
        (tmp_path / "a.png").write_bytes(png((place.encode(), body)))
        target, _ = colored(tmp_path / "a.png", "jpg")
        found = exif_of(target)[315].encode("latin-1").decode()  # which Pillow takes it for
    assert found == "Großmutter é"


@EXIFTOOL
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_iptc_of_jpeg_2000(tmp_path, suffix):
    Image.fromarray(GRAY).save(tmp_path / "a.jp2")
    arguments = ["-q", "-overwrite_original", "-IPTC:City=Rome"]
    subprocess.run(["exiftool", *arguments, str(tmp_path / "a.jp2")], check=True)
    target, _ = colored(tmp_path / "a.jp2", suffix)
    with Image.open(target) as image:
        assert IptcImagePlugin.getiptcinfo(image)[2, 90] == b"Rome"


def resolution_of_photoshop(x, y):
    body = struct.pack(">IHHIHH", x << 16, 1, 1, y << 16, 1, 1)
    return b"8BIM\x03\xed\0\0" + struct.pack(">I", len(body)) + body


@pytest.mark.parametrize("kind", ["jpg", "psd"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_resolution_of_photoshop_alone(tmp_path, suffix, kind):
    block = resolution_of_photoshop(300, 150)
    content = jpeg((0xED, b"Photoshop 3.0\0" + block))
    if kind == "psd":
        head = b"8BPS" + struct.pack(">H6xHIIHHII", 1, 1, 32, 48, 8, 1, 0, len(block))
        content = head + block + struct.pack(">IH", 0, 0) + GRAY.tobytes()
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    target, _ = colored(path, suffix)
    exif = exif_of(target)
    assert (exif[282], exif[283], exif[296]) == (300, 150, 2)


def test_exif_in_several_segments(tmp_path):
    """As exiftool writes and reads what is too long for one."""
    exif = Image.Exif()
    exif[315] = "Ada"
    exif.get_ifd(0x8769)[0x927C] = b"N" * 100_000
    content = exif.tobytes()
    parts = [(0xE1, content[:65_000]), (0xE1, b"Exif\0\0" + content[65_000:])]
    (tmp_path / "a.jpg").write_bytes(jpeg(*parts))
    target, notes = colored(tmp_path / "a.jpg", "png")
    found = exif_of(target)
    assert (found[315], notes) == ("Ada", ())
    assert found.get_ifd(0x8769)[0x927C] == b"N" * 100_000
    again = [(0xE1, content[:300]), (0xE1, content[:400])]  # two of them: the first counts
    (tmp_path / "b.jpg").write_bytes(jpeg(*again))
    target, _ = colored(tmp_path / "b.jpg", "png")
    assert exif_of(target)[315] == "Ada"
