import io
import os
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from kh_zoo.colorizer import Colorizer
from kh_zoo.errors import OutputError, PictureError
from kh_zoo.networks import model_folder
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.output import SUFFIXES, is_own_output
from kh_zoo.workers.settings import Settings


class SmoothEngine:
    """Moderate colour that changes slowly over the picture."""

    def predict_ab(self, lightness):
        assert lightness.dtype == np.float32
        assert lightness.shape[0] % 16 == lightness.shape[1] % 16 == 0
        self.shape = lightness.shape
        y, x = np.mgrid[: self.shape[0], : self.shape[1]]
        a = 15 * np.cos(4 * x / self.shape[1])
        self.ab = np.stack([a, 12 * np.sin(1 + 3 * y / self.shape[0])], -1).astype(np.float32)
        return self.ab


@pytest.fixture
def colorizer():
    return Colorizer(SmoothEngine(), size=64)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(data.camera()[::2, ::4]).save(path)  # 256 x 128, grey
    return path


def _read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def _chroma(rgb):
    return np.hypot(*np.moveaxis(rgb2lab(rgb)[..., 1:], -1, 0))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_keeps_size_and_lightness_and_brings_the_colour(colorizer, photo, tmp_path, suffix):
    colorizer.colorize_file(photo, tmp_path / f"out{suffix}")
    before, after = _read(photo), _read(tmp_path / f"out{suffix}")
    assert after.shape == before.shape
    lab, source = rgb2lab(after), rgb2lab(before)
    assert np.abs(lab - source)[..., 0].mean() < 1
    # Where there is room for colour it is the predicted one.
    middle = (source[..., 0] > 25) & (source[..., 0] < 85)
    predicted = np.hypot(*np.moveaxis(colorizer.engine.ab, -1, 0)).mean()
    assert _chroma(after)[middle].mean() > 0.9 * predicted
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out{suffix}", "photo.png"]


def test_colour_arrives_where_it_was_predicted(colorizer, photo):
    lab = rgb2lab(colorizer.colorize(photo).numpy())
    width = colorizer.engine.shape[1]
    x = np.arange(128)
    a = np.tile(15 * np.cos(4 * ((x + 0.5) * width / 128 - 0.5) / width), (256, 1))
    middle = (lab[..., 0] > 40) & (lab[..., 0] < 70)
    assert np.abs(lab[..., 1] - a)[middle].mean() < 1


def test_lightness_survives_colour_that_no_screen_can_show(photo):
    class Loud:
        def predict_ab(self, lightness):
            return np.broadcast_to(np.float32([90, -90]), (*lightness.shape, 2))

    after = Colorizer(Loud(), size=64).colorize(photo).numpy()
    before = _read(photo)
    assert np.abs(rgb2lab(after) - rgb2lab(before))[..., 0].max() < 1
    assert _chroma(after).mean() > 20


def test_saturation(photo):
    gray = Colorizer(SmoothEngine(), size=64, saturation=0).colorize(photo).numpy()
    assert np.ptp(gray.astype(int), axis=-1).max() <= 1
    half, whole = (
        _chroma(Colorizer(SmoothEngine(), size=64, saturation=s).colorize(photo).numpy()).mean()
        for s in (0.5, 1)
    )
    assert half == pytest.approx(whole / 2, rel=0.1)


@pytest.mark.parametrize("alpha", [False, True])
def test_an_image_for_python_can_be_read_twice(colorizer, photo, alpha):
    if alpha:
        Image.open(photo).convert("LA").save(photo)
    image = colorizer.colorize(photo)
    assert image.bands == 3 + alpha
    np.testing.assert_array_equal(image.numpy(), image.numpy())


def test_alpha_is_kept_or_laid_on_white(colorizer, tmp_path):
    alpha = np.zeros((40, 60), np.uint8)
    alpha[:, 30:] = 255
    Image.fromarray(np.stack([np.full_like(alpha, 90), alpha], -1)).save(tmp_path / "a.png")
    for suffix in (".png", ".tif", ".webp"):
        colorizer.colorize_file(tmp_path / "a.png", tmp_path / f"out{suffix}")
        out = Image.open(tmp_path / f"out{suffix}")
        assert out.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(out)[..., 3], alpha)
    colorizer.colorize_file(tmp_path / "a.png", tmp_path / "out.jpg")
    pixels = _read(tmp_path / "out.jpg")
    assert pixels[:, :20].min() > 250
    assert pixels[:, 40:].max() < 150
    colorizer.colorize_file(tmp_path / "a.png", tmp_path / "pair.png", compare=True)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "pair.png"))[:, 60:, 3], alpha)


def test_sixteen_bits_where_both_files_hold_them(colorizer, tmp_path):
    steps = np.linspace(0, 65535, 48 * 72).astype(np.uint16).reshape(48, 72)
    alpha = np.full_like(steps, 40_000)
    pixels = pyvips.Image.new_from_array(np.stack([steps, alpha], -1), interpretation="grey16")
    pixels.write_to_file(str(tmp_path / "a.png"))
    kinds = {".png": "ushort", ".tif": "ushort", ".webp": "uchar", ".avif": "uchar"}
    for suffix, kind in kinds.items():
        colorizer.colorize_file(tmp_path / "a.png", tmp_path / f"out{suffix}")
        out = pyvips.Image.new_from_file(str(tmp_path / f"out{suffix}"))
        assert (out.format, out.bands) == (kind, 4)
        assert abs(out[3].avg() - (40_000 if kind == "ushort" else 155.6)) < 1
    deep = pyvips.Image.new_from_file(str(tmp_path / "out.png"))[:3].numpy() / 65535
    assert (
        np.abs(rgb2lab(deep)[..., 0] - rgb2lab(np.dstack([steps / 65535] * 3))[..., 0]).max() < 0.1
    )


def _described(path, photo):
    """A turned JPEG with a thumbnail, a resolution, an ICC profile and XMP."""
    image = pyvips.Image.new_from_file(str(photo)).colourspace("srgb").icc_transform("p3")
    image = image.copy(xres=300 / 25.4, yres=300 / 25.4)
    texts = {"exif-ifd0-Artist": "Ada", "exif-ifd0-Software": "Camera 1.0"}
    for field, value in texts.items():
        image.set_type(pyvips.GValue.gstr_type, field, value)
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.set_type(
        pyvips.GValue.blob_type,
        "xmp-data",
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        b'syntax-ns#"><rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        b'tiff:Orientation="6" tiff:Artist="Ada"/></rdf:RDF></x:xmpmeta>',
    )
    thumbnail = image.resize(0.1).jpegsave_buffer(keep="none")
    image.set_type(pyvips.GValue.blob_type, "jpeg-thumbnail-data", thumbnail)
    image.write_to_file(str(path), Q=95)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_metadata(colorizer, photo, tmp_path, suffix):
    source, target = tmp_path / "a.jpg", tmp_path / f"out{suffix}"
    _described(source, photo)
    before = pyvips.Image.new_from_file(str(source))
    assert before.get_typeof("jpeg-thumbnail-data")
    assert before.get("orientation") == 6
    colorizer.colorize_file(source, target)
    out = pyvips.Image.new_from_file(str(target))
    fields = out.get_fields()
    assert (out.width, out.height) == (256, 128)
    assert "orientation" not in fields or out.get("orientation") == 1
    assert "jpeg-thumbnail-data" not in fields
    assert "icc-profile-data" not in fields
    assert b'tiff:Artist="Ada"' in out.get("xmp-data")
    assert b'tiff:Orientation="1"' in out.get("xmp-data")
    if suffix != ".tif":  # libvips writes no EXIF to TIFF
        assert out.get("exif-ifd0-Artist").startswith("Ada")
        assert out.get("exif-ifd0-Software").startswith("keras-hypercolumns")
    if suffix != ".webp":  # holds its resolution in EXIF alone
        assert out.xres * 25.4 == pytest.approx(300, abs=1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_own_outputs_are_recognised(colorizer, photo, tmp_path, suffix):
    target = tmp_path / f"out{suffix}"
    colorizer.colorize_file(photo, target)
    assert is_own_output(target)
    assert not is_own_output(photo)
    assert not is_own_output(tmp_path / "absent.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # as /proc/kmsg, which waits for what is to be read
    assert not is_own_output(tmp_path / "pipe.jpg")


def test_compare(colorizer, photo, tmp_path):
    colorizer.colorize_file(photo, tmp_path / "pair.png", compare=True)
    colorizer.colorize_file(photo, tmp_path / "alone.png")
    pair = _read(tmp_path / "pair.png")
    assert np.abs(pair[:, :128].astype(int) - _read(photo)).max() <= 1
    np.testing.assert_array_equal(pair[:, 128:], _read(tmp_path / "alone.png"))


def test_quality(colorizer, photo, tmp_path):
    sizes = []
    for quality in (30, None, 98):
        colorizer.colorize_file(photo, tmp_path / "out.jpg", quality=quality)
        sizes.append((tmp_path / "out.jpg").stat().st_size)
    assert sizes == sorted(set(sizes))
    with pytest.raises(ValueError, match=r"1\.\.100"):
        colorizer.colorize_file(photo, tmp_path / "out.jpg", quality=101)


@pytest.mark.parametrize("shape", [(1, 1), (20, 20_000), (20_000, 3), (17, 33)])
def test_odd_shapes_come_out_coloured(colorizer, tmp_path, shape):
    Image.fromarray(np.full(shape, 128, np.uint8)).save(tmp_path / "a.png")
    colorizer.colorize_file(tmp_path / "a.png", tmp_path / "out.png")
    out = _read(tmp_path / "out.png")
    assert out.shape[:2] == shape
    assert _chroma(out).mean() > 8


def test_the_network_that_ships_leaves_grey_what_is_grey(tmp_path):
    """Cards of one level; and most mounts of photographs, below what an eye sees, about 2.3."""
    colorizer = Colorizer("lite")

    def chroma(gray):
        Image.fromarray(gray).save(tmp_path / "a.png")
        return _chroma(colorizer.colorize(tmp_path / "a.png").numpy())

    for level in (20, 119, 220):
        assert chroma(np.full((96, 128), level, np.uint8)).mean() < 1.2, level
    found = []
    for photograph in (data.camera(), data.astronaut(), data.coffee(), data.rocket()):
        image = Image.fromarray(photograph).convert("L")
        image.thumbnail((160, 160))
        for level in (119, 220):
            mounted = np.pad(np.asarray(image), 32, constant_values=level)
            mount = np.pad(np.zeros(image.size[::-1], bool), 32, constant_values=True)
            found.append(chroma(mounted)[mount].mean())
    assert np.median(found) < 2.3


def test_working_size():
    assert working_size(768, 512, 256) == (384, 256)
    assert working_size(512, 768, 256) == (256, 384)
    assert working_size(200, 100, 256) == (192, 96)  # not enlarged
    assert working_size(1, 1, 256) == (16, 16)
    assert working_size(20_000, 20, 256) == (20_000, 16)
    for width, height in ((10**6, 20), (20_000, 300), (3, 10**8)):
        small = working_size(width, height, 256)
        assert small[0] * small[1] <= 16 * 256**2
        assert small[0] % 16 == small[1] % 16 == 0


def test_the_source_is_never_the_target(colorizer, photo, tmp_path):
    before = photo.read_bytes()
    (tmp_path / "soft.png").symlink_to(photo)
    os.link(photo, tmp_path / "hard.png")
    (tmp_path / "folder").mkdir()
    for name in ("photo.png", "soft.png", "hard.png", "folder/../photo.png"):
        with pytest.raises(OutputError, match="own source"):
            colorizer.colorize_file(photo, tmp_path / name)
    assert photo.read_bytes() == before


def test_unknown_suffix(colorizer, photo, tmp_path):
    with pytest.raises(OutputError, match=r"\.jpg, .*\.png.*Received: out\.bmp"):
        colorizer.colorize_file(photo, tmp_path / "out.bmp")


def test_more_pixels_a_side_than_the_format_holds(colorizer, tmp_path):
    Image.fromarray(np.full((2, 17_000), 128, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(OutputError, match="16383"):
        colorizer.colorize_file(tmp_path / "a.png", tmp_path / "out.webp")


def test_a_picture_cut_short_leaves_no_output(colorizer, tmp_path):
    Image.fromarray(data.astronaut()).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-3000])
    with pytest.raises(PictureError, match="cut short"):
        colorizer.colorize_file(tmp_path / "a.jpg", tmp_path / "out" / "out.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_missing_folders_are_made_and_a_file_in_their_place_is_an_error(colorizer, photo, tmp_path):
    colorizer.colorize_file(photo, tmp_path / "x" / "y" / "out.png")
    assert (tmp_path / "x" / "y" / "out.png").exists()
    with pytest.raises(OutputError, match=r"can't write to .*: "):
        colorizer.colorize_file(photo, photo / "out.png")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_no_output(colorizer, tmp_path, suffix, capfd):
    Image.fromarray(data.astronaut()).save(tmp_path / "a.png")
    (tmp_path / f"out{suffix}").write_bytes(b"earlier")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # what a file may hold
    try:
        with pytest.raises(OutputError) as error:
            colorizer.colorize_file(tmp_path / "a.png", tmp_path / f"out{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    reason = "larger than the disk, or `ulimit -f`, allows"
    assert str(error.value) == f"can't write {tmp_path / f'out{suffix}'}: {reason}"
    assert (tmp_path / f"out{suffix}").read_bytes() == b"earlier"
    assert len(list(tmp_path.iterdir())) == 2
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_leaves_no_output(colorizer, tmp_path):
    large = np.tile(data.camera(), (8, 8))
    Image.fromarray(large).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    seen = []

    def interrupt():
        while not seen:
            seen.extend(path for path in (tmp_path / "out").iterdir() if path.stat().st_size)
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        colorizer.colorize_file(tmp_path / "a.png", tmp_path / "out" / "out.png")
    thread.join()
    assert seen[0].name != "out.png"
    assert not list((tmp_path / "out").iterdir())


def test_wrong_arguments():
    for size in (8, 0, 64.5, "64"):
        with pytest.raises(ValueError, match="`size`"):
            Colorizer(SmoothEngine(), size=size)
    with pytest.raises(ValueError, match="`size`"):
        Colorizer("lite", size=0)
    for saturation in (-1, float("nan"), "2"):
        with pytest.raises(ValueError, match="`saturation`"):
            Colorizer(SmoothEngine(), size=64, saturation=saturation)


@pytest.fixture(scope="module")
def lite():
    return Colorizer("lite")


class TestPicturesInMemory:
    """What is given as pixels comes out as the same pixels from a file do."""

    @pytest.mark.parametrize("bands", ["L", "LA", "RGB", "RGBA"])
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    def test_arrays(self, lite, random, tmp_path, bands, kind):
        shape = (40, 56) if bands == "L" else (40, 56, len(bands))
        pixels = random.integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)
        space = {"L": "b-w", "R": "srgb"} if kind is np.uint8 else {"L": "grey16", "R": "rgb16"}
        image = pyvips.Image.new_from_array(pixels).copy(interpretation=space[bands[0]])
        image.pngsave(str(tmp_path / "a.png"))
        wanted = lite.colorize(tmp_path / "a.png").numpy()
        got = lite.colorize(pixels)
        assert got.dtype == kind
        np.testing.assert_array_equal(got, wanted)

    @pytest.mark.parametrize(
        "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "HSV", "La", "I;16"]
    )
    def test_images_of_pillow(self, lite, random, mode):
        levels = random.integers(0, 256, (30, 44), np.uint8)
        if mode == "I;16":
            given = Image.fromarray(levels.astype(np.uint16) * 257)
        else:
            given = Image.fromarray(levels).convert("LA" if mode == "La" else "RGB").convert(mode)
        got = lite.colorize(given)
        assert isinstance(got, Image.Image)
        assert got.size == given.size
        assert got.mode == ("RGBA" if mode in ("LA", "La", "RGBA") else "RGB")
        # Lightness is kept. CMYK has no profile here, and is read as that of a usual press.
        if mode not in ("1", "P", "CMYK"):
            gray = np.asarray(got.convert("RGB").convert("L"), int)
            assert np.abs(gray - levels)[5:-5, 5:-5].mean() < 12

    def test_bytes_of_a_file(self, lite):
        content = Path("examples/coffee.jpg").read_bytes()
        wanted = lite.colorize("examples/coffee.jpg").numpy()
        np.testing.assert_array_equal(lite.colorize(content).numpy(), wanted)
        with pytest.raises(PictureError):
            lite.colorize(content[:2000])
        with open("examples/coffee.jpg", "rb") as file:
            for other in (file, io.BytesIO(content), bytearray(content), memoryview(content)):
                np.testing.assert_array_equal(lite.colorize(other).numpy(), wanted)
        with (
            open("pyproject.toml", encoding="utf-8") as text,
            pytest.raises(ValueError, match="open in binary"),
        ):
            lite.colorize(text)

    def test_the_order_of_bytes_is_no_matter(self, lite, random):
        pixels = random.integers(0, 65536, (20, 30), "uint16")
        swapped = pixels.astype(pixels.dtype.newbyteorder())
        np.testing.assert_array_equal(lite.colorize(swapped), lite.colorize(pixels))

    @pytest.mark.parametrize(
        "picture",
        [
            *(np.zeros((4, 4)), np.zeros(4, np.uint8), np.zeros((4, 4, 5), np.uint8)),
            *(np.zeros((0, 4), np.uint8), None, 5, [[1, 2], [3, 4]]),
        ],
    )
    def test_what_else_is_refused(self, lite, picture):
        with pytest.raises(ValueError, match=r"^`picture` should be .*Received: "):
            lite.colorize(picture)


def test_a_configuration_is_parsed_once(monkeypatch):
    parsed = []
    read = model_folder.read_json
    monkeypatch.setattr(model_folder, "read_json", lambda path: parsed.append(path) or read(path))
    for use in (lambda: Colorizer("lite"), Settings().resolved):
        parsed.clear()
        use()
        assert [path.name for path in parsed] == ["config.json"]
