"""Pictures of every kind, each read and compared with what another program makes of it."""

import base64
import contextlib
import io
import struct
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from skimage import data
from skimage.color import rgb2lab

from kh_zoo.colorizer import Colorizer
from kh_zoo.colors.gamut import lab_to_srgb_pixels
from kh_zoo.colors.guided_upsampling import GuidedUpsampling
from kh_zoo.errors import PictureError
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.headers.jpeg_header import GAIN_MAP
from kh_zoo.pictures.headers.tiff_header import NOT_ALPHA
from kh_zoo.pictures.picture import COLOR, Picture

RGB = np.ascontiguousarray(data.astronaut()[:96:2, :144:2])  # 48 x 72
GRAY = np.asarray(Image.fromarray(RGB).convert("L"))
ALPHA = np.tile(np.arange(72, dtype=np.uint8) * 3, (48, 1))
ALPHA_HIGH = ALPHA // 2 + 127
PALETTE = Image.fromarray(RGB).quantize(32)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
P3 = {"red": (0.680, 0.320), "green": (0.265, 0.690), "blue": (0.150, 0.060)}
ADOBE_RGB = {"red": (0.64, 0.33), "green": (0.21, 0.71), "blue": (0.15, 0.06)}
# 64 x 48 pixels in HEVC that are shown turned, written with pillow-heif: a ramp from blue to red.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAcltZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7QABAAAAAAAAAEcAAgAAAAACNAABAAAAAAAAADAAAAA4aWluZgAAAAAA"
    "AgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABCGlwcnAAAADn"
    "aXBjbwAAAHdodmNDAQQIAAAAnjgAAAAAHvAA/P/4+AAADwNgAAEAF0ABDAH//wQIAAADAJ44AAADAAAeugJAYQABACpC"
    "AQEECAAAAwCeOAAAAwAAHpAEECCy3VyU1zcBDQYEAAADAGQAAAMABCBiAAEACEQBwXMYMAiQAAAAE2NvbHJuY2x4AAEA"
    "DQAGgAAAABRpc3BlAAAAAAAAAEAAAABAAAAAKGNsYXAAAABAAAAAAQAAADAAAAABAAAAAAAAAAL////wAAAAAgAAABBw"
    "aXhpAAAAAAMICAgAAAAJaXJvdAMAAAAZaXBtYQAAAAAAAAABAAEGgQIDBYSGAAAAGmlyZWYAAAAAAAAADmNkc2MAAgAB"
    "AAEAAAB/bWRhdAAAAEMoAa8J4D4KKgbfR9+Fwbbr9lCln7b6clRyyWgqFrYKvXHlPRIH6c9r14LlZUysyxw9u8MqqkYf"
    "JSLERGXxFn//va//AAAABkV4aWYAAE1NACoAAAAIAAIBEgADAAAAAQAGAAABOwACAAAABEFkYQAAAAAA"
)


# Four rows of a ramp to white and back and of white, the last band white where it is alpha; written
# with imagecodecs.
JPEG_2000 = {
    (3, 9): (
        "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAABAAAABAAAwgHAAAAAAAP"
        "Y29scgEAAAAAABAAAAE1anAyY/9P/1EALwAAAAAAEAAAAAQAAAAAAAAAAAAAABAAAAAEAAAAAAAAAAAAAwgBAQgB"
        "AQgBAf9SAAwAAAABAQAEBAAB/1wABEBI/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AA"
        "CgAAAAAAvQAB/5PH2mQUAFsZCr+s0kAYOWQHXbNBaJWCf1PLy8vLXHQQJKeJB/SAAMeJS5sPzcRChxtdXCdb79+a"
        "ADu5DwrXiDj3iV6VvQbNCOHD1PLy8vLRZaTURCVAkANoQAY8SlzYgs9wHG11cJ1vx8csK26+b5vm/eUbuU0R/3/f"
        "maARUEI/5KlfriDAtFpc6BgbCcrz44/RLZQgLeahi9M3p/0H0fYJrrKdX7r5xHhw2Gvxpf9//9k="
    ),
    (3, 12): (
        "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAABAAAABAAAwsHAAAAAAAP"
        "Y29scgEAAAAAABAAAAGAanAyY/9P/1EALwAAAAAAEAAAAAQAAAAAAAAAAAAAABAAAAAEAAAAAAAAAAAAAwsBAQsB"
        "AQsBAf9SAAwAAAABAQAEBAAB/1wABEBg/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AA"
        "CgAAAAABCAAB/5PH7JIUAFsZCr+s0kAYOWQHXbNBaJWCf1PLy8vLXHQQR6YwkFVWtq0/Yjmw+QyK2l1bS6tper7o"
        "8vLy8vYng98phH3KOgfux4lLmw/M3+FoO7kPCteIOPeJXpW9Bs0I4cPU8vLy8tFlpNREJUCQA2hABjxKXNiCz3Ac"
        "bXVwnW/Hxywrbr5vm+b95Ru5TRIGybAGPEpc2IFopDja6uE634yQgK26+b5vm/9/3+E4EVBCP+SpX64gwLRaXOgY"
        "GwnK8+OP0S2UIC3moYvTN6f9B9H2Ca6ynV+6+cR4cNhr8aWTGAAMI75TCM2fdB9H2Ca6ynV+6+cR4cNhr8aX/9k="
    ),
    (3, 16): (
        "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAABAAAABAAAw8HAAAAAAAP"
        "Y29scgEAAAAAABAAAAHcanAyY/9P/1EALwAAAAAAEAAAAAQAAAAAAAAAAAAAABAAAAAEAAAAAAAAAAAAAw8BAQ8B"
        "AQ8BAf9SAAwAAAABAQAEBAAB/1wABECA/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AA"
        "CgAAAAABZAAB/5PH/gzQFABbGQq/rNJAGDlkB12zQWiVgn9Ty8vLy1x0EEemMJBVVratP2I5sPkMitpdW0uraXq+"
        "6PLy8vLzKV+yvhHqtNtWn7Ec2HfmWtpdW0uraXb3KDYbDYbDXvVVvlMI+5R0D92PEpc2H5nf+JPAO7kPCteIOPeJ"
        "XpW9Bs0I4cPU8vLy8tFlpNREJUCQA2hABjxKXNiCz3AcbXVwnW/Hxywrbr5vm+b95Ru5TRIGybAGPEpc2IFopDja"
        "6uE634yQgK26+b5vm/MWvcpokBlOADHiUubEBkVBxtdXCdb8UqGK26+b5vm/3/iTUBFQQj/kqV+uIMC0WlzoGBsJ"
        "yvPjj9EtlCAt5qGL0zen/QfR9gmusp1fuvnEeHDYa/GlkxgADCO+UwjNn3QfR9gmusp1fuvnEeHDYa/GlkxgADCO"
        "+UwjNn3QfR9gmusp1fuvnEeHDYa/Gl//2Q=="
    ),
    (4, 16): (
        "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAABAAAABAABA8HAAAAAAAP"
        "Y29scgEAAAAAABAAAAGBanAyY/9P/1EAMgAAAAAAEAAAAAQAAAAAAAAAAAAAABAAAAAEAAAAAAAAAAAABA8BAQ8B"
        "AQ8BAQ8BAf9SAAwAAAABAAAEBAAB/1wABECA/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40"
        "/5AACgAAAAABBgAB/5Pf+JNwEWlLGM5nXedmdvVcn1qpqPf3IIPXIowxoR4O/qz0jbG2sg2rantJbXVwnK7zf0rj"
        "uvm+cWRIlolg2EfcpoYKxDatqe0ltdXCcrvN/SuO6+b5xZEiWinjNhHOP7bbAz7XWU1cJ1wDhsNhsNhsNh/f+JNw"
        "XvPzHIpadKv0MIDQdrhKaMaKVw7GMQC4aUnh1+rPSNsIEpB4nZBpLa9X7r5vm/pXHdf0hWEhrhnjNhH0KYARme6T"
        "sg0lter9183zf0rjuv6QrCQ1wzxmwjnH9ttgZ9rrKauE64Bw2Gw2Gw2Gw1/P/DAYFABcnTd/z/wwGBQAXJ03f//Z"
    ),
    (2, 16): (
        "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAABAAAABAAAg8HAAAAAAAP"
        "Y29scgEAAAAAABEAAAD/anAyY/9P/1EALAAAAAAAEAAAAAQAAAAAAAAAAAAAABAAAAAEAAAAAAAAAAAAAg8BAQ8B"
        "Af9SAAwAAAABAAAEBAAB/1wABECA/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AACgAA"
        "AAAAigAB/5Pf+JNwEWlLGM5nXedmdvVcn1qpqPf3IIPXIowxoR4O/qz0jbG2sg2rantJbXVwnK7zf0rjuvm+cWRI"
        "lolg2EfcpoYKxDatqe0ltdXCcrvN/SuO6+b5xZEiWinjNhHOP7bbAz7XWU1cJ1wDhsNhsNhsNh/P/DAYFABcnTd/"
        "/9k="
    ),
}


def _profile(primaries, gamma):
    """A matrix/TRC profile, ICC.1:2001: primaries of white D65, adapted to D50 by Bradford."""

    def xyz(x, y):
        return np.array([x / y, 1, (1 - x - y) / y])

    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    d50, d65 = np.array([0.9642, 1, 0.8249]), xyz(0.3127, 0.3290)
    adapt = np.linalg.inv(bradford) @ np.diag(bradford @ d50 / (bradford @ d65)) @ bradford
    columns = np.stack([xyz(*primary) for primary in primaries.values()], 1)
    columns = adapt @ (columns * np.linalg.solve(columns, d65))

    def numbers(values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": b"XYZ \0\0\0\0" + numbers(d50)}
    for letter, column in zip(b"rgb", columns.T, strict=True):
        tags[bytes([letter]) + b"XYZ"] = b"XYZ \0\0\0\0" + numbers(column)
        tags[bytes([letter]) + b"TRC"] = curve
    text = b"Test\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(80)
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        tag += bytes(-len(tag) % 4)
        table += name + struct.pack(">II", start + len(body), len(tag))
        body += tag
    content = struct.pack(">I", len(tags)) + table + body
    head = struct.pack(">II", 128 + len(content), 0) + bytes.fromhex("02100000")
    head += b"mntrRGB XYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    head += bytes(28) + numbers(d50)
    return head.ljust(128, b"\0") + content


def _pillow(pixels, name, mode=None, **options):
    def make(folder):
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        path = folder / name
        (image.convert(mode) if mode else image).save(path, **options)
        return path

    return make


def _tifffile(pixels, **options):
    def make(folder):
        tifffile.imwrite(folder / "a.tif", pixels, **options)
        return folder / "a.tif"

    return make


def _profiled(profile, name, mode="RGB", **options):
    """The pixels that ImageCms makes of `RGB` for the profile, with the profile."""

    def make(folder):
        image = ImageCms.profileToProfile(
            Image.fromarray(RGB), SRGB, ImageCms.ImageCmsProfile(profile()), outputMode=mode
        )
        image.save(folder / name, icc_profile=profile().read(), **options)
        return folder / name

    return make


def _printed(name):
    def make(folder):
        PRESS.write_to_file(str(folder / name))
        return folder / name

    return make


def _matrix(primaries):
    return lambda: io.BytesIO(_profile(primaries, 563 / 256))


def _lightness(rgb):
    return rgb2lab(rgb if rgb.ndim == 3 else np.dstack([rgb] * 3))[..., 0]


def _signed(kind, white):
    """The grey picture in numbers of another kind, and its negative where white is zero."""
    most = 1 if kind.startswith("float") else np.iinfo(kind).max
    pixels = (255 - GRAY if white == "white" else GRAY) / 255 * most
    return pixels.astype(kind) if most == 1 else np.rint(pixels).astype(kind)


def _reduced_first(folder):
    """Pages, of which the first is a reduced copy."""
    with tifffile.TiffWriter(folder / "a.tif") as file:
        file.write(GRAY[::6, ::6].copy(), subfiletype=1)
        file.write(GRAY)
    return folder / "a.tif"


def _reduced_above(folder):
    """A reduced copy that has the picture below it, as in files of cameras."""
    with tifffile.TiffWriter(folder / "a.nef") as file:
        file.write(RGB[::6, ::6].copy(), subfiletype=1, subifds=2, photometric="rgb")
        file.write(RGB[::2, ::2].copy(), subfiletype=1, photometric="rgb")
        file.write(GRAY, subfiletype=0)
    return folder / "a.nef"


def _pyramid(folder):
    """A picture that has reduced copies below it, and behind it."""
    with tifffile.TiffWriter(folder / "a.tif") as file:
        file.write(GRAY, subifds=2)
        file.write(GRAY[::2, ::2].copy(), subfiletype=1)
        file.write(GRAY[::4, ::4].copy(), subfiletype=1)
        file.write(GRAY[::6, ::6].copy(), subfiletype=1)
    return folder / "a.tif"


COLORED = _lightness(RGB)
GREY = _lightness(GRAY)
BILEVEL = np.where(np.asarray(Image.fromarray(GRAY).convert("1")), 100.0, 0.0)
QUANTIZED = _lightness(np.asarray(PALETTE.convert("RGB")))
DEEP = GRAY.astype(np.uint16) * 257
LAB = ImageCms.profileToProfile(
    Image.fromarray(RGB), SRGB, ImageCms.createProfile("LAB"), outputMode="LAB"
)
# What libvips makes of `RGB` for a press, with the profile in it, is opened by ImageCms.
PRESS = pyvips.Image.new_from_array(RGB, interpretation="srgb").icc_transform("cmyk")
PRINTED = _lightness(
    np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(PRESS.numpy(), "CMYK"),
            ImageCms.ImageCmsProfile(io.BytesIO(PRESS.get("icc-profile-data"))),
            *(SRGB, ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB"),
        )
    )
)
PAGES = [Image.fromarray(255 - GRAY)]
COPIES = [Image.fromarray(255 - GRAY)]  # Pillow leaves something of MPO in them
SEPIA = np.clip(GRAY[..., None] * [1.0, 0.85, 0.6], 0, 255).astype(np.uint8)
FRACTIONS = np.float32(GRAY / 255)

# name: how it is made, L expected, alpha expected, most mean difference in L, note
KINDS = {
    "jpeg": (_pillow(RGB, "a.jpg", quality=98), COLORED, None, 0.7, COLOR),
    "jpeg grey": (_pillow(GRAY, "a.jpg", quality=98), GREY, None, 0.7, None),
    "jpeg cmyk": (_printed("a.jpg"), PRINTED, None, 1, COLOR),
    "png": (_pillow(RGB, "a.png"), COLORED, None, 0.01, COLOR),
    "png 1 bit": (_pillow(GRAY, "a.png", "1"), BILEVEL, None, 0.01, None),
    "png 16 bits": (_pillow(DEEP, "a.png"), GREY, None, 0.01, None),
    "png grey alpha": (_pillow(np.dstack([GRAY, ALPHA]), "a.png"), GREY, ALPHA, 0.01, None),
    "png rgba": (_pillow(np.dstack([RGB, ALPHA]), "a.png"), COLORED, ALPHA, 0.01, COLOR),
    "png palette": (_pillow(PALETTE, "a.png"), QUANTIZED, None, 0.01, COLOR),
    "png palette alpha": (
        _pillow(PALETTE, "a.png", transparency=bytes(range(0, 256, 8))),
        *(QUANTIZED, np.asarray(PALETTE) * 8, 0.01, COLOR),
    ),
    "tiff lzw": (_pillow(RGB, "a.tif", compression="tiff_lzw"), COLORED, None, 0.01, COLOR),
    "tiff g4": (_pillow(GRAY, "a.tif", "1", compression="group4"), BILEVEL, None, 0.01, None),
    "tiff jpeg": (_pillow(RGB, "a.tif", "YCbCr", compression="jpeg"), COLORED, None, 2, COLOR),
    "tiff ycbcr": (_pillow(RGB, "a.tif", "YCbCr"), COLORED, None, 0.7, COLOR),
    "tiff 16 bits": (_pillow(DEEP, "a.tif"), GREY, None, 0.01, None),
    "tiff 16 bits white is zero": (
        _tifffile(65535 - DEEP, photometric="miniswhite"),
        *(GREY, None, 0.01, None),
    ),
    "tiff 16 bits rgb": (
        _tifffile(RGB.astype(np.uint16) * 257, photometric="rgb"),
        *(COLORED, None, 0.01, COLOR),
    ),
    "tiff 32 bits": (_tifffile(GRAY.astype(np.uint32) * 16843009), GREY, None, 0.01, None),
    "tiff 32 bits, of 16": (_pillow(DEEP.astype(np.int32), "a.tif"), GREY, None, 0.01, None),
    "tiff float to 1": (_pillow(FRACTIONS, "a.tif"), GREY, None, 0.01, None),
    "tiff float to 1.05": (
        _tifffile(FRACTIONS * np.float32(1.05 * 255 / GRAY.max())),
        *(_lightness(np.clip(FRACTIONS * (1.05 * 255 / GRAY.max()), 0, 1)), None, 0.01, None),
    ),
    "tiff float to 255": (_pillow(GRAY.astype(np.float32), "a.tif"), GREY, None, 0.01, None),
    "tiff float of 16 bits": (_tifffile(np.float16(FRACTIONS)), GREY, None, 0.02, None),
    "tiff float rgb": (
        _tifffile(np.float32(RGB / 255), photometric="rgb"),
        *(COLORED, None, 0.01, COLOR),
    ),
    "tiff grey alpha": (
        _tifffile(np.dstack([GRAY, ALPHA]), photometric="minisblack", extrasamples=[2]),
        *(GREY, ALPHA, 0.01, None),
    ),
    "tiff planes": (
        _tifffile(np.moveaxis(RGB, -1, 0).copy(), photometric="rgb", planarconfig="separate"),
        *(COLORED, None, 0.01, COLOR),
    ),
    "bigtiff tiles": (
        _tifffile(RGB, bigtiff=True, tile=(32, 32), photometric="rgb"),
        *(COLORED, None, 0.01, COLOR),
    ),
    "tiff cmyk": (_printed("a.tif"), PRINTED, None, 0.3, COLOR),
    "tiff lab": (_pillow(LAB, "a.tif"), np.asarray(LAB)[..., 0] / 2.55, None, 0.01, COLOR),
    "tiff lab, packed": (
        _pillow(LAB, "a.tif", compression="tiff_lzw"),
        *(np.asarray(LAB)[..., 0] / 2.55, None, 0.01, COLOR),
    ),
    "tiff lab big-endian": (
        _tifffile(np.asarray(LAB), photometric="cielab", byteorder=">", bigtiff=True),
        *(np.asarray(LAB)[..., 0] / 2.55, None, 0.01, COLOR),
    ),
    "tiff lab without colour": (
        _tifffile(np.dstack([GRAY, np.zeros_like(RGB[..., :2])]), photometric="cielab"),
        *(GRAY / 2.55, None, 0.01, None),
    ),
    "tiff lab of icc": (
        _tifffile(np.dstack([GRAY, np.full_like(RGB[..., :2], 128)]), photometric="icclab"),
        *(GRAY / 2.55, None, 0.01, None),
    ),
    "tiff lab 16 bits": (
        _tifffile(
            np.dstack([DEEP, np.zeros_like(DEEP), np.zeros_like(DEEP)]), photometric="cielab"
        ),
        *(GRAY / 2.55, None, 0.01, None),
    ),
    **{
        f"tiff {kind}, white is {white}": (
            _tifffile(_signed(kind, white), photometric=f"minis{white}"),
            *(GREY, None, 0.02 if kind == "float16" else 0.3 if kind == "int8" else 0.01, None),
        )
        for kind in ("int8", "int16", "int32", "uint32", "float16", "float32")
        for white in ("black", "white")
    },
    "tiff 16 bits, infrared": (
        _tifffile(np.dstack([DEEP, DEEP, DEEP, DEEP // 9]), photometric="rgb", extrasamples=[0]),
        *(GREY, None, 0.01, NOT_ALPHA),
    ),
    "tiff infrared": (
        _tifffile(np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=[0]),
        *(COLORED, None, 0.01, [NOT_ALPHA, COLOR]),
    ),
    "tiff grey, infrared": (
        _tifffile(np.dstack([GRAY, ALPHA]), photometric="minisblack", extrasamples=[0]),
        *(GREY, None, 0.01, NOT_ALPHA),
    ),
    "tiff grey, two more": (
        _tifffile(np.dstack([GRAY, ALPHA, ALPHA]), photometric="minisblack", extrasamples=[0, 0]),
        *(GREY, None, 0.01, NOT_ALPHA),
    ),
    "tiff alpha and infrared": (
        _tifffile(np.dstack([RGB, ALPHA, ALPHA]), photometric="rgb", extrasamples=[2, 0]),
        *(COLORED, ALPHA, 0.01, COLOR),
    ),
    **{
        f"tiff {kind} planes, white is {white}, {rows} rows": (
            _tifffile(
                np.stack([_signed(kind, white), *(np.rint(ALPHA / 4).astype(kind),) * more]),
                photometric=f"minis{white}",
                planarconfig="separate",
                extrasamples=[0] * more,
                rowsperstrip=rows,
            ),
            *(GREY, None, 0.02 if kind == "uint8" else 0.01, NOT_ALPHA),
        )
        for kind, white, more, rows in (
            *(("uint8", "black", 1, 48), ("uint8", "white", 1, 7), ("uint16", "black", 2, 5)),
            *(("uint16", "white", 1, 48), ("int16", "white", 2, 9), ("uint32", "white", 1, 7)),
            *(("float32", "black", 1, 48), ("float32", "white", 1, 1)),
        )
    },
    "tiff grey alpha, planes": (
        _tifffile(
            np.stack([255 - GRAY, ALPHA]),
            photometric="miniswhite",
            planarconfig="separate",
            extrasamples=[2],
        ),
        *(GREY, ALPHA, 0.01, None),
    ),
    "tiff lab 16 bits of icc": (
        _tifffile(
            np.dstack([np.rint(GRAY / 255 * 65280).astype(np.uint16), *(DEEP * 0 + 32768,) * 2]),
            photometric="icclab",
        ),
        *(GRAY / 2.55, None, 0.01, None),
    ),
    "tiff lab 16 bits, planes": (
        _tifffile(
            np.stack([DEEP, np.zeros_like(DEEP), np.zeros_like(DEEP)]),
            photometric="cielab",
            planarconfig="separate",
        ),
        *(GRAY / 2.55, None, 0.01, None),
    ),
    "tiff lab and alpha": (
        _tifffile(np.dstack([np.asarray(LAB), ALPHA]), photometric="cielab", extrasamples=[2]),
        *(np.asarray(LAB)[..., 0] / 2.55, ALPHA.astype(np.uint16) * 257, 0.01, COLOR),
    ),
    "tiff premultiplied": (
        _tifffile(
            np.dstack([np.rint(RGB * (ALPHA_HIGH[..., None] / 255)).astype(np.uint8), ALPHA_HIGH]),
            photometric="rgb",
            extrasamples=[1],
        ),
        *(COLORED, ALPHA_HIGH, 0.4, COLOR),
    ),
    "tiff reduced copy first": (_reduced_first, GREY, None, 0.01, None),
    "tiff picture below its reduced copy": (_reduced_above, GREY, None, 0.01, None),
    "tiff pyramid": (_pyramid, GREY, None, 0.01, None),
    "tiff pages": (
        _pillow(GRAY, "a.tif", save_all=True, append_images=PAGES),
        *(GREY, None, 0.01, "first of 2 pages"),
    ),
    "jpeg of several pictures": (
        _pillow(GRAY, "a.jpg", format="MPO", save_all=True, append_images=COPIES, quality=99),
        *(GREY, None, 0.5, "first of 2 pictures"),
    ),
    "png frames": (
        _pillow(GRAY, "a.png", save_all=True, append_images=PAGES),
        *(GREY, None, 0.01, "its animation of 2 frames is not kept"),
    ),
    "webp": (_pillow(RGB, "a.webp", lossless=True), COLORED, None, 0.01, COLOR),
    "webp frames": (
        _pillow(GRAY, "a.webp", save_all=True, append_images=PAGES, lossless=True),
        *(GREY, None, 0.01, "first of 2 frames"),
    ),
    "avif": (_pillow(RGB, "a.avif", quality=98), COLORED, None, 1, COLOR),
    "avif frames": (
        _pillow(GRAY, "a.avif", save_all=True, append_images=PAGES, quality=98),
        *(GREY, None, 1, "first of 2 frames"),
    ),
    "heif": (_pillow(RGB, "a.heif", format="AVIF", quality=98), COLORED, None, 1, COLOR),
    "bmp": (_pillow(RGB, "a.bmp"), COLORED, None, 0.01, COLOR),
    "bmp grey": (_pillow(GRAY, "a.bmp"), GREY, None, 0.01, None),
    "bmp 1 bit": (_pillow(GRAY, "a.bmp", "1"), BILEVEL, None, 0.01, None),
    "bmp palette": (_pillow(PALETTE, "a.bmp"), QUANTIZED, None, 0.01, COLOR),
    "gif": (_pillow(PALETTE, "a.gif"), QUANTIZED, None, 0.01, COLOR),
    "gif frames": (
        _pillow(GRAY, "a.gif", save_all=True, append_images=PAGES),
        *(GREY, np.full_like(GRAY, 255), 0.01, "first of 2 frames"),
    ),
    "jpeg 2000": (_pillow(RGB, "a.jp2"), COLORED, None, 0.01, COLOR),
    "jpeg 2000 16 bits": (_pillow(DEEP, "a.jp2"), GREY, None, 0.01, None),
    "jpeg 2000 rgba": (_pillow(np.dstack([RGB, ALPHA]), "a.jp2"), COLORED, ALPHA, 0.01, COLOR),
    "jpeg 2000 codestream": (_pillow(GRAY, "a.j2k"), GREY, None, 0.01, None),
    "sepia": (_pillow(SEPIA, "a.png"), _lightness(SEPIA), None, 0.01, COLOR),
    # The profile is followed: the pixels in the file are others than those expected.
    "display p3": (_profiled(_matrix(P3), "a.png"), COLORED, None, 0.3, COLOR),
    "adobe rgb": (_profiled(_matrix(ADOBE_RGB), "a.jpg", quality=99), COLORED, None, 0.8, COLOR),
    "adobe rgb tiff": (_profiled(_matrix(ADOBE_RGB), "a.tif"), COLORED, None, 0.3, COLOR),
    # A profile for other pixels than the file's is none.
    "grey with rgb profile": (
        _pillow(GRAY, "a.png", icc_profile=_profile(P3, 1.0)),
        *(GREY, None, 0.01, None),
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_kind(tmp_path, name):
    make, expected, alpha, difference, note = KINDS[name]
    path = make(tmp_path)
    picture = Picture(path)
    lightness, band = picture.full("random")
    assert (picture.width, picture.height) == (72, 48)
    assert np.abs(lightness.numpy() - expected).mean() < difference
    small = picture.small_lightness(72, 48)
    assert small.dtype == np.float32
    assert np.abs(small - np.clip(lightness.numpy(), 0, 100)).mean() < 0.5
    if alpha is None:
        assert band is None
    else:
        np.testing.assert_array_equal(band.numpy(), alpha)
    assert picture.notes == (note if isinstance(note, list) else [note] if note else [])


@pytest.mark.parametrize("name", ["a.tif", "a.jp2", "a.jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if name == "a.jp2" else {"exif": exif}
    Image.fromarray(GRAY).save(tmp_path / name, **options)
    if name == "a.jp2":  # Pillow writes no EXIF there
        _append_exif_box(tmp_path / name, exif)
    turned = {1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud}
    turned |= {5: np.transpose, 6: lambda x: np.rot90(x, -1)}
    turned |= {7: lambda x: np.rot90(x, 2).T, 8: np.rot90}
    expected = turned[orientation](GREY)
    picture = Picture(tmp_path / name)
    assert (picture.height, picture.width) == expected.shape
    assert np.abs(picture.full("random")[0].numpy() - expected).mean() < 1
    assert np.abs(picture.small_lightness(*expected.shape[::-1]) - expected).mean() < 1.5


def _append_exif_box(path, exif):
    body = b"JpgTiffExif->JP2" + exif.tobytes().removeprefix(b"Exif\0\0")
    path.write_bytes(path.read_bytes() + struct.pack(">I", 8 + len(body)) + b"uuid" + body)


def _refused(path):
    with pytest.raises(PictureError) as error:
        Picture(path).small_lightness(16, 16)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_heic(tmp_path):
    (tmp_path / "a.heic").write_bytes(HEIC)
    ramp = np.tile(np.linspace(20, 235, 64), (48, 1)).astype(np.uint8)
    shown = np.rot90(np.stack([ramp, ramp // 2 + 20, 255 - ramp], -1), -1)
    picture = Picture(tmp_path / "a.heic")
    assert (picture.width, picture.height) == (48, 64)
    picture.small_lightness(48, 64)
    assert picture.notes == [COLOR]
    lightness, alpha = picture.full()
    assert alpha is None
    assert np.abs(lightness.numpy() - rgb2lab(shown)[..., 0]).mean() < 2
    assert "Ada" in picture.full()[0].get("exif-ifd0-Artist")
    (tmp_path / "b.heic").write_bytes(HEIC[:-200])
    assert "cut short" in _refused(tmp_path / "b.heic")


@pytest.mark.parametrize("kind", JPEG_2000)
def test_white_of_deep_jpeg2000(tmp_path, kind):
    (tmp_path / "a.jp2").write_bytes(base64.b64decode(JPEG_2000[kind]))
    ramp = np.rint(np.linspace(0, 1, 16) * (2 ** kind[1] - 1)) / (2 ** kind[1] - 1)
    pixels = np.stack([ramp, ramp[::-1], np.ones(16)], -1) if kind[0] > 2 else ramp
    lightness, alpha = Picture(tmp_path / "a.jp2").full("random")
    expected = _lightness(np.tile(pixels, (4, 1, 1)) if kind[0] > 2 else np.tile(pixels, (4, 1)))
    np.testing.assert_allclose(lightness.numpy(), expected, atol=0.6)
    assert (alpha is None) == (kind[0] == 3)
    assert alpha is None or alpha.min() == 255


@pytest.mark.parametrize("at", range(5))
def test_heic_with_a_kind_that_is_no_text(tmp_path, at):
    """One byte of it ended the process in pi-heif."""
    place = HEIC.index(b"Exif", HEIC.index(b"infe", HEIC.index(b"infe") + 4)) + at
    for byte in (b"\x80", b"\xc3", b"\xff"):
        (tmp_path / "a.heic").write_bytes(HEIC[:place] + byte + HEIC[place + 1 :])
        assert "no text" in _refused(tmp_path / "a.heic")


def test_damaged_heic(tmp_path):
    random = np.random.default_rng(0)
    path = tmp_path / "a.heic"
    for _ in range(100):
        damaged = bytearray(HEIC)
        for at in random.integers(0, 500, random.integers(1, 4)):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(PictureError):
            Picture(path).small_lightness(16, 16)


def test_a_preview_of_raw_data_is_no_picture(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.dng") as file:
        file.write(RGB[::6, ::6].copy(), subfiletype=1, subifds=1, photometric="rgb")
        file.write(DEEP, subfiletype=0, photometric="cfa")
    assert "develop it" in _refused(tmp_path / "a.dng")


@pytest.mark.parametrize("below", [False, True])
def test_orientation_of_a_reduced_copy_is_that_of_the_picture(tmp_path, below):
    turned = [(274, "H", 1, 6, True)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GRAY[::6, ::6].copy(), subfiletype=1, subifds=int(below), extratags=turned)
        file.write(GRAY, subfiletype=0)
    picture = Picture(tmp_path / "a.tif")
    assert (picture.width, picture.height) == (48, 72)
    np.testing.assert_allclose(picture.full("random")[0].numpy(), np.rot90(GREY, -1), atol=0.01)
    assert np.abs(picture.small_lightness(48, 72) - np.rot90(GREY, -1)).max() < 0.01


JPEGS = ({}, {"progressive": True}, {"subsampling": 0}, {"quality": 98}, {"restart_marker_rows": 1})


@pytest.mark.parametrize("options", JPEGS)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_without_its_end(tmp_path, options, mode):
    """Nothing but the two bytes at the end may lack; with a row of pixels it is damaged."""
    path = tmp_path / "a.jpg"
    # A thumbnail has an end of its own.
    thumbnail = b"Exif\0\0" + b"\xff\xd8\xff\xd9"
    Image.fromarray(RGB).convert(mode).save(path, exif=thumbnail, **options)
    content = path.read_bytes()
    expected = Picture(path).full("random")[0].numpy()
    for cut in (1, 2):
        path.write_bytes(content[:-cut])
        np.testing.assert_array_equal(Picture(path).full("random")[0].numpy(), expected)
    for cut in (*range(5, 30), 60, 100):
        path.write_bytes(content[:-cut])
        shown = expected
        with contextlib.suppress(PictureError):
            shown = Picture(path).full("random")[0].numpy()
        np.testing.assert_array_equal(shown, expected)
    with pytest.raises(PictureError, match="cut short"):
        Picture(path)
    path.write_bytes(content + bytes(99))
    np.testing.assert_array_equal(Picture(path).full("random")[0].numpy(), expected)


def test_jpeg_that_says_its_height_at_the_end(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.jpg", quality=98)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    at = content.index(b"\xff\xc0") + 5
    lines = b"\xff\xdc\0\4" + content[at : at + 2]
    content[at : at + 2] = bytes(2)
    for end in (lines + b"\xff\xd9", lines):
        (tmp_path / "a.jpg").write_bytes(content[:-2] + end)
        picture = Picture(tmp_path / "a.jpg")
        assert (picture.width, picture.height) == (72, 48)
        assert np.abs(picture.full("random")[0].numpy() - GREY).mean() < 0.7


def test_gain_map(tmp_path):
    """An Ultra HDR file, which libvips writes: read as what every other screen shows of it."""
    light = np.float32(np.where(RGB > 10, (RGB / 255) ** 2.2 * 3, 0))
    hdr = pyvips.Image.new_from_array(light, interpretation="scrgb")
    hdr.uhdrsave(str(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "a.jpg") as image:
        expected = _lightness(np.asarray(image.convert("RGB")))
    picture = Picture(tmp_path / "a.jpg")
    picture.small_lightness(72, 48)
    assert np.abs(picture.full("random")[0].numpy() - expected).mean() < 1
    assert picture.notes == [GAIN_MAP, COLOR]


def _with_bits(folder, bits):
    tifffile.imwrite(folder / "a.tif", GRAY)
    content = bytearray((folder / "a.tif").read_bytes())
    at = content.index(struct.pack("<HHI", 258, 3, 1)) + 8
    content[at : at + 2] = struct.pack("<H", bits)
    return content


def _compressed(folder, code):
    tifffile.imwrite(folder / "a.tif", GRAY)
    content = bytearray((folder / "a.tif").read_bytes())
    at = content.index(struct.pack("<HHI", 259, 3, 1)) + 8
    content[at : at + 2] = struct.pack("<H", code)
    return content


def _frame(folder, marker=0xC0, bits=8):
    Image.fromarray(GRAY).save(folder / "a.jpg")
    content = bytearray((folder / "a.jpg").read_bytes())
    at = content.index(b"\xff\xc0")
    content[at + 1], content[at + 4] = marker, bits
    return content


def _tiles_apart(folder):
    pixels = np.moveaxis(RGB, -1, 0).copy()
    tifffile.imwrite(
        folder / "a.tif", pixels, photometric="rgb", planarconfig="separate", tile=(16, 16)
    )
    return (folder / "a.tif").read_bytes()


RARE = {
    **{f"{bits} bits": lambda folder, bits=bits: _with_bits(folder, bits) for bits in (10, 12, 14)},
    **{
        name: lambda folder, code=code: _compressed(folder, code)
        for name, code in (("JPEG XL", 50002), ("JPEG XL ", 52546), ("JPEG 2000", 34712))
    },
    "tiles with each channel apart": lambda folder: _tiles_apart(folder),
    "LERC": lambda folder: _compressed(folder, 34887),
    "ZSTD": lambda folder: _compressed(folder, 50000),
    "JPEG of 12 bits": lambda folder: _frame(folder, bits=12),
    "lossless JPEG of 16 bits": lambda folder: _frame(folder, 0xC3, 16),
}


@pytest.mark.parametrize("name", RARE)
def test_sound_files_of_rare_kinds_are_not_called_damaged(tmp_path, name):
    (tmp_path / "rare").write_bytes(RARE[name](tmp_path))
    message = _refused(tmp_path / "rare")
    assert name.strip() in message
    assert "save it as" in message
    assert not message.startswith("damaged")


@pytest.mark.parametrize(
    "pixels",
    [
        FRACTIONS * 12,  # brighter than white, of an unknown white
        FRACTIONS - 0.5,
        np.where(ALPHA > 90, np.float32(np.inf), FRACTIONS),
        GRAY.astype(np.int32) - 99,
    ],
)
def test_an_unknown_white_is_no_guess(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    assert "not known what is black and white" in _refused(tmp_path / "a.tif")


def test_floats_of_64_bits_say_what_to_do(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY / 255)
    assert "save it as" in _refused(tmp_path / "a.tif")


def test_ycbcr_that_would_be_misread_says_what_to_do(tmp_path):
    Image.fromarray(RGB).convert("YCbCr").save(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    field = struct.pack("<HHIHH", 530, 3, 2, 1, 1)
    assert field in content
    (tmp_path / "a.tif").write_bytes(content.replace(field, field[:-4] + b"\2\0\2\0"))
    assert "save it as RGB" in _refused(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.bmp", "a.jp2"])
@pytest.mark.parametrize("kept", [20, 0.5, 0.9])
def test_cut_short(tmp_path, name, kept):
    path = tmp_path / name
    Image.fromarray(data.astronaut()).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if kept > 1 else int(len(content) * kept)])
    assert "cut short" in _refused(path)


def _png(width, height):
    def chunk(kind, body):
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(999)))


def _tiff(width, height):
    entries = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1)]
    entries += [(278, height), (279, 0xFFFFFFFF)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4)


def _bmp(width, height):
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, width, height, 1, 24, *[0] * 6)


@pytest.mark.parametrize("make", [_png, _tiff, _bmp])
def test_two_gigapixels_are_refused_at_once(tmp_path, make):
    (tmp_path / "bomb").write_bytes(make(50_000, 40_000))
    started = time.perf_counter()
    assert "50000 x 40000" in _refused(tmp_path / "bomb")
    assert time.perf_counter() - started < 1


def test_notes_reach_who_asks_for_colour(tmp_path):
    class Plain:
        def predict_ab(self, lightness):
            return np.zeros((*lightness.shape, 2), np.float32)

    Image.fromarray(RGB).save(tmp_path / "a.tif", save_all=True, append_images=PAGES)
    colorizer = Colorizer(Plain(), size=32)
    notes = colorizer.colorize_file(tmp_path / "a.tif", tmp_path / "b.png")
    assert notes == ("first of 2 pages", COLOR)
    Image.fromarray(GRAY).save(tmp_path / "c.png")
    assert colorizer.colorize_file(tmp_path / "c.png", tmp_path / "d.png") == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (17, 3), (300, 2100)])
@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_streamed_in_strips_equals_one_piece(tmp_path, shape, orientation):
    """The output file, computed strip by strip, against the formulas on the whole array."""

    class Waves:
        def predict_ab(self, lightness):
            y, x = np.mgrid[: lightness.shape[0], : lightness.shape[1]]
            return np.stack([20 * np.cos(x / 9), 20 * np.sin(y / 7)], -1).astype(np.float32)

    noise = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise).save(tmp_path / "a.tif", exif=exif)
    colorizer = Colorizer(Waves(), size=64)
    colorizer.colorize_file(tmp_path / "a.tif", tmp_path / "b.tif")
    picture = Picture(tmp_path / "a.tif")
    small = picture.small_lightness(*working_size(picture.width, picture.height, 64))
    lightness = picture.full("random")[0].numpy().reshape(picture.height, picture.width)
    ab = colorizer.engine.predict_ab(small)
    upsampling = GuidedUpsampling(small, ab, picture.width, picture.height)
    whole = lab_to_srgb_pixels(lightness, upsampling.rows(0, lightness), sixteen_bit=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), whole)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    suffix=st.sampled_from(["png", "jpg", "tif", "webp"]),
)
def test_any_size(width, height, mode, suffix):
    class Plain:
        def predict_ab(self, lightness):
            return np.full((*lightness.shape, 2), 9, np.float32)

    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(pixels)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.png", Path(folder) / f"b.{suffix}"
        (image.convert("L") if mode == "I;16" else image).convert(mode).save(source)
        Colorizer(Plain(), size=16).colorize_file(source, target)
        with Image.open(target) as out:
            assert out.size == (width, height)
            out.load()


@pytest.mark.parametrize("name", ["a.bmp", "a.jp2", "lab.tif", "a.tif", "a.png", "a.jpg", "a.avif"])
def test_damaged_files_are_read_or_refused_without_a_warning(tmp_path, name):
    path, random = tmp_path / name, np.random.default_rng(0)
    image = LAB if name == "lab.tif" else Image.fromarray(RGB[:16, :16])
    image.save(path)
    content = path.read_bytes()
    for number in range(40):
        damaged = bytearray(content[: random.integers(1, len(content))] if number % 2 else content)
        for at in random.integers(0, min(len(damaged), 300), 3):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(PictureError):
            Picture(path).small_lightness(16, 16)
