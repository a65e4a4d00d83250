"""`kh show NAME`: everything about one model."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kh_cli.options.completion import complete_model
from kh_cli.options.hub_options import CacheDir, Offline, set_hub
from kh_cli.options.model_options import WHAT
from kh_cli.options.output_options import Json
from kh_cli.output.stdout import (
    write_fields,
    write_markdown,
    write_record,
    write_table,
    write_text,
)

if TYPE_CHECKING:
    from kh_zoo.catalog.find import Source


def show(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete_model,
            help=f"{WHAT}, where its card alone is read unless it was pulled.",
            show_default=False,
        ),
    ],
    offline: Offline = False,
    cache_dir: CacheDir = None,
    json: Json = False,
) -> None:
    """Show all that is known of one trained model: its record, its figures, and its card.

    Only for a repository that is not on this disk a network is used, and only its card is read.
    """
    set_hub(offline, cache_dir)
    from kh_zoo.catalog.find import find
    from kh_zoo.catalog.records import find_variant
    from kh_zoo.errors import ModelError
    from kh_zoo.hub.client import is_hub_id
    from kh_zoo.hub.store import CARD, read_card, read_remote

    source = find(model)
    if source.where == "path" or is_hub_id(model):
        record = _record(source)
    else:
        record = dataclasses.asdict(find_variant(model))
    record["where"] = source.where
    folder = source.folder
    if folder is None:
        remote, card = read_remote(str(source.repository), source.revision)
        record |= remote
    else:
        record["folder"] = folder
        try:
            card = read_card(folder / CARD)
        except ModelError as error:
            card = f"It has a card that can't be shown: {error}"
    if json:
        write_record({**record, "card": card})
        return
    figures = {"": record.pop("metrics", None), "vivid": record.pop("vivid_metrics", None)}
    lines: dict[str, str] = {}
    for key, value in record.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            lines |= {f"{name}: {part}": _text(text) for part, text in value.items()}
        else:
            lines[name] = _text(value)
    write_fields(lines)
    rows = [
        [
            head,
            kind,
            *(f"{found[key]:{form}}" if key in found else "" for key, form in _FIGURES.values()),
        ]
        for head, kinds in figures.items()
        for kind, found in (kinds or {}).items()
    ]
    if rows:
        write_text("")
        write_table(["head", "pictures", *_FIGURES], rows)
    write_text("")
    write_markdown(card.strip() or "It has no card.")


_FIGURES = {
    "number": ("pictures", ""),
    "PSNR": ("psnr", ".2f"),
    "of grey": ("psnr_gray", ".2f"),
    "CIEDE2000": ("ciede2000", ".2f"),
    "explained": ("explained_variance", ".3f"),
    "colourful": ("colorfulness", ".1f"),
    "truth": ("colorfulness_truth", ".1f"),
}
"""Of all that was measured, which `--json` prints, what fits in 80 columns."""


def _record(source: "Source") -> dict[str, Any]:
    """What a folder itself says, where no catalogue has it."""
    record: dict[str, Any] = {"repository": source.repository, "revision": source.revision}
    if source.folder is None:
        return record
    from kh_zoo.hub.store import CARD, needed_files, open_any, read_license
    from kh_zoo.networks.model_folder import CONFIG, KERAS, open_model_folder, read_table

    table = read_table(source.folder / CONFIG)
    files = needed_files(table)
    record |= {
        "architecture": table["architecture"],
        "size": table.get("size"),
        "license": read_license(source.folder / CARD),
        "bytes": sum((source.folder / name).stat().st_size for name in files),
    }
    if table["architecture"] != KERAS:
        folder = open_model_folder(source.folder)
        record |= {
            "nodes": len(folder.config.network.nodes),
            "precision": "int8" if folder.quantized else "float32",
            "vivid": ", ".join(folder.config.vivid) or None,
            "taps": dict(folder.config.heads),
            "parameters": {head: folder.parameters(head) for head in folder.config.heads},
        }
    else:
        open_any(source.folder)
    return record


def _text(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(
                f"{key.replace('_', ' ')} {_text(part)}" for key, part in value.items()
            )
        case tuple():
            return ", ".join(value)
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case None:
            return "none"
        case _:
            return str(value)
