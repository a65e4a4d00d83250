"""Files that few programs write: read as others read them, or called by their name."""

import base64
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from kh_zoo.errors import PictureError
from kh_zoo.pictures.headers.tiff_header import NOT_ALPHA
from kh_zoo.pictures.picture import Picture

RGB = np.ascontiguousarray(data.chelsea()[40:240:4, 60:300:4])  # 50 x 60
GRAY = np.ascontiguousarray(RGB[..., 1])
ALPHA = np.tile(np.linspace(20, 255, 60).astype(np.uint8), (50, 1))
# Ramps of 16 steps or fewer from black to white, 16 x 4 pixels; written with imagecodecs.
FEW_BITS = {
    1: "/0//UQApAAAAAAAQAAAABAAAAAAAAAAAAAAAEAAAAAQAAAAAAAAAAAABAAEB/1IADAAAAAEAAAQEAAH/XAAEQAj/"
    "ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAWAAH/k9MAEVBTGP9//9k=",
    2: "/0//UQApAAAAAAAQAAAABAAAAAAAAAAAAAAAEAAAAAQAAAAAAAAAAAABAQEB/1IADAAAAAEAAAQEAAH/XAAEQBD/"
    "ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAXAAH/k90cEVBCWwTJP//Z",
    4: "/0//UQApAAAAAAAQAAAABAAAAAAAAAAAAAAAEAAAAAQAAAAAAAAAAAABAwEB/1IADAAAAAEAAAQEAAH/XAAEQCD/"
    "ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAnAAH/k98hYBFpSxA/FSsesQbt"
    "EfUe1TdMH/KJ/3//2Q==",
}
# Red and green of the ramp of 4 bits, blue at its highest.
FEW_BITS_RGB = (
    "/0//UQAvAAAAAAAQAAAABAAAAAAAAAAAAAAAEAAAAAQAAAAAAAAAAAADAwEBAwEBAwEB/1IADAAAAAEBAAQEAAH/XAAE"
    "QCD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAABCAAH/k8+FIBFPiI9outZpIA80"
    "qH8pDEF3f98hsBQAWxkKv6zSQBg5ZAdds0FolYJ/U8vLy8tcf4D/2Q=="
)
# Of 64 x 64 pixels of one colour, (200, 120, 60), half have an alpha of 128, and are stored darker
# by it; written with pillow-heif.
PREMULTIPLIED_HEIC = (
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAlJtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAACdgABAAAAAAAAAC0AAgAAAAACowABAAAAAAAAABwAAAA4aWluZgAAAAAA"
    "AgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAAACAABodmMxAAAAAA5waXRtAAAAAAABAAABg2lwcnAAAAFd"
    "aXBjbwAAAHdodmNDAQQIAAAAnjgAAAAAHvAA/P/4+AAADwNgAAEAF0ABDAH//wQIAAADAJ44AAADAAAeugJAYQABACpC"
    "AQEECAAAAwCeOAAAAwAAHpAEECCy3UklNc3AQ0GBAAADABkAAAMAAQhiAAEACEQBwXKGDAIkAAAAE2NvbHJuY2x4AAEA"
    "DQAGgAAAABRpc3BlAAAAAAAAAEAAAABAAAAAEHBpeGkAAAAAAwgICAAAAHJodmNDAQQIAAAAn/gAAAAAHvAA/Pz4+AAA"
    "DwNgAAEAF0ABDAH//wQIAAADAJ/4AAADAAAeugJAYQABACZCAQEECAAAAwCf+AAAAwAAHsCCBBZbqSSmubAgAAADAyAA"
    "AAMAIWIAAQAHRAHBcrAiQAAAAA5waXhpAAAAAAEIAAAAJ2F1eEMAAAAAdXJuOm1wZWc6aGV2YzoyMDE1OmF1eGlkOjEA"
    "AAAAHmlwbWEAAAAAAAAAAgABBIECAwQAAgSFAwaHAAAAKGlyZWYAAAAAAAAADmF1eGwAAgABAAEAAAAOcHJlbQABAAEA"
    "AgAAAFFtZGF0AAAAKSgBrwY4Wvz7V9uN///yvXeh/T1+bFL/iYo6X6fu//7LofHxhpX/y9n4AAAAGCgBrgxwdQXlv/Bz"
    "UU2X/UiCvo2r/EEhQA=="
)


def lightness_of(rgb):
    return rgb2lab(rgb if rgb.ndim == 3 else np.dstack([rgb] * 3))[..., 0]


def check(path, expected, alpha=None, most=0.05):
    picture = Picture(path)
    found, band = picture.full("random")
    np.testing.assert_allclose(found.numpy(), expected, atol=most)
    assert (band is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_allclose(band.numpy(), alpha, atol=1)
    small = picture.small_lightness(expected.shape[1], expected.shape[0])
    assert np.abs(small - expected).mean() < 0.6
    return picture.notes


def plain_tiff(pixels, fields):
    """One strip, and fields by number, each a whole number of 16 bits."""
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    height, width = pixels.shape
    fields = {256: width, 257: height, 258: 8 * pixels.itemsize, 259: 1, 277: 1, **fields}
    fields |= {273: 300, 278: height, 279: len(content)}
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, fields[tag]) for tag in sorted(fields))
    head = b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4)
    return head.ljust(300, b"\0") + content


@pytest.mark.parametrize("numbers", [1, 4])
@pytest.mark.parametrize("white", [0, 1])
@pytest.mark.parametrize("depth", [8, 16])
def test_numbers_of_which_tiff_says_nothing(tmp_path, depth, white, numbers):
    """SampleFormat 4, "undefined", is whole numbers, of either white."""
    pixels = GRAY.astype(np.uint16) * 257 if depth == 16 else GRAY
    stored = np.iinfo(pixels.dtype).max - pixels if white == 0 else pixels
    (tmp_path / "a.tif").write_bytes(plain_tiff(stored, {262: white, 339: numbers}))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), stored)
    check(tmp_path / "a.tif", lightness_of(GRAY))


@pytest.mark.parametrize("kinds", [[0, 2], [0, 0, 2], [2, 0], [2, 2], [0, 0]])
@pytest.mark.parametrize("colors", ["gray", "rgb"])
def test_alpha_anywhere_behind_the_colours(tmp_path, colors, kinds):
    others = np.where(GRAY > 99, 7, 200).astype(np.uint8)
    bands = [
        ALPHA if kind == 2 and 2 not in kinds[:at] else others for at, kind in enumerate(kinds)
    ]
    color = GRAY[..., None] if colors == "gray" else RGB
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.dstack([color, *bands]),
        photometric="minisblack" if colors == "gray" else "rgb",
        extrasamples=kinds,
        planarconfig="contig",
    )
    notes = check(
        tmp_path / "a.tif",
        lightness_of(GRAY if colors == "gray" else RGB),
        ALPHA if 2 in kinds else None,
    )
    assert (NOT_ALPHA in notes) == (2 not in kinds)


@pytest.mark.parametrize("below", [False, True])
def test_of_nothing_but_reduced_copies_the_largest(tmp_path, below):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB[::5, ::5].copy(), subfiletype=1, photometric="rgb", subifds=int(below))
        file.write(GRAY, subfiletype=1)
    assert check(tmp_path / "a.tif", lightness_of(GRAY)) == []


def test_reduced_copies_by_the_field_of_before(tmp_path):
    """SubfileType, which NewSubfileType has replaced."""
    for number, pixels in ((2, GRAY[::5, ::5].copy()), (1, GRAY)):
        tifffile.imwrite(
            tmp_path / "a.tif",
            pixels,
            append=number == 1,
            metadata=None,
            extratags=[(255, "H", 1, number, True)],
        )
    check(tmp_path / "a.tif", lightness_of(GRAY))


@pytest.mark.parametrize("bits", FEW_BITS)
def test_jpeg_2000_of_few_bits(tmp_path, bits):
    (tmp_path / "a.j2k").write_bytes(base64.b64decode(FEW_BITS[bits]))
    steps = np.arange(16) * 2**bits // 16 / (2**bits - 1)
    check(tmp_path / "a.j2k", lightness_of(np.tile(steps, (4, 1))), most=0.3)


def test_jpeg_2000_of_few_bits_in_colour(tmp_path):
    (tmp_path / "a.j2k").write_bytes(base64.b64decode(FEW_BITS_RGB))
    ramp = np.tile(np.arange(16) / 15, (4, 1))
    check(tmp_path / "a.j2k", lightness_of(np.dstack([ramp, ramp, ramp * 0 + 1])), most=0.3)


def test_avif_whose_colours_are_darker_by_their_alpha(tmp_path):
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    options = {"quality": 98, "subsampling": "4:4:4", "alpha_premultiplied": True}
    rgba.save(tmp_path / "a.avif", **options)
    with Image.open(tmp_path / "a.avif") as image:  # libavif
        read = np.asarray(image)
    assert np.abs(read[..., :3].astype(int) - RGB).mean() < 5
    picture = Picture(tmp_path / "a.avif")
    found, alpha = picture.full("random")
    assert np.abs(found.numpy() - lightness_of(read[..., :3]))[ALPHA > 60].mean() < 0.5
    np.testing.assert_allclose(alpha.numpy(), ALPHA, atol=1)


def test_heic_whose_colours_are_darker_by_their_alpha(tmp_path):
    (tmp_path / "a.heic").write_bytes(base64.b64decode(PREMULTIPLIED_HEIC))
    found, alpha = Picture(tmp_path / "a.heic").full("random")
    expected = lightness_of(np.uint8([[[200, 120, 60]]]))[0, 0]
    assert np.abs(found.numpy() - expected).mean() < 1.5
    assert set(np.unique(alpha.numpy()[:, [5, 60]])) == {128, 255}


OTHERS = {
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "JPEG XR": (b"II\xbc\x01",),
    "OpenEXR": (b"v/1\x01",),
    "PFM": (b"Pf\n", b"PF\n"),
    "PAM": (b"P7\n",),
    "PSB": (b"8BPS\0\2",),
    "XCF": (b"gimp xcf file\0",),
    "DjVu": (b"AT&TFORM",),
    "DICOM": (bytes(128) + b"DICM",),
    "raw data": (b"\0\0\0\x18ftypcrx ", b"FUJIFILMCCD-RAW", b"IIRO", b"IIU\0", b"FOVb", b"\0MRM"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_called_by_their_name(tmp_path, name):
    for start in OTHERS[name]:
        (tmp_path / "a.jpg").write_bytes(start.ljust(999, b"\7"))
        with pytest.raises(PictureError, match=f"^{name}.* save it as PNG or TIFF with "):
            Picture(tmp_path / "a.jpg")


@pytest.mark.parametrize("code", [34933, 34934, 65000])
def test_compressions_that_nobody_knows_are_no_damage(tmp_path, code):
    (tmp_path / "a.tif").write_bytes(plain_tiff(GRAY, {262: 1, 259: code}))
    with pytest.raises(PictureError, match=f"of a kind that can't be decoded here.*{code}"):
        Picture(tmp_path / "a.tif").small_lightness(16, 16)


def test_tiff_of_rare_samples_is_no_damage(tmp_path):
    packed = np.full((50, 30), 0x77, "uint8")
    tags = {256: 60, 262: 1, 258: 4, 277: 2, 338: 2}  # grey and alpha of 4 bits each
    (tmp_path / "a.tif").write_bytes(plain_tiff(np.hstack([packed, packed]), tags))
    (tmp_path / "b.tif").write_bytes(plain_tiff(GRAY, {262: 8}))  # L alone
    for name in ("a.tif", "b.tif"):
        with pytest.raises(PictureError, match="of a kind that can't be decoded here"):
            Picture(tmp_path / name).small_lightness(16, 16)


def test_tiff_without_the_meaning_of_its_numbers_is_no_damage(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        at = file.pages[0].tags[262].offset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[at : at + 2] = struct.pack("<H", 261)  # a field that nobody knows
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(PictureError, match="PhotometricInterpretation is missing"):
        Picture(tmp_path / "a.tif")


def test_jpeg_ls_is_no_damage(tmp_path):
    frame = b"\xff\xf7\0\x0b\x08\0\x32\0\x3c\1\1\x11\0"
    (tmp_path / "a.jpg").write_bytes(
        b"\xff\xd8" + frame + b"\xff\xda\0\x08\1\1\0\0\0\0" + bytes(99)
    )
    with pytest.raises(PictureError, match="JPEG-LS: save it as PNG"):
        Picture(tmp_path / "a.jpg").small_lightness(16, 16)


def tiled_tiff(path, pixels, **options):
    """A file of tiles of 16 x 16, with the page that tells where they are."""
    tifffile.imwrite(path, pixels, tile=(16, 16), metadata=None, **options)
    with tifffile.TiffFile(path) as file:
        return file.pages[0]


@pytest.mark.parametrize("code", [34887, 50000, 50001, 50002])
def test_tiles_of_a_compression_that_is_not_decoded(tmp_path, code):
    """libvips makes them black, and only warns."""
    page = tiled_tiff(tmp_path / "a.tif", RGB, photometric="rgb")
    with open(tmp_path / "a.tif", "r+b") as file:
        file.seek(page.tags[259].offset + 8)
        file.write(struct.pack("<H", code))
    with pytest.raises(PictureError, match=r"can't be decoded here.*TIFF compressed by"):
        Picture(tmp_path / "a.tif").small_lightness(16, 16)


@pytest.mark.parametrize("pixels", [GRAY, RGB, RGB.astype("uint16") * 257])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_tiles_that_are_cut_or_damaged(tmp_path, pixels, compression):
    page = tiled_tiff(tmp_path / "a.tif", pixels, compression=compression)
    Picture(tmp_path / "a.tif").small_lightness(16, 16)
    content = (tmp_path / "a.tif").read_bytes()
    start, length = page.dataoffsets[5], page.databytecounts[5]
    cut = content[: page.dataoffsets[-1] + 9]
    damaged = content[:start] + b"\xff" * length + content[start + length :]
    for one in [cut] if compression is None else [cut, damaged]:
        (tmp_path / "a.tif").write_bytes(one)
        with pytest.raises(PictureError, match="damaged or cut short"):
            Picture(tmp_path / "a.tif").small_lightness(16, 16)


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_half_floats(tmp_path, planes):
    pixels = (RGB / 255).astype("float16")
    stored = pixels if planes == "contig" else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes)
    if planes == "separate":  # which libvips mixes up
        with pytest.raises(PictureError, match="16-bit floats with each channel apart: save it"):
            Picture(tmp_path / "a.tif")
        return
    seen = Picture(tmp_path / "a.tif").full()[0].numpy()
    assert np.abs(seen - rgb2lab(pixels.astype(float))[..., 0]).max() < 0.3


def bmp_of_fields(numbers, fields, size=108, packing=3):
    """A BMP whose header has so many bytes, and whose pixels stand in fields of bits."""
    height, width = numbers.shape
    row = numbers[::-1].tobytes()
    header = struct.pack("<IiiHHI", size, width, height, 1, 8 * numbers.itemsize, packing)
    header += struct.pack("<IiiII", len(row), 3780, 3780, 0, 0)
    header += struct.pack(f"<{len(fields)}I", *fields)
    header = header.ljust(size, b"\0")
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + row


# Bits of red, green, blue and alpha, from the lowest on, in 16 or 32 bits.
FIELDS = {
    "565": (16, {"b": 5, "g": 6, "r": 5}),
    "1555": (16, {"b": 5, "g": 5, "r": 5, "a": 1}),
    "4444": (16, {"b": 4, "g": 4, "r": 4, "a": 4}),
    "332": (16, {"b": 2, "g": 3, "r": 3}),
    "8888": (32, {"b": 8, "g": 8, "r": 8, "a": 8}),
    "8888 other way": (32, {"a": 8, "b": 8, "g": 8, "r": 8}),
    "2 10 10 10": (32, {"b": 10, "g": 10, "r": 10, "a": 2}),
}


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("kind", FIELDS)
def test_bmp_in_fields(tmp_path, kind, seen):
    bits, widths = FIELDS[kind]
    numbers, fields, values, at = np.zeros(GRAY.shape, f"<u{bits // 8}"), {}, {}, 0
    alpha = ALPHA if seen else 0 * ALPHA
    for name, width in widths.items():
        band = {"r": RGB[..., 0], "g": RGB[..., 1], "b": RGB[..., 2], "a": alpha}[name]
        levels = np.rint(band / 255 * (2**width - 1)).astype(int)
        numbers |= (levels << at).astype(numbers.dtype)
        fields[name], values[name] = (2**width - 1) << at, levels / (2**width - 1)
        at += width
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp_of_fields(numbers, [fields[name] for name in "rgba" if name in fields]))
    lightness, found = Picture(path).full()
    wanted = rgb2lab(np.stack([values[name] for name in "rgb"], -1))[..., 0]
    assert np.abs(lightness.numpy() - wanted).max() < 0.6
    assert (found is not None) == (seen and "a" in fields)
    if found is not None:
        assert np.abs(found.numpy() - 255 * values["a"]).max() < 0.51
    path.write_bytes(path.read_bytes()[:-99])
    with pytest.raises(PictureError, match="damaged or cut short"):
        Picture(path).small_lightness(16, 16)


@pytest.mark.parametrize("packing", [4, 5, 11])
def test_a_packing_of_bmp_that_is_not_read_is_no_damage(tmp_path, packing):
    numbers = np.zeros(GRAY.shape, "<u4")
    (tmp_path / "a.bmp").write_bytes(bmp_of_fields(numbers, [], packing=packing))
    with pytest.raises(PictureError, match="of a kind that can't be decoded here"):
        Picture(tmp_path / "a.bmp")


@pytest.mark.parametrize("bits", [0, 8])
@pytest.mark.parametrize("seen", [True, False])
def test_targa_whose_fourth_channel_is_no_alpha(tmp_path, bits, seen):
    """Where it says so, and where it is zero everywhere."""
    alpha = ALPHA if seen else 0 * ALPHA
    header = struct.pack("<3B5x4xHHBB", 0, 0, 2, *reversed(GRAY.shape), 32, 0x20 | bits)
    (tmp_path / "a.tga").write_bytes(header + np.dstack([RGB[..., ::-1], alpha]).tobytes())
    lightness, found = Picture(tmp_path / "a.tga").full()
    assert np.abs(lightness.numpy() - rgb2lab(RGB)[..., 0]).max() < 0.1
    assert (found is not None) == (seen and bits == 8)
    if found is not None:
        np.testing.assert_array_equal(found.numpy(), alpha)
