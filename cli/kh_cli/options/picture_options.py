"""The options of every command that colours pictures."""

from typing import Annotated

import typer

from kh_cli.options.completion import complete_format, completes

Quality = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=100,
        help="Of a file format that loses detail. Default: 92 for jpg, 90 for webp, 75 for avif.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|gpu|gpu:N",
        autocompletion=completes("auto", "cpu", "gpu"),
        help="What to compute on. Default: the first GPU that the engine can use, or else the CPU.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(min=1, help="Seconds that a picture may take before it counts as failed."),
]
Size = Annotated[
    int | None,
    typer.Option(
        min=16,
        max=4096,
        help="Short side, in pixels, of the copy that the colours are predicted on, rounded to "
        "a multiple of 16. The output keeps the input's size. Default: what `kh show` says.",
    ),
]
Saturation = Annotated[
    float,
    typer.Option(
        min=0,
        max=10,
        help="Factor of the colours' strength: 0 is grey, 1 is as predicted.",
    ),
]
Vivid = Annotated[
    bool,
    typer.Option(
        "--vivid",
        help="Take the model's head that dares: strong colours, more often wrong. `kh show` "
        "says whether it has one. Default: the one that errs least.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="SUFFIX",
        autocompletion=complete_format,
        help="File format to write, such as jpg, png, webp, tif or avif. Default: the input's, "
        "or png where that can't be written.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        autocompletion=completes("onnx", "keras"),
        help="What computes: onnx; keras (slower; on the backend set for Keras); or the engine "
        "of a plugin. Default: onnx, or keras for a Keras model that runs on nothing else.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Pictures at a time; each takes memory for a model. Default: as many as cores, at "
        "most 4.",
    ),
]
