"""Files that are there whole or not at all, also after a power cut.

A name outlasts it when the file is on the disk before it gets the name, and the folder with the
name after that. All that renames a file to where it belongs does it here.
"""

import errno
import itertools
import os
from pathlib import Path

# What systems say that sync no folders, or none that may not be listed.
_SYNCS_NONE = {
    *(errno.EACCES, errno.EPERM, errno.EINVAL, errno.EBADF, errno.EISDIR),
    *(errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
}


def check_place(target: Path) -> None:
    """Refuse a name that something else than a file has, such as a pipe, a device or a folder.

    Raises:
        FileExistsError: It has.
    """
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "what has its name is no file", str(target))


def put_in_place(written: Path, target: Path) -> None:
    """Give a finished file its name; once this returns, both are on the disk.

    Args:
        written: The file, in the folder of `target` or on the same disk; closed.
        target: Its name. A file that has it is replaced.

    Raises:
        OSError: If that can't be done, or the disk says that it failed.
    """
    check_place(target)
    with written.open("r+b") as file:
        os.fsync(file.fileno())
    os.replace(written, target)
    sync_folder(target.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole, or leave the one that is there as it is.

    Example:

    >>> from pathlib import Path
    >>> from kh_zoo.files.whole_files import write_whole
    >>> write_whole(Path("settings.json"), b"{}")
    >>> Path("settings.json").read_bytes()
    b'{}'

    Args:
        path: The file, in a folder that is there.
        content: All of it.

    Raises:
        OSError: As for `put_in_place`.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, on the disk when this returns, if they are missing.

    Raises:
        OSError: If that can't be done.
    """
    missing = [*itertools.takewhile(lambda folder: not folder.exists(), (path, *path.parents))]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Bring to the disk which names are in a folder, where the system can do that.

    Raises:
        OSError: If the disk says that it failed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _SYNCS_NONE:
            raise
