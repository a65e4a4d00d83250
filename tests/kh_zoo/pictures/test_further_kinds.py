"""Further files of the kinds that were read wrongly once, made at random by other programs.

Each has the picture that it is made of, or what the program that wrote it reads again, as the right
answer. `KH_KINDS=1000` makes more of them.
"""

import io
import json
import os
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from kh_zoo.colorizer import Colorizer
from kh_zoo.errors import PictureError
from kh_zoo.pictures.headers.tiff_header import NOT_ALPHA
from kh_zoo.pictures.picture import Picture

pytestmark = pytest.mark.long
MANY = int(os.environ.get("KH_KINDS", "30"))
EXIFTOOL = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
PHOTOGRAPH = np.ascontiguousarray(data.chelsea()[40:240:4, 60:300:4])  # 50 x 60
FORMATS = ("png", "jpg", "tif", "webp", "avif")
TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: np.rot90,
}


class Gray:
    def predict_ab(self, lightness):
        return np.zeros((*lightness.shape, 2), np.float32)


COLORIZER = Colorizer(Gray(), size=16)


def of(number):
    return np.random.default_rng([20261128, number])


def lightness_of(rgb):
    """Of values in 0..1, grey or of three bands."""
    return rgb2lab(rgb if rgb.ndim == 3 else np.dstack([rgb] * 3))[..., 0]


def check(path, expected, alpha=None, most=0.02):
    picture = Picture(path)
    found, band = picture.full("random")
    assert (picture.height, picture.width) == expected.shape
    assert np.abs(found.numpy() - np.clip(expected, 0, 100)).mean() < most
    height, width = expected.shape
    assert np.abs(picture.small_lightness(width, height) - expected).mean() < 0.6
    assert (band is None) == (alpha is None)
    if alpha is not None:
        assert np.abs(band.numpy().astype(float) - alpha).max() <= 1
    return picture.notes


# TIFF: numbers of any kind, white or black at zero, further samples, planes, pages, orders


def numbers(random, values):
    """Values in 0..1 as numbers of some kind, and the values that these are."""
    kind = random.choice(["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32"])
    if kind == "float32":
        return values.astype(kind), values
    most = np.iinfo(kind).max
    stored = np.rint(values * most).astype(kind)
    return stored, stored / most


def tiff(random, path):
    gray = bool(random.integers(2))
    source = PHOTOGRAPH / 255
    values = source.mean(-1) if gray else source
    # A signed or float picture that doesn't reach white says too little of what white is.
    values = (values - values.min()) / np.ptp(values)
    white = gray and random.random() < 0.4
    stored, exact = numbers(random, 1 - values if white else values)
    exact = 1 - exact if white else exact
    bands = [stored] if gray else list(np.moveaxis(stored, -1, 0))
    kinds = [int(kind) for kind in random.choice([0, 0, 0, 2], random.integers(0, 3))]
    if gray and len(kinds) == 2 and kinds[0] == 0:
        kinds = [0, 0]
    # Alpha is only asked for where it may be: in whole numbers, once, as the first.
    kinds = [2 if kind == 2 and at == 0 else 0 for at, kind in enumerate(kinds)]
    if stored.dtype.kind != "u" or stored.dtype.itemsize > 2:
        kinds = [0 for _ in kinds]
    ramp = np.tile(np.linspace(0.2, 0.9, values.shape[1]), (values.shape[0], 1))
    scale = 1 if stored.dtype.kind == "f" else np.iinfo(stored.dtype).max
    bands += [(ramp * scale).astype(stored.dtype) for _ in kinds]
    photometric = "rgb" if not gray else "miniswhite" if white else "minisblack"
    planes = len(bands) > 1 and random.random() < 0.4
    pixels = np.stack(bands, 0 if planes else -1) if len(bands) > 1 else bands[0]
    options = {"photometric": photometric, "metadata": None}
    if len(bands) > 1:
        options["planarconfig"] = "separate" if planes else "contig"
    if kinds:
        options["extrasamples"] = kinds
    options["compression"] = random.choice([None, "zlib"])
    layout = random.integers(3)
    if layout == 1:
        options["tile"] = (16 * int(random.integers(1, 4)), 16 * int(random.integers(1, 4)))
    elif layout == 2:
        options["rowsperstrip"] = int(random.integers(1, 60))
    orientation = int(random.integers(1, 9))
    turned = [(274, "H", 1, orientation, True)]
    places = {"alone": 3, "thumbnail first": 2, "thumbnail above": 2, "thumbnail behind": 1}
    place = random.choice([name for name, count in places.items() for _ in range(count)])
    thumbnail = PHOTOGRAPH[::5, ::5].copy()
    with tifffile.TiffWriter(
        path, bigtiff=bool(random.integers(2)), byteorder=random.choice(["<", ">"])
    ) as file:
        if place == "thumbnail first":
            file.write(thumbnail, subfiletype=1, photometric="rgb", extratags=turned)
        if place == "thumbnail above":
            file.write(thumbnail, subfiletype=1, photometric="rgb", subifds=1, extratags=turned)
        file.write(pixels, extratags=turned, subfiletype=0, **options)
        if place == "thumbnail behind":
            file.write(thumbnail, subfiletype=1, photometric="rgb")
    turn = TURNS[orientation]
    alpha = bands[1 if gray else 3].astype(float) if 2 in kinds else None
    return turn(lightness_of(exact)), alpha if alpha is None else turn(alpha), kinds


@pytest.mark.parametrize("number", range(2 * MANY))
def test_tiff(tmp_path, number):
    expected, alpha, kinds = tiff(of(number), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        pages = [below for page in file.pages for below in (page, *(page.pages or ()))]
        apart = any(page.planarconfig == 2 and page.is_tiled for page in pages)
    if apart:
        with pytest.raises(PictureError, match="each channel apart: save it as"):
            Picture(tmp_path / "a.tif").small_lightness(16, 16)
        return
    notes = check(tmp_path / "a.tif", expected, alpha, most=0.3)
    assert (NOT_ALPHA in notes) == (bool(kinds) and 2 not in kinds)


@pytest.mark.parametrize("number", range(MANY // 3))
def test_lab(tmp_path, number):
    """CIELAB of 8 and 16 bits, as TIFF 6.0 and its supplement of Photoshop have it."""
    random = of(number)
    lab = rgb2lab(PHOTOGRAPH)
    deep, icc = bool(random.integers(2)), bool(random.integers(2))
    kind, most = (np.uint16, 65535) if deep else (np.uint8, 255)
    whole = 65280 if deep and icc else most  # 100 of L in ICC's 16 bits
    signed = lab[..., 1:] * (256 if deep else 1)
    pixels = np.empty(lab.shape, kind)
    pixels[..., 0] = np.rint(lab[..., 0] / 100 * whole)
    if icc:
        pixels[..., 1:] = np.rint(signed + (32768 if deep else 128))
    else:
        pixels[..., 1:] = np.rint(signed).astype(np.int16 if deep else np.int8).view(kind)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        photometric="icclab" if icc else "cielab",
        byteorder=random.choice(["<", ">"]),
        compression=random.choice([None, "zlib"]),
    )
    check(tmp_path / "a.tif", lab[..., 0], most=0.3)


# PNG, AVIF, JPEG 2000, JPEG


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("number", range(MANY // 2))
def test_gamma(tmp_path, number):
    """Grey of any gamma, 8 and 16 bits: Y is the value to 1 / gAMA."""
    random = of(number)
    gamma = random.choice([random.uniform(0.15, 0.40), random.uniform(0.5, 1.6)])
    deep = bool(random.integers(2))
    gray = PHOTOGRAPH.mean(-1)
    pixels = np.rint(gray * 257).astype(np.uint16) if deep else gray.astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    content = stream.getvalue()
    chunks = [chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))]
    if random.integers(2):
        primaries = (31270, 32900, *(int(x) for x in random.integers(10_000, 70_000, 6)))
        chunks.append(chunk(b"cHRM", struct.pack(">8I", *primaries)))
    (tmp_path / "a.png").write_bytes(content[:33] + b"".join(chunks) + content[33:])
    light = (pixels / (65535 if deep else 255)) ** (1 / gamma)
    expected = np.where(light > 216 / 24389, 116 * np.cbrt(light) - 16, light * 24389 / 27)
    check(tmp_path / "a.png", expected, most=0.6)


@pytest.mark.parametrize("number", range(MANY // 2))
def test_avif(tmp_path, number):
    """As libavif, in Pillow, reads what libheif has written, and the other way round."""
    random = of(number)
    gray, deep = bool(random.integers(2)), int(random.choice([8, 10, 12]))
    pixels = PHOTOGRAPH[..., 1] if gray else PHOTOGRAPH
    path = tmp_path / "a.avif"
    if random.integers(2):
        options = {"subsampling": random.choice(["4:4:4", "4:2:2", "4:2:0"])}
        if gray:
            options["subsampling"] = "4:0:0"
        options["range"] = random.choice(["full", "limited"])
        Image.fromarray(pixels).save(path, quality=95, **options)
    else:
        image = pyvips.Image.new_from_array(pixels)
        image = image.copy(interpretation="b-w" if gray else "srgb")
        image.heifsave(str(path), compression="av1", bitdepth=deep, Q=95)
    with Image.open(path) as image:
        expected = lightness_of(np.asarray(image.convert("RGB")) / 255)
    check(path, expected, most=0.8)


@pytest.mark.parametrize("number", range(MANY // 3))
def test_jpeg_2000(tmp_path, number):
    """Boxes and bare codestreams, tiles, with and without loss, as Pillow reads them."""
    random = of(number)
    mode = str(random.choice(["L", "LA", "RGB", "RGBA", "I;16"]))
    ramp = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (50, 1))
    gray = PHOTOGRAPH[..., 1]
    pixels = {
        "L": gray,
        "LA": np.dstack([gray, ramp]),
        "RGB": PHOTOGRAPH,
        "RGBA": np.dstack([PHOTOGRAPH, ramp]),
        "I;16": gray.astype(np.uint16) * 257,
    }[mode]
    path = tmp_path / f"a.{random.choice(['jp2', 'j2k'])}"
    Image.fromarray(pixels).save(
        path,
        irreversible=bool(random.integers(2)),
        tile_size=(32, 32) if random.integers(2) else None,
        num_resolutions=int(random.integers(1, 5)),
        progression=str(random.choice(["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"])),
    )
    with Image.open(path) as image:
        read = np.asarray(image)
    values = read / (65535 if mode == "I;16" else 255)
    colors = values[..., 0] if mode == "LA" else values[..., :3] if values.ndim == 3 else values
    alpha = read[..., -1] if mode.endswith("A") else None
    check(path, lightness_of(colors), alpha, most=0.3)


@pytest.mark.parametrize("number", range(MANY // 2))
def test_jpeg(tmp_path, number):
    """Whole, without its last bytes, with a gain map or with rubbish behind it; as Pillow reads."""
    random = of(number)
    path = tmp_path / "a.jpg"
    gain_map = random.random() < 0.3
    if gain_map:
        light = np.float32((PHOTOGRAPH / 255) ** 2.2 * random.uniform(2, 6))
        pyvips.Image.new_from_array(light, interpretation="scrgb").uhdrsave(str(path))
    else:
        mode = random.choice(["L", "RGB", "YCbCr"])
        Image.fromarray(PHOTOGRAPH).convert(mode).save(
            path,
            quality=int(random.integers(60, 99)),
            progressive=bool(random.integers(2)),
            optimize=bool(random.integers(2)),
            subsampling=int(random.integers(3)),
            restart_marker_blocks=int(random.choice([0, 1, 7])),
        )
    with Image.open(path) as image:
        expected = lightness_of(np.asarray(image.convert("RGB")) / 255)
    content = path.read_bytes()
    if gain_map:
        content += bytes(int(random.integers(0, 9)))
    else:
        cut = int(random.integers(-20, 3))
        content = content[:-cut] if cut > 0 else content + random.bytes(-cut)
    path.write_bytes(content)
    notes = check(path, expected, most=1)
    assert gain_map == any("gain map" in note for note in notes)


RARE = {
    "float64": lambda path: tifffile.imwrite(path, PHOTOGRAPH[..., 0] / 255),
    "complex": lambda path: tifffile.imwrite(path, np.complex64(PHOTOGRAPH[..., 0])),
    "int64": lambda path: tifffile.imwrite(path, PHOTOGRAPH[..., 0].astype(np.int64)),
    "uint64": lambda path: tifffile.imwrite(path, PHOTOGRAPH[..., 0].astype(np.uint64)),
    "CFA": lambda path: tifffile.imwrite(path, PHOTOGRAPH[..., 0].copy(), photometric="cfa"),
    "raw": lambda path: tifffile.imwrite(
        path, PHOTOGRAPH.astype(np.uint16), photometric="linear_raw"
    ),
    "ycbcr": lambda path: tifffile.imwrite(path, PHOTOGRAPH, photometric="ycbcr"),
    "volume": lambda path: tifffile.imwrite(
        path, np.stack([PHOTOGRAPH[..., 0]] * 16), volumetric=True, tile=(16, 16, 16)
    ),
    "five bands": lambda path: tifffile.imwrite(
        path,
        np.repeat(PHOTOGRAPH[..., :1], 5, -1),
        photometric="minisblack",
        planarconfig="contig",
    ),
    "mask": lambda path: tifffile.imwrite(path, PHOTOGRAPH[..., 0] > 99, photometric="mask"),
}


@pytest.mark.parametrize("name", RARE)
def test_what_is_rare_is_read_or_refused_with_the_reason(tmp_path, name):
    """Never as damage, nor as another picture."""
    path = tmp_path / "a.tif"
    RARE[name](path)
    reason = ""
    try:
        found = Picture(path).full("random")[0].numpy()
    except PictureError as error:
        reason = str(error)
    assert "damaged" not in reason
    assert "\n" not in reason
    if reason:
        return
    candidates = [PHOTOGRAPH[..., 0] / 255, (PHOTOGRAPH[..., 0] > 99).astype(float)]
    if name == "ycbcr":
        with Image.open(path) as image:
            candidates.append(np.asarray(image.convert("RGB")) / 255)
    assert min(np.abs(found - lightness_of(one)).mean() for one in candidates) < 1


# Metadata, written and read by exiftool

WORDS = ("Łódź ☃", "Großmutter", "plain", "日本の写真", "a; b, c", "été 1923", "x" * 300, "Ω & <é>")
FIELDS = (
    *("IFD0:Artist", "IFD0:Copyright", "IFD0:ImageDescription", "IFD0:Make", "IFD0:Model"),
    *("IFD0:HostComputer", "IFD0:DocumentName", "IFD0:PageName", "IFD0:XPTitle", "IFD0:XPKeywords"),
    *("ExifIFD:UserComment", "ExifIFD:LensModel", "ExifIFD:OwnerName", "ExifIFD:ImageUniqueID"),
    *("XMP-dc:Title", "XMP-dc:Creator", "XMP-dc:Subject", "XMP-dc:Rights", "XMP-photoshop:City"),
    *("XMP-iptcCore:Location", "XMP-xmp:Label", "XMP-lr:HierarchicalSubject"),
    *("IPTC:Keywords", "IPTC:Caption-Abstract", "IPTC:By-line", "IPTC:City"),
)
OTHERS = {
    "ExifIFD:DateTimeOriginal": "1923:01:02 03:04:05",
    "ExifIFD:FNumber": "5.6",
    "ExifIFD:ISO": "400",
    "GPS:GPSLatitude": "51.5",
    "GPS:GPSLatitudeRef": "N",
    "XMP-xmp:Rating": "4",
    "XMP-xmp:CreateDate": "1923:01:02 03:04:05",
}


def exiftool(*arguments):
    options = ["-charset", "UTF8", "-charset", "iptc=UTF8", "-codedcharacterset=utf8"]
    done = subprocess.run(
        ["exiftool", *options[: 4 if "-j" in arguments else 6], *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@EXIFTOOL
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_what_exiftool_writes_it_finds_again(tmp_path, kind):
    """Texts of any script, dates, places and ratings, in EXIF, XMP and IPTC."""
    wanted, lost, targets = [], [], []
    for number in range(MANY // 4):
        random = of(number)
        source = tmp_path / f"{number}.{kind}"
        Image.fromarray(PHOTOGRAPH).convert("L").save(source)
        chosen = {name: str(random.choice(WORDS)) for name in random.choice(FIELDS, 6, False)}
        if kind == "webp":  # which has no place for IPTC
            chosen = {name: x for name, x in chosen.items() if not name.startswith("IPTC")}
        chosen |= {name: OTHERS[name] for name in random.choice(list(OTHERS), 3, False)}
        if "IPTC:City" in chosen:
            chosen["IPTC:City"] = "Łódź"
        written = [f"-{name}={value}" for name, value in chosen.items()]
        exiftool("-q", "-overwrite_original", *written, source)
        suffix = str(random.choice(FORMATS))
        targets.append(tmp_path / f"{number}.color.{suffix}")
        lost.append(COLORIZER.colorize_file(source, targets[-1]))
        wanted.append((source, chosen))
    sources = [source for source, _ in wanted]
    found = json.loads(exiftool("-j", "-G1", "-a", "-s", "-n", *sources, *targets))
    for (source, chosen), before, after, notes, target in zip(
        wanted, found[: len(sources)], found[len(sources) :], lost, targets, strict=True
    ):
        assert "ExifTool:Warning" not in after, (source, target, after["ExifTool:Warning"])
        for name in chosen:
            if name.startswith("IPTC") and target.suffix in (".webp", ".avif"):
                assert any("IPTC" in note for note in notes)
                continue
            assert name in before, name
            assert after.get(name) == before[name], (source.name, target.suffix, name)


@EXIFTOOL
def test_resolutions(tmp_path):
    """Of any unit, with sides that differ, in EXIF and in the format's own place."""
    pairs = []
    for number in range(MANY):
        random = of(number)
        kind, suffix = str(random.choice(["jpg", "png", "tif"])), str(random.choice(FORMATS))
        source, target = tmp_path / f"{number}.{kind}", tmp_path / f"{number}.c.{suffix}"
        x, y = (int(value) for value in random.choice([72, 96, 150, 240, 300, 600, 1200], 2))
        Image.fromarray(PHOTOGRAPH).convert("L").save(source, dpi=(x, y))
        COLORIZER.colorize_file(source, target)
        pairs.append((source, target, x, y))
    found = json.loads(exiftool("-j", "-G1", "-n", *(target for _, target, *_ in pairs)))
    for (source, target, x, y), tags in zip(pairs, found, strict=True):
        scale = 1 if tags["IFD0:ResolutionUnit"] == 2 else 2.54
        got = [tags[f"IFD0:{side}Resolution"] * scale for side in "XY"]
        np.testing.assert_allclose(got, [x, y], rtol=1e-3, err_msg=f"{source} {target}")
        if target.suffix == ".png":
            meters = [tags[f"PNG-pHYs:PixelsPerUnit{side}"] * 0.0254 for side in "XY"]
            np.testing.assert_allclose(meters, [x, y], rtol=2e-3)
        if target.suffix == ".jpg":
            assert [tags[f"JFIF:{side}Resolution"] for side in "XY"] == [x, y]


@EXIFTOOL
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_faces(tmp_path, kind):
    """A bright face in the dark, marked by exiftool, in a picture that lies on its side."""
    left, top, across, down = 10, 30, 16, 8
    gray = np.full((50, 60), 20, np.uint8)
    gray[top : top + down, left : left + across] = 230
    centre = {"X": (left + across / 2) / 60, "Y": (top + down / 2) / 50}
    area = ",".join(f"{n}={v}" for n, v in {**centre, "W": across / 60, "H": down / 50}.items())
    region = (
        "{AppliedToDimensions={W=60,H=50,Unit=pixel},"
        f"RegionList=[{{Area={{{area},Unit=normalized}},Name=Oma,Type=Face}}]}}"
    )
    targets = []
    for orientation in range(1, 9):
        source = tmp_path / f"{orientation}.{kind}"
        Image.fromarray(gray).convert("RGB" if kind == "webp" else "L").save(source)
        exiftool(
            *("-q", "-overwrite_original", "-n", f"-IFD0:Orientation={orientation}"),
            *(f"-RegionInfo={region}", source),
        )
        targets.append(tmp_path / f"{orientation}.c.png")
        COLORIZER.colorize_file(source, targets[-1])
        with Image.open(targets[-1]) as made:
            expected = TURNS[orientation](gray)
            assert np.abs(np.asarray(made.convert("L")).astype(int) - expected).mean() < 2
    for target, tags in zip(
        targets, json.loads(exiftool("-j", "-struct", "-n", *targets)), strict=True
    ):
        with Image.open(target) as image:
            rows, columns = np.nonzero(np.asarray(image.convert("L")) > 128)
            width, height = image.size
        region = tags["RegionInfo"]
        (face,) = region["RegionList"]
        assert (face["Name"], face["Type"]) == ("Oma", "Face")
        sides = [float(region["AppliedToDimensions"][name]) for name in "WH"]
        assert sides == [width, height]
        area = [float(face["Area"][name]) for name in "XYWH"]
        expected = [
            (columns.min() + columns.max() + 1) / 2 / width,
            (rows.min() + rows.max() + 1) / 2 / height,
            (np.ptp(columns) + 1) / width,
            (np.ptp(rows) + 1) / height,
        ]
        np.testing.assert_allclose(area, expected, atol=0.03 if kind in ("jpg", "webp") else 1e-3)
