"""`kh export`: a model becomes a folder of its own, for `kh colorize` or for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
from kh_cli.options.model_options import Model
from kh_cli.options.output_options import check_absent
from kh_cli.output.errors import WrongUse
from kh_cli.output.stdout import write_line
from kh_zoo.extras import needs

_FILES = (".onnx", ".tflite", ".safetensors", ".html")
"""Suffixes of what lies in such a folder, and is taken for it."""


def export(
    model: Model,
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
        Literal["kh", "onnx", "litert", "web"],
        typer.Option(
            help="onnx: also model.onnx, a graph of one variant that runs on model.safetensors "
            "beside it, from lightness to colour. litert: the same as model.tflite, for phones, "
            "with its float32 weights in it. web: a page that colours pictures in the "
            "browser that shows it."
        ),
    ] = "kh",
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="With --to onnx: one file, from an sRGB picture to the coloured one. "
            "Default: off.",
        ),
    ] = False,
    runtime: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="With --to web: the folder or .tgz of the npm package onnxruntime-web. "
            "Default: npm brings it.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Write into a folder that has files, and replace those of the same names. "
            "Default: it is refused.",
        ),
    ] = False,
    offline: Offline = False,
    cache_dir: CacheDir = None,
) -> None:
    """Write a model into a folder of its own.

    `kh colorize -m TARGET` runs it without Keras; with `--to onnx`, ONNX Runtime runs it without
    this package too.
    """
    if target.suffix.lower() in _FILES and not target.is_dir():
        raise WrongUse(f"`TARGET` should be a folder, for several files. Received: {target}")
    check_absent("TARGET", target, overwrite)
    set_hub(offline, cache_dir)
    pull_model(model, quiet=False)
    if to == "web":
        if whole or precision == "float32":
            raise WrongUse("`--to web` has a whole graph of int8 weights, and takes no other")
        from kh_zoo.web.web_folder import write_web_folder

        write_web_folder(model, target, runtime)
    elif to == "litert":
        if whole or runtime:
            raise WrongUse("`--whole` and `--runtime` don't go with `--to litert`")
        with needs("tensorflow", "`--to litert`"):
            from kh_zoo.with_keras.litert import export_litert

        export_litert(model, target)
    elif runtime:
        raise WrongUse("`--runtime` goes with `--to web`")
    else:
        from kh_zoo.catalog.export import export_model

        export_model(model, target, precision, to, whole)
    write_line(target)
