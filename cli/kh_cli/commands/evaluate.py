"""`kh evaluate`: how good a model is on colour pictures, beside the simplest guesses."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kh_cli.progress import Progress
from kh_cli.stdout import write_record, write_table


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME_OR_RUN",
            help="A name from `kh list`, or the folder of a model or of a training run.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of colour pictures; those of the test split are used.",
            show_default=False,
        ),
    ],
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            max=4096,
            help="Short side, in pixels, that the pictures are brought to, rounded down to a "
            "multiple of 16. Default: what the model was made for.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="What computes: onnx, keras or the engine of a plugin.")
    ] = "onnx",
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON a group. Default: a table.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only errors. Default: progress.")
    ] = False,
) -> None:
    """Measure a model on colour pictures.

    Beside its figures stand those of grey and of the mean colour: what guessing gives. PSNR is
    that of 8-bit sRGB in dB, the error of AB is in CIELAB units, and the explained variance is
    that of AB over the mean colour.
    """
    from kh_zoo.evaluate import evaluate

    with Progress("evaluating", None, quiet=quiet) as progress:
        rows = evaluate(
            model,
            data,
            size=size,
            engine=engine,
            on_picture=lambda done, total: progress.advance(done, total=total),
        )
    if json:
        for row in rows:
            write_record(row)
        return
    columns = ["pictures of", "colours", "PSNR", "RMSE AB", "explained", "colourfulness"]
    write_table(columns, _lines(rows))


def _lines(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Folder by folder: a line for every variant, then the baselines and the truth."""
    lines: list[list[str]] = []
    for folder in dict.fromkeys(row["folder"] for row in rows):
        group = [row for row in rows if row["folder"] == folder]
        name = f"{folder} ({group[0]['pictures']})"
        for row in group:
            lines.append(
                [
                    name,
                    row["variant"],
                    f"{row['psnr']:.2f}",
                    f"{row['rmse_ab']:.2f}",
                    f"{row['explained_variance']:.3f}",
                    f"{row['colorfulness']:.1f}",
                ]
            )
        for kind in ("mean", "gray"):
            psnr, rmse = group[0][f"psnr_{kind}"], group[0][f"rmse_ab_{kind}"]
            label = "mean colour" if kind == "mean" else "grey"
            lines.append([name, label, f"{psnr:.2f}", f"{rmse:.2f}", "", ""])
        lines.append([name, "truth", "", "", "", f"{group[0]['colorfulness_truth']:.1f}"])
    return lines
