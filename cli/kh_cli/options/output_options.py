"""What is printed, for people or for programs, and how much; what is written over."""

from pathlib import Path
from typing import Annotated

import typer

from kh_cli.output.errors import WrongUse

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


def prepare_place(path: Path, option: str) -> None:
    """See to it, before the work that would be lost, that a file can be written.

    Raises:
        WrongUse: What has its name is no file, such as a pipe, or its folder can't be made.
    """
    from kh_zoo.files.whole_files import check_place

    try:
        check_place(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUse(
            f"`{option}` should be a file that can be written. Received: {path} ({error.strerror})"
        ) from error
