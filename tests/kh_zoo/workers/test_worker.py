"""The process that colours, seen from the one that starts it; small programs stand in for it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from kh_zoo.batches.plan import plan_batch
from kh_zoo.errors import ModelError, WorkerError
from kh_zoo.runners.local_runner import LocalRunner
from kh_zoo.workers import process
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.worker import Worker

# Does to itself what the names of pictures say, and what `loads` says of the first times it starts.
PROGRAM = """
import json, os, signal, sys, time
answer = lambda **record: print(json.dumps(record), flush=True)
def do(deed):
    if deed == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if deed == "segfault": os.kill(os.getpid(), signal.SIGSEGV)
    if deed == "stop": os.kill(os.getpid(), signal.SIGSTOP)
    if deed == "exit": sys.exit(3)
    if deed == "cut": print('{"read"', end="", flush=True); sys.exit(0)
    if deed == "close": os.close(1); time.sleep(30)
    if deed == "child": os.system("sleep 3 &"); sys.exit(4)
    if deed == "slow": time.sleep(0.5)
    if deed == "refuse": answer(reason="there is no such model", kind="ModelError"); sys.exit()
sys.stdin.readline()
deeds = os.environ.get("LOADS", "").split()
try:
    number = len(os.listdir("starts"))
    os.mkdir(f"starts/{os.getpid()}")
    do(deeds[number] if number < len(deeds) else deeds[-1] if deeds else "")
except FileNotFoundError:
    pass
answer(device="cpu")
for line in sys.stdin:
    do(os.path.basename(json.loads(line)["source"]).split("_")[0])
    answer(notes=[], seconds=0.0)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("starts").mkdir()
    monkeypatch.setattr(Worker, "command", lambda self: [sys.executable, "-S", "-c", PROGRAM])
    monkeypatch.setattr(process, "_PATIENCE", 1)

    def loads(*deeds):
        monkeypatch.setenv("LOADS", " ".join(deeds))

    return loads


def run(names, workers, timeout=60):
    """What becomes of pictures of these names: the reasons, and what was raised at the end."""
    for name in names:
        Image.new("L", (9, 9)).save(name)
    jobs = plan_batch([Path(name) for name in names], output=Path("out")).jobs
    reasons, error = {}, None
    with LocalRunner(Settings(), workers, timeout) as runner:
        try:
            for number, answer in runner.run(jobs, lambda job: None, lambda: False):
                reasons[jobs[number].source.name] = answer.reason
        except WorkerError as raised:
            error = str(raised)
    return reasons, error


DEATHS = {
    "kill": "SIGKILL, as where memory is short: ",
    "segfault": "SIGSEGV",
    "stop": "no end after 2 s (`timeout`)",
    "exit": "exit code 3",
    "cut": "exit code 0",
    "close": "no end after 2 s (`timeout`)",
    "child": "exit code 4",
}


@pytest.mark.usefixtures("program")
def test_whatever_ends_a_process_is_named_with_its_picture_and_the_rest_done():
    names = [f"{deed}_{n}.png" for n, deed in enumerate((*DEATHS, "fine", "fine"))]
    reasons, error = run(names, 1, timeout=2)
    assert error is None
    for name in names:
        deed = name.split("_")[0]
        if deed == "fine":
            assert reasons[name] is None
        else:
            assert DEATHS[deed] in reasons[name]


@pytest.mark.usefixtures("program")
def test_processes_are_kept_for_what_comes_later():
    for name in "abc":
        Image.new("L", (9, 9)).save(f"{name}.png")
    with LocalRunner(Settings(), 2) as runner:
        for name in "abc":
            [job] = plan_batch([Path(f"{name}.png")], output=Path("out")).jobs
            [(number, answer)] = runner.run([job], lambda job: None, lambda: False)
            assert (number, answer.reason) == (0, None)
    assert len(os.listdir("starts")) == 1


@pytest.mark.usefixtures("program")
def test_a_process_may_be_killed_with_every_picture():
    names = [f"kill_{n}.png" for n in range(12)] + ["fine_0.png"]
    reasons, error = run(names, 2)
    assert error is None
    assert len(reasons) == 13
    assert reasons["fine_0.png"] is None


def test_a_process_that_is_killed_while_it_loads_is_started_again(program):
    program("kill", "exit", "fine")
    assert run(["fine_0.png", "fine_1.png"], 1) == ({"fine_0.png": None, "fine_1.png": None}, None)


def test_the_others_do_what_one_that_never_loads_would_have_done(program):
    """As where memory is enough for two processes of three."""
    program("fine", "fine", "kill", "kill", "kill")
    names = [f"slow_{n}.png" for n in range(4)]
    assert run(names, 3) == (dict.fromkeys(names), None)


def test_processes_that_all_die_before_they_have_a_picture_are_given_up(program):
    program("kill")
    reasons, error = run([f"fine_{n}.png" for n in range(5)], 2)
    assert reasons == {}
    assert "SIGKILL" in error
    assert len(os.listdir("starts")) == 2 * 3


def test_a_model_that_can_not_be_loaded_is_no_death(program):
    program("refuse")
    one = Worker(Settings(), 60, None)
    with pytest.raises(ModelError, match="there is no such model"):
        one.load()
    one.close()
    assert len(os.listdir("starts")) == 1


STOPPED = """
import sys
from pathlib import Path
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.worker import Worker
Worker.command = lambda self: [sys.executable, "-S", "-c", sys.argv[1]]
one = Worker(Settings(), 2, None)
one.load()
print("loaded", flush=True)
print(one.colorize(Path("slow_0.png"), Path("out.png")), flush=True)
print(one.colorize(Path("stop_0.png"), Path("out.png")), flush=True)
"""


def test_ctrl_z_for_longer_than_the_time_of_a_picture_fails_none(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, PROGRAM], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout.readline() == "loaded\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.7)
        process.send_signal(signal.SIGCONT)
        assert "reason=None" in process.stdout.readline()
        assert "no end after 2 s" in process.stdout.readline()  # it is still measured


@pytest.fixture
def real(tmp_path, model, monkeypatch):
    """A real process whose engine is slow enough to be ended in the middle of a picture."""
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((1500, 1500), 60).save("a.png")
    process = Worker(Settings(model=str(model)), 60, None)
    process.load()
    yield process
    process.stop()
    process.close()


def hidden():
    return [path.name for path in Path().iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGHUP, "stdin"])
def test_a_process_that_is_ended_in_the_middle_leaves_no_file(real, way):
    real._process.stdin.write(json.dumps({"source": "a.png", "target": "b.webp"}) + "\n")
    real._process.stdin.flush()
    deadline = time.monotonic() + 60
    while not hidden():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    if way == "stdin":  # as where the one that started it was killed
        real._process.stdin.close()
    else:
        real._process.send_signal(way)
    code = real._process.wait(5)
    assert code == (0 if way == "stdin" else 128 + way)
    assert hidden() == []
    assert not Path("b.webp").exists()


def test_inputs_that_are_no_files_any_more_do_not_hang(real):
    os.mkfifo("fifo.png")
    os.mkdir("folder.png")
    for name in ("fifo.png", "folder.png"):
        assert real.colorize(Path(name), Path("out.png")).reason == "no file any more"
    assert real.colorize(Path("gone.png"), Path("out.png")).reason
    assert real.colorize(Path("a.png"), Path("out.png")).reason is None


def test_memory_that_runs_out_is_said_with_its_limit_and_the_rest_done(tmp_path, model):
    """Under `ulimit -v`, which makes calls of any library fail, a picture that needs too much."""
    (tmp_path / "dir").mkdir()
    Image.new("RGB", (6000, 4000), "gray").save(tmp_path / "dir/a.webp", method=0)
    Image.new("L", (60, 60), 90).save(tmp_path / "dir/b.png")
    command = [
        Path(sys.executable).with_name("kh"),
        "colorize",
        "dir",
        "-m",
        model,
        "-j1",
        "--json",
    ]
    result = subprocess.run(
        ["sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert "1.0 GB by `ulimit -v`" in records[0]["reason"], result.stderr
    assert "bug" not in result.stderr
    assert records[1]["status"] == "done", result.stderr
    assert result.returncode == 1
