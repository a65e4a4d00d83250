"""What is shown to a person: text from outside, and numbers of things."""

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


def counted(number: int, thing: str) -> str:
    """Return a number of things, with an s where it is not one.

    Example:

    >>> from kh_zoo.shown import counted
    >>> counted(1, "model"), counted(2, "model"), counted(0, "model")
    ('1 model', '2 models', '0 models')

    Args:
        number: How many there are.
        thing: What one of them is called.

    Returns:
        Both.
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # spaces of any width
