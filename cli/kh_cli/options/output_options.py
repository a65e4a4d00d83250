"""What is printed, for people or for programs, and how much; what is written over."""

import os
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


def prepare_place(option: str, path: Path) -> None:
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


def check_absent(option: str, output: Path, overwrite: bool) -> None:
    """Refuse an output that is there; a folder counts as there when something is in it.

    Raises:
        WrongUse: It is, and `overwrite` is not given.
    """
    there = any(output.iterdir()) if output.is_dir() else os.path.lexists(output)
    if there and not overwrite:
        raise WrongUse(
            f"`{option}` should not be there yet, or `--overwrite` be given. Received: {output}"
        )


def check_suffix(option: str, output: Path | None, *suffixes: str) -> None:
    """Refuse an output that would be called what it is not, such as a picture.

    Raises:
        WrongUse: Its suffix is another one.
    """
    if output is not None and output.suffix.lower() not in suffixes:
        raise WrongUse(f"`{option}` should end in {' or '.join(suffixes)}. Received: {output}")
