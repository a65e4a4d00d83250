"""`kh show NAME`: everything about one variant."""

import dataclasses
from typing import Annotated, Any

import typer

from kh_cli.stdout import write_record


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `kh list`.")],
    json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON. Default: text.")
    ] = False,
) -> None:
    """Show all that is known of one trained model, with its card."""
    from kh_zoo.catalog import find_variant

    variant = find_variant(name)
    record = dataclasses.asdict(variant)
    card = variant.folder / "README.md"
    card_text = card.read_text(encoding="utf-8")
    if json:
        write_record({**record, "card": card_text})
        return
    lines: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            lines |= {f"{key}: {name}": part for name, part in value.items()}
        else:
            lines[key] = value
    width = max(map(len, lines)) + 2
    for key, value in lines.items():
        print(f"{key.replace('_', ' '):{width}}{_text(value)}")
    print(f"\n{card_text.strip()}")


def _text(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(
                f"{key.replace('_', ' ')} {_text(part)}" for key, part in value.items()
            )
        case tuple():
            return ", ".join(value)
        case float():
            return f"{value:.4g}"
        case None:
            return "none"
        case _:
            return str(value)
