"""What is printed, for people or for programs, and how much; what is written over."""

from typing import Annotated

import typer

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON for programs, a line for each result. Default: for people."
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Only errors, no progress and no summary. Default: all three."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace the output. Default: one that is there stays."),
]
