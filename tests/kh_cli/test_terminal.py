"""What `kh` prints, wherever it goes: hostile names, consoles of few characters, closed streams."""

import ast
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_group
from whole_process import KH

import kh_cli
import kh_zoo
from kh_cli import app
from kh_cli.app import create_app
from kh_cli.output import stdout
from kh_cli.output.progress import Progress
from kh_cli.output.stderr import OPTIONS, tell
from kh_cli.output.streams import as_stream
from kh_zoo.batches.plan import PlanError, plan_batch
from kh_zoo.errors import RunnerError
from kh_zoo.runners import create_runner
from kh_zoo.workers.settings import Settings

HOSTILE = "\x1b[2J\u202egpj"


def test_all_that_is_printed_goes_through_two_modules():
    """Which escape what comes from outside; so a new command does, too."""
    folder = Path(kh_cli.__file__).parent
    found = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") == "print" or ast.unparse(node.func) == "typer.echo")
    }
    assert found == {"output/stderr.py", "output/stdout.py"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_hostile_reaches_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    tell(HOSTILE)
    stdout.write_line(Path(HOSTILE))
    stdout.write_text(f"name: {HOSTILE}")
    stdout.write_table(["name"], [[HOSTILE]])
    stdout.write_record({"name": HOSTILE})
    Progress("working", 1, quiet=True).say(HOSTILE)
    with Progress("working", 1) as progress:
        progress.say(HOSTILE)
    said = terminal.getvalue()
    assert said.count("\\x1b[2J\\u202egpj") == 6
    assert "\x1b[2J" not in said
    assert "\u202e" not in said


@pytest.mark.parametrize(
    "arguments",
    [["--{}"], ["colorize", "--{}"], ["{}"], ["list", "{}"], ["colorize", "--jobs={}", "a.png"]],
)
def test_a_file_that_is_named_like_an_option(arguments, capsys, monkeypatch):
    """As where a shell puts the names of files in the place of `*`."""
    monkeypatch.setattr(sys, "argv", ["kh", *(one.format(HOSTILE) for one in arguments)])
    with pytest.raises(SystemExit) as end:
        app.run()
    said = "".join(capsys.readouterr())
    assert (end.value.code, "\\x1b[2J\\u202egpj" in said) == (2, True)
    assert not {"\x1b", "\u202e"} & set(said)


def test_a_wide_table_of_a_card_is_not_cut(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    cells = [letter * 9 for letter in "abcdefghijkl"]
    stdout.write_markdown(f"|{'|'.join(cells)}|\n|{'---|' * 12}\n|{'|'.join(cells)}|\n")
    said = terminal.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    assert all(said.count(cell[0]) == 18 for cell in cells)


def test_a_program_that_reads_gets_names_as_they_are(capfd):
    stdout.write_line(Path(HOSTILE))
    stdout.write_record({"name": HOSTILE})
    line, record = capfd.readouterr().out.splitlines()
    assert line == HOSTILE
    assert json.loads(record)["name"] == HOSTILE


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "koi8-r", "utf-8"])
def test_names_that_the_console_lacks_are_printed(encoding, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    app._open_streams()
    for name in ("снимок.png", "写真.png", "caf\udce9.png", "plain.png"):
        stdout.write_line(Path(name))
    snapshot, photo, no_utf8, plain = raw.getvalue().splitlines()
    escaped = b"\\u0441\\u043d\\u0438\\u043c\\u043e\\u043a.png"
    has = encoding in ("koi8-r", "utf-8")
    assert snapshot == ("снимок.png".encode(encoding) if has else escaped)
    assert photo == ("写真.png".encode() if encoding == "utf-8" else b"\\u5199\\u771f.png")
    assert no_utf8 == b"caf\xe9.png"
    assert plain == b"plain.png"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("dir/снимок.png", f"dir/{HOSTILE}.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("L", (20, 20), 90).save(name)
    Path(f"dir/bad{HOSTILE}.png").write_text("no picture")


@pytest.mark.usefixtures("here")
def test_a_folder_of_such_names_on_a_terminal(model):
    leader, follower = pty.openpty()
    command = [KH, "colorize", "dir", "-m", model, "-j", "1"]
    with subprocess.Popen(command, stdout=follower, stderr=follower) as process:
        os.close(follower)
        seen = b""
        try:
            while chunk := os.read(leader, 65536):
                seen += chunk
        except OSError:  # how the end of a terminal looks on Linux
            pass
        os.close(leader)
    assert process.returncode == 1
    text = seen.decode()
    assert "dir-color/\\x1b[2J\\u202egpj.png" in text
    assert "dir/bad\\x1b[2J\\u202egpj.png: " in text
    assert "dir-color/снимок.png" in text
    assert "\u202e" not in text
    assert "\x1b[2J" not in text


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-", ">/dev/full"])
def test_streams_that_are_closed(closed, model):
    command = f"{KH} colorize dir -q -j 1 -m {model} {closed}"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert "Exception ignored" not in result.stderr
    if "full" in closed:
        assert "No space left on device" in result.stderr
    else:
        assert len(list(Path("dir-color").glob("*.png"))) == 2
    if closed == "2>&-":
        assert result.stdout.count("\n") == 2  # nothing that was meant for stderr


def test_an_interrupt_in_the_first_second_is_one_line(tmp_path):
    """From the first import on: what Python itself does before is not ours."""
    (tmp_path / "dir").mkdir()
    processes = []
    for _ in range(5):
        program = (  # tells of its first import: from there on it is ours
            "import sys; from kh_cli.main import main; sys.addaudithook(lambda event, args: "
            "event == 'import' and args[0] == 'kh_cli.app' and print(flush=True)); main()"
        )
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", program, "colorize", "dir"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
            )
        )
    for step, process in enumerate(processes):
        process.stdout.readline()
        time.sleep(0.01 + 0.1 * step)
        process.send_signal(signal.SIGINT)
    for process in processes:
        _, said = process.communicate(timeout=60)
        # Or it had ended, as the folder is empty; Python's own end gives signals their default.
        assert process.returncode in (130, 2, -signal.SIGINT)
        assert len(said.splitlines()) == 1
        assert said.startswith("Error: ")


def test_standard_streams_have_names():
    for name in ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "-"):
        assert as_stream(Path(name), 0) == Path("-")
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        assert as_stream(Path(name), 1) == Path("-")
        assert as_stream(Path(name), 0) == Path(name)


@pytest.mark.usefixtures("here")
def test_standard_input_by_its_name(model):
    command = f"{KH} colorize /dev/stdin -o /dev/stdout -q -m {model} <dir/снимок.png | cat"
    result = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert Image.open(io.BytesIO(result.stdout)).size == (20, 20), result.stderr


NAMES = ["dir/a.png", "dir/снимок.png", "dir/with space.png"]


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(NAMES).encode(),
        "\r\n".join([*NAMES, ""]).encode(),
        "\ufeff".encode() + "\n".join(NAMES).encode(),
        "\r\n".join(NAMES).encode("utf-16"),
        b"\xfe\xff" + "\n".join(NAMES).encode("utf-16-be"),
        "\0".join([*NAMES, ""]).encode(),
    ],
    ids=["plain", "Windows", "marked", "UTF-16", "big-endian", "find -print0"],
)
def test_lists_of_any_program(tmp_path, content):
    from kh_cli.options.listed_paths import listed_paths

    (tmp_path / "list").write_bytes(content)
    assert listed_paths(tmp_path / "list") == [Path(name) for name in NAMES]


def test_a_list_of_names_that_are_no_text(tmp_path):
    from kh_cli.options.listed_paths import listed_paths

    (tmp_path / "list").write_bytes(b"caf\xe9.png\0two\nlines.png\0")
    names = [os.fsencode(path) for path in listed_paths(tmp_path / "list")]
    assert names == [b"caf\xe9.png", b"two\nlines.png"]


def test_arguments_of_the_library_are_told_as_the_options_that_they_are(capsys):
    commands = get_group(create_app()).commands
    known = {option for one in commands.values() for param in one.params for option in param.opts}
    for name, option in OPTIONS.items():
        assert option in known or option in ("PATH", "DIR", "MODEL", "RECIPE"), name
    with pytest.raises(PlanError) as raised:
        plan_batch([Path("no.png")])
    with pytest.raises(RunnerError) as other:
        create_runner("lokal", Settings())
    tell(str(raised.value), str(other.value))
    said = capsys.readouterr().err
    assert "`PATH` should be a picture" in said
    assert "`--runner` should be one of 'local'" in said


def test_the_library_names_no_options():
    """What it says is for those who call it, too; `tell` turns it into options."""
    folder = Path(kh_zoo.__file__).parent
    found = re.findall(r".*`--\w+.*", "\n".join(p.read_text("utf-8") for p in folder.rglob("*.py")))
    assert found == []


STATUSES = {"done", "skipped", "failed", "ok", "damaged", "unknown"}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "words",
    ["list", "show lite", "show full", "verify lite", "plugins", "doctor --offline", "pull full",
     "colorize dir -q", "publish lite ada/lite --dry-run",
     pytest.param("publish --all ada --dry-run", marks=pytest.mark.long)],
)  # fmt: skip
def test_json_has_keys_of_one_kind_and_one_list_of_states(words, model, hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", hub.token_of("ada"))
    monkeypatch.setenv("KH_PLUGINS", "")
    options = ["-m", str(model)] if words.startswith("colorize") else []
    with pytest.raises(SystemExit) as end:
        create_app()([*words.split(), *options, "--json"])
    assert end.value.code in (0, 1 if words.startswith("colorize") else 0)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records
    for record in records:
        # Variables of the environment are what they are called.
        keys = [key for key in record if not re.fullmatch(r"[A-Z_]+|[a-z][a-z0-9_]*", key)]
        assert keys == []
        assert record.get("status", "ok") in STATUSES
