"""The paths that a file names, or a pipe."""

import codecs
import os
import select
import stat
import sys
import time
from pathlib import Path

from kh_cli.output.errors import WrongUse
from kh_cli.output.streams import STREAM
from kh_zoo.files.plain_files import NO_WAIT

_MOST = 200_000_000
"""Bytes: some million paths."""
_PIECE = 2**20
_PATIENCE = 5
"""Seconds for which a pipe is waited for that nobody has opened to write."""
_OFTEN = 0.05


def listed_paths(listing: Path) -> list[Path]:
    """Read the paths that a file names, one on each line, or zeros between, as `find -print0`.

    Raises:
        WrongUse: It can't be read, has no end, or is a pipe that nobody writes to.
    """
    try:
        content = _standard_input() if listing == STREAM else _content(listing)
    except OSError as error:
        raise WrongUse(
            f"`--from` should be a file with a path on each line. Received: {listing} "
            f"({error.strerror or error})"
        ) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # of Windows
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    names = content.split(b"\0") if b"\0" in content else content.split(b"\n")
    # A name may be no UTF-8.
    paths = [os.fsdecode(name if b"\0" in content else name.rstrip(b"\r")) for name in names]
    return [Path(path) for path in paths if path]


def _standard_input() -> bytes:
    return _bounded(sys.stdin.buffer.read(_MOST + 1))


def _content(path: Path) -> bytes:
    file = os.open(path, os.O_RDONLY | NO_WAIT)
    try:
        pipe = stat.S_ISFIFO(os.fstat(file).st_mode)
        end = time.monotonic() + _PATIENCE
        found = bytearray()
        while len(found) <= _MOST:
            try:
                piece = os.read(file, _PIECE)
            except BlockingIOError:  # who writes is there, and takes their time
                select.select([file], [], [])
                continue
            found += piece
            if piece:
                continue
            if found or not pipe:
                break
            if time.monotonic() > end:
                raise OSError("a pipe that nobody writes to")
            time.sleep(_OFTEN)
        return _bounded(bytes(found))
    finally:
        os.close(file)


def _bounded(content: bytes) -> bytes:
    if len(content) > _MOST:
        raise OSError(f"more than {_MOST:,} bytes")
    return content
