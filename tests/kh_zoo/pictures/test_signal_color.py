"""Colour by numbers (gAMA, cHRM, cICP of PNG, nclx of AVIF and HEIF), as a browser shows it."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from kh_zoo.pictures.picture import Picture

P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
RAMP = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
COLORS = np.dstack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 128)])
# What Chromium 156 draws, `--force-color-profile=srgb --screenshot`: of the ramp at 16, 48, 80 and
# so on; of the colours at 32, 96, 160 and 224. gAMA and cHRM, in units of 1/100000:
GAMMAS = {
    (): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (45455,): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (43000,): ("5 39 73 107 141 174 207 240", "16de7c 5a9c7c 9d597c df157c"),
    (43500,): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (47500,): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (48000,): ("10 49 84 118 150 181 211 241", "1ee186 65a586 a56486 e21d86"),
    (55556,): ("20 63 99 131 161 190 217 243", "2be592 73af92 b07292 e62992"),
    (100000,): ("71 120 152 177 198 216 233 248", "63f0bc a5cfbc d0a4bc f162bc"),
    (35000,): ("1 23 54 87 122 159 197 236", "09d768 468b68 8c4568 d90868"),
    (200000,): ("137 176 197 213 225 235 244 252", "a1f8db cde6db e6cddb f89fdb"),
    (0,): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (45455, P3): ("7 44 79 113 145 178 209 240", "00e476 47a37f ac5b83 f60083"),
    (100000, P3): ("71 120 152 177 198 217 233 248", "00f4b8 99d0bb d8a2bd ff55c0"),
    (None, P3): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (45455, SRGB): ("7 44 79 113 145 178 209 240", "1ae081 60a081 a15f81 e11981"),
}
CICP = {
    (1, 1): ("4 37 70 104 138 172 205 239", "14dd79 579a79 9b5679 de1379"),
    (1, 2): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (1, 4): ("7 44 79 113 145 177 209 240", "1ae081 60a081 a15f81 e11981"),
    (1, 5): ("1 24 56 89 124 161 198 237", "0ad86a 488d6a 8e476a d9096a"),
    (1, 6): ("4 37 70 104 138 172 205 239", "14dd79 579a79 9b5679 de1379"),
    (1, 7): ("34 66 97 126 156 185 213 242", "32e38d 70a98d aa6f8d e4318d"),
    (1, 8): ("71 120 152 177 198 216 233 248", "63f0bc a5cfbc d0a4bc f162bc"),
    (1, 9): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (1, 11): ("4 37 70 104 138 172 205 239", "14dd79 579a79 9b5679 de1379"),
    (1, 13): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (1, 14): ("4 37 70 104 138 172 205 239", "14dd79 579a79 9b5679 de1379"),
    (1, 15): ("4 37 70 104 138 172 205 239", "14dd79 579a79 9b5679 de1379"),
    (1, 16): ("1 15 48 98 175 237 255 255", "01ff33 43d77e e44584 ff013d"),
    (1, 17): ("3 32 65 100 136 173 210 247", "0fe376 539976 9a5276 e40e76"),
    (1, 18): ("3 29 57 85 115 160 212 243", "16e665 4e8467 7e4962 eb1667"),
    (2, 13): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (3, 13): ("16 48 80 112 144 176 208 240", "20df80 609f80 a05f80 e01f80"),
    (4, 13): ("16 48 80 112 144 176 208 240", "00dc7b 229e7f b46080 ff197e"),
    (5, 13): ("16 48 80 112 144 176 208 240", "00df82 5c9f80 a25f80 e41f7f"),
    (6, 13): ("16 48 80 112 144 176 208 240", "41dc7f 659e80 9d6180 da3080"),
    (7, 13): ("16 48 80 112 144 176 208 240", "41dc7f 659e80 9d6180 da3080"),
    (8, 13): ("16 48 80 112 144 176 208 240", "00e578 37a27e b05a81 ff0080"),
    (9, 13): ("16 48 80 112 144 176 208 240", "00eb72 00a57d bc5282 ff0083"),
    (10, 13): ("16 48 80 112 144 176 208 240", "00ff55 00c776 e90088 ff0093"),
    (11, 13): ("16 48 80 112 144 176 208 240", "00e375 50a17e a75b82 ef0082"),
    (12, 13): ("16 48 80 112 144 176 208 240", "00e375 48a17e ab5b81 f50082"),
    (22, 13): ("16 48 80 112 144 176 208 240", "00db80 5e9d80 a16280 e23480"),
    (9, 16): ("1 15 48 98 175 237 255 255", "00ff00 00df6f ff007d ff0020"),
    (9, 18): ("3 29 57 85 115 160 212 243", "00ed47 008863 963f64 ff005f"),
    (9, 7): ("34 66 97 126 156 185 213 242", "00ef81 1daf8a c5648f ff0091"),
    (12, 4): ("7 44 79 113 145 178 209 240", "00e476 47a37f ac5b83 f60083"),
    (4, 4): ("7 44 79 113 145 178 209 240", "00dd7c 1da080 b65f81 ff1280"),
}
NCLX = {
    (1, 13): ("16 48 80 112 144 176 208 240", "1fe07f 60a080 9f5f7f e01f80"),
    (1, 1): ("16 48 80 112 144 176 208 240", "1fe07f 60a080 9f5f7f e01f80"),
    (1, 4): ("7 44 79 113 145 177 209 240", "19e180 60a181 a05f80 e11981"),
    (1, 5): ("1 24 56 89 124 161 198 237", "09d969 488e6a 8d4769 d9096a"),
    (1, 6): ("16 48 80 112 144 176 208 240", "1fe07f 60a080 9f5f7f e01f80"),
    (1, 7): ("34 66 97 126 156 185 213 242", "31e48c 70aa8d a96f8c e4318d"),
    (1, 8): ("71 120 152 177 198 216 233 248", "62f1bb a5d0bc cfa4bb f162bc"),
    (1, 14): ("16 48 80 112 144 176 208 240", "1fe07f 60a080 9f5f7f e01f80"),
    (1, 15): ("16 48 80 112 144 176 208 240", "1fe07f 60a080 9f5f7f e01f80"),
    (1, 16): ("1 15 48 98 175 237 255 255", "01ff31 42d97d e14582 ff013d"),
    (1, 17): ("3 32 65 100 136 173 210 247", "0ee475 539a76 995275 e40e76"),
    (1, 18): ("3 29 57 85 115 160 212 243", "15e764 4e8567 7d4961 eb1667"),
    (9, 16): ("1 15 48 98 175 237 255 255", "00ff00 00e06d ff007c ff0020"),
    (9, 18): ("3 29 57 85 115 160 212 243", "00ee45 008a63 943f63 ff005f"),
    (12, 13): ("16 48 80 112 144 176 208 240", "00e474 48a27e a95b80 f50082"),
    (9, 13): ("16 48 80 112 144 176 208 240", "00ec70 00a67d ba5281 ff0083"),
    (2, 2): ("16 48 80 112 144 176 208 240", "1fe07f 60a080 9f5f7f e01f80"),
    (1, 2): ("16 48 80 112 144 176 208 240", "1fe07f 60a080 9f5f7f e01f80"),
    (2, 13): ("16 48 80 112 144 176 208 240", "1fe07f 60a080 9f5f7f e01f80"),
    (11, 13): ("16 48 80 112 144 176 208 240", "00e474 50a27e a65b80 ef0082"),
    (5, 13): ("16 48 80 112 144 176 208 240", "00e081 5ca080 a15f7f e41f7f"),
    (22, 13): ("16 48 80 112 144 176 208 240", "00dc7f 5e9e80 a0627f e23480"),
    (2, 8): ("71 120 152 177 198 216 233 248", "62f1bb a5d0bc cfa4bb f162bc"),
    (2, 16): ("1 15 48 98 175 237 255 255", "01ff31 42d97d e14582 ff013d"),
    (4, 13): ("16 48 80 112 144 176 208 240", "00dd7a 1f9f7f b35f7f ff197e"),
    (6, 13): ("16 48 80 112 144 176 208 240", "41dd7e 659f80 9c617f da3080"),
    (8, 13): ("16 48 80 112 144 176 208 240", "00e677 36a37e af5a80 ff0080"),
    (10, 13): ("16 48 80 112 144 176 208 240", "00ff52 00c876 e70087 ff0093"),
    (12, 8): ("71 120 152 177 198 217 233 248", "00f5b7 99d1bb d7a2bc ff55c0"),
    (9, 4): ("7 44 79 113 145 178 209 240", "00ed71 00a87e bc5182 ff0084"),
    (22, 8): ("71 120 152 177 198 217 233 248", "5aeebb a4cebc d0a6bb f36cbc"),
}


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(pixels, *chunks, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", **options)
    content = stream.getvalue()
    return content[:33] + b"".join(_chunk(*chunk) for chunk in chunks) + content[33:]


def _avif(pixels, primaries, transfer):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "AVIF", quality=100, subsampling="4:4:4")
    content = stream.getvalue()
    at = content.index(b"nclx") + 4
    return content[:at] + struct.pack(">HH", primaries, transfer) + content[at + 4 :]


def _gamma(gamma=None, primaries=None):
    chunks = [] if gamma is None else [(b"gAMA", struct.pack(">I", gamma))]
    return chunks + ([(b"cHRM", struct.pack(">8I", *primaries))] if primaries else [])


def _shown(path, content):
    path.write_bytes(content)
    return Picture(path).full("random")[0].numpy()[3]


def _check(path, make, drawn):
    gray, colors = drawn
    expected = rgb2lab(np.repeat(np.array([int(x) for x in gray.split()])[:, None], 3, 1) / 255)
    np.testing.assert_allclose(_shown(path, make(RAMP))[16::32], expected[:, 0], atol=1)
    expected = rgb2lab(np.array([list(bytes.fromhex(x)) for x in colors.split()]) / 255)
    np.testing.assert_allclose(_shown(path, make(COLORS))[32::64], expected[:, 0], atol=1.3)


@pytest.mark.parametrize("fields", GAMMAS)
def test_gamma_and_primaries_of_png(tmp_path, fields):
    _check(tmp_path / "a.png", lambda pixels: _png(pixels, *_gamma(*fields)), GAMMAS[fields])


@pytest.mark.parametrize("codes", CICP)
def test_codes_of_png(tmp_path, codes):
    chunk = (b"cICP", bytes([*codes, 0, 1]))
    _check(tmp_path / "a.png", lambda pixels: _png(pixels, chunk), CICP[codes])


@pytest.mark.parametrize("codes", NCLX)
def test_codes_of_avif(tmp_path, codes):
    _check(tmp_path / "a.avif", lambda pixels: _avif(pixels, *codes), NCLX[codes])


def test_what_counts_more(tmp_path):
    """In the order of the specification of PNG: cICP, iCCP, sRGB, gAMA."""
    linear, plain = (b"gAMA", struct.pack(">I", 100_000)), _shown(tmp_path / "a.png", _png(RAMP))
    code = (b"cICP", bytes([1, 8, 0, 1]))
    lit = _shown(tmp_path / "b.png", _png(RAMP, code))
    assert np.abs(lit - plain).max() > 30
    for chunks, expected in (
        ([(b"sRGB", b"\0"), linear], plain),
        ([code, (b"sRGB", b"\0")], lit),
        ([code, (b"gAMA", struct.pack(">I", 45455))], lit),
        ([(b"cICP", bytes([1, 8, 1, 1]))], plain),  # a matrix, which PNG can't have
        ([(b"cICP", bytes([1, 8, 0, 0])), linear], lit),  # not of the full range: as if not there
        ([(b"cHRM", bytes(32)), linear], plain),  # no light at all
        ([(b"gAMA", b"\0\0")], plain),
    ):
        np.testing.assert_array_equal(_shown(tmp_path / "c.png", _png(RAMP, *chunks)), expected)
    damaged = bytearray(_png(RAMP, linear))
    damaged[damaged.index(b"gAMA") + 8] ^= 1
    np.testing.assert_array_equal(_shown(tmp_path / "d.png", damaged), plain)


def test_sixteen_bits_and_alpha(tmp_path):
    deep = np.arange(0, 65536, 4, dtype=np.uint16).reshape(16, 1024)
    (tmp_path / "a.png").write_bytes(_png(deep, *_gamma(100_000)))
    lightness, alpha = Picture(tmp_path / "a.png").full("random")
    light = deep / 65535
    expected = np.where(light > 216 / 24389, 116 * np.cbrt(light) - 16, light * 24389 / 27)
    np.testing.assert_allclose(lightness.numpy(), expected, atol=0.01)
    assert alpha is None
    (tmp_path / "b.png").write_bytes(_png(np.dstack([COLORS, RAMP]), *_gamma(100_000)))
    lightness, alpha = Picture(tmp_path / "b.png").full("random")
    np.testing.assert_array_equal(alpha.numpy(), RAMP)
    assert lightness.numpy()[0, 100] > _shown(tmp_path / "c.png", _png(COLORS))[100] + 10


@pytest.mark.parametrize("pixels", [RAMP[:, :220] + 16, np.full((20, 31), 128, np.uint8)])
@pytest.mark.parametrize("limits", ["full", "limited"])
def test_monochrome_avif_of_both_ranges(tmp_path, pixels, limits):
    options = {"quality": 100, "subsampling": "4:0:0", "range": limits}
    Image.fromarray(pixels).save(tmp_path / "a.avif", **options)
    with Image.open(tmp_path / "a.avif") as image:  # libavif
        expected = rgb2lab(np.asarray(image.convert("RGB")))[..., 0]
    assert np.abs(Picture(tmp_path / "a.avif").full("random")[0].numpy() - expected).max() < 0.6


# A ramp from 30 to 220 in steps of 2, 96 x 64, without colour in HEVC, black at 16 and white at
# 235; written with pillow-heif.
MONOCHROME_HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAU5tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAA"
    "AAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABcgABAAAAAAAAAJYAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMx"
    "AAAAAA5waXRtAAAAAAABAAAAzmlwcnAAAACvaXBjbwAAAHJodmNDAQQIAAAAn/gAAAAAHvAA/Pz4+AAADwNgAAEAF0ABDA"
    "H//wQIAAADAJ/4AAADAAAeugJAYQABACZCAQEECAAAAwCf+AAAAwAAHsDCBBZbqSSmubAgAAADAyAAAAMAIWIAAQAHRAHB"
    "crAiQAAAABNjb2xybmNseAABAA0AAQAAAAAUaXNwZQAAAAAAAABgAAAAQAAAAA5waXhpAAAAAAEIAAAAF2lwbWEAAAAAAA"
    "AAAQABBIECAwQAAACebWRhdAAAAJIoAa4NcHt8ldmGSeD7TtcipFumya1v8rwMHB8RX880fyNH62heoN5WxBiGdFwSl7lE"
    "y0O8Z/9D3/kz16QdmWe68FNT/aRf4KFGT9Xb93m/T+4AervsTGTK/qSmORjl8c8c39GOfH8srgbgOZR+zgQpARSkE+ncmf"
    "jC970Kt8JoET/+tCGyB+aIyXj0f/2l/9Kf8A=="
)


def test_monochrome_heic_of_limited_range(tmp_path):
    (tmp_path / "a.heic").write_bytes(MONOCHROME_HEIC)
    ramp = (np.arange(96) * 2 + 30 - 16) * 255 / 219
    expected = rgb2lab(np.repeat(ramp.clip(0, 255)[:, None], 3, 1) / 255)[:, 0]
    lightness = Picture(tmp_path / "a.heic").full("random")[0].numpy()
    assert np.abs(lightness - expected).mean() < 0.7
