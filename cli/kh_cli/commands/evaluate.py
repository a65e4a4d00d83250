"""`kh evaluate`: how good a model is on colour pictures, beside the simplest guesses."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kh_cli.options.data_option import single_folder
from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
from kh_cli.options.model_options import Model
from kh_cli.options.output_options import Json, Quiet, check_suffix, prepare_place
from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_record, write_table


def evaluate(
    model: Model,
    data: Annotated[
        list[Path],
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of colour pictures; those of the test split are used, a twentieth.",
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
    vivid: Annotated[
        bool,
        typer.Option(
            "--vivid",
            help="Measure the vivid head instead of the one that errs least. Default: that one; of "
            "a folder, all heads.",
        ),
    ] = False,
    saturation: Annotated[
        float,
        typer.Option(min=0, max=10, help="Factor of the colours' strength, as for `kh colorize`."),
    ] = 1.0,
    every_picture: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Measure on all pictures, for few of them that the model did not learn from. "
            "Default: on the test split alone.",
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            metavar="FILE.html",
            help="Write a page with all figures, their intervals, and the best, the median and the "
            "worst pictures. Default: none.",
            show_default=False,
        ),
    ] = None,
    offline: Offline = False,
    cache_dir: CacheDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model on colour pictures.

    The test split is made by the names of the pictures, below the data folder: those whose sha256,
    as a number, is a multiple of 20, whatever else is in the folder. `kh train` leaves them out.

    Beside its figures stand those of grey and of the mean colour: what guessing gives. PSNR is
    that of 8-bit sRGB in dB, the error of AB is in CIELAB units, and the explained variance is that
    of AB over the mean colour. `--json` and `--report` also have the structural similarity, the
    area under the curve of the error of AB, and the interval of each figure.
    """
    folder = single_folder(data)
    check_suffix("--report", report, ".html")
    if report is not None:
        prepare_place("--report", report)
    set_hub(offline, cache_dir)
    pull_model(model, quiet)
    from kh_zoo.measuring.evaluate import evaluate

    with Progress("evaluating", None, quiet=quiet) as progress:
        rows = evaluate(
            model,
            folder,
            size=size,
            engine=engine,
            vivid=vivid,
            saturation=saturation,
            every_picture=every_picture,
            on_picture=lambda done, total: progress.advance(done, total=total),
        )
    if report is not None:
        from kh_zoo.measuring.report import write_report

        write_report(report, model, folder, rows, engine=engine, vivid=vivid)
        if not quiet:
            tell(f"report: {report}")
    if json:
        for row in rows:
            write_record(row)
        return
    # What fits in 80 columns.
    columns = ["pictures", "colours", "PSNR", "RMSE AB", "explained", "CIEDE2000", "colourfulness"]
    write_table(columns, _lines(rows))


def _lines(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Folder by folder: a line for every variant, then the baselines and the truth."""
    lines: list[list[str]] = []
    for folder in dict.fromkeys(row["folder"] for row in rows):
        group = [row for row in rows if row["folder"] == folder]
        name = f"{group[0]['pictures']} {folder}"
        for row in group:
            explained, vivid = f"{row['explained_variance']:.3f}", f"{row['colorfulness']:.1f}"
            lines.append([name, row["variant"], *_figures(row, "", explained), vivid])
        for kind, label in (("_mean", "mean colour"), ("_gray", "grey")):
            lines.append([name, label, *_figures(group[0], kind, ""), ""])
        truth = f"{group[0]['colorfulness_truth']:.1f}"
        lines.append([name, "truth", *[""] * 4, truth])
    return lines


def _figures(row: dict[str, Any], kind: str, explained: str) -> list[str]:
    return [
        f"{row[f'psnr{kind}']:.2f}",
        f"{row[f'rmse_ab{kind}']:.2f}",
        explained,
        f"{row[f'ciede2000{kind}']:.2f}",
    ]
