"""Places that are told of in a picture are where the pixels are, after these were turned.

A bright rectangle stands in a dark picture: whatever the orientation, what XMP and EXIF say of the
output leads to it in the output's own pixels.
"""

import io
import struct
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from kh_zoo.colorizer import Colorizer

WIDTH, HEIGHT = 80, 48
# Of the rectangle, in the file: unlike in all that turning may confuse.
LEFT, TOP, ACROSS, DOWN = 8, 28, 20, 8
X, Y, W, H = LEFT / WIDTH, TOP / HEIGHT, ACROSS / WIDTH, DOWN / HEIGHT
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SPACES = {
    "rdf": RDF,
    "x": "adobe:ns:meta/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
}


class Gray:
    def predict_ab(self, lightness):
        return np.zeros((*lightness.shape, 2), np.float32)


COLORIZER = Colorizer(Gray(), size=16)


def faces(width=WIDTH, height=HEIGHT, unit="normalized", values=None):
    """As digiKam and Lightroom write them, fields as attributes and as elements."""
    x, y, w, h = values or (X + W / 2, Y + H / 2, W, H)
    return f"""<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions
      stDim:w="{width}" stDim:h="{height}" stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag><rdf:li>
      <rdf:Description mwg-rs:Name="Oma" mwg-rs:Type="Face"><mwg-rs:Area stArea:x="{x}"
      stArea:y="{y}" stArea:w="{w}" stArea:h="{h}" stArea:unit="{unit}"/></rdf:Description></rdf:li>
      <rdf:li rdf:parseType="Resource"><mwg-rs:Area rdf:parseType="Resource">
      <stArea:x>{x}</stArea:x><stArea:y>{y}</stArea:y><stArea:w>{w}</stArea:w><stArea:h>{h}</stArea:h>
      <stArea:unit>{unit}</stArea:unit></mwg-rs:Area></rdf:li></rdf:Bag></mwg-rs:RegionList>
      </mwg-rs:Regions>"""


MICROSOFT = f"""<MP:RegionInfo><rdf:Description><MPRI:Regions><rdf:Bag><rdf:li
  MPReg:Rectangle="{X}, {Y}, {W}, {H}" MPReg:PersonDisplayName="Oma"/></rdf:Bag></MPRI:Regions>
  </rdf:Description></MP:RegionInfo>"""


def boundary(unit, body):
    return f"""<Iptc4xmpExt:ImageRegion><rdf:Bag><rdf:li rdf:parseType="Resource">
      <Iptc4xmpExt:RegionBoundary rdf:parseType="Resource">
      <Iptc4xmpExt:rbUnit>{unit}</Iptc4xmpExt:rbUnit>{body}</Iptc4xmpExt:RegionBoundary></rdf:li>
      </rdf:Bag></Iptc4xmpExt:ImageRegion>"""


def fields(**values):
    return "".join(f"<Iptc4xmpExt:{n}>{v}</Iptc4xmpExt:{n}>" for n, v in values.items())


def polygon(unit, *corners):
    points = (
        f'<rdf:li rdf:parseType="Resource">{fields(rbX=x, rbY=y)}</rdf:li>' for x, y in corners
    )
    return boundary(
        unit,
        f"<Iptc4xmpExt:rbVertices><rdf:Seq>{''.join(points)}</rdf:Seq></Iptc4xmpExt:rbVertices>",
    )


CORNERS = [(LEFT, TOP), (LEFT + ACROSS, TOP), (LEFT + ACROSS, TOP + DOWN), (LEFT, TOP + DOWN)]
IN_PIXELS = (LEFT + ACROSS / 2, TOP + DOWN / 2, ACROSS, DOWN)
CROP = "".join(
    f"<crs:Crop{side}>{value}</crs:Crop{side}>"
    for side, value in (("Left", X), ("Top", Y), ("Right", X + W), ("Bottom", Y + H))
)
REGIONS = {
    "mwg": faces(),
    "mwg in pixels": faces(unit="pixel", values=IN_PIXELS),
    "microsoft": MICROSOFT,
    "iptc rectangle": boundary("relative", fields(rbX=X, rbY=Y, rbW=W, rbH=H)),
    "iptc pixels": boundary("pixel", fields(rbX=LEFT, rbY=TOP, rbW=ACROSS, rbH=DOWN)),
    "iptc circle": boundary("relative", fields(rbX=X + W / 2, rbY=Y + H / 2, rbRx=W / 2)),
    "iptc polygon": polygon("relative", *((x / WIDTH, y / HEIGHT) for x, y in CORNERS)),
    "iptc polygon in pixels": polygon("pixel", *CORNERS),
    "camera raw": CROP,
}


def packet(body):
    spaces = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in SPACES.items())
    return f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
      <x:xmpmeta xmlns:x="adobe:ns:meta/">
      <rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="" {spaces}>{body}</rdf:Description>
      </rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def turned(tmp_path, orientation, xmp=b"", exif_says=True, notes=(), suffix="jpg"):
    """Make a file, colour it; return the output's rectangle (left, top, across, down) and it."""
    pixels = np.full((HEIGHT, WIDTH), 20, np.uint8)
    pixels[TOP : TOP + DOWN, LEFT : LEFT + ACROSS] = 230
    exif = Image.Exif()
    if exif_says:
        exif[0x0112] = orientation
    camera = exif.get_ifd(0x8769)
    camera[0x9214] = (LEFT + ACROSS // 2, TOP + DOWN // 2, ACROSS, DOWN)
    camera[0xA002], camera[0xA003] = WIDTH, HEIGHT
    options = {"exif": exif.tobytes(), "xmp": xmp, "quality": 98}
    source = tmp_path / f"a.{suffix}"  # in AVIF Pillow says it in the boxes `irot` and `imir`
    Image.fromarray(pixels).save(source, **options)
    assert COLORIZER.colorize_file(source, tmp_path / "b.png") == notes
    with Image.open(tmp_path / "b.png") as image:
        image.load()
        rows, columns = np.nonzero(np.asarray(image)[..., 1] > 128)
        left, top = columns.min(), rows.min()
        place = (left, top, columns.max() + 1 - left, rows.max() + 1 - top)
        return place, image.size, ET.fromstring(image.info["xmp"]) if xmp else None, image.getexif()


def values_of(element, space, *names):
    """Fields of a structure, whether they are attributes or elements."""
    found = []
    for name in names:
        key = f"{{{SPACES[space]}}}{name}"
        value = element.get(key)
        found.append(element.findtext(key) if value is None else value)
    return None if None in found else [float(value) for value in found]


def places_in(tree, name, size):
    """The rectangles that XMP tells of, in pixels."""
    width, height = size
    scale = (1, 1, 1, 1) if "pixel" in name else (width, height, width, height)
    found = []
    corners = []
    for element in tree.iter():
        if values := values_of(element, "stArea", "x", "y", "w", "h"):
            x, y, w, h = values
            found.append((x - w / 2, y - h / 2, w, h))
        elif text := element.get(f"{{{SPACES['MPReg']}}}Rectangle"):
            found.append(tuple(float(value) for value in text.split(",")))
        elif values := values_of(element, "Iptc4xmpExt", "rbX", "rbY", "rbW", "rbH"):
            found.append(tuple(values))
        elif values := values_of(element, "Iptc4xmpExt", "rbX", "rbY", "rbRx"):
            x, y, radius = values
            found.append((x, y, radius, None))
        elif values := values_of(element, "Iptc4xmpExt", "rbX", "rbY"):
            corners.append(values)
        elif values := values_of(element, "crs", "CropLeft", "CropTop", "CropRight", "CropBottom"):
            found.append((values[0], values[1], values[2] - values[0], values[3] - values[1]))
    if corners:
        (left, top), (right, bottom) = np.min(corners, 0), np.max(corners, 0)
        found.append((left, top, right - left, bottom - top))
    return [tuple(v and v * s for v, s in zip(place, scale, strict=True)) for place in found]


@pytest.mark.parametrize(
    ("suffix", "name"), [*(("jpg", name) for name in REGIONS), ("avif", next(iter(REGIONS)))]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_are_where_the_pixels_are(tmp_path, orientation, suffix, name):
    place, size, tree, _ = turned(tmp_path, orientation, packet(REGIONS[name]), suffix=suffix)
    places = places_in(tree, name, size)
    assert len(places) == (2 if name.startswith("mwg") else 1)
    left, top, across, down = place
    for found in places:
        if name == "iptc circle":
            radius = ACROSS / 2
            expected = (left + across / 2, top + down / 2, radius)
        else:
            expected = place
        np.testing.assert_allclose(found[: len(expected)], expected, atol=0.01)
    for element in tree.iter():
        if sides := values_of(element, "stDim", "w", "h"):
            assert tuple(sides) == size


@pytest.mark.parametrize("suffix", ["jpg", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_subject_of_exif_is_where_the_pixels_are(tmp_path, orientation, suffix):
    (left, top, across, down), size, _, exif = turned(tmp_path, orientation, suffix=suffix)
    camera = exif.get_ifd(0x8769)
    np.testing.assert_allclose(
        camera[0x9214], (left + across / 2, top + down / 2, across, down), atol=1
    )
    assert (camera[0xA002], camera[0xA003]) == size
    assert exif.get(0x0112, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("sides", [(), (ACROSS,), (ACROSS, DOWN)])
def test_the_subject_of_exif_in_xmp(tmp_path, orientation, sides):
    name = "SubjectArea" if sides else "SubjectLocation"
    numbers = (LEFT + ACROSS // 2, TOP + DOWN // 2, *sides)
    items = "".join(f"<rdf:li>{number}</rdf:li>" for number in numbers)
    space = 'xmlns:e="http://ns.adobe.com/exif/1.0/"'
    xmp = packet(f"<e:{name} {space}><rdf:Seq>{items}</rdf:Seq></e:{name}>")
    (left, top, across, down), _, tree, _ = turned(tmp_path, orientation, xmp)
    found = [int(item.text) for item in tree.iter(f"{{{RDF}}}li")]
    right = (left + across / 2, top + down / 2, across, down)
    expected = (*right[:2], ACROSS) if len(sides) == 1 else right[: len(numbers)]
    np.testing.assert_allclose(found, expected, atol=1)


@pytest.mark.parametrize("orientation", range(5, 9))
def test_regions_of_the_upright_picture_stay(tmp_path, orientation):
    """The sides that they name are those of the picture as it is displayed."""
    values = (0.25, 0.375, 0.125, 0.0625)
    xmp = packet(faces(HEIGHT, WIDTH, values=values))
    _, size, tree, _ = turned(tmp_path, orientation, xmp)
    assert size == (HEIGHT, WIDTH)
    for element in tree.iter():
        if found := values_of(element, "stArea", "x", "y", "w", "h"):
            assert tuple(found) == values


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("form", ["attribute", "element"])
def test_an_orientation_in_xmp(tmp_path, orientation, form):
    """It is 1 where EXIF was followed; where XMP alone has it, nothing is turned, and it stays."""
    body = f"<tiff:Orientation>{orientation}</tiff:Orientation>"
    xmp = packet(body if form == "element" else "")
    if form == "attribute":
        xmp = xmp.replace(b'rdf:about=""', b'rdf:about="" tiff:Orientation="%d"' % orientation)
    for exif_says, left in ((True, 1), (False, orientation)):
        place, _, tree, _ = turned(tmp_path, orientation, xmp, exif_says)
        assert (place == (LEFT, TOP, ACROSS, DOWN)) != exif_says
        found = [values_of(element, "tiff", "Orientation") for element in tree.iter()]
        assert [value for value in found if value] == [[left]]


@pytest.mark.parametrize("place", ["IDAT", "IEND"])
@pytest.mark.parametrize("kind", ["eXIf", "raw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_anywhere_in_png(tmp_path, orientation, kind, place):
    """Pillow follows it before and behind the pixels, and in ImageMagick's digits."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    content = content.getvalue()
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    if kind == "raw":
        digits = f"\nexif\n{len(body):8}\n{body.hex()}\n"
        body = b"Raw profile type exif\0\0" + zlib.compress(digits.encode())
    name = b"eXIf" if kind == "eXIf" else b"zTXt"
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    at = content.index(place.encode()) - 4
    (tmp_path / "a.png").write_bytes(content[:at] + chunk + content[at:])
    COLORIZER.colorize_file(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        expected = np.asarray(ImageOps.exif_transpose(image))
    with Image.open(tmp_path / "b.png") as image:
        image.load()
        assert image.getexif()[0x0112] == 1
        assert (np.asarray(image)[..., 1] == expected).all()


def test_what_is_true_of_the_source_only_goes(tmp_path):
    """How it was stored, its thumbnail, and further pictures in it, which are not in the output."""
    spaces = (
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
        'xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        'hdrgm:Version="1.0" photoshop:ColorMode="1" photoshop:ICCProfile="Dot Gain 20%" '
        'tiff:ImageWidth="80" tiff:XResolution="72/1" exif:PixelXDimension="80" xmp:Rating="4"'
    )
    xmp = packet("<xmp:Thumbnails><rdf:Alt/></xmp:Thumbnails>")
    xmp = xmp.replace(b'rdf:about=""', b'rdf:about="" ' + spaces.encode())
    notes = ("its gain map for HDR screens is not kept",)
    _, size, tree, _ = turned(tmp_path, 6, xmp, notes=notes)
    text = ET.tostring(tree, encoding="unicode")
    for gone in ("Version", "ColorMode", "ICCProfile", "Thumbnails", "XResolution"):
        assert gone not in text
    assert size == (48, 80)
    assert 'ImageWidth="48"' in text
    assert 'PixelXDimension="48"' in text
    assert 'Rating="4"' in text
