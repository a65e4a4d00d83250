"""A picture is coloured, and what came of it is said."""

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kh_zoo.errors import OutputError, PictureError, causes
from kh_zoo.memory import is_near_limit, is_out_of_memory
from kh_zoo.plugins.describe import describe
from kh_zoo.workers.answer import Answer
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.stamp import Stamp

if TYPE_CHECKING:
    from kh_zoo.colorizer import Colorizer


def colorize(colorizer: "Colorizer", source: Path, target: Path, settings: Settings) -> Answer:
    """Colour a picture, in this process; nothing that goes wrong is raised.

    Args:
        colorizer: Of `settings.colorizer()`; for any number of pictures.
        source: The picture.
        target: The output.
        settings: How it is coloured.
    """
    started = time.monotonic()
    try:
        before = Stamp.of(source)
        if before is None and source.exists() and not source.is_file():
            raise PictureError("no file any more")
        notes = colorizer.colorize_file(
            source, target, quality=settings.quality, compare=settings.compare
        )
        # Behind the colouring: of a file of terabytes that is no picture, nothing is summed up.
        read, written = Stamp.of(source, digest=True), Stamp.of(target)
        if before is None or read is None or written is None:
            raise OutputError("vanished while it was coloured")
        if (read.size, read.mtime_ns) != (before.size, before.mtime_ns):
            read = before  # by which it has changed since
    except Exception as error:
        return Answer(
            reason=describe(error),
            seconds=time.monotonic() - started,
            fatal=_disk_full(error),
            short_of_memory=is_out_of_memory(error) or is_near_limit(),
        )
    return Answer(None, read, written, notes, time.monotonic() - started)


def _disk_full(error: BaseException) -> bool:
    """Whether the disk is full, so that every further picture would fail too."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(
        (isinstance(one, OSError) and one.errno in full)
        or any(os.strerror(number) in str(one) for number in full)  # libvips has but the text
        for one in causes(error)
    )
