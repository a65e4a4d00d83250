"""What `kh` prints for a person: help, lists and completion that fit a terminal of 80 columns."""

import io
import os
import re
import sys

import pytest
from typer.main import get_command

from kh_cli.app import create_app
from kh_cli.built_in import GROUPS
from kh_cli.options import completion
from kh_zoo.pictures.output import SUFFIXES

COMMANDS = [name for commands in GROUPS.values() for name in commands]


def flat(text):
    """A text on one line, wherever it was broken."""
    return re.sub(r"- ", "-", " ".join(text.split()))


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Runs `kh` in a terminal of 80 columns, and returns what stands there."""
    for name in ("COLUMNS", "TERMINAL_WIDTH"):
        monkeypatch.setenv(name, "80")

    def run(*words):
        monkeypatch.setattr(sys, "stdout", Terminal())
        with pytest.raises(SystemExit):
            create_app()(words)
        text = sys.stdout.getvalue()
        monkeypatch.undo()
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_values_are_and_not_their_types(terminal, name):
    text = terminal(name, "--help")
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"<\w|RANGE|INTEGER|list\[|\\\[|\.\.\.\}", text), text
    command = get_command(create_app()).commands[name]
    for parameter in command.params:
        assert flat(parameter.help) in flat(text), parameter.name


def test_the_list_of_commands_is_grouped_and_whole(terminal):
    text = terminal("--help")
    places = [text.index(f"\n{group}:\n") for group in GROUPS]
    assert places == sorted(places)
    for group, commands in GROUPS.items():
        part = text.partition(f"\n{group}:\n")[2].partition("\n\n")[0]
        assert re.findall(r"^  (\w+) ", part, re.M) == list(commands)
        for command in commands.values():
            summary = command.__doc__.partition("\n\n")[0]
            assert " ".join(summary.split()) in " ".join(part.split())


@pytest.mark.parametrize("words", [("list",), ("show", "lite"), ("show", "full"), ("plugins",)])
def test_what_a_terminal_shows_fits_in_it(terminal, words):
    lines = terminal(*words).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line and words[0] != "show"]  # the table of a card


def test_a_pipe_gets_the_card_as_it_is(capsys):
    with pytest.raises(SystemExit):
        create_app()(("show", "full"))
    assert "| variant | pictures |" in capsys.readouterr().out


def complete(line, monkeypatch, capsys):
    """What bash would be told, as the script that `kh --show-completion` prints asks for it."""
    monkeypatch.setenv("_KH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    with pytest.raises(SystemExit):
        create_app()(prog_name="kh")
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kh colorize -m relu", ["relu1to5", "relu3to5"]),
        ("kh show l", ["lite"]),
        ("kh show ada/", ["ada/etchings"]),
        ("kh rm a", ["ada/etchings"]),
        ("kh rm l", []),
        ("kh colorize --format ti", ["tif"]),
        ("kh colorize --device g", ["gpu"]),
        ("kh colorize --engine k", ["keras"]),
        ("kh export p", ["pool1to4"]),
    ],
)
def test_names_are_completed(line, expected, model, tmp_path, monkeypatch, capsys):
    snapshot = tmp_path / "models--ada--etchings" / "snapshots" / ("a" * 40)
    snapshot.parent.mkdir(parents=True)
    os.symlink(model, snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert complete(line, monkeypatch, capsys) == expected


def test_every_format_that_is_completed_is_written():
    assert {f".{name}" for name in completion.FORMATS} <= set(SUFFIXES)
