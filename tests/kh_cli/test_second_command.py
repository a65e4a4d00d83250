"""`kh colorize` a second time, option by option: what is done again, skipped or refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kh_cli.app import create_app
from kh_zoo.batches.journal import NAME
from kh_zoo.plugins.registry import plugins
from kh_zoo.workers.answer import Answer
from kh_zoo.workers.stamp import Stamp


class Copying:
    """A runner that copies: whether it is asked to is what counts here."""

    workers, device = 1, "cpu"

    def __init__(self, settings, workers, timeout):
        pass

    def start(self):
        pass

    def run(self, jobs, begin, interrupted):
        for number, job in enumerate(jobs):
            begin(job)
            job.target.parent.mkdir(exist_ok=True)
            shutil.copy(job.source, job.target)
            yield number, Answer(None, Stamp.of(job.source, digest=True), Stamp.of(job.target))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def colorize(tmp_path, monkeypatch, model):
    """Run the command, and return its exit code, what became of each input, and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(plugins().runners, "local", Copying)
    random = np.random.default_rng(0)
    for name in ("q.png", "other.png", "dir/a.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (30, 40), "uint8")).save(name)

    def run(*arguments):
        has_model = "-m" in arguments
        options = ("--json", *(() if has_model else ("-m", str(model))))
        result = CliRunner().invoke(create_app(), ["colorize", *map(str, arguments), *options])
        records = [json.loads(line) for line in result.stdout.splitlines() if line[:1] == "{"]
        error = result.exception if not isinstance(result.exception, SystemExit) else ""
        statuses = {record["input"]: record["status"] for record in records}
        return result.exit_code, statuses, f"{error}{result.stderr}"

    return run


PLACES = {
    "beside": ("q.png",),
    "named": ("q.png", "-o", "new.png"),
    "in a folder": ("q.png", "-o", "out"),
    "a folder": ("dir",),
}
# Option by option: what the second command does with what the first has written without it.
TABLE = {
    (): "skipped",
    ("--saturation", "3"): "done",
    ("--size", "32"): "done",
    ("--size", "64"): "skipped",  # which is what the model says
    ("--quality", "50"): "done",
    ("--compare",): "done",
    ("--engine", "keras"): "done",
    ("--engine", "onnx"): "skipped",  # which is the default
    ("--overwrite",): "done",
    ("--device", "cpu"): "skipped",  # it decides no more than rounding
    ("--device", "auto"): "skipped",
    ("--jobs", "1"): "skipped",
    ("--runner", "local"): "skipped",
    ("--timeout", "5"): "skipped",
    ("--offline",): "skipped",
    ("--quiet",): "skipped",
    ("--saturation", "1"): "skipped",
}


CASES = [
    (place, options)
    for place in PLACES
    for options in TABLE
    if place == "beside" or options in [(), ("--saturation", "3"), ("--device", "cpu")]
]


@pytest.mark.parametrize(("place", "options"), CASES)
def test_the_second_command(colorize, place, options):
    command = PLACES[place]
    assert set(colorize(*command)[1].values()) == {"done"}
    assert set(colorize(*command)[1].values()) == {"skipped"}
    code, statuses, said = colorize(*command, *options)
    assert (code, set(statuses.values())) == (0, {TABLE[options]}), said
    assert set(colorize(*command, *options)[1].values()) == {
        "done" if options == ("--overwrite",) else "skipped"
    }


@pytest.mark.parametrize("place", PLACES)
def test_another_input_or_another_model(colorize, place, tmp_path, model):
    command = PLACES[place]
    colorize(*command)
    source = Path("dir/a.png" if place == "a folder" else "q.png")
    shutil.copy("other.png", source)
    assert set(colorize(*command)[1].values()) == {"done"}
    shutil.copytree(model, "changed")
    tensors = bytearray(Path("changed/model.safetensors").read_bytes())
    tensors[-1] ^= 1
    Path("changed/model.safetensors").write_bytes(tensors)
    assert set(colorize(*command, "-m", "changed")[1].values()) == {"done"}


@pytest.mark.parametrize(
    "wrong",
    [
        ("--engine", "onxx"),
        ("--device", "cuda"),
        ("--device", "gpu:99"),
        ("--runner", "locale"),
        ("--format", "gif"),
        ("--vivid",),
        ("--size", "8"),
        ("--quality", "0"),
        ("-m", "relu1to6"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("place", ["beside", "a folder"])
def test_options_are_checked_though_there_is_nothing_to_do(colorize, place, wrong):
    colorize(*PLACES[place])
    code, statuses, said = colorize(*PLACES[place], *wrong)
    assert code != 0
    assert statuses == {}
    assert wrong[-1] in said or wrong[0].strip("-") in said


def test_a_named_output_is_that_of_its_input_alone(colorize):
    Image.new("L", (9, 9)).save("foreign.png")
    before = Path("foreign.png").read_bytes()
    for target, reason in (("foreign.png", "no journal says"), ("new.png", "was made from")):
        if target == "new.png":
            assert colorize("q.png", "-o", target)[0] == 0
            before = Path(target).read_bytes()
        code, statuses, said = colorize("other.png", "-o", target)
        assert (code, statuses) == (1, {})
        assert f"{target} " in said
        assert reason in said
        assert "`overwrite`" in said
        assert Path(target).read_bytes() == before
        code, statuses, _ = colorize("other.png", "-o", target, "--overwrite")
        assert (code, statuses) == (0, {"other.png": "done"})
        assert Path(target).read_bytes() == Path("other.png").read_bytes()


def test_what_somebody_has_retouched_stays(colorize):
    colorize("q.png")
    Path("q.color.png").write_bytes(b"retouched")
    code, statuses, _ = colorize("q.png", "--saturation", "3")
    assert (code, statuses) == (0, {"q.png": "skipped"})
    assert Path("q.color.png").read_bytes() == b"retouched"


def test_several_runs_write_beside_their_inputs_at_a_time(colorize, monkeypatch):
    begun = Copying.run

    def other_first(self, *arguments):
        monkeypatch.setattr(Copying, "run", begun)
        assert colorize("other.png")[:2] == (0, {"other.png": "done"})
        return begun(self, *arguments)

    monkeypatch.setattr(Copying, "run", other_first)
    assert colorize("q.png")[:2] == (0, {"q.png": "done"})
    assert set(colorize("q.png", "other.png")[1].values()) == {"skipped"}
    events = [json.loads(line)["event"] for line in Path(NAME).read_text().splitlines()]
    assert events.count("done") == 2


def test_the_journal_is_no_input(colorize):
    colorize("q.png")
    _, statuses, _ = colorize("q.png", NAME)
    assert statuses == {"q.png": "skipped", NAME: "skipped"}


def test_collisions_are_refused_and_the_rest_done(colorize):
    shutil.copy("q.png", "dir/b.png")
    for name in ("dir/a.gif", "dir/c.gif"):
        Image.new("L", (9, 9)).save(name)
    Path("x").mkdir()
    shutil.copy("other.png", "x/b.png")
    code, statuses, said = colorize("dir", "x", "-o", "out")
    assert code == 1
    assert statuses == {
        "dir/a.gif": "failed",
        "dir/a.png": "failed",
        "dir/b.png": "failed",
        "x/b.png": "failed",
        "dir/c.gif": "done",
    }
    assert "two inputs would write one output, out/b.png: dir/b.png and x/b.png" in said
    colorize("dir/b.png", "-o", "out")
    code, statuses, said = colorize("x", "dir/c.gif", "-o", "out")
    assert (code, statuses) == (1, {"x/b.png": "failed", "dir/c.gif": "skipped"})
    assert "was made from" in said
    code, statuses, _ = colorize("dir/c.gif", "x", "-o", "x")
    assert (code, statuses) == (0, {"dir/c.gif": "done", "x": "skipped"})
