"""Which files are films, and what is written for them."""

from pathlib import Path

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
"""Suffixes of films that are read and written, and what FFmpeg calls the formats."""
READ = (*FORMATS, ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".vob", ".wmv", ".flv", ".3gp")
"""Suffixes of films that are read."""
FALLBACK = ".mkv"
"""What is written where the film's own format can't be: it has a place for everything."""
CODECS = ("h264", "hevc", "av1", "ffv1")


def is_film(path: Path) -> bool:
    """Whether a file is taken for a film, by its suffix.

    Example:

    >>> from pathlib import Path
    >>> from kh_zoo.films.kinds import is_film
    >>> is_film(Path("wedding.MOV")), is_film(Path("wedding.jpg"))
    (True, False)
    """
    return path.suffix.lower() in READ
