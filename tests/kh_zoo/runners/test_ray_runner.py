"""`kh colorize --runner ray`, on a local Ray of two workers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from kh_zoo.catalog.records import BUNDLES

pytest.importorskip("ray")

KH = Path(sys.executable).with_name("kh")
PICTURES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures in two folders, one of them no picture, and what one machine makes of them."""
    folder = tmp_path_factory.mktemp("scans")
    (folder / "in" / "sub").mkdir(parents=True)
    image = Image.fromarray(data.camera())
    for number in range(PICTURES - 1):
        name = f"{'sub/' if number % 3 else ''}{number}.jpg"
        image.rotate(9 * number).save(folder / "in" / name)
    (folder / "in" / "broken.jpg").write_text("no picture")
    (folder / "model").symlink_to(BUNDLES / "vgg19")
    alone = _kh(folder, "in", "-o", "alone", "--runner", "local")
    assert alone.returncode == 1, alone.stderr
    return folder


def _command(*arguments):
    # By a path that says nothing to a process in another folder.
    return [str(KH), "colorize", "-m", "model", *map(str, arguments)]


def _environment():
    return {**os.environ, "RAY_ADDRESS": "local"}


def _kh(folder, *arguments):
    return subprocess.run(
        _command(*arguments),
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _files(folder):
    """All files, the journal apart, with what is in them."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder): path.read_bytes()
        for path in files
        if path.name != ".kh-journal.jsonl"
    }


def _events(folder, event):
    journal = folder / ".kh-journal.jsonl"
    # On a busy machine the actors are there before it is begun.
    lines = journal.read_text().splitlines() if journal.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [record for record in records if record["event"] == event]


def _actors():
    """The processes of the actors that colour, on this machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


@contextlib.contextmanager
def _running(folder, output):
    """A run of two workers, from when its first picture is done."""
    with subprocess.Popen(
        _command("in", "-o", output, "--runner", "ray", "--jobs", "2", "--json"),
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _wait(lambda: (folder / output).is_dir() and _events(folder / output, "done"), process)
            yield process
        finally:
            process.kill()


def _wait(condition, process=None):
    deadline = time.monotonic() + 200
    while not condition():
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_that_is_killed_changes_nothing(folder):
    with _running(folder, "out") as process:
        actors = _actors()
        assert len(actors) == 2
        os.kill(actors[0], signal.SIGKILL)
        done = len(_events(folder / "out", "done"))
        printed, said = process.communicate(timeout=300)
    assert done < PICTURES - 5, "killed too late to show anything"
    assert process.returncode == 1
    lines = said.splitlines()
    assert lines[0] == f"{PICTURES} to colour, 2 at a time (`--jobs`)"
    assert lines[1].startswith("in/broken.jpg: not a picture")
    assert lines[2].startswith(f"{PICTURES - 1} coloured in ")
    assert lines[3:] == ["1 failed"]
    records = [json.loads(line) for line in printed.splitlines()]
    assert len(records) == PICTURES
    assert [record["input"] for record in records] == sorted(
        (record["input"] for record in records), key=Path
    )
    assert _files(folder / "out") == _files(folder / "alone")
    # One journal, as one machine writes it: the next run, wherever it is, has nothing to do.
    assert len(_events(folder / "out", "done")) == PICTURES - 1
    again = _kh(folder, "in", "-o", "out", "--json")
    assert again.returncode == 1  # the broken one is tried again
    statuses = [json.loads(line)["status"] for line in again.stdout.splitlines()]
    assert sorted(statuses) == ["failed"] + ["skipped"] * (PICTURES - 1)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_run_that_is_ended_leaves_no_process_and_goes_on_on_one_machine(folder, number, code):
    output = f"ended-by-{number}"
    with _running(folder, output) as process:
        process.send_signal(number)
        process.communicate(timeout=100)
    assert process.returncode == code
    _wait(lambda: not _actors())
    done = len(_events(folder / output, "done"))
    assert done < PICTURES - 5, "ended too late to show anything"
    again = _kh(folder, "in", "-o", output)
    assert again.returncode == 1, again.stderr
    assert _files(folder / output) == _files(folder / "alone")


def test_a_model_that_can_not_be_loaded_is_one_line(folder):
    done = _kh(folder, "in", "-o", "none", "--runner", "ray", "--engine", "onxx")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: `--engine` should be one of")
    assert "Did you mean 'onnx'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cluster_that_is_not_there_is_one_line(folder):
    done = subprocess.run(
        _command("in", "-o", "none", "--runner", "ray"),
        cwd=folder,
        env={**os.environ, "RAY_ADDRESS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: `RAY_ADDRESS` should be that of a Ray cluster")
    assert done.stderr.count("\n") == 1
