"""The report of an evaluation: one HTML page that needs no other file."""

import html
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from kh_zoo.colors.lab import srgb_to_lab
from kh_zoo.engines import DEFAULT_ENGINE, create_engine
from kh_zoo.engines.predict import predict_ab
from kh_zoo.files.whole_files import write_whole
from kh_zoo.measuring.data_uri import data_uri
from kh_zoo.measuring.evaluate import join, load_rgb, open_heads
from kh_zoo.shown import shown

_COLUMNS = {
    "psnr": ("PSNR, dB", "{:.2f}"),
    "rmse_ab": ("RMSE AB", "{:.2f}"),
    "explained_variance": ("explained variance", "{:.3f}"),
    "ciede2000": ("CIEDE2000", "{:.2f}"),
    "ssim": ("SSIM", "{:.3f}"),
    "auc": ("AuC", "{:.3f}"),
    "auc_rebalanced": ("AuC, rebalanced", "{:.3f}"),
    "colorfulness": ("colourfulness", "{:.1f}"),
    "colorfulness_difference": ("less truth", "{:+.1f}"),
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
small { color: #666; white-space: nowrap }
figure { display: inline-block; margin: 0 1.5em 1.5em 0 }
figcaption { font-size: 13px; color: #444; overflow-wrap: anywhere }
img { image-rendering: auto; max-width: 100% }
"""


def write_report(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    rows: Sequence[dict[str, Any]],
    *,
    engine: str = DEFAULT_ENGINE,
    vivid: bool = False,
) -> None:
    """Write what `evaluate` returned as a page, with the best, the median and the worst pictures.

    Args:
        path: The page.
        model: As it was given to `evaluate`.
        data: As it was given to `evaluate`.
        rows: What it returned.
        engine: As it was given to `evaluate`.
    """
    folder, heads = open_heads(model, vivid)
    engines = {head: create_engine(engine, folder, head) for head in heads}
    title = f"Colours of {_text(model)}"
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        f"<p>Test split of {_text(Path(data).name)}, short side {rows[0]['size']} px; "
        f"keras-hypercolumns {version('keras-hypercolumns')}, engine {_text(engine)}. "
        "In small, the 95 % bootstrap interval over the pictures. "
        "PSNR, CIEDE2000, SSIM and colourfulness are means over the pictures; RMSE, explained "
        "variance and AuC are over all pixels.</p>",
    ]
    for group in dict.fromkeys(row["folder"] for row in rows):
        of_group = [row for row in rows if row["folder"] == group]
        name = _text(group)
        parts.append(f"<h2>{name}, {of_group[0]['pictures']} pictures</h2>{_table(of_group)}")
        for row in of_group:
            parts.append(f"<h3>{_text(row['variant'])} on {name}: grey, predicted, truth</h3>")
            for which in ("best", "median", "worst"):
                source = Path(data) / row[which]
                picture = _picture(source, row, engines[row["variant"]])
                caption = f"{which}: {_text(row[which])}"
                parts.append(
                    f'<figure><img alt="{caption}" src="{picture}">'
                    f"<figcaption>{caption}</figcaption></figure>"
                )
    parts.append("</body></html>\n")
    write_whole(Path(path), "\n".join(parts).encode())


def _table(rows: Sequence[dict[str, Any]]) -> str:
    head = "".join(f"<th>{label}</th>" for label, _ in _COLUMNS.values())
    lines = [f"<tr><th></th>{head}</tr>"]
    for row in rows:
        cells = []
        for key, (_, form) in _COLUMNS.items():
            low, high = row["intervals"][key]
            cells.append(
                f"<td>{form.format(row[key])}<br><small>{form.format(low)} to {form.format(high)}"
                "</small></td>"
            )
        lines.append(f"<tr><td>{_text(row['variant'])}</td>{''.join(cells)}</tr>")
    for kind, label in (("mean", "mean colour"), ("gray", "grey")):
        values = [
            form.format(rows[0][f"{key}_{kind}"]) if f"{key}_{kind}" in rows[0] else ""
            for key, (_, form) in _COLUMNS.items()
        ]
        cells = [f"<td>{value}</td>" for value in values]
        lines.append(f"<tr><td>{label}</td>{''.join(cells)}</tr>")
    truth = rows[0]["colorfulness_truth"]
    lines.append(
        f"<tr><td>truth</td>{'<td></td>' * (len(_COLUMNS) - 2)}<td>{truth:.1f}</td><td></td></tr>"
    )
    return f"<table>{''.join(lines)}</table>"


def _picture(path: Path, row: dict[str, Any], engine: Any) -> str:
    """Grey, prediction and truth side by side, as an address that holds the picture itself."""
    rgb = load_rgb(path, row["size"])
    lightness = srgb_to_lab(rgb / 255)[..., :1]
    ab = row["saturation"] * predict_ab(engine, lightness[..., 0])
    three = np.concatenate([join(lightness, 0 * ab), join(lightness, ab), rgb.round()], axis=1)
    return data_uri(three.astype("uint8"))


def _text(text: object) -> str:
    """What comes from outside, as a part of a page."""
    return html.escape(shown(text))
