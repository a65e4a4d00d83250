"""Metadata that are damaged, or mean harm, cost themselves and nothing else."""

import io
import struct
import time
import tracemalloc
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from kh_zoo.colorizer import Colorizer
from kh_zoo.errors import PictureError
from kh_zoo.pictures.metadata.metadata import Metadata
from kh_zoo.pictures.metadata.reading import read_metadata
from kh_zoo.pictures.metadata.xmp import Xmp
from kh_zoo.pictures.picture import Picture

GRAY = np.tile(np.arange(48, dtype=np.uint8) * 5, (32, 1))
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'dc:format="Daguerreotype"/></rdf:RDF></x:xmpmeta>'
)


class Gray:
    def predict_ab(self, lightness):
        return np.zeros((*lightness.shape, 2), np.float32)


def described(suffix):
    exif = Image.Exif()
    exif[0x013B], exif[0x0112], exif[0x011A] = "Ada", 6, 300
    exif.get_ifd(0x8769)[0x9214] = (3, 4, 5, 6)
    exif.get_ifd(0x8825)[1] = "N"
    content = io.BytesIO()
    options = {"exif": exif, "xmp": XMP, "dpi": (300, 300)}
    if suffix == "tif":
        options = {"tiffinfo": {315: "Ada", 700: XMP, 34665: {0x9003: "1923"}}}
    elif suffix == "gif":
        options = {"comment": b"hello"}
    Image.fromarray(GRAY).save(
        content, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix), **options
    )
    return content.getvalue()


def header_only():
    raise AssertionError("this kind of file is read by its own reader")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "gif"])
def test_any_bytes_may_be_others(tmp_path, suffix):
    """Cut at any place, and with bytes changed at random: nothing is raised, nothing takes long."""
    content = described(suffix)
    random = np.random.default_rng(0)
    start = 4 if suffix in ("png", "gif") else 3
    path = tmp_path / f"a.{suffix}"
    opened = header_only if suffix != "gif" else lambda: pyvips.Image.black(1, 1)
    began = time.monotonic()
    for i in range(150):
        damaged = bytearray(content)
        if i % 4 == 0:
            damaged = damaged[: random.integers(12, len(content))]
        else:
            for at in random.integers(8 if suffix != "jpg" else start, len(content), 1 + i % 7):
                damaged[at] = random.choice([0, 255, 254, 1, random.integers(256)])
        path.write_bytes(damaged)
        metadata = read_metadata(path, opened)
        metadata.turn(6, 48, 32)
        metadata.describe(32, 48, "test")
        metadata.exif.to_bytes()
        metadata.exif.in_order(">").to_bytes()
    assert time.monotonic() - began < 30


BOMBS = {
    "entities": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + XMP,
    "deep": b"<a>" * 100_000 + b"</a>" * 100_000,
    "wide": XMP.replace(b"</rdf:RDF>", b"<a/>" * 400_000 + b"</rdf:RDF>"),
    "attributes": XMP.replace(b"dc:format", b"".join(b'a%d="" ' % i for i in range(300_000))),
    "no xml": b"\0\xff\xfe" * 1000,
    "no rdf": b"<a/>",
    "cut": XMP[:-20],
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_packet_that_means_harm_is_carried_as_it_is(name):
    began = time.monotonic()
    tracemalloc.start()
    with pytest.raises(ValueError):  # noqa: PT011, of any kind
        Xmp(BOMBS[name])
    metadata = Metadata(xmp=BOMBS[name])
    metadata.turn(6, 10, 20)
    metadata.describe(20, 10, "test")
    assert metadata.xmp == BOMBS[name]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20
    assert time.monotonic() - began < 5


ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_packet_in_another_encoding(encoding):
    """It is read as any, and neither its declarations nor what is too much of it are overlooked."""
    declared = f'<?xml version="1.0" encoding="{encoding}"?>'
    for start in ("", "\ufeff", '<?xpacket begin="\ufeff"?>', declared):
        packet = (start + XMP.decode().replace("type", "тип")).encode(encoding)
        described = Xmp(packet + "\0 \n".encode(encoding)).to_bytes()
        assert b"Daguerreo\xd1\x82" in described
        assert ElementTree.fromstring(described).tag == "{adobe:ns:meta/}xmpmeta"
        with pytest.raises(ValueError, match="declarations"):
            Xmp((start.removeprefix(declared) + BOMBS["entities"].decode()).encode(encoding))
    with pytest.raises(ValueError, match="too long"):
        Xmp(BOMBS["attributes"].decode().encode(encoding))


def test_directories_that_lead_to_themselves(tmp_path):
    """Each field may say that all the file is its value, and each directory that it is its own."""
    fields = [struct.pack("<HHII", tag, 2, 2**20, 8) for tag in range(1000, 4000)]
    fields.append(struct.pack("<HHII", 0x8769, 4, 1, 8))
    content = b"II*\0" + struct.pack("<IH", 8, len(fields)) + b"".join(fields) + bytes(2**20)
    (tmp_path / "a.tif").write_bytes(content)
    exif = read_metadata(tmp_path / "a.tif", header_only).exif
    assert 0 < len(exif.main) < 100
    assert len(exif.to_bytes()) < 2**26


def test_texts_that_would_fill_memory(tmp_path):
    body = b"Bomb\0\0" + zlib.compress(bytes(2**24))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    content = described("png")
    at = content.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(content[:at] + chunk * 50 + content[at:])
    metadata = read_metadata(tmp_path / "a.png", header_only)
    assert sum(len(text.content) for text in metadata.texts) <= 2**25
    assert metadata.exif.text(0x013B) == "Ada"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_texts_that_would_take_for_ever(tmp_path, kind):
    """libpng would unpack all 30 GB, and drop them."""
    body = b"Bomb\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + zlib.compress(bytes(2**24))
    chunk = struct.pack(">I", len(body)) + kind + body
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    content = described("png")
    (tmp_path / "b.png").write_bytes(content)
    (tmp_path / "a.png").write_bytes(content[:33] + chunk * 2000 + content[33:])
    started = time.monotonic()
    seen, plain = (Picture(tmp_path / name).full()[0].numpy() for name in ("a.png", "b.png"))
    assert time.monotonic() - started < 20
    np.testing.assert_array_equal(seen, plain)


def test_more_chunks_than_any_program_writes(tmp_path):
    chunk = struct.pack(">I4sI", 0, b"tEXt", zlib.crc32(b"tEXt"))
    content = described("png")
    (tmp_path / "a.png").write_bytes(content[:33] + chunk * 100_001 + content[33:])
    with pytest.raises(PictureError, match="more than 100,000 chunks"):
        Picture(tmp_path / "a.png")


def test_damage_in_metadata_leaves_the_picture(tmp_path):
    extra = [(34665, 4, 1, 10**9, True), (700, 1, len(XMP) - 20, XMP[:-20], True)]
    extra += [(315, 2, 4, b"Ada\0", True)]
    tifffile.imwrite(tmp_path / "a.tif", GRAY, extratags=extra)
    assert Colorizer(Gray(), size=16).colorize_file(tmp_path / "a.tif", tmp_path / "b.jpg") == ()
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.getexif()[315] == "Ada"
        assert image.info["xmp"] == XMP[:-20]
