"""A ZIP archive that is sent while it is made."""

import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

_PIECE = 2**20


class _Outbox:
    """A file that can only be written to, and is emptied now and then."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        content, self._pieces = b"".join(self._pieces), []
        return content


async def zip_stream(files: AsyncIterator[tuple[str, Path | str]]) -> AsyncIterator[bytes]:
    """Yield a ZIP archive, piece by piece; pictures don't get smaller, so they are only stored.

    Args:
        files: Names in the archive, each with the file, or with its text.
    """
    outbox = _Outbox()
    with zipfile.ZipFile(outbox, "w") as archive:  # type: ignore[call-overload]
        async for name, content in files:
            if isinstance(content, str):
                archive.writestr(name, content)
                continue
            member = zipfile.ZipInfo.from_file(content, name)
            with (
                content.open("rb") as source,
                archive.open(member, "w", force_zip64=True) as target,
            ):
                while piece := source.read(_PIECE):
                    target.write(piece)
                    yield outbox.take()
            yield outbox.take()
    yield outbox.take()
