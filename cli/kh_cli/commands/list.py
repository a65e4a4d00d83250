"""`kh list`: the variants there are."""

from typing import Annotated

import typer

from kh_cli.stdout import write_record, write_table


def list_variants(
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON a variant. Default: a table.")
    ] = False,
) -> None:
    """List the trained models that are ready to run."""
    from kh_zoo.catalog import DEFAULT_VARIANT, list_variants

    variants = list_variants()
    if json:
        for variant in variants:
            write_record(
                {
                    "name": variant.name,
                    "default": variant.name == DEFAULT_VARIANT,
                    "channels": variant.channels,
                    "parameters": variant.parameters,
                    "bytes": variant.bytes,
                    "license": variant.license,
                    "description": variant.description,
                }
            )
        return
    write_table(
        ["name", "channels", "on disk", "licence", "description"],
        [
            [
                variant.name + (" (default)" if variant.name == DEFAULT_VARIANT else ""),
                str(variant.channels),
                f"{variant.bytes / 1e6:.1f} MB",
                variant.license,
                variant.description,
            ]
            for variant in variants
        ],
    )
