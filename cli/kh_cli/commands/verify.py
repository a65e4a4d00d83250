"""`kh verify`: whether the weights on this disk are what they should be."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kh_cli.options.hub_options import CacheDir, set_hub
from kh_cli.output.errors import FAILED, explain
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_record, write_text

if TYPE_CHECKING:
    from kh_zoo.catalog.resolve import Source


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|OWNER/REPO|PATH...]",
            help="As for `kh show`. Default: all that ships with the package or was pulled.",
            show_default=False,
        ),
    ] = None,
    cache_dir: CacheDir = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print a line of JSON for every model. Default: text."),
    ] = False,
) -> None:
    """Compare the files of models with their hashes, and check that they are sound.

    Exit code: 0 all are; 1 some is not (each is named with the reason); 2 wrong use.
    """
    set_hub(offline=True, cache_dir=cache_dir)
    from kh_zoo.catalog.records import list_variants
    from kh_zoo.catalog.resolve import Source, find, find_source
    from kh_zoo.errors import VariantError
    from kh_zoo.hub.store import list_stored

    sources: dict[str, Source] = {}
    if names:
        sources = {name: find(name) for name in names}
    else:
        for variant in list_variants():
            source = find_source(variant)
            if source.where == "bundled":
                sources[variant.name] = source
        for stored in list_stored():
            name = f"{stored.repository}@{stored.commit[:12]}"
            sources[name] = Source("cached", stored.path, None, stored.repository, stored.commit)
    failed = False
    checked: dict[Path, str | None] = {}
    for name, source in sources.items():
        if source.folder is None:
            raise VariantError(f"`name` should be on this disk: `kh pull {name}` fetches it")
        if source.folder not in checked:
            checked[source.folder] = _reason(source, source.folder)
        reason = checked[source.folder]
        failed |= reason is not None
        if json:
            write_record(
                {
                    "name": name,
                    "status": "damaged" if reason else "ok",
                    "reason": reason,
                    "path": str(source.folder),
                }
            )
        elif reason:
            tell(f"{name}: {reason}")
        else:
            write_text(f"{name}: ok, {source.where}")
    if failed:
        raise typer.Exit(FAILED)


def _reason(source: "Source", folder: Path) -> str | None:
    """Why a model is not what it should be; None if it is."""
    from kh_zoo.hub.store import check_pinned, check_stored, open_any

    try:
        if source.where == "cached":
            check_stored(folder)
        check_pinned(folder, source.files)
        open_any(folder)
    except Exception as error:
        return explain(error)[0]
    return None
