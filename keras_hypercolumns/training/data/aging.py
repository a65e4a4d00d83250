"""What age, scanners and mounts do to the lightness of a picture, while its colour stays.

A colorizer that has seen only clean pictures takes grain for texture, a faded black for fog, and a
grey mount for a sky. So some of the pictures that it learns from are aged: their L changes, their A
and B do not. Mounts and pages of text, which have no colour, teach it to leave grey what is grey.

All are functions of arrays and a `numpy.random.Generator`. Lightness is `(height, width)`, float32,
0..100; sRGB is `(height, width, 3)`, uint8.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)
_EYE = (0.2126729, 0.7151522, 0.0721750)
_SUPERSAMPLING = 2


def lightness_of(rgb: np.ndarray, sensitivity: Sequence[float] = _EYE) -> np.ndarray:
    """Return L of sRGB, as an eye sees it, or a film of another sensitivity to R, G and B.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns.training.data.aging import lightness_of
    >>> red = np.full((1, 1, 3), (255, 0, 0), "uint8")
    >>> round(float(lightness_of(red)[0, 0]), 1), float(lightness_of(red, (0.0, 0.5, 0.5))[0, 0])
    (53.2, 0.0)
    """
    luminance = _LINEAR[rgb] @ np.asarray(sensitivity)
    cube = np.where(luminance > 0.008856, np.cbrt(luminance), 7.787037 * luminance + 16 / 116)
    return _clipped(116 * cube - 16)


def aged(lightness: np.ndarray, rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Age a picture: each of the effects below has its chance, in the order of their causes.

    Args:
        lightness: L of the picture.
        rgb: Its sRGB, for the film.
        random: Decides which, and how much.
    """
    if random.random() < 0.25:
        lightness = emulsion(rgb, random)
    for chance, effect in (
        (0.3, blurred),
        (0.6, faded),
        (0.2, unevenly_lit),
        (0.4, grainy),
        (0.2, scratched),
    ):
        if random.random() < chance:
            lightness = effect(lightness, random)
    return lightness


def emulsion(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The lightness on another film: old ones hardly saw red, and saw blue well."""
    return lightness_of(rgb, random.dirichlet((0.7, 1.5, 1.5)).tolist())


def blurred(lightness: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A soft lens, or a small scan that was enlarged."""
    height, width = lightness.shape
    share = random.uniform(0.3, 0.8)
    image = Image.fromarray(lightness)
    small = image.resize(
        (max(8, int(width * share)), max(8, int(height * share))), Image.Resampling.BILINEAR
    )
    return _clipped(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)))


def faded(lightness: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Black that is grey and white that is dull, and another gamma."""
    black, white = random.uniform(0, 30), random.uniform(65, 100)
    return _clipped(black + (white - black) * (lightness / 100) ** random.uniform(0.6, 1.7))


def unevenly_lit(lightness: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Dark corners, and a side that is lighter than the other."""
    rows, columns = _places(lightness.shape)
    corners = 1 - random.uniform(0, 1) * (rows**2 + columns**2)
    return _clipped(lightness * corners + random.uniform(0, 25) * _slope(rows, columns, random))


def grainy(lightness: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Grain of one pixel, or of two."""
    height, width = lightness.shape
    grain = random.normal(0, 1, (height, width)).astype("float32")
    if random.random() < 0.5:
        coarse = Image.fromarray(grain[::2, ::2])
        grain = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return _clipped(lightness + grain * random.uniform(0.5, 7))


def scratched(lightness: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Scratches and specks, light and dark."""
    height, width = lightness.shape
    damage = Image.new("F", (width, height), 0)
    pen = ImageDraw.Draw(damage)
    for _ in range(random.integers(1, 14)):
        x, y = random.uniform(0, width), random.uniform(0, height)
        change = float(random.uniform(-50, 50))
        if random.random() < 0.6:
            length, angle = random.uniform(5, width), random.uniform(0, 2 * np.pi)
            end = (x + length * np.cos(angle), y + length * np.sin(angle))
            pen.line((x, y, *end), fill=change)
        else:
            radius = random.uniform(0.5, 3)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=change)
    return _clipped(lightness + np.asarray(damage))


def mounted_side(size: int, random: np.random.Generator) -> int:
    """Side of a square picture that is mounted on a square of `size` pixels."""
    return int(size * random.uniform(0.5, 0.92))


def mounted(rgb: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Lay a picture on a neutral square of `size` pixels, in the middle or not, framed or not."""
    height, width, _ = rgb.shape
    # Paper is light more often than not.
    shade = random.uniform(0 if random.random() < 0.5 else 200, 256)
    square = np.full((size, size, 3), int(shade), "uint8")
    top, left = (size - height) // 2, (size - width) // 2
    if random.random() < 0.4:
        top, left = random.integers(0, (size - height + 1, size - width + 1))
    if random.random() < 0.4:
        edge = random.integers(1, 6)
        frame = np.s_[
            max(top - edge, 0) : top + height + edge, max(left - edge, 0) : left + width + edge
        ]
        square[frame] = int(random.uniform(0, 256))
    square[top : top + height, left : left + width] = rgb
    return square


def neutral_page(size: int, random: np.random.Generator) -> np.ndarray:
    """The lightness of something that has no colour: a flat grey, a gradient, text or line art."""
    page = (flat, gradient, text, glyphs, line_art)[random.integers(5)](size, random)
    if random.random() < 0.5:
        page = page + random.normal(0, random.uniform(0.2, 4), page.shape)
    return _clipped(page)


def flat(size: int, random: np.random.Generator) -> np.ndarray:
    """One grey."""
    return np.full((size, size), random.uniform(0, 100), "float32")


def gradient(size: int, random: np.random.Generator) -> np.ndarray:
    """A grey that changes from one side to the other."""
    slope = _slope(*_places((size, size)), random)
    return _clipped(random.uniform(0, 100) + random.uniform(10, 60) * slope)


def text(size: int, random: np.random.Generator) -> np.ndarray:
    """Lines of random characters, on paper or on a dark ground."""
    page, pen, ink = _paper(size, random)
    height = int(random.integers(8, 24))
    for y in range(int(random.integers(0, height)), page.height, int(height * 1.3)):
        words = (
            random.integers(33, 123, random.integers(1, 9)) for _ in range(page.width // height)
        )
        line = " ".join("".join(map(chr, word)) for word in words)
        pen.text((int(random.integers(0, height)), y), line, ink, font_size=height)
    return _printed(page)


def glyphs(size: int, random: np.random.Generator) -> np.ndarray:
    """Lines of small boxes, as of no script in particular."""
    page, pen, ink = _paper(size, random)
    height = int(random.integers(5, 18))
    margin = int(random.integers(0, 30))
    for y in range(int(random.integers(0, 20)), page.height, int(height * 1.6)):
        x = float(margin)
        while x < page.width - margin:
            for _ in range(random.integers(2, 9)):
                right = x + height * 0.3 * random.uniform(0.3, 1)
                top, bottom = (
                    y + height * random.uniform(0, 0.4),
                    y + height * random.uniform(0.6, 1),
                )
                filled = ink if random.random() < 0.3 else None
                pen.rectangle((x, top, right, bottom), outline=ink, fill=filled)
                x += height * 0.55
            x += height
    return _printed(page)


def line_art(size: int, random: np.random.Generator) -> np.ndarray:
    """Lines, circles, boxes and arcs."""
    page, pen, ink = _paper(size, random)
    for _ in range(random.integers(3, 25)):
        (x, y), (width, height) = random.uniform(0, page.width, 2), random.uniform(5, page.width, 2)
        box, thick = (x, y, x + width, y + height), int(random.integers(1, 6))
        shape = random.integers(4)
        if shape == 0:
            pen.line([tuple(p) for p in random.uniform(0, page.width, (4, 2))], ink, thick)
        elif shape == 1:
            pen.ellipse(box, outline=ink, width=thick)
        elif shape == 2:
            pen.rectangle(box, outline=ink, width=thick)
        else:
            start, end = random.uniform(0, 360, 2).tolist()
            pen.arc(box, start, end, fill=ink, width=thick)
    return _printed(page)


def _paper(size: int, random: np.random.Generator) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """A page, a pen, and the grey of the ink: dark on light four times of five."""
    light = random.random() < 0.8
    paper = random.uniform(190, 256) if light else random.uniform(0, 60)
    ink = random.uniform(0, 90) if light else random.uniform(160, 256)
    side = size * _SUPERSAMPLING
    page = Image.new("L", (side, side), int(paper))
    return page, ImageDraw.Draw(page), int(ink)


def _printed(page: Image.Image) -> np.ndarray:
    size = page.width // _SUPERSAMPLING
    return np.asarray(page.resize((size, size), Image.Resampling.BOX), "float32") / 2.55


def _places(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, from -0.5 to 0.5."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return rows / shape[0] - 0.5, columns / shape[1] - 0.5


def _slope(rows: np.ndarray, columns: np.ndarray, random: np.random.Generator) -> np.ndarray:
    angle = random.uniform(0, 2 * np.pi)
    return np.asarray(np.cos(angle) * columns + np.sin(angle) * rows)


def _clipped(lightness: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(lightness, 0, 100).astype("float32")
    return clipped
