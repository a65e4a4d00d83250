"""The one folder of colour pictures that a command measures on."""

from pathlib import Path

from kh_cli.output.errors import WrongUse


def single_folder(folders: list[Path]) -> Path:
    """Return the only value of `--data`, which `kh train` takes several of: none is left out.

    Raises:
        WrongUse: There are more.
    """
    if len(folders) > 1:
        raise WrongUse(
            "`--data` should be a single folder, which may have others in it. "
            f"Received: {', '.join(map(str, folders))}"
        )
    return folders[0]
