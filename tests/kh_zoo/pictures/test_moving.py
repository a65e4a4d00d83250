"""The first frame of files that move, on the canvas that it may not fill."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from kh_zoo.colorizer import Colorizer
from kh_zoo.pictures.picture import Picture

CANVAS = (30, 20)
RAMP = np.add.outer(np.arange(12), np.arange(16)).astype(np.uint8) * 4 + 4
WHITE_FIRST = bytes(255 - value // 3 for value in range(384))


def _gif(folder, left, top, size=CANVAS, *, table=WHITE_FIRST, own=b"", clear=None, more=b""):
    """Pixels of `RAMP` at a place, in a table of 128 colours: of the file, of the frame, or none.

    `clear` is the index that is transparent.
    """
    fields = 0x86 if table else 0
    content = b"GIF89a" + struct.pack("<HHBBB", *size, fields, 3, 0) + table
    if clear is not None:
        content += b"!\xf9\4\1\0\0" + bytes([clear]) + b"\0"
    frame = struct.pack("<4HB", left, top, *RAMP.shape[::-1], 0x86 if own else 0) + own
    path = folder / "a.gif"
    path.write_bytes(content + b"," + frame + _packed() + more + b";")
    return path


def _packed():
    """LZW whose table is cleared before its codes, all of 8 bits, become longer."""
    codes = b"".join(b"\x80" + RAMP.tobytes()[at : at + 64] for at in range(0, RAMP.size, 64))
    codes += b"\x81"
    assert len(codes) < 256
    return b"\7" + bytes([len(codes)]) + codes + b"\0"


def _webp(folder, left, top):
    """The same in WebP."""

    def chunk(kind, body):
        return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

    def number(value):
        return value.to_bytes(3, "little")

    encoded = io.BytesIO()
    Image.fromarray(RAMP).save(encoded, "WEBP", lossless=True)
    sizes = [number(side - 1) for side in (*CANVAS, *RAMP.shape[::-1])]
    place = number(left // 2) + number(top // 2)
    frame = place + sizes[2] + sizes[3] + number(100) + b"\0" + encoded.getvalue()[12:]
    content = b"WEBP" + chunk(b"VP8X", b"\x12\0\0\0" + sizes[0] + sizes[1])
    content += chunk(b"ANIM", bytes(6)) + chunk(b"ANMF", frame)
    path = folder / "a.webp"
    path.write_bytes(chunk(b"RIFF", content))
    return path


KINDS = {
    "at the top left": (0, 0, _gif, {}),
    "in the middle": (6, 4, _gif, {}),
    "a table of its own": (6, 4, _gif, {"table": b"", "own": WHITE_FIRST}),
    "colours": (14, 8, _gif, {"table": bytes(range(100, 228)) * 3}),
    "beyond the canvas": (20, 4, _gif, {}),
    "some of it transparent": (6, 4, _gif, {"clear": 60}),
    "a frame behind it": (
        *(6, 4, _gif),
        {"more": b"," + struct.pack("<4HB", 0, 0, 16, 12, 0) + _packed()},
    ),
    "webp": (6, 4, _webp, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_around_the_first_frame_is_nothing(kind, tmp_path):
    """As browsers show it. Its colour is what Pillow takes there, the first of the table."""
    left, top, write, options = KINDS[kind]
    path = write(tmp_path, left, top, **options)
    with Image.open(path) as image:
        wanted = np.asarray(image.convert("RGBA"))
    lightness, alpha = Picture(path).full()
    assert (lightness.width, lightness.height) == wanted.shape[1::-1]
    covered = np.zeros(wanted.shape[:2], bool)
    covered[top : top + 12, left : left + 16] = True
    shown = wanted[..., 3] > 0
    np.testing.assert_array_equal(alpha.numpy() > 0, covered & shown)
    np.testing.assert_allclose(
        lightness.numpy()[shown], rgb2lab(wanted[..., :3])[..., 0][shown], atol=0.02
    )


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_it_is_coloured_so(suffix, tmp_path):
    class Gray:
        def predict_ab(self, lightness):
            return np.zeros((*lightness.shape, 2), np.float32)

    written = tmp_path / f"a.{suffix}"
    path = _gif(tmp_path, 6, 4, table=bytes(v // 3 for v in range(384)))
    Colorizer(Gray(), size=16).colorize_file(path, written)
    with Image.open(written) as image:
        pixels = np.asarray(image.convert("LA"))
    covered = np.zeros((20, 30), bool)
    covered[4:16, 6:22] = True
    if suffix == "png":
        np.testing.assert_array_equal(pixels[..., 1] > 0, covered)
    else:  # which is laid on the white of a page
        assert pixels[:3, ..., 0].min() > 240
    atol = 1 if suffix == "png" else 40
    np.testing.assert_allclose(pixels[6:14, 8:20, 0], RAMP[2:10, 2:14].astype(int), atol=atol)


def test_a_frame_that_fills_the_canvas_has_no_alpha(tmp_path):
    assert Picture(_gif(tmp_path, 0, 0, (16, 12))).full()[1] is None
