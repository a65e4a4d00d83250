"""`kh rm`: models off this disk."""

from typing import Annotated

import typer

from kh_cli.options.completion import complete_pulled
from kh_cli.options.hub_options import CacheDir, set_hub
from kh_cli.options.output_options import Json, Quiet
from kh_cli.output.errors import WrongUse
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line, write_record


def rm(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete_pulled,
            help="A name from `kh list`, or owner/repo on the Hugging Face Hub, that was pulled.",
            show_default=False,
        ),
    ],
    cache_dir: CacheDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Remove models that were pulled, in all of their revisions.

    Models of other programs in the same cache are never touched, nor are the weights that ship
    with the package.
    """
    set_hub(False, cache_dir)
    from kh_zoo.catalog.records import find_variant
    from kh_zoo.hub.client import is_hub_id, split_hub_id
    from kh_zoo.hub.store import remove

    repositories = []
    for name in models:
        if is_hub_id(name):
            repository, revision = split_hub_id(name)
            if revision:
                raise WrongUse(
                    "`MODEL` should be a repository, which goes in all of its revisions. Received: "
                    f"{name!r}"
                )
        else:
            found = find_variant(name).repository
            if found is None:
                raise WrongUse(
                    f"`MODEL` should be one that was pulled. Received: {name!r}, whose "
                    "weights ship with its package"
                )
            repository = found
        repositories.append(repository)
    for repository in dict.fromkeys(repositories):
        freed = remove(repository)
        if json:
            write_record({"repository": repository, "bytes": freed})
        else:
            write_line(repository)
        if not quiet:
            tell(f"{freed / 1e6:.1f} MB are free again")
