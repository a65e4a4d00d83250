"""`kh export`: a trained run becomes a model folder that `kh colorize` runs without Keras."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            exists=True,
            file_okay=False,
            help="Folder of a training run.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            file_okay=False,
            help="Folder to write the model into.",
            show_default=False,
        ),
    ],
    precision: Annotated[
        Literal["float32", "int8"],
        typer.Option(help="Of the trunk's kernels: int8 is a quarter of the bytes of float32."),
    ] = "int8",
) -> None:
    """Write the model of a run into a folder of its own.

    `kh colorize -m TARGET` runs it without Keras.
    """
    from kh_zoo.catalog.export import export_run

    export_run(run, target, precision)
    print(target)
