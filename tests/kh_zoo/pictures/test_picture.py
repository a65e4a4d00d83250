import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageOps
from skimage import data
from skimage.color import rgb2lab

from kh_zoo.errors import PictureError
from kh_zoo.pictures.picture import Picture


@pytest.fixture(scope="module")
def rgb():
    return np.ascontiguousarray(data.astronaut()[:96:2, :144:2])  # 48 x 72


@pytest.fixture(scope="module")
def gray(rgb):
    return np.asarray(Image.fromarray(rgb).convert("L"))


def _lightness(rgb):
    if rgb.ndim == 2:
        rgb = np.repeat(rgb[..., None], 3, -1)
    return rgb2lab(rgb)[..., 0]


def _close(path, expected, mean=0.01, alpha=None):
    lightness, band = Picture(path).full("random")
    assert np.abs(lightness.numpy() - expected).mean() < mean
    if alpha is None:
        assert band is None
    else:
        np.testing.assert_array_equal(band.numpy(), alpha)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_rgb_without_loss(tmp_path, rgb, name):
    Image.fromarray(rgb).save(tmp_path / name, **({"lossless": True} if "webp" in name else {}))
    _close(tmp_path / name, _lightness(rgb))


@pytest.mark.parametrize("name", ["a.jpg", "a.avif"])
def test_rgb_with_loss(tmp_path, rgb, name):
    Image.fromarray(rgb).save(tmp_path / name, quality=95)
    _close(tmp_path / name, _lightness(rgb), mean=2)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_gray(tmp_path, gray, name):
    Image.fromarray(gray).save(tmp_path / name)
    _close(tmp_path / name, _lightness(gray))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_bilevel(tmp_path, gray, name):
    Image.fromarray(gray).convert("1").save(tmp_path / name)
    _close(tmp_path / name, np.where(np.asarray(Image.fromarray(gray).convert("1")), 100, 0))


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_palette(tmp_path, rgb, name):
    image = Image.fromarray(rgb).quantize(32)
    image.save(tmp_path / name)
    _close(tmp_path / name, _lightness(np.asarray(image.convert("RGB"))))


def test_palette_with_transparency(tmp_path, rgb):
    image = Image.fromarray(rgb).quantize(32)
    image.save(tmp_path / "a.png", transparency=3)
    alpha = np.where(np.asarray(image) == 3, 0, 255)
    _close(tmp_path / "a.png", _lightness(np.asarray(image.convert("RGB"))), alpha=alpha)


def test_gray_and_rgb_with_alpha(tmp_path, rgb, gray):
    alpha = np.tile(np.arange(72, dtype=np.uint8) * 3, (48, 1))
    Image.fromarray(np.stack([gray, alpha], -1)).save(tmp_path / "la.png")
    Image.fromarray(np.dstack([rgb, alpha])).save(tmp_path / "rgba.png")
    _close(tmp_path / "la.png", _lightness(gray), alpha=alpha)
    _close(tmp_path / "rgba.png", _lightness(rgb), alpha=alpha)


def test_sixteen_bits(tmp_path, rgb):
    steps = np.linspace(0, 65535, 48 * 72).astype(np.uint16).reshape(48, 72)
    Image.fromarray(steps).save(tmp_path / "gray.png")
    assert Picture(tmp_path / "gray.png").sixteen_bit
    _close(tmp_path / "gray.png", _lightness(steps / 65535))
    deep = pyvips.Image.new_from_array(rgb.astype(np.uint16) * 257, interpretation="rgb16")
    deep.write_to_file(str(tmp_path / "rgb.tif"))
    assert Picture(tmp_path / "rgb.tif").sixteen_bit
    _close(tmp_path / "rgb.tif", _lightness(rgb))


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_without_a_profile(tmp_path, name):
    # Inks from none to all of the black: paper to (nearly) black, in order.
    ink = np.zeros((16, 64, 4), np.uint8)
    ink[..., 3] = np.arange(64) * 4
    Image.fromarray(ink, "CMYK").save(tmp_path / name, quality=100)
    lightness, alpha = Picture(tmp_path / name).full()
    middle = lightness.numpy()[8]
    assert alpha is None
    assert middle[0] > 95
    assert middle[-1] < 30
    assert (np.diff(middle[::8]) < 0).all()


def test_embedded_profile_is_followed(tmp_path):
    saturated = np.zeros((32, 32, 3), np.uint8)
    saturated[..., 1] = 255
    image = pyvips.Image.new_from_array(saturated, interpretation="srgb")
    image.icc_transform("p3").write_to_file(str(tmp_path / "p3.png"))
    pixels = np.asarray(Image.open(tmp_path / "p3.png"))
    assert np.abs(_lightness(pixels) - _lightness(saturated)).mean() > 0.8  # the file is not sRGB
    _close(tmp_path / "p3.png", _lightness(saturated), mean=0.3)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_broken_profile_counts_as_none(tmp_path, rgb, mode):
    image = Image.fromarray(rgb).convert(mode)
    image.save(tmp_path / "plain.tif")
    image.save(tmp_path / "broken.tif", icc_profile=b"not a profile" * 20)
    plain, _ = Picture(tmp_path / "plain.tif").full()
    _close(tmp_path / "broken.tif", plain.numpy(), mean=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path, gray, orientation):
    image = Image.fromarray(gray)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    picture = Picture(tmp_path / "a.png")
    assert (picture.height, picture.width) == upright.shape
    _close(tmp_path / "a.png", _lightness(upright))
    small = picture.small_lightness(*upright.shape[::-1])
    np.testing.assert_allclose(small, _lightness(upright), atol=0.01)


def test_small_copy_is_a_mean_of_the_large(tmp_path):
    large = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4, np.ones((128, 128), np.uint8))
    Image.fromarray(large).save(tmp_path / "a.jpg", quality=95)
    small = Picture(tmp_path / "a.jpg").small_lightness(32, 32)  # decoded at an eighth
    assert (small.dtype, small.shape) == (np.float32, (32, 32))
    centres = small.reshape(8, 4, 8, 4)[:, 1:3, :, 1:3].mean((1, 3))
    np.testing.assert_allclose(centres, _lightness(large[64::128, 64::128]), atol=2)


def test_first_page(tmp_path, gray):
    pages = [Image.fromarray(gray), Image.fromarray(255 - gray)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    _close(tmp_path / "a.tif", _lightness(gray))


def _refused(path):
    with pytest.raises(PictureError) as error:
        Picture(path).small_lightness(16, 16)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_what_is_no_picture(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("Dear diary\n")
    (tmp_path / "drawing.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    )
    assert "empty" in _refused(tmp_path / "empty.jpg")
    assert "not a picture" in _refused(tmp_path / "text.jpg")
    assert "not a picture" in _refused(tmp_path / "drawing.svg")
    assert "folder" in _refused(tmp_path)
    assert "No such file" in _refused(tmp_path / "absent.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "avif"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_cut_short(tmp_path, suffix, kept):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(data.astronaut()).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert "cut short" in _refused(path)


def test_cut_short_progressive_jpeg_decoded_small(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(data.astronaut()).save(path, progressive=True)
    path.write_bytes(path.read_bytes()[:-2000])
    assert "cut short" in _refused(path)


def test_decompression_bomb(tmp_path):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    assert "40000 x 40000" in _refused(tmp_path / "bomb.png")


def test_nothing_reaches_standard_error(tmp_path, rgb, capfd):
    Image.fromarray(rgb).save(tmp_path / "a.png", icc_profile=b"not a profile" * 20)
    Picture(tmp_path / "a.png").small_lightness(16, 16)
    Image.fromarray(rgb).save(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:-300])
    _refused(tmp_path / "b.jpg")
    assert capfd.readouterr() == ("", "")
