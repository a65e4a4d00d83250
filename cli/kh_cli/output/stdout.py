"""What a program reads: stdout."""

import json
import math
import sys
from typing import Any, ClassVar

from kh_zoo.shown import shown

SCHEMA = 1


def write_record(record: dict[str, Any]) -> None:
    """Print one line of JSON. A number that JSON lacks becomes null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }
    print(json.dumps({"schema": SCHEMA, **finite}, default=str), flush=True)


def write_line(text: object) -> None:
    """Print what a program may read, such as a path: as it is, unless it would reach a terminal."""
    print(shown(text) if _is_terminal() else text, flush=True)


def write_text(*lines: str) -> None:
    """Print lines for a person."""
    print("\n".join(map(shown, lines)), flush=True)


def write_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; columns of numbers to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = all(row[number][:1] in "0123456789-+" for row in rows)  # or empty
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*map(shown, row))
    _print(table)


def write_fields(fields: dict[str, str]) -> None:
    """Print names and values, two columns."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(shown(name), shown(value))
    _print(table)


def write_markdown(text: str) -> None:
    """Print Markdown: for a person, as it is meant, and into a file as it is."""
    lines = [shown(line) for line in text.expandtabs().splitlines()]
    if not _is_terminal():
        write_text(*lines)
        return
    from rich.markdown import Markdown, TableElement

    class Whole(TableElement):
        """A table whose cells are broken, and not cut, where they are too many for the width."""

        def __rich_console__(self, *arguments: Any) -> Any:
            for table in super().__rich_console__(*arguments):
                for column in getattr(table, "columns", ()):
                    column.overflow = "fold"
                yield table

    class Card(Markdown):
        elements: ClassVar = {**Markdown.elements, "table_open": Whole}

    _print(Card("\n".join(lines), hyperlinks=False))


def _is_terminal() -> bool:
    # A bar stands in for stdout, and says that it is no terminal in Rich before 15.
    file = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
    return bool(file.isatty())


def _print(what: Any) -> None:
    from rich.console import Console

    # In a file or a pipe, no line is broken.
    width = None if _is_terminal() else 2000
    console = Console(width=width, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(what)
    # Rich fills lines with blanks.
    print("\n".join(map(str.rstrip, captured.get().splitlines())), flush=True)
