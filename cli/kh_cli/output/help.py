"""`--help`: commands in groups, with whole summaries; what a value is, in a word."""

import os
import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from kh_cli.output.errors import WrongUse
from kh_zoo.shown import shown

_WORDS = {"INTEGER": "N", "INT": "N", "FLOAT": "X", "STR": "TEXT"}
_WORDS |= {"DIRECTORY": "FOLDER", "DIR": "FOLDER"}
# As Typer says it, of any version: `<list[Path]>`, `<int range>`, `INTEGER RANGE`, `<kh|onnx>`.
_TYPE = re.compile(
    r" (?:<(?:list\[)?([^<>\]]+?)\]?>|([A-Z]+(?: RANGE)?)|\[([^\[\]]+\|[^\[\]]+)\])$"
)

# What is around that which a value should be, in the messages of Pydantic.
_AROUND = re.compile(r"^Input should be |^.* is not (?=one of )|, unable to parse .*$|\bvalid ")

# Of which Typer, of any version, has but a child.
_USAGE_ERROR: type[Any] = typer.BadParameter.__bases__[0]


def _shown(error: Any) -> Any:
    """The same, which Typer prints: a file may be named like an option, and in any characters."""
    error.message = shown(error.message)
    return error


class Command(TyperCommand):
    """Says of a value `N` or `FOLDER`, not its type in Python, and of an argument only its name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; what a value should be is said on one line, with what it is."""
        given = args[: args.index("--")] if "--" in args else list(args)
        options = [name for one in self.get_params(ctx) for name in one.opts if name[:2] == "--"]
        for argument in given:
            # `-output x` would be `-o utput`, a folder of that name.
            if f"-{argument.partition('=')[0]}" in options:
                raise WrongUse(f"an option of a word has two dashes. Received: {argument}")
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            # Of Pydantic, which newer versions of Typer ask.
            details: list[Any] = getattr(error.__cause__, "errors", list)()
            parameter: Any = error.param
            if not details or parameter is None:
                raise _shown(error) from error.__cause__
            name = max(parameter.opts, key=len)
            name = name if name.startswith("-") else parameter.human_readable_name
            message = error.message.rstrip(".").replace("a valid integer", "a whole number")
            received = f"Received: {details[0]['input']!r}"
            should = _AROUND.sub("", message)
            raise WrongUse(f"`{name}` should be {should}. {received}") from error
        except _USAGE_ERROR as error:
            self._say_what_was_meant(error, given, options)
            raise _shown(error) from None

    @staticmethod
    def _say_what_was_meant(error: Any, given: list[str], options: list[str]) -> None:
        """Of an option that there is not: a file of that name, or the options that begin so."""
        unknown = getattr(error, "option_name", None)
        if unknown is None:
            return
        for argument in given:
            if argument.startswith(unknown) and os.path.lexists(argument):
                raise WrongUse(
                    f"a path that begins with a dash should have ./ before it. Received: {argument}"
                ) from error
        begun = [name for name in options if name.startswith(unknown.lower())]
        error.possibilities = begun or error.possibilities

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if record := help_record(parameter, ctx):
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections[kind].append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def help_record(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    """Return what the help calls an argument or an option, and what it says of it."""
    record = parameter.get_help_record(ctx)
    if record is None:
        return None
    name, text = record
    if parameter.param_type_name == "argument":
        return name.partition(" <")[0], text
    return _TYPE.sub(_word, name), text


def _word(match: re.Match[str]) -> str:
    found: str = next(filter(None, match.groups())).removesuffix(" range").removesuffix(" RANGE")
    return " " + (found if "|" in found else _WORDS.get(found.upper(), found.upper()))


class Group(TyperGroup):
    """Lists its commands under the `rich_help_panel` of each, which Typer itself does only in
    colour, and does not cut what they say of themselves."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what comes before the command."""
        try:
            return super().parse_args(ctx, args)
        except _USAGE_ERROR as error:
            raise _shown(error) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group of commands."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            panel = getattr(command, "rich_help_panel", None)
            summary = (command.short_help or command.help or "").strip().partition("\n\n")[0]
            rows = sections.setdefault(panel if isinstance(panel, str) else "Of plugins", [])
            rows.append((name, " ".join(summary.split())))
        width = max(len(name) for rows in sections.values() for name, _ in rows)
        for panel, rows in sections.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])
