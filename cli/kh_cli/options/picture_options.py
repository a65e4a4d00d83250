"""The options of every command that colours pictures."""

from typing import Annotated

import typer

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
        help="What to compute on. Default: the first GPU that the engine can use, or else the CPU.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(min=1, help="Seconds that a picture may take before it counts as failed."),
]
