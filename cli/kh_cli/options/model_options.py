"""How a model is named: in one way, by every command."""

from typing import Annotated

import typer

from kh_cli.options.completion import complete_model

WHAT = (
    "A name from `kh list`, the folder of a model or of a training run, or owner/repo[@revision] "
    "on the Hugging Face Hub"
)
"""What names a model, for the help of an argument."""

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        autocompletion=complete_model,
        help=f"{WHAT}, which is pulled unless it was.",
        show_default=False,
    ),
]
Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        autocompletion=complete_model,
        help=f"{WHAT}, which is pulled unless it was; each gets a column.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        "--variant",
        metavar="MODEL",
        autocompletion=complete_model,
        help=f"{WHAT}, which is pulled unless it was. Default: the one that `kh list` marks.",
    ),
]
