"""The documentation is true: its blocks run, its commands parse, its links lead somewhere."""

import contextlib
import dataclasses
import importlib
import io
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from keras_hypercolumns.training.recipe import Recipe
from kh_cli.app import create_app

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "zoo/**/*.md", "benchmarks/*.md")
    for page in sorted(ROOT.glob(pattern))
    if "generated" not in page.parts
]


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(page):
    """The fenced blocks of a page: language, first line's number, text, and what stands between."""
    text = page.read_text(encoding="utf-8")
    end = 0
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        language, content = match.groups()
        yield language, text.count("\n", 0, match.start(2)), content, text[end : match.start()]
        end = match.end()


# The others take seconds.
LONG = ("docs/tasks.md",)
WITH_PYTHON = [
    pytest.param(page, marks=pytest.mark.long) if name_of(page) in LONG else page
    for page in PAGES
    if "python" in [language for language, *_ in blocks(page)]
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to run in, with the example pictures."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# KerasTuner calls threads by their old names.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_blocks_run_from_top_to_bottom(page, folder):
    """In one namespace; a `text` block directly behind one is what it prints."""
    namespace, printed = {}, None
    for language, line, content, between in blocks(page):
        if language == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                # The empty lines give a traceback the numbers of the page.
                exec(compile("\n" * line + content, page, "exec"), namespace)
            printed = output.getvalue()
        elif language == "text" and printed is not None and not between.strip():
            assert printed == content
            printed = None


def commands(page):
    """What follows `kh` in each of the page's command lines."""
    for language, _, content, _ in blocks(page):
        lines = content.replace("\\\n", "").splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        elif language != "sh":
            continue
        for part in re.split(r"&&|\||\n", "\n".join(lines)):
            words = shlex.split(part, comments=True)
            while words and re.match(r"\w+=", words[0]):
                del words[0]
            if words and words[0].rpartition("/")[2] == "kh":
                yield words[1:]


COMMANDS = [
    pytest.param(words, id=f"{name_of(page)}: kh {' '.join(words)}")
    for page in PAGES
    for words in commands(page)
]


@pytest.mark.parametrize("words", COMMANDS)
def test_command_line_is_one(words, folder):
    kh = get_command(create_app())
    called = []
    for command in kh.commands.values():
        command.callback = lambda **values: called.append(values)
    for word in words:
        path = folder / word
        if Path(word).suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
    kh.main(words, prog_name="kh", standalone_mode=False)
    assert len(called) == 1


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"(?<!!)\[[^]]*\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target


def test_the_readme_leads_to_every_guide():
    index, readme = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("docs/index.md", "README.md")
    )
    guides = re.search(r":caption: Guides\n:hidden:\n\n([\w\n]+)", index)[1].split()
    assert {"films", "zoo"} < set(guides)
    assert [name for name in guides if f"(docs/{name}.md)" not in readme] == []


def help_of(*words):
    result = CliRunner().invoke(create_app(), [*words, "--help"], prog_name="kh")
    assert result.exit_code == 0
    return result.stdout


def options_in(text):
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


def notes_in(text):
    return re.findall(r"\[((?:default|env var|required|\d)[^]]*)\]", " ".join(text.split()))


def test_reference_has_every_command_and_every_option():
    reference = runpy.run_path(str(ROOT / "docs" / "extensions" / "cli_reference.py"))["reference"]
    first, *sections = reference().split("\n## kh ")
    assert options_in(first) >= options_in(help_of()) >= {"--version", "--help", "-h"}
    written = {section.split("\n", 1)[0]: section for section in sections}
    listed = help_of().split("\nOptions:")[1]
    assert list(written) == re.findall(r"^  (\w+)", listed, re.M)
    for name, section in written.items():
        text = help_of(name)
        heads = options_in("\n".join(re.findall(r"^````\{option\} (.*)", section, re.M)))
        assert heads == options_in("\n".join(re.findall(r"^  (-.*)", text, re.M)))
        # Defaults, ranges and variables: "[default: 1.0; 0<=x<=10]".
        assert notes_in(section) == notes_in(text)
    assert "default: onnx" in notes_in(written["evaluate"])


def test_options_of_colorize_are_in_its_table():
    page = (ROOT / "docs" / "colorize.md").read_text(encoding="utf-8")
    table = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `-"))
    listed = "\n".join(re.findall(r"^  (-.*?)(?:  |$)", help_of("colorize"), re.M))
    assert options_in(table) == options_in(listed) - {"-h", "--help"}


@pytest.mark.parametrize("package", ["keras_hypercolumns", "kh_zoo"])
def test_public_names_are_in_the_reference(package):
    page = (ROOT / "docs" / "api" / f"{package}.md").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. (?:auto|py:)(?:class|function|data):: (\w+)$", page, re.M)
    public = set(importlib.import_module(package).__all__) - {"__version__"}
    assert sorted(names) == sorted(public)


def test_every_recipe_key_is_documented():
    page = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(Recipe):
        assert f"`{field.name}`" in page
