"""A file of which libvips reads a few bytes other than they are."""

import bisect
import os
from pathlib import Path

import pyvips


def patched_source(path: Path, patches: dict[int, bytes], tail: bytes) -> pyvips.SourceCustom:
    """Open a file for libvips.

    Args:
        path: The file.
        patches: What is read in place of its own bytes, by position.
        tail: What is read behind its end.

    Returns:
        A source, for `pyvips.Image.new_from_source`.
    """
    size = path.stat().st_size
    position = 0
    starts = sorted(patches)
    longest = max(map(len, patches.values()), default=0)

    # Opened for each piece: libvips does not say when it has done with a source.
    def read(wanted: int) -> bytes:
        nonlocal position
        try:
            with path.open("rb") as file:
                file.seek(position)
                content = bytearray(file.read(wanted))
        except OSError:
            return b""  # which libvips takes for the end
        first = bisect.bisect_left(starts, position - longest)
        for at in starts[first : bisect.bisect_left(starts, position + len(content))]:
            for offset, byte in enumerate(patches[at], start=at - position):
                if 0 <= offset < len(content):
                    content[offset] = byte
        behind = max(position + len(content) - size, 0)
        content += tail[behind : behind + wanted - len(content)]
        position += len(content)
        return bytes(content)

    def seek(offset: int, whence: int) -> int:
        nonlocal position
        start = {os.SEEK_SET: 0, os.SEEK_CUR: position, os.SEEK_END: size + len(tail)}[whence]
        position = start + offset
        return position

    source = pyvips.SourceCustom()
    source.on_read(read)
    source.on_seek(seek)
    return source
