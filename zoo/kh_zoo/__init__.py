"""Trained colorizers, ready to run: the catalogue, the weights, the engines, the picture way.

Names are imported when they are first used, so that `kh --help` and `kh list` stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from kh_zoo import built_in
from kh_zoo.pictures.formats import READ
from kh_zoo.plugins.registry import PLUGINS

if TYPE_CHECKING:
    from kh_zoo.batches.colorize_batch import colorize_batch
    from kh_zoo.catalog.records import find_variant, list_variants
    from kh_zoo.colorizer import Colorizer
    from kh_zoo.publishing.publish import publish
    from kh_zoo.with_keras.keras_model import load_model, save_model

    __version__: str

__all__ = [
    "Colorizer",
    "colorize_batch",
    "find_variant",
    "list_variants",
    "load_model",
    "publish",
    "save_model",
]

_MODULES = {
    "Colorizer": "colorizer",
    "colorize_batch": "batches.colorize_batch",
    "find_variant": "catalog.records",
    "list_variants": "catalog.records",
    "load_model": "with_keras.keras_model",
    "publish": "publishing.publish",
    "save_model": "with_keras.keras_model",
}

PLUGINS.add_built_in("kh_zoo", built_in)
PLUGINS.claim_built_in("suffix", READ)

if not TYPE_CHECKING:  # so that a type checker reports a misspelt name

    def __getattr__(name):
        if name == "__version__":
            from importlib.metadata import version

            return version("keras-hypercolumns")
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """With the names that are not imported yet."""
    return sorted({*globals(), *__all__, "__version__"})
