"""`kh export`: a model becomes a folder of its own, for `kh colorize` or for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kh_cli.options.hub_options import CacheDir, Offline, bring, set_hub


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|OWNER/REPO|PATH",
            help="A name from `kh list`, a repository on the Hugging Face Hub, or the folder of a "
            "model or of a training run.",
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
    to: Annotated[
        Literal["kh", "onnx"],
        typer.Option(
            help="onnx: also model.onnx, a graph of one variant that runs on model.safetensors "
            "beside it, from lightness to colour."
        ),
    ] = "kh",
    offline: Offline = False,
    cache_dir: CacheDir = None,
) -> None:
    """Write a model into a folder of its own.

    `kh colorize -m TARGET` runs it without Keras; with `--to onnx`, ONNX Runtime runs it without
    this package too.
    """
    set_hub(offline, cache_dir)
    bring(model, quiet=False)
    from kh_zoo.catalog.export import export_model

    export_model(model, target, precision, to)
    print(target)
