"""The catalogue: one record for every published variant."""

import dataclasses
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from kh_zoo.errors import ModelError, PluginError, VariantError
from kh_zoo.hub.client import check_no_address
from kh_zoo.nearest import nearest
from kh_zoo.networks.model_folder import CONFIG, TENSORS, open_model_folder
from kh_zoo.plugins.registry import check_name, plugins

DEFAULT_VARIANT = "lite"
_DERIVED = ("taps", "channels", "size", "parameters", "bytes")
BUNDLES = Path(__file__).parents[1] / "bundles"
"""The generations of weights that ship with the package, a folder for each trunk."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """What is known of a trained variant without running it.

    `taps`, `channels`, `size`, `parameters` and `bytes` may be left out where `folder` is that of a
    model, which says them.
    """

    name: str
    taps: tuple[str, ...] = ()
    channels: int = 0
    description: str
    license: str
    origin: str
    training_data: tuple[str, ...]
    size: int = 0
    """Short side, in pixels, that colours are predicted at."""
    parameters: int = 0
    bytes: int = 0
    """Size on disk of the files that it runs from."""
    files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """sha256 and bytes of each file in `folder`."""
    folder: Path | None = None
    """Where the model lies that came with its package; None if it is on the Hub alone."""
    repository: str | None = None
    """`owner/repo` on the Hub; None as long as it was not published."""
    revision: str | None = None
    """Commit of `repository` that is used."""
    hub_files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """sha256 and bytes of each file at that commit."""
    int8_rms_ab: float | None = None
    """RMS of what int8 weights change in AB, in CIELAB units."""
    metrics: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    """Figures of the test split, by kind of picture."""
    vivid: bool = False
    """Whether it has a vivid head too."""
    vivid_metrics: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    """The same figures, of that head."""


@cache
def _records() -> dict[str, Variant]:
    bundled: dict[str, Variant] = {}
    for path in sorted(BUNDLES.glob("*/records.json")):
        generation = json.loads(path.read_text(encoding="utf-8"))
        shared = generation["generation"]
        bundled |= {
            name: Variant(
                name=name,
                folder=path.parent,
                **{**shared, "training_data": tuple(shared["training_data"])},
                **{**record, "taps": tuple(record["taps"])},
            )
            for name, record in generation["variants"].items()
        }
    plugins().claim_built_in("variant", bundled)
    return {**bundled, **plugins().registered("register_variants", "variant", _of_plugin)}


def _of_plugin(variant: Variant) -> tuple[str, Variant]:
    if not isinstance(variant, Variant):
        raise PluginError(f"`variant` should be a Variant. Received: {variant!r}")
    return check_name("variant", variant.name), _completed(variant)


def _completed(variant: Variant) -> Variant:
    """With what was left out, and the model's folder says."""
    told = {name: getattr(variant, name) for name in _DERIVED}
    if all(told.values()) or variant.folder is None:
        return variant
    try:
        folder = open_model_folder(variant.folder)
        own = folder.config.tap_channels(variant.name)
    except (ModelError, KeyError):  # it is not there yet, or told of when it is opened
        return variant
    derived: dict[str, Any] = {
        "taps": tuple(own),
        "channels": sum(own.values()),
        "size": folder.config.size,
        "parameters": folder.parameters(variant.name),
        "bytes": sum((variant.folder / name).stat().st_size for name in (CONFIG, TENSORS)),
    }
    return dataclasses.replace(variant, **{k: told[k] or derived[k] for k in _DERIVED})


def list_variants() -> list[Variant]:
    """Return the records of all variants, in the order of the catalogue.

    Example:

    >>> from kh_zoo import list_variants
    >>> [variant.name for variant in list_variants()]
    ['lite', 'full', 'relu1to5', 'relu3to5', 'pool1to4']
    """
    return list(_records().values())


def find_variant(name: str) -> Variant:
    """Return the record of a variant; `relu1-5` and `Relu1To5` find `relu1to5`.

    Example:

    >>> from kh_zoo import find_variant
    >>> find_variant("relu1-5").channels
    1472

    Raises:
        VariantError: If there is none of that name; the message lists the choices.
    """
    check_no_address(name)
    records = _records()
    plain = re.sub(r"(?<=\d)[-_ ]+(?=\d)", "to", name.strip().lower())
    if plain in records:
        return records[plain]
    raise VariantError(
        f"`variant` should be one of {', '.join(map(repr, records))}, the path of a model or run "
        f"folder, or owner/repo on the Hub.{nearest(plain, records)} Received: {name!r}"
    )
