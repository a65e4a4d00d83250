"""`-`: a picture from standard input, and one to standard output."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kh_cli.output.errors import WrongUse

STREAM = Path("-")
_SUFFIXES = {
    **{"jpegload": ".jpg", "pngload": ".png", "webpload": ".webp", "tiffload": ".tif"},
    "heifload": ".avif",
}


def as_stream(path: Path, number: int) -> Path:
    """`-` for what names standard input (0) or output (1): in another process it would name its."""
    names = (f"/dev/{('stdin', 'stdout')[number]}", f"/dev/fd/{number}", f"/proc/self/fd/{number}")
    return STREAM if str(path) in names else path


@contextlib.contextmanager
def streams(
    paths: list[Path], output: Path | None, suffix: str | None, json: bool
) -> Iterator[tuple[list[Path], Path | None, dict[Path, str]]]:
    """Put files in the place of `-`; what is written to that of standard output is sent at the end.

    Files, since libvips reads a picture twice, and an output is sent whole or not at all.

    Yields:
        The paths and the output that are files, and by what names they are told of.
    """
    reads = STREAM in paths
    writes = output == STREAM or (reads and output is None)
    if not reads and not writes:
        yield paths, output, {}
        return
    if len(paths) > 1 or paths[0].is_dir():
        raise WrongUse(
            "`-` should be alone: a single picture from standard input or to standard output. "
            f"Received: {', '.join(map(str, paths))}"
        )
    if reads and sys.stdin.isatty():
        raise WrongUse("`-` should be a picture from a pipe or a file, where standard input is one")
    if writes and json:
        raise WrongUse("`--json` should not be given where the picture goes to standard output")
    if writes and sys.stdout.isatty():
        raise WrongUse("`--output` should be a file, or `-` where standard output is no terminal")
    if reads and not writes and output is not None and output.is_dir():
        raise WrongUse(
            "`--output` should be a file name, or `-`, for a picture from standard input. "
            f"Received: {output}"
        )
    from kh_zoo.batches.plan import PlanError

    with tempfile.TemporaryDirectory(prefix="kh-") as folder:
        source = _read(Path(folder)) if reads else paths[0]
        target = output
        if writes:
            target = Path(folder, f"stdout{suffix or _suffix(source)}")
        names = {path: "-" for path, ours in ((source, reads), (target, writes)) if path and ours}
        try:
            yield [source], target, names
        except PlanError as error:
            raise PlanError(str(error).replace(str(source), str(paths[0]))) from error
        if writes and target is not None and target.is_file():
            with target.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _read(folder: Path) -> Path:
    """Read standard input into a file with the suffix of its format."""
    path = folder / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path.rename(path.with_suffix(_suffix(path)))


def _suffix(path: Path) -> str:
    """The suffix of what is written for a picture where no format is asked for."""
    import pyvips

    from kh_zoo.batches.plan import FALLBACK
    from kh_zoo.pictures.loaders import open_image

    try:
        loader = open_image(path).get("vips-loader").removesuffix("_source")
    except pyvips.Error:
        return FALLBACK
    return _SUFFIXES.get(loader, FALLBACK)
