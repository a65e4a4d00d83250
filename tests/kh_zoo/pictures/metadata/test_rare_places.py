"""Metadata where few look for them arrive, too; made by hand, tifffile and exiftool."""

import hashlib
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


def test_a_keyword_of_png_that_is_no_utf8(tmp_path):
    body = "Gemälde\0von Oma".encode("latin-1")
    (tmp_path / "a.png").write_bytes(png((b"tEXt", body)))
    target, _ = colored(tmp_path / "a.png", "png")
    assert body in target.read_bytes()
    _, (note,) = colored(tmp_path / "a.png", "jpg")
    assert "text 'Gemälde'" in note


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_comments_of_jpeg_with_a_mark(tmp_path, encoding):
    words = "Großmutter ☃"
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (tmp_path / "a.jpg").write_bytes(jpeg((0xFE, b""), (0xFE, mark + words.encode(encoding))))
    target, _ = colored(tmp_path / "a.jpg", "jpg")
    with Image.open(target) as image:
        assert image.info["comment"].decode() == words


@pytest.mark.parametrize("order", ["forwards", "backwards", "in between", "twice"])
@pytest.mark.parametrize("before", [False, True])
def test_parts_of_xmp_in_any_order(tmp_path, order, before):
    """As the specification of XMP, part 3, allows."""
    second = XMP.replace(b'"Tintype"', b'"' + b"x" * 3000 + b'"')
    name = hashlib.md5(second).hexdigest().upper().encode()
    spaces = b'xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="' + name + b'"'
    first = XMP.replace(b"dc:format", spaces + b" dc:type")
    parts = [
        b"http://ns.adobe.com/xmp/extension/\0"
        + name
        + struct.pack(">II", len(second), at)
        + second[at : at + 1000]
        for at in range(0, len(second), 1000)
    ]
    parts = {
        "forwards": parts,
        "backwards": parts[::-1],
        "in between": [*parts[2:], *parts[:2]],
        "twice": [*parts, *parts],
    }[order]
    main = [b"http://ns.adobe.com/xap/1.0/\0" + first]
    segments = [*parts, *main] if before else [*main, *parts]
    (tmp_path / "a.jpg").write_bytes(jpeg(*((0xE1, body) for body in segments)))
    target, _ = colored(tmp_path / "a.jpg", "png")
    assert xmp_of(target).count(b"x" * 3000) == 1
    assert b"Tintype" in xmp_of(target)


@pytest.mark.parametrize("padding", [b"\0", b"\xff"])
def test_exif_behind_any_padding(tmp_path, padding):
    exif = Image.Exif()
    exif[315] = "Ada"
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    (tmp_path / "a.jpg").write_bytes(jpeg((0xE1, b"Exif\0" + padding + content)))
    target, _ = colored(tmp_path / "a.jpg", "png")
    assert exif_of(target)[315] == "Ada"


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", [1, 7])
def test_texts_that_are_written_as_bytes(tmp_path, kind, suffix):
    words = "Großmutter".encode()
    fields = [(tag, kind, len(words), words, True) for tag in (270, 315, 33432)]
    fields.append((0xC6D2, 7, len(words), words, True))  # Panasonic's title
    tifffile.imwrite(tmp_path / "a.tif", GRAY, extratags=fields, metadata=None)
    target, _ = colored(tmp_path / "a.tif", suffix)
    found = exif_of(target)
    for tag in (270, 315, 33432):
        assert found[tag].encode("latin-1") == words
    assert found[0xC6D2] == words


def test_xmp_of_png_in_any_text(tmp_path):
    packet = XMP.replace(b"Tintype", "Größe".encode())
    for kind, text in ((b"tEXt", packet), (b"zTXt", b"\0" + zlib.compress(packet))):
        (tmp_path / "a.png").write_bytes(png((kind, b"XML:com.adobe.xmp\0" + text)))
        target, _ = colored(tmp_path / "a.png", "webp")
        assert "Größe" in xmp_of(target).decode()


def test_of_two_exif_chunks_the_first_counts(tmp_path):
    """As for libpng, which gives libvips the orientation."""
    chunks = []
    for orientation in (6, 1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        chunks.append((b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    (tmp_path / "a.png").write_bytes(png(*chunks))
    target, _ = colored(tmp_path / "a.png", "png")
    with Image.open(target) as image:
        assert image.size == GRAY.shape


LABEL = struct.pack(">I4sI4s", 60, b"jumb", 52, b"jumd") + b"c2pa\0\x11\0\x10" + bytes(40)


def avif(box):
    """A file with a box before that of its items, which say where in the file they lie."""
    content = plain("avif")
    data = content.index(b"mdat") + 4
    content = content.replace(struct.pack(">I", data), struct.pack(">I", data + len(box)))
    meta = content.index(b"meta") - 4
    return content[:meta] + box + content[meta:]


def webp(chunk):
    content = plain("webp") + chunk
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp", "avif"])
def test_content_credentials_are_said_to_be_gone(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, GRAY, extratags=[(0xCD41, 7, len(LABEL), LABEL, True)])
    elif kind == "png":
        path.write_bytes(png((b"caBX", LABEL)))
    elif kind == "webp":
        path.write_bytes(webp(b"C2PA" + struct.pack("<I", len(LABEL)) + LABEL))
    elif kind == "avif":
        name = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
        path.write_bytes(avif(struct.pack(">I4s", 24 + len(LABEL), b"uuid") + name + LABEL))
    else:
        path.write_bytes(jpeg(*[(0xEB, b"JP\0\1" + struct.pack(">I", i) + LABEL) for i in (1, 2)]))
    _, (note,) = colored(path, "png")
    assert "content credentials (C2PA) are not kept" in note
