"""`kh verify`: whether the weights on this disk are what they should be."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kh_cli.options.completion import complete_model
from kh_cli.options.hub_options import CacheDir, set_hub
from kh_cli.options.model_options import WHAT
from kh_cli.options.output_options import Json
from kh_cli.output.errors import FAILED, explain
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_record, write_text

if TYPE_CHECKING:
    from kh_zoo.catalog.find import Source


def verify(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete_model,
            help=f"{WHAT}. Default: all that ships with the package or was pulled.",
            show_default=False,
        ),
    ] = None,
    cache_dir: CacheDir = None,
    json: Json = False,
) -> None:
    """Compare the files of models with their hashes, and check that they are sound.

    Where links can't be made, the cache has copies without hashes: then no command can tell.

    Exit code: 0 all are; 1 some is not, or it can't be told (each is named with the reason);
    2 wrong use.
    """
    set_hub(offline=True, cache_dir=cache_dir)
    from kh_zoo.catalog.find import Source, find, find_source
    from kh_zoo.catalog.records import list_variants
    from kh_zoo.errors import VariantError, ZooError
    from kh_zoo.hub.store import list_stored

    sources: dict[str, Source | ZooError] = {}
    if models:
        sources = {name: find(name) for name in models}
    else:
        for variant in list_variants():
            try:
                bundled = find_source(variant)
            except ZooError as error:
                sources[variant.name] = error
                continue
            if bundled.where == "bundled":
                sources[variant.name] = bundled
        for stored in list_stored():
            name = f"{stored.repository}@{stored.commit[:12]}"
            sources[name] = Source("cached", stored.path, None, stored.repository, stored.commit)
    failed = False
    checked: dict[Path, tuple[str, str | None]] = {}
    for name, source in sources.items():
        folder, where = None, ""
        status: str
        reason: str | None
        if isinstance(source, ZooError):
            status, reason = "damaged", str(source)
        elif source.folder is None:
            raise VariantError(f"`MODEL` should be on this disk: `kh pull {name}` fetches it")
        else:
            folder, where = source.folder, source.where
            if folder not in checked:
                checked[folder] = _status(source, folder)
            status, reason = checked[folder]
        failed |= reason is not None
        if json:
            path = None if folder is None else str(folder)
            write_record({"name": name, "status": status, "reason": reason, "path": path})
        elif reason:
            tell(f"{name}: {reason}")
        else:
            write_text(f"{name}: ok, {where}")
    if failed:
        raise typer.Exit(FAILED)


def _status(source: "Source", folder: Path) -> tuple[str, str | None]:
    """Whether a model is what it should be, in a word, and why not; None if it is."""
    from kh_zoo.hub.store import check_pinned, check_stored, open_any

    copies: list[str] = []
    try:
        if source.where == "cached":
            copies = check_stored(folder)
        check_pinned(folder, source.files)
        open_any(folder)
    except Exception as error:
        return "damaged", explain(error)[0]
    copies = [name for name in copies if name not in source.files]
    if copies:
        return "unknown", (
            f"can't tell: the cache has `{copies[0]}` as a copy, without the hash that it had on "
            "the Hub; `kh rm`, and then `kh pull`, which compares what it fetches"
        )
    return "ok", None
