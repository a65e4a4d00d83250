"""The same pictures through several models side by side: a page to zoom in, or a sheet."""

import dataclasses
import html
import io
import os
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyvips
from PIL import Image, ImageDraw, ImageFont

from kh_zoo.colorizer import Colorizer
from kh_zoo.errors import OutputError, PictureError
from kh_zoo.files.whole_files import write_whole
from kh_zoo.measuring.data_uri import data_uri
from kh_zoo.pictures.joining import gray
from kh_zoo.pictures.output import with_alpha
from kh_zoo.pictures.picture import Picture, unreadable
from kh_zoo.shown import shown

FORMATS = (".html", ".jpg", ".png")
"""Suffixes of what can be written: a page, or a sheet."""
GRAYSCALE = 2.0
"""Levels of 8 bits: a picture whose channels differ by less on average has no colour to show."""
_CELL, _LABEL, _GAP = 224, 18, 4
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1em }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th { position: sticky; top: 0; background: #fff; text-align: left; font-size: 13px }
td { padding: 0 4px 0 0; vertical-align: top }
td > div { overflow: hidden }
img { display: block; width: 100%; cursor: zoom-in; transform-origin: var(--x) var(--y) }
tr.near img { transform: scale(var(--scale)); cursor: zoom-out }
caption, td[colspan] { font-size: 13px; color: #444; text-align: left; overflow-wrap: anywhere }
"""
# A click shows all pictures of a row at their own size, at the spot under the pointer.
_SCRIPT = """
for (const row of document.querySelectorAll("tr.pictures")) {
  row.onclick = event => {
    const image = event.target.closest("img");
    if (!image) return;
    const scale = Math.max(2, image.naturalWidth / image.clientWidth);
    row.style.setProperty("--scale", scale);
    row.classList.toggle("near");
    row.onmousemove(event);
  };
  row.onmousemove = event => {
    const cell = event.target.closest("td");
    if (!cell) return;
    const box = cell.getBoundingClientRect();
    row.style.setProperty("--x", (event.clientX - box.left) / box.width * 100 + "%");
    row.style.setProperty("--y", (event.clientY - box.top) / box.height * 100 + "%");
  };
}
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """One picture in all columns."""

    name: str
    cells: tuple[np.ndarray, ...]
    """In the order of the columns, `(height, width, 3)` of uint8 sRGB each."""


def compare(
    colorizers: dict[str, Colorizer],
    pictures: Iterable[tuple[str, Path]],
    output: str | os.PathLike[str],
    *,
    pixels: int = 1024,
    on_picture: Callable[[int, str, PictureError | None], object] | None = None,
) -> int:
    """Write a page (`.html`) or a sheet (`.jpg`, `.png`) of pictures through several models.

    The columns are the grey picture, each model's colours, and the picture itself, where it has
    colours. A click into the page shows a row's pictures at their own size, all at the same spot.
    The page needs no other file, and no network.

    Args:
        colorizers: Dict from the heading of a column to a `Colorizer`.
        pictures: Pairs of what is written beside a row, and the file.
        output: The page or sheet, which is written when all pictures are done.
        pixels: Longest side of a picture in the page; one that is larger is reduced. On a sheet
            the pictures are small.
        on_picture: Called with the number of pictures done, the name of the last, and the reason
            where it can't be read; it is left out then.

    Returns:
        The number of pictures in it.

    Raises:
        OutputError: If the suffix of `output` is unknown, or it can't be written.
    """
    output = Path(output)
    if output.suffix.lower() not in FORMATS:
        raise OutputError(f"`output` should end in {' or '.join(FORMATS)}. Received: {output}")
    page = output.suffix.lower() == ".html"
    rows = []
    for number, (name, path) in enumerate(pictures, start=1):
        failure = None
        try:
            rows.append(Row(name, _cells(colorizers, path, pixels if page else _CELL)))
        except PictureError as error:
            failure = error
        if on_picture:
            on_picture(number, name, failure)
    if rows:
        headings = ("grey", *colorizers, "picture")
        content = _page(headings, rows).encode() if page else _sheet(headings, rows, output.suffix)
        try:
            write_whole(output, content)
        except OSError as error:
            raise OutputError(f"{output}: {error.strerror or error}") from error
    return len(rows)


def _cells(colorizers: dict[str, Colorizer], path: Path, pixels: int) -> tuple[np.ndarray, ...]:
    picture = Picture(path)
    lightness, alpha = picture.full("random")
    try:
        cells = [_reduced(gray(lightness), pixels)]
        for colorizer in colorizers.values():
            cells.append(_reduced(colorizer.colorize(path), pixels))
        color = picture.colors()
        own = _reduced(with_alpha(color, alpha) if alpha else color, pixels)
    except pyvips.Error as error:
        raise unreadable(error) from error
    # Rounding and JPEG give a grey scan some colour.
    if np.ptp(own.astype(float), axis=-1).mean() >= GRAYSCALE:
        cells.append(own)
    return tuple(cells)


def _reduced(image: pyvips.Image, pixels: int) -> np.ndarray:
    """A picture as 8-bit sRGB on white, of at most so many pixels a side."""
    if image.hasalpha():
        image = image.flatten(background=65535 if image.format == "ushort" else 255)
    image = image.colourspace("srgb")
    small = image.thumbnail_image(pixels, height=pixels, size="down")
    return np.ascontiguousarray(small.numpy()[..., :3])


def _page(headings: Sequence[str], rows: Sequence[Row]) -> str:
    columns = max(len(row.cells) for row in rows)
    head = "".join(f"<th>{_text(text)}</th>" for text in headings[:columns])
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Comparison of colours</title>',
        f"<style>{_STYLE}</style></head><body><table>",
        f"<caption>keras-hypercolumns {version('keras-hypercolumns')}; click to zoom</caption>",
        f"<thead><tr>{head}</tr></thead><tbody>",
    ]
    for row in rows:
        name = _text(row.name)
        cells = "".join(
            f'<td><div><img alt="{name}, {_text(heading)}" src="{data_uri(cell)}"></div></td>'
            for heading, cell in zip(headings, row.cells, strict=False)
        )
        parts.append(f'<tr class="pictures">{cells}</tr>')
        parts.append(f'<tr><td colspan="{columns}">{name}</td></tr>')
    parts.append(f"</tbody></table><script>{_SCRIPT}</script></body></html>\n")
    return "\n".join(parts)


def _sheet(headings: Sequence[str], rows: Sequence[Row], suffix: str) -> bytes:
    """Cells of one size, a picture in the upper left of each, headings above."""
    columns = max(len(row.cells) for row in rows)
    heights = [max(cell.shape[0] for cell in row.cells) + _GAP for row in rows]
    sheet = Image.new("RGB", (columns * (_CELL + _GAP), _LABEL + sum(heights)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LABEL - 6)
    for column, heading in enumerate(headings[:columns]):
        draw.text((column * (_CELL + _GAP), 2), heading, "black", font)
    top = _LABEL
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row.cells):
            sheet.paste(Image.fromarray(cell), (column * (_CELL + _GAP), top))
        top += height
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG" if suffix.lower() == ".jpg" else "PNG", quality=88)
    return buffer.getvalue()


def _text(text: object) -> str:
    """What comes from outside, as a part of a page."""
    return html.escape(shown(text))
