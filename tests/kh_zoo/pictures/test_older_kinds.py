"""Kinds of pictures that older programs write, as Pillow, or a decoder by hand, reads them."""

import struct

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from kh_zoo.batches.plan import plan_batch
from kh_zoo.errors import PictureError
from kh_zoo.pictures.formats import ALIKE, READ
from kh_zoo.pictures.output import SUFFIXES
from kh_zoo.pictures.picture import Picture

RGB = np.ascontiguousarray(data.astronaut()[:96:4, :144:4])  # 24 x 36
GRAY = np.asarray(Image.fromarray(RGB).convert("L"))
ALPHA = np.tile(np.arange(36, dtype=np.uint8) * 7, (24, 1))
RGBA = np.dstack([RGB, ALPHA])
BILEVEL = GRAY > 100


def netpbm(kind, most, values):
    return b"P%d\n# scanned\n36 24\n%s" % (kind, b"%d\n" % most if most else b"") + values


def psd(bands, depth=8):
    """Adobe Photoshop File Formats Specification: header, sections, bands that are not packed."""
    kind = len(bands)  # 1 is grey, 3 is RGB
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, kind, 24, 36, depth, kind)
    iptc = b"\x1c\x02\x5a\x00\x04Rome"
    resource = b"8BIM" + struct.pack(">HHI", 1028, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
    sections = struct.pack(">II", 0, len(resource)) + resource + bytes(4)
    return header + sections + bytes(2) + bands.tobytes()


def by_pillow(pixels, **options):
    return lambda path: Image.fromarray(pixels).save(path, **options)


def by_hand(content):
    return lambda path: path.write_bytes(content)


NUMBERS = b" ".join(b"%d" % value for value in GRAY.ravel())
DEEP = (GRAY.astype(">u2") * 257).tobytes()
KINDS = {
    "a.ppm": (by_hand(netpbm(6, 255, RGB.tobytes())), RGB),
    "b.ppm": (by_hand(netpbm(3, 255, b" ".join(b"%d" % x for x in RGB.ravel()))), RGB),
    "c.ppm": (by_hand(netpbm(6, 65535, (RGB.astype(">u2") * 257).tobytes())), RGB),
    "a.pgm": (by_hand(netpbm(5, 255, GRAY.tobytes())), GRAY),
    "b.pgm": (by_hand(netpbm(2, 255, NUMBERS)), GRAY),
    "c.pgm": (by_hand(netpbm(5, 65535, DEEP)), GRAY),
    "d.pnm": (by_hand(netpbm(5, 255, GRAY.tobytes())), GRAY),
    "a.pbm": (by_hand(netpbm(4, 0, np.packbits(~BILEVEL, axis=1).tobytes())), BILEVEL * 255),
    "a.tga": (by_pillow(RGB), RGB),
    "b.tga": (by_pillow(RGB, compression="tga_rle"), RGB),
    "c.tga": (by_pillow(GRAY), GRAY),
    "d.tga": (by_pillow(RGBA, orientation=1), RGBA),
    "e.vst": (by_pillow(RGB, format="TGA"), RGB),
    "a.pcx": (by_pillow(RGB), RGB),
    "b.pcx": (by_pillow(GRAY), GRAY),
    "a.sgi": (by_pillow(RGB), RGB),
    "b.sgi": (by_pillow(RGBA), RGBA),
    "a.psd": (by_hand(psd(np.moveaxis(RGB, -1, 0).copy())), RGB),
    "b.psd": (by_hand(psd(GRAY[None])), GRAY),
    "a.mpo": (by_pillow(RGB, format="MPO", quality=100, save_all=True, append_images=[]), RGB),
    "a.jif": (by_pillow(GRAY, format="JPEG", quality=100), GRAY),
    "a.apng": (by_pillow(RGB, format="PNG"), RGB),
}


@pytest.mark.parametrize("name", KINDS)
def test_kind(tmp_path, name):
    make, pixels = KINDS[name]
    make(tmp_path / name)
    picture = Picture(tmp_path / name)
    lightness, alpha = picture.full("random")
    rgb = pixels[..., :3] if pixels.ndim == 3 else np.dstack([pixels] * 3)
    expected = rgb2lab(rgb.astype(np.uint8))[..., 0]
    lossy = picture.path.suffix in (".mpo", ".jif")
    assert np.abs(lightness.numpy() - expected).max() < (3 if lossy else 0.01)
    if pixels.shape[-1] == 4:
        assert (alpha.numpy() == ALPHA).all()
    else:
        assert alpha is None
    # A folder's are taken for pictures.
    (job,) = plan_batch([tmp_path]).jobs
    assert job.source.name == name
    assert job.target.suffix == {".mpo": ".jpg", ".jif": ".jpg"}.get(picture.path.suffix, ".png")


@pytest.mark.parametrize("name", [name for name in KINDS if name[0] == "a"])
def test_cut_short(tmp_path, name):
    KINDS[name][0](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(PictureError) as error:
        Picture(tmp_path / name).small_lightness(16, 16)
    assert "\n" not in str(error.value)


def test_a_depth_of_psd_that_is_not_read_is_no_damage(tmp_path):
    bands = np.moveaxis(RGB, -1, 0).astype(">u2") * 257
    (tmp_path / "a.psd").write_bytes(psd(bands.copy(), 16))
    with pytest.raises(PictureError, match="PSD of 16 bits a channel"):
        Picture(tmp_path / "a.psd")


def test_the_table_of_suffixes():
    assert len(set(READ)) == len(READ)
    assert set(SUFFIXES) <= set(READ)
    assert set(ALIKE.values()).isdisjoint(ALIKE)
