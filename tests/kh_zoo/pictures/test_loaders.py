"""What libvips may open, and what becomes of reasons that are no UTF-8."""

import gzip
import io
import os
import time

import numpy as np
import pytest
import pyvips
from PIL import Image
from pyvips import ffi

from kh_zoo.errors import PictureError
from kh_zoo.pictures.loaders import WANTED
from kh_zoo.pictures.picture import Picture

BLOCKED = {"Csv", "Matrix", "Raw", "Svg", "Uhdr", "Vips"}
GRAY = np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))


def _encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(GRAY).save(stream, kind, **options)
    return stream.getvalue()


def _loaders():
    kinds = set()

    def add(kind, *_):
        kinds.add(pyvips.type_name(kind).removeprefix("VipsForeignLoad"))
        pyvips.type_map(kind, add)
        return ffi.NULL

    pyvips.type_map(pyvips.type_from_name("VipsForeignLoad"), add)
    ends = ("Source", "Buffer", "File")
    return {next((kind.removesuffix(x) for x in ends if kind.endswith(x)), kind) for kind in kinds}


def test_every_loader_is_wanted_or_blocked():
    """A new libvips that has another: decide, and write it down here or in `WANTED`."""
    assert set(WANTED) | BLOCKED == _loaders()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">%s</svg>'
BOMB = b"".join(
    b'<g id="a%d">%s</g>'
    % (i, (b'<use href="#a%d"/>' % (i - 1)) * 9 if i else b"<path d='M0 0h9v9'/>")
    for i in range(12)
)
FOREIGN = {
    "svg": SVG % b"",
    "svg bomb": SVG % BOMB,
    "svg packed": gzip.compress(SVG % b""),
    "csv": b"1,2,3\n4,5,6\n",
    "matrix": b"3 2\n1 2 3\n4 5 6\n",
    "pdf": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "fits": b"SIMPLE  =                    T".ljust(2880),
    "matlab": b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM",
    "radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\0\0\0\0",
    "imagemagick": b"push graphic-context\nviewbox 0 0 9 9\npop graphic-context\n",
}


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("name", [*FOREIGN, "libvips"])
def test_what_is_no_photograph_is_not_opened(tmp_path, name, suffix):
    content = FOREIGN.get(name)
    if content is None:
        pyvips.Image.black(9, 9).write_to_file(str(tmp_path / "a.v"))
        content = (tmp_path / "a.v").read_bytes()
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    started = time.perf_counter()
    with pytest.raises(PictureError, match="not a picture, or of an unknown format"):
        Picture(path)
    assert time.perf_counter() - started < 1


NAMES = (b"\xff\xe9.%s", b"Caf\xe9 \x80.%s", b"\xed\xa0\x80.%s")


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are Unicode")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["AVIF", "PNG", "JPEG", "TIFF", "WEBP", "GIF"])
def test_names_that_are_no_utf8(tmp_path, name, kind):
    path = os.path.join(os.fsencode(tmp_path), name % kind.lower().encode())
    content = _encoded(kind)
    for damaged in (False, True, False):
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2] if damaged else content)
        if damaged:
            with pytest.raises(PictureError) as error:
                Picture(os.fsdecode(path)).small_lightness(16, 16)
            assert "\n" not in str(error.value)
        else:
            assert Picture(os.fsdecode(path)).small_lightness(40, 30).max() > 80


def test_damaged_avif_spoils_no_other(tmp_path):
    """Four-letter names in it, of which a decoder tells, become bytes that are no text."""
    (tmp_path / "good.avif").write_bytes(_encoded("AVIF"))
    content = _encoded("AVIF")
    places = [
        content.index(name) for name in (b"av01", b"pitm", b"iloc", b"ispe", b"av1C", b"hdlr")
    ]
    refused = 0
    for at in places:
        for byte in (b"\xff", b"\x80\xfe"):
            (tmp_path / "a.avif").write_bytes(content[:at] + byte + content[at + len(byte) :])
            try:
                Picture(tmp_path / "a.avif").small_lightness(16, 16)
            except PictureError:
                refused += 1
            assert Picture(tmp_path / "good.avif").small_lightness(16, 16).max() > 80
    assert refused > 6


def test_a_reason_that_is_no_text_is_taken_from_the_buffer(tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"\xff.png")
    for _ in range(2):
        with pytest.raises(pyvips.Error) as error:
            pyvips.Source.new_from_file(name)
        assert "\\xff.png" in error.value.detail
        assert error.value.detail.count("\\xff.png") == 1
