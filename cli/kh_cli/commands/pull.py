"""`kh pull`: models of the Hub, onto this disk."""

from typing import Annotated

import typer

from kh_cli.options.completion import complete_model
from kh_cli.options.hub_options import CacheDir, Offline, pull_all, set_hub
from kh_cli.options.output_options import Json, Quiet
from kh_cli.output.errors import FAILED, WrongUse, explain
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line, write_record


def pull(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete_model,
            help="A name from `kh list`, or owner/repo[@revision] on the Hugging Face Hub.",
            show_default=False,
        ),
    ],
    revision: Annotated[
        str | None,
        typer.Option(
            help="Branch, tag or commit. Default: the one that the catalogue pins, or main.",
            show_default=False,
        ),
    ] = None,
    every_file: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also the weights that Keras opens without this package's help. Default: what "
            "`kh colorize` needs.",
        ),
    ] = False,
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh",
            help="Ask the Hub whether a branch has moved. Default: what is on the disk is not "
            "asked for again.",
        ),
    ] = False,
    offline: Offline = False,
    cache_dir: CacheDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch models from the Hugging Face Hub, to be used without a network.

    Files are compared with their hashes, and can't run code. What was interrupted leaves nothing
    that passes for whole; the same command goes on.

    Exit code: 0 done; 1 some model failed (each is named with the reason, the rest is done);
    2 wrong use; 130 interrupted.
    """
    set_hub(offline, cache_dir)
    from kh_zoo.catalog.find import Source
    from kh_zoo.catalog.records import find_variant
    from kh_zoo.hub.client import is_hub_id, split_hub_id

    sources = []
    for name in models:
        if is_hub_id(name):
            repository, own = split_hub_id(name)
            if own and revision:
                raise WrongUse(f"`--revision` can't be added to a name that has one: {name!r}")
            sources.append(Source("remote", None, None, repository, own or revision))
            continue
        variant = find_variant(name)
        if variant.repository is None:
            if not quiet:
                tell(
                    f"{variant.name}: nothing to pull: it was not published yet, and the weights "
                    "that ship with its package are all there is"
                )
            if json:
                write_record(
                    {
                        "name": name,
                        "status": "skipped",
                        "reason": "ships with its package",
                        "path": str(variant.folder),
                    }
                )
            else:
                write_line(variant.folder)
            continue
        # The hashes of the catalogue are those of its own revision.
        files = {} if revision else variant.hub_files
        at = revision or variant.revision
        sources.append(Source("remote", None, variant.name, variant.repository, at, files))
    for source in sources:
        if source.revision:
            split_hub_id(f"{source.repository}@{source.revision}")
    failed = False
    found = pull_all(sources, every_file=every_file, refresh=refresh, quiet=quiet)
    for source, stored in zip(sources, found, strict=True):
        name = source.variant or str(source.repository)
        if isinstance(stored, Exception):
            failed = True
            problem, _ = explain(stored)
            tell(problem)
            if json:
                write_record({"name": name, "status": "failed", "reason": problem})
            continue
        reason = None if stored.fetched else "already here"
        if not quiet:
            tell(
                f"{stored.repository} at {stored.commit[:12]}: {reason or 'fetched'}, "
                f"{stored.bytes / 1e6:.1f} MB, licence: {stored.license or 'none is stated'}"
            )
        if json:
            write_record(
                {
                    "name": name,
                    "status": "skipped" if reason else "done",
                    "reason": reason,
                    "repository": stored.repository,
                    "commit": stored.commit,
                    "path": str(stored.path),
                    "bytes": stored.bytes,
                    "license": stored.license,
                }
            )
        else:
            write_line(stored.path)
    if failed:
        raise typer.Exit(FAILED)
