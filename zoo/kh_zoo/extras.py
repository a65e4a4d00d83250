"""Packages that colouring pictures does without, and what is said where one is missing."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Around imports: say which extra to install where a package is missing.

    Example:

    >>> from kh_zoo.extras import needs
    >>> try:
    ...     with needs("page", "`kh page`"):
    ...         import no_such_package
    ... except ImportError as error:
    ...     print(error)  # doctest: +NORMALIZE_WHITESPACE
    `kh page` needs more packages: pip install 'keras-hypercolumns[page]'
    (No module named 'no_such_package')

    Args:
        extra: Of this distribution, such as `"evaluate"`.
        what: What needs it, as the beginning of a sentence.

    Raises:
        ImportError: With the line to type.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").startswith(("kh_", "keras_hypercolumns")):
            raise  # a mistake of ours, or said already
        raise ImportError(
            f"{what} needs more packages: pip install 'keras-hypercolumns[{extra}]' ({error})"
        ) from error
