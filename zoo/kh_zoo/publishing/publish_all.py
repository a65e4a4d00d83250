"""A generation goes to the Hub: all the variants that ship with the package."""

from collections.abc import Iterator
from typing import Any

from kh_zoo.catalog.records import BUNDLES, Variant, list_variants
from kh_zoo.publishing.publish import Published, publish


def publish_all(owner: str, **options: Any) -> Iterator[tuple[Variant, Published | Exception]]:
    """Publish each variant of the package to a repository of its own.

    Args:
        owner: Of the repositories, `owner/keras-hypercolumns-VARIANT`.
        **options: Those of `publish`.

    Yields:
        Each variant with what was done, or why it failed; the next ones are tried all the same.
    """
    for variant in list_variants():
        if variant.folder is None or variant.folder.parent != BUNDLES:
            continue
        done: Published | Exception
        try:
            done = publish(variant.name, f"{owner}/keras-hypercolumns-{variant.name}", **options)
        except Exception as error:
            done = error
        yield variant, done
