"""What AVIF and HEIF say of range, colour and turns, in boxes and in the codec's own header."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage.color import rgb2lab

from kh_zoo.errors import PictureError
from kh_zoo.pictures.headers import heif_header
from kh_zoo.pictures.headers.coded import read_av1, read_hevc
from kh_zoo.pictures.picture import Picture

RAMP = np.tile(np.arange(20, 232, 2, dtype=np.uint8), (64, 1))
COLORS = np.dstack([RAMP, RAMP[:, ::-1], np.roll(RAMP, 30, 1)])


def _box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def still(kind, configuration, payload, width, height, *further):
    """A file of one picture, ISO/IEC 23008-12, with nothing in it that it need not have."""
    brand, name = {"hevc": (b"heix", b"hvc1"), "av1": (b"avif", b"av01")}[kind]
    properties = [
        _box(b"hvcC" if kind == "hevc" else b"av1C", configuration),
        _box(b"ispe", struct.pack(">III", 0, width, height)),
        *further,
    ]
    numbers = bytes(range(1, 1 + len(properties)))
    item = struct.pack(">IIHB", 0, 1, 1, len(numbers)) + numbers

    def meta(offset):
        return _box(
            b"meta",
            bytes(4),
            _box(b"hdlr", bytes(8), b"pict", bytes(13)),
            _box(b"pitm", struct.pack(">IH", 0, 1)),
            _box(
                b"iloc",
                bytes(4),
                struct.pack(">HHHHHII", 0x4400, 1, 1, 0, 1, offset, len(payload)),
            ),
            _box(
                b"iinf",
                struct.pack(">IH", 0, 1),
                _box(b"infe", b"\2\0\0\0", struct.pack(">HH", 1, 0), name, b"\0"),
            ),
            _box(b"iprp", _box(b"ipco", *properties), _box(b"ipma", item)),
        )

    start = _box(b"ftyp", brand, bytes(4), b"mif1", brand)
    return start + meta(len(start) + len(meta(0)) + 8) + _box(b"mdat", payload)


def _hevc(frame, *parameters):
    """A picture by x265: what belongs into hvcC, and its data."""
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base = Fraction(1, 1)
    settings = ["lossless=1", "log-level=none", "keyint=1", *parameters]
    encoder.options = {"preset": "ultrafast", "x265-params": ":".join(settings)}
    encoder.flags |= av.codec.context.Flags.global_header
    stream = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    headers = _units(bytes(encoder.extradata))
    color = {1: 0, 3: 1 if "420" in frame.format.name else 3}[len(frame.format.components)]
    depth = frame.format.components[0].bits - 8
    sps = next(unit for unit in headers if unit[0] >> 1 == 33)
    configuration = [
        b"\1" + sps.replace(b"\0\0\3", b"\0\0")[3:15] + b"\xf0\0\xfc",
        bytes([0xFC | color, 0xF8 | depth, 0xF8 | depth, 0, 0, 15, len(headers)]),
        *(struct.pack(">BHH", 0x80 | unit[0] >> 1, 1, len(unit)) + unit for unit in headers),
    ]
    coded = (unit for unit in _units(stream) if unit[0] >> 1 < 32)
    return b"".join(configuration), b"".join(struct.pack(">I", len(x)) + x for x in coded)


def _units(stream):
    return [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1")[1:]]


def _nclx(primaries, transfer, full):
    return _box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, 1, full << 7))


def _check(path, content, expected, most=0.7):
    path.write_bytes(content)
    lightness = Picture(path).full("random")[0].numpy()
    assert np.abs(lightness - expected).max() < most
    return lightness


@pytest.mark.parametrize("limits", ["full", "limited"])
@pytest.mark.parametrize("kind", ["L", "LA", "RGB", "RGBA"])
def test_range_of_avif(tmp_path, kind, limits):
    """As libavif has it: a box `nclx` counts, then the header of AV1."""
    pixels = np.dstack([COLORS if "RGB" in kind else RAMP, *[RAMP] * kind.count("A")]).squeeze()
    options = {"quality": 100, "subsampling": "4:4:4" if "RGB" in kind else "4:0:0"}
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "AVIF", range=limits, **options)
    content = stream.getvalue()
    other = bytearray(content)
    other[content.index(b"colrnclx") + 14] ^= 0x80
    for changed in (content, content.replace(b"colrnclx", b"freenclx"), bytes(other)):
        with Image.open(io.BytesIO(changed)) as image:
            expected = rgb2lab(np.asarray(image.convert("RGB")))[..., 0]
        _check(tmp_path / "a.avif", changed, expected)


@pytest.mark.parametrize("layout", ["gray", "gray10le", "gray12le", "yuv444p", "yuv420p"])
@pytest.mark.parametrize("further", [(), ("scaling-list=default",), ("sar=3", "overscan=crop")])
def test_range_of_heic(tmp_path, layout, further):
    """Of grey and of colour: without a word black is at 16, as FFmpeg and libheif have it."""
    frame = av.VideoFrame.from_ndarray(RAMP, format="gray").reformat(format=layout)
    if layout.startswith("gray1"):
        deep = RAMP.astype(np.uint16) << int(layout[4:6]) - 8
        frame = av.VideoFrame.from_ndarray(deep, format=layout)
    elif layout != "gray":
        half = 2 if layout == "yuv420p" else 1
        gray = [np.full((x // half, y // half), 128, np.uint8) for x, y in [RAMP.shape] * 2]
        frame = av.VideoFrame(*RAMP.shape[::-1], layout)
        for plane, values in zip(frame.planes, [RAMP, *gray], strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
            rows[:, : plane.width] = values
    for limits, full in ((None, False), ("full", True), ("limited", False)):
        parameters = [f"range={limits}"] if limits else []
        coded = _hevc(frame, *parameters, *further)
        for box in ([], [_nclx(1, 13, not full)]):
            values = RAMP / 255 if full != bool(box) else (RAMP - 16) / 219
            expected = rgb2lab(np.dstack([values.clip(0, 1)] * 3))[..., 0]
            content = still("hevc", *coded, *RAMP.shape[::-1], *box)
            _check(tmp_path / "a.heic", content, expected)


@pytest.mark.parametrize(("name", "code"), [("smpte2084", 16), ("linear", 8), ("arib-std-b67", 18)])
def test_transfer_of_heic(tmp_path, name, code):
    frame = av.VideoFrame.from_ndarray(RAMP, format="gray")
    size = RAMP.shape[::-1]
    coded = _hevc(frame, "range=full", "colorprim=bt2020", f"transfer={name}", "colormatrix=bt709")
    plain = _hevc(frame, "range=full")
    expected = _check(
        tmp_path / "a.heic", still("hevc", *plain, *size, _nclx(9, code, True)), 50, 60
    )
    assert np.abs(expected - rgb2lab(np.dstack([RAMP] * 3))[..., 0]).max() > 5
    _check(tmp_path / "b.heic", still("hevc", *coded, *size), expected, 0.01)


# The beginning of films of 200 x 90 by SVT-AV1, of 8 and 10 bits; and primaries, transfer and range
# as FFmpeg, with dav1d, reads them.
FILMS = {
    "12000a0d00000003b63d912be4404340a1": (1, 13, True),
    "12000a0d00000003b63d912be542440081": (9, 16, False),
    "12000a0d00000003b63d912be4430200a1": (12, 8, True),
    "12000a0d00000003b63d912be5430200a1": (12, 8, True),
    "12000a0a00000003b63d912be401": (2, 2, False),
}


@pytest.mark.parametrize("start", FILMS)
def test_long_headers_of_av1(start):
    assert read_av1(io.BytesIO(bytes.fromhex(start))) == (200 * 90, *FILMS[start])


def test_more_headers_of_hevc_than_there_are_numbers_for():
    unit = struct.pack(">HBB", 2, 33 << 1, 1)
    with pytest.raises(PictureError, match="more headers of HEVC"):
        read_hevc(bytes(22) + b"\1" + struct.pack(">BH", 33, 17) + unit * 17)


@pytest.mark.parametrize("mirror", [None, 0, 1])
@pytest.mark.parametrize("quarters", range(4))
def test_what_pixels_are_turned_by(tmp_path, quarters, mirror):
    pixels = RAMP.copy()
    pixels[:20] = 230
    turns = [_box(b"irot", bytes([quarters]))]
    turns += [] if mirror is None else [_box(b"imir", bytes([mirror]))]
    coded = _hevc(av.VideoFrame.from_ndarray(pixels, format="gray"), "range=full")
    (tmp_path / "a.heic").write_bytes(still("hevc", *coded, *RAMP.shape[::-1], *turns))
    shown = Picture(tmp_path / "a.heic").full("random")[0].numpy()
    with (tmp_path / "a.heic").open("rb") as file:
        orientation = heif_header.read(file).turned
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    expected = rgb2lab(np.dstack([np.asarray(ImageOps.exif_transpose(image))] * 3))[..., 0]
    np.testing.assert_allclose(shown, expected, atol=0.7)
