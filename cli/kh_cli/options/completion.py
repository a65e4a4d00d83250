"""What the shell completes: names, with nothing imported that takes long."""

from collections.abc import Callable, Iterable

FORMATS = ("jpg", "png", "webp", "tif", "avif")


def complete_model(incomplete: str) -> list[str]:
    """Variants, and repositories that were pulled; paths are the shell's own."""
    from kh_zoo.catalog.records import list_variants

    return _beginning((*(variant.name for variant in list_variants()), *_pulled()), incomplete)


def complete_pulled(incomplete: str) -> list[str]:
    """Repositories that were pulled."""
    return _beginning(_pulled(), incomplete)


def complete_format(incomplete: str) -> list[str]:
    """Formats of pictures that are written."""
    return _beginning(FORMATS, incomplete.lstrip("."))


def completes(*words: str) -> Callable[[str], list[str]]:
    """What completes to one of some words."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(words, incomplete)

    return complete


def _pulled() -> tuple[str, ...]:
    from kh_zoo.hub.store import list_stored

    return tuple(stored.repository for stored in list_stored())


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in dict.fromkeys(words) if word.startswith(incomplete)]
