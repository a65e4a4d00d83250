"""What comes from outside, as it may be shown to a person."""

import unicodedata


def shown(text: object) -> str:
    """Return text on one line, in which nothing moves the cursor, hides or turns around the rest.

    File names, cards, and what a server says may have escape sequences in them, or marks that let
    text run from right to left; these, and all that has no shape of its own, become what Python
    would write for them.

    Example:

    >>> from kh_zoo.shown import shown
    >>> print(shown("gpj.\\u202eexe\\x1b[2J"))
    gpj.\\u202eexe\\x1b[2J

    Args:
        text: Or a path, or anything else that has a text.

    Returns:
        The same where all of it can be seen.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(char if _harmless(char) else ascii(char)[1:-1] for char in text)


def _harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # spaces of any width
