"""What a file says besides its pixels arrives in every format, byte for byte where it has a place.

Files are made and read by Pillow, tifffile and, where it is installed, exiftool.
"""

import hashlib
import io
import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from kh_zoo.colorizer import Colorizer

FAILING = Path(__file__).parents[3] / "failing"
FORMATS = ("png", "jpg", "tif", "webp", "avif")
EXIFTOOL = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
GRAY = np.tile(np.arange(48, dtype=np.uint8) * 5, (32, 1))
ARTIST = "Łukasz Ø ☃"
TITLE = "Tïtle ☃".encode("utf-16-le") + b"\0\0"


class Gray:
    def predict_ab(self, lightness):
        return np.zeros((*lightness.shape, 2), np.float32)


COLORIZER = Colorizer(Gray(), size=16)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(before=(), behind=()):
    """A PNG file with chunks before and behind its pixels."""
    content = io.BytesIO()
    Image.fromarray(GRAY).save(content, "PNG")
    content = content.getvalue()
    start, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    parts = (content[:start], *before, content[start:end], *behind, content[end:])
    return b"".join(parts)


def exif_of(path):
    with Image.open(path) as image:
        image.load()
        return image.getexif()


def text_of(exif, tag):
    """Pillow takes texts for Latin-1."""
    return exif[tag].encode("latin-1").decode()


TEXTS = {
    "tEXt": b"Author\0Gr\xf6\xdfe",
    "tEXt with a space": b"Creation Time\0" + b"1923",
    "zTXt": b"Warning\0\0" + zlib.compress("Übung".encode("latin-1")),
    "iTXt": b"Description\0\0\0pl\0Opis\0" + "Łódź ☃".encode(),
    "iTXt compressed": b"Disclaimer\0\1\0\0\0" + zlib.compress("Łódź ☃".encode()),
}


@pytest.mark.parametrize("place", ["before", "behind"])
def test_texts_of_png(tmp_path, place):
    chunks = [chunk(kind[:4].encode(), body) for kind, body in TEXTS.items()]
    (tmp_path / "a.png").write_bytes(png(**{place: chunks}))
    assert COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.png") == ()
    found = []
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / name) as image:
            image.load()
            found.append(dict(image.text))
    assert found[0] == found[1]
    assert len(found[1]) == len(TEXTS)
    assert (found[1]["Description"].lang, found[1]["Description"].tkey) == ("pl", "Opis")


@pytest.mark.parametrize("suffix", FORMATS[1:])
def test_texts_of_png_have_fields_elsewhere(tmp_path, suffix):
    chunks = [chunk(kind[:4].encode(), body) for kind, body in TEXTS.items()]
    (tmp_path / "a.png").write_bytes(png(behind=chunks))
    target = tmp_path / f"b.{suffix}"
    (note,) = COLORIZER.colorize_file(tmp_path / "a.png", target)
    assert "text 'Creation Time, Disclaimer, Warning', which" in note
    exif = exif_of(target)
    assert (text_of(exif, 0x013B), text_of(exif, 0x010E)) == ("Größe", "Łódź ☃")


OWN_CHUNKS = {
    b"oFFs": struct.pack(">iiB", -20, 30, 0),
    b"pCAL": b"depth\0" + struct.pack(">iiBB", 0, 255, 0, 2) + b"m\0000\00012.5",
    b"sCAL": b"\0010.25\0000.5",
    b"tIME": struct.pack(">HBBBBB", 2019, 5, 17, 11, 7, 59),
}


@pytest.mark.parametrize("place", ["before", "behind"])
def test_what_only_png_has_is_kept_there_and_named_elsewhere(tmp_path, place):
    chunks = [chunk(kind, body) for kind, body in OWN_CHUNKS.items()]
    (tmp_path / "a.png").write_bytes(png(**{place: chunks}))
    assert COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.png") == ()
    written = (tmp_path / "b.png").read_bytes()
    for one in chunks:
        assert written.count(one) == 1
        assert written.index(one) < written.index(b"IDAT")
    notes = COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.jpg")
    for words in ("position on a page", "calibration", "scale", "time of change"):
        assert f"{words}, which JPEG has no place for" in str(notes)


def test_directions_are_not_kept_of_what_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    chunks = [turned, *(chunk(kind, body) for kind, body in OWN_CHUNKS.items())]
    (tmp_path / "a.png").write_bytes(png(before=chunks))
    COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.png")
    written = (tmp_path / "b.png").read_bytes()
    kept = {kind for kind, body in OWN_CHUNKS.items() if chunk(kind, body) in written}
    assert kept == {b"pCAL", b"tIME"}


@pytest.mark.parametrize("kind", ["iptc", "IPTC profile", "8bim", "\n\niptc"])
@pytest.mark.parametrize("lines", [36, 0])
def test_iptc_in_digits(tmp_path, kind, lines):
    """As ImageMagick and exiftool write it into PNG: each has words of its own for the kind."""
    records = b"\x1c\x02\x5a\0\4Rome"
    block = b"8BIM\4\4\0\0" + struct.pack(">I", len(records)) + records + b"\0"
    digits = block.hex()
    if lines:
        digits = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    text = f"\n{kind}\n{len(block):8}\n{digits}\n".encode()
    body = b"Raw profile type iptc\0\0" + zlib.compress(text)
    (tmp_path / "a.png").write_bytes(png(before=[chunk(b"zTXt", body)]))
    assert COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.jpg") == ()
    assert COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.tif") == ()
    assert records in (tmp_path / "b.jpg").read_bytes()
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert bytes(file.pages[0].tags[33723].value) == records


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_fields_of_tiff(tmp_path, order, big, suffix):
    fields = [
        *((315, 2, ARTIST.encode() + b"\0"), (33432, 2, "© 2024".encode() + b"\0")),
        *((316, 2, b"mac\0"), (285, 2, b"p3\0"), (40091, 1, TITLE), (65000, 2, b"private\0")),
    ]
    extra = [(tag, kind, len(value), value, True) for tag, kind, value in fields]
    tifffile.imwrite(
        tmp_path / "a.tif", GRAY, byteorder=order, bigtiff=big, extratags=extra, software=False
    )
    target = tmp_path / f"b.{suffix}"
    assert COLORIZER.colorize_file(tmp_path / "a.tif", target) == ()
    exif = exif_of(target)
    for tag, kind, value in fields:
        found = exif[tag].encode("latin-1") + b"\0" if kind == 2 else bytes(exif[tag])
        assert found == value
    assert text_of(exif, 0x0131) == "keras-hypercolumns"
    if suffix == "tif":
        with tifffile.TiffFile(target) as file:
            assert bytes(file.pages[0].tags[40091].value) == TITLE


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("comment", ["JPEG comment", "Großmutter ☃", "é" * 40_000])
def test_comments_of_jpeg(tmp_path, comment, suffix):
    Image.fromarray(GRAY).save(tmp_path / "a.jpg", comment=comment.encode()[:65000])
    comment = comment.encode()[:65000].decode(errors="ignore")
    target = tmp_path / f"b.{suffix}"
    assert COLORIZER.colorize_file(tmp_path / "a.jpg", target) == ()
    with Image.open(target) as image:
        image.load()
        if suffix == "jpg":
            found = image.info["comment"].decode()
        elif suffix == "png":
            found = image.text["Comment"]
        else:
            value = image.getexif().get_ifd(0x8769)[0x9286]
            assert value[:8] == (b"ASCII\0\0\0" if comment.isascii() else b"UNICODE\0")
            found = value[8:].decode("ascii" if comment.isascii() else "utf-16-le")
    assert found == comment


@pytest.mark.parametrize("suffix", FORMATS)
def test_exif_behind_the_pixels_of_png(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x013B], exif[0x8298] = ARTIST.encode(), b"me"
    exif.get_ifd(0x8769)[0x9003] = "1923:01:02 03:04:05"
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    (tmp_path / "a.png").write_bytes(png(behind=[chunk(b"eXIf", content)]))
    target = tmp_path / f"b.{suffix}"
    COLORIZER.colorize_file(tmp_path / "a.png", target)
    found = exif_of(target)
    assert (text_of(found, 0x013B), found[0x8298]) == (ARTIST, "me")
    assert found.get_ifd(0x8769)[0x9003] == "1923:01:02 03:04:05"


# What the file states (pixels an inch, of the format itself and of EXIF), and what is right.
RESOLUTIONS = {
    "png and exif": ("png", 600, 72, 600),
    "png alone": ("png", 600, None, 600),
    "png of 72, exif": ("png", 72, 300, 300),
    "png of 72": ("png", 72, None, 72),
    "png, exif alone": ("png", None, 300, 300),
    "png without": ("png", None, None, None),
    "jfif and exif": ("jpg", 600, 72, 600),
    "jfif alone": ("jpg", 240, None, 240),
    "jfif of 72, exif": ("jpg", 72, 300, 300),
    "jfif without, exif": ("jpg", None, 300, 300),
    "jpeg without": ("jpg", None, None, None),
    "tiff": ("tif", 600, None, 600),
    "tiff without": ("tif", None, None, None),
    "webp": ("webp", None, 300, 300),
    "webp without": ("webp", None, None, None),
    "avif": ("avif", None, 300, 300),
    "avif without": ("avif", None, None, None),
    "bmp": ("bmp", 300, None, 300),
    "bmp of 96": ("bmp", 96, None, 96),
    "bmp without": ("bmp", None, None, None),
    "gif": ("gif", None, None, None),
}


@pytest.mark.parametrize("name", RESOLUTIONS)
def test_resolution(tmp_path, name):
    suffix, stated, in_exif, right = RESOLUTIONS[name]
    options = {"dpi": (stated, stated)} if stated else {}
    if in_exif:
        exif = Image.Exif()
        exif[0x011A] = exif[0x011B] = in_exif
        exif[0x0128] = 2
        options["exif"] = exif
    source = tmp_path / f"a.{suffix}"
    Image.fromarray(GRAY).save(source, **options)
    if name == "bmp without":  # where Pillow writes 96
        content = source.read_bytes()
        source.write_bytes(content[:38] + bytes(8) + content[46:])
    if name == "tiff without":
        tifffile.imwrite(source, GRAY, resolution=None, resolutionunit=None, metadata=None)
        with tifffile.TiffFile(source) as file:
            assert file.pages[0].tags[296].value == 1  # no unit
    for other in FORMATS:
        target = tmp_path / f"b.{other}"
        COLORIZER.colorize_file(source, target)
        with Image.open(target) as image:
            image.load()
            exif = image.getexif()
            found = {tag: exif.get(tag) for tag in (0x011A, 0x011B)}
            assert set(found.values()) == {right}
            assert exif.get(0x0128) == (2 if right else None)
            if other == "jpg":
                assert image.info["jfif_unit"] == (1 if right else 0)
                assert image.info["jfif_density"] == ((right, right) if right else (1, 1))
            elif other == "png":
                dpi = image.info.get("dpi")
                assert dpi is None if right is None else round(dpi[0]) == right


def test_resolution_in_other_units(tmp_path):
    """Centimetres stay so, pixels that are no squares too, and both turn with the picture."""
    resolution = ((200, 1), (100, 1))
    extra = [(274, 3, 1, 6, True)]
    tifffile.imwrite(
        tmp_path / "a.tif", GRAY, resolution=resolution, resolutionunit=3, extratags=extra
    )
    COLORIZER.colorize_file(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        tags = file.pages[0].tags
        assert (tags[282].value, tags[283].value) == ((100, 1), (200, 1))
        assert tags[296].value == 3
    COLORIZER.colorize_file(tmp_path / "a.tif", tmp_path / "b.png")
    assert b"pHYs" + struct.pack(">IIB", 10_000, 20_000, 1) in (tmp_path / "b.png").read_bytes()
    (tmp_path / "c.png").write_bytes(png(before=[chunk(b"pHYs", struct.pack(">IIB", 2, 1, 0))]))
    COLORIZER.colorize_file(tmp_path / "c.png", tmp_path / "c.jpg")
    with Image.open(tmp_path / "c.jpg") as image:
        assert (image.info["jfif_unit"], image.info["jfif_density"]) == (0, (2, 1))


@pytest.mark.parametrize("lossless", [False, True])
def test_webp_without_loss_stays_so(tmp_path, lossless):
    Image.fromarray(GRAY).save(tmp_path / "a.webp", lossless=lossless)
    COLORIZER.colorize_file(tmp_path / "a.webp", tmp_path / "b.webp")
    content = (tmp_path / "b.webp").read_bytes()
    assert (b"VP8L" in content, b"VP8 " in content) == (lossless, not lossless)
    if lossless:
        with Image.open(tmp_path / "b.webp") as image:
            assert (np.asarray(image)[..., 1] == GRAY).all()
        COLORIZER.colorize_file(tmp_path / "a.webp", tmp_path / "b.webp", quality=50)
        assert b"VP8 " in (tmp_path / "b.webp").read_bytes()
    for suffix in FORMATS:
        assert COLORIZER.colorize_file(tmp_path / "a.webp", tmp_path / f"b.{suffix}") == ()


# Of bilevel files those of photographs, of JPEG those without loss.
COMPRESSIONS = {
    None: 1,
    "tiff_lzw": 5,
    "tiff_adobe_deflate": 8,
    "packbits": 32773,
    "jpeg": 7,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compression_of_tiff(tmp_path, compression):
    Image.fromarray(GRAY).save(tmp_path / "a.tif", compression=compression)
    COLORIZER.colorize_file(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].compression == COMPRESSIONS[compression]
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        wanted = 8 if compression == "jpeg" else COMPRESSIONS[compression]
        assert file.pages[0].compression == wanted
    with Image.open(tmp_path / "b.tif") as image:
        difference = np.abs(np.asarray(image)[..., 1] - GRAY.astype(int)).max()
        assert difference <= (8 if compression == "jpeg" else 0)


def test_what_is_too_long_for_jpeg_is_said(tmp_path):
    note = struct.pack("<HHII", 0x927C, 7, 70_000, 44)
    camera = struct.pack("<H", 1) + note + bytes(4)
    content = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)
    (tmp_path / "a.png").write_bytes(png(before=[chunk(b"eXIf", content + camera + b"N" * 70_000)]))
    (said,) = COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.jpg")
    assert "maker's notes" in said
    assert COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.webp") == ()
    with Image.open(tmp_path / "b.webp") as image:
        assert image.getexif().get_ifd(0x8769)[0x927C] == b"N" * 70_000


def test_the_notes_of_a_camera_stay_where_they_were(tmp_path):
    """They count from the start of EXIF."""
    start = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)
    camera = struct.pack("<HHHII", 1, 0x927C, 7, 100, 300) + bytes(4)
    content = (start + camera).ljust(300, b"\0") + b"N" * 100
    (tmp_path / "a.png").write_bytes(png(before=[chunk(b"eXIf", content)]))
    COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["exif"].removeprefix(b"Exif\0\0").index(b"N" * 100) == 300


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_comment_of_gif(tmp_path, suffix):
    Image.fromarray(GRAY).save(tmp_path / "a.gif", comment="Großmutter".encode())
    target = tmp_path / f"b.{suffix}"
    COLORIZER.colorize_file(tmp_path / "a.gif", target)
    assert "Großmutter".encode("utf-16-le" if suffix in FORMATS[2:] else "utf-8") in (
        target.read_bytes() if suffix != "png" else _text(target).encode()
    )


def _text(path):
    with Image.open(path) as image:
        image.load()
        return image.text["Comment"]


@pytest.mark.parametrize("length", [1000, 65_000, 65_600, 200_000, 2_000_000])
@pytest.mark.parametrize("form", ["attribute", "element"])
def test_xmp_of_any_length_in_jpeg(tmp_path, length, form):
    long = "AB" * (length // 2)
    value = f'dc:source="{long}"/>'
    if form == "element":
        value = f"><dc:source>{long}</dc:source></rdf:Description>"
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        'syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description rdf:about="" '
        f'dc:format="Wedding" {value}</rdf:RDF></x:xmpmeta>'
    )
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet)
    Image.fromarray(GRAY).save(tmp_path / "a.png", pnginfo=text)
    assert COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.jpg") == ()
    with Image.open(tmp_path / "b.jpg") as image:
        packets = [body for kind, body in image.applist if kind == "APP1"]
    (main,) = (x for x in packets if x.startswith(b"http://ns.adobe.com/xap/1.0/\0"))
    # XMP Specification, part 3, 1.1.3.1: the name of the extension is that of its content.
    extension = b""
    for body in packets:
        if body.startswith(b"http://ns.adobe.com/xmp/extension/\0"):
            name, (whole, at) = body[35:67], struct.unpack(">II", body[67:75])
            assert at == len(extension)
            extension += body[75:]
    assert b"Wedding" in main
    assert bool(extension) == (length > 65_300)
    if extension:
        assert len(extension) == whole
        assert hashlib.md5(extension).hexdigest().upper().encode() == name
        assert b'HasExtendedXMP="' + name in main
    assert long.encode() in main + extension
    # And back again, in one.
    COLORIZER.colorize_file(tmp_path / "b.jpg", tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        found = image.info["xmp"]
    assert long.encode() in found
    assert b"Wedding" in found
    assert b"HasExtendedXMP" not in found


def tags_of(*paths):
    """What exiftool reads in files, without what is of the file itself."""
    options = ["-j", "-G1", "-a", "-s", "-u", "-charset", "UTF8"]
    done = subprocess.run(["exiftool", *options, *map(str, paths)], capture_output=True, check=True)
    return [
        {name: value for name, value in tags.items() if not name.startswith(LEFT_OUT)}
        for tags in json.loads(done.stdout)
    ]


LEFT_OUT = (
    *("System:", "ExifTool:", "SourceFile", "Composite:", "RIFF:", "QuickTime:", "Meta:"),
    *("File:MIME", "File:File", "File:Exif", "File:Encod", "File:Color", "File:Bits", "File:YCb"),
)
DESCRIPTIONS = ("IFD0", "ExifIFD", "GPS", "InteropIFD", "IPTC", "XMP-", "File:Comment", "PNG:Desc")


@EXIFTOOL
def test_exiftool_reads_what_only_png_has(tmp_path):
    chunks = [chunk(kind, body) for kind, body in OWN_CHUNKS.items()]
    (tmp_path / "a.png").write_bytes(png(behind=chunks))
    COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.png")
    before, after = (
        {name: x for name, x in tags.items() if re.search("Modify|Offset|Subject|Calib", name)}
        for tags in tags_of(tmp_path / "a.png", tmp_path / "b.png")
    )
    assert before == after
    assert before["PNG:ModifyDate"] == "2019:05:17 11:07:59"
    assert len(before) >= 4


@EXIFTOOL
def test_exiftool_finds_what_people_miss(tmp_path):
    """Of small files in the tests, which show what was lost."""
    sources = sorted(path for path in FAILING.iterdir() if path.suffix in (".png", ".tif", ".jpg"))
    targets = []
    for source in sources:
        for suffix in ("png", "jpg", "tif"):
            targets.append(tmp_path / f"{source.stem}.{suffix}")
            COLORIZER.colorize_file(source, targets[-1])
    found = tags_of(*sources, *targets)
    turned = {
        "comment_faces_orientation6": {
            "IFD0:Orientation": "Horizontal (normal)",
            **{"XMP-mwg-rs:RegionAreaX": 0.7, "XMP-mwg-rs:RegionAreaY": 0.2},
            "XMP-mwg-rs:RegionAppliedToDimensionsW": 64,
            "XMP-mwg-rs:RegionAppliedToDimensionsH": 96,
        }
    }
    other = {
        *("IFD0:Software", "IFD0:Orientation", "ExifIFD:ColorSpace", "IFD0:YCbCrPositioning"),
        "XMP-xmpNote:HasExtendedXMP",
    }
    names = "BitsPerSample Compression ImageHeight ImageWidth PhotometricInterpretation"
    names += " StripOffsets RowsPerStrip StripByteCounts PlanarConfiguration SamplesPerPixel"
    other |= {f"IFD0:{name}" for name in names.split()}
    for i, source in enumerate(sources):
        wanted = {
            name: value
            for name, value in found[i].items()
            if name.startswith(DESCRIPTIONS) and name not in other and value != ""
        }
        if source.stem == "phys600_exif72":
            wanted.update({"IFD0:XResolution": 600, "IFD0:YResolution": 600})
        if wanted.get("IFD0:ResolutionUnit") == "None":
            wanted = {name: x for name, x in wanted.items() if "Resolution" not in name}
        wanted.update(turned.get(source.stem, {}))
        for j in range(3):
            got = found[len(sources) + 3 * i + j]
            assert "ExifTool:Warning" not in got
            target = targets[3 * i + j]
            lost = {name for name in wanted if got.get(name) != wanted[name]}
            if target.suffix != ".png":
                lost.discard("PNG:Description-pl")
            if target.suffix == ".tif":
                lost.discard("File:Comment")  # its place in EXIF is taken, which is said
            elif target.suffix == ".png" and "File:Comment" in lost:
                assert got["PNG:Comment"] == wanted["File:Comment"]
                lost.discard("File:Comment")
            assert not lost, target.name
