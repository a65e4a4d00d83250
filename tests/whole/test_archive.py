"""Whole folders through `kh colorize`, under what may befall a run that nobody watches."""

import json
import os
import random
import runpy
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import chelsea
from whole_process import KH, kh

from kh_zoo.batches.journal import Journal

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments, cwd):
    return subprocess.Popen(
        [KH, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def scans(tmp_path):
    """A folder of small pictures, no two the same."""
    gray = Image.fromarray(chelsea()).convert("L")

    def write(count, folder="dir"):
        for number in range(count):
            path = tmp_path / folder / f"{number:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            gray.crop((number, 0, number + 300, 200)).save(path)
        return tmp_path / folder

    return write


def contents(folder):
    """Every file but the journal."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".kh-journal.jsonl"
    }


def test_kills_at_random_moments_change_nothing(tmp_path, scans, model):
    scans(30)
    assert kh("colorize", "dir", "-o", "whole", "-m", model, cwd=tmp_path).returncode == 0
    moments = random.Random(20261127)
    # CI has not the time for more: KH_KILLS=30 has it.
    left = int(os.environ.get("KH_KILLS", "4"))
    out = tmp_path / "out"
    work = ("colorize", "dir", "-o", out, "-m", model)
    seen = set()
    while left:
        before = len(list(out.glob("*.jpg")))
        after = moments.randrange(5)  # so many pictures
        process = start(*work, cwd=tmp_path)
        while process.poll() is None and len(list(out.glob("*.jpg"))) < before + after:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.1 if after else 0.6))
        if process.poll() is None:
            left -= 1
        process.kill()
        process.wait()
        seen.add(len(contents(out)))
        if len(list(out.glob("*.jpg"))) == 30 and left:
            shutil.rmtree(out)
    assert len(seen) > 2
    result = kh(*work, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert contents(out) == contents(tmp_path / "whole")


def test_what_has_changed_is_done_again_and_it_says_why(tmp_path, scans, model):
    scans(4)

    def run(*options):
        result = kh("colorize", "dir", "--json", "-m", model, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        records = [json.loads(line) for line in result.stdout.splitlines()]
        reasons = {Path(record["input"]).name: record["reason"] for record in records}
        return reasons, result.stderr

    assert set(run()[0].values()) == {None}
    assert set(run()[0].values()) == {"already there"}
    # Another time alone is no change, nor is an output that someone has worked on ours to replace.
    os.utime(tmp_path / "dir" / "000.jpg")
    scans(6, "other")
    shutil.copy(tmp_path / "other" / "005.jpg", tmp_path / "dir" / "001.jpg")
    (tmp_path / "dir-color" / "002.jpg").write_bytes(b"retouched")
    (tmp_path / "dir-color" / "003.jpg").unlink()
    reasons, talk = run()
    assert reasons == {
        "000.jpg": "already there",
        "001.jpg": "again: the input has changed",
        "002.jpg": "already there, and changed since it was written",
        "003.jpg": None,
    }
    assert "1 of them again: the input has changed" in talk
    reasons, talk = run("--size", "32")
    assert reasons.pop("002.jpg") == "already there, and changed since it was written"
    assert set(reasons.values()) == {"again: other settings: size 64 before, 32 now"}
    assert "3 of them again: other settings: size 64 before, 32 now" in talk
    assert (tmp_path / "dir-color" / "002.jpg").read_bytes() == b"retouched"
    assert set(run("--size", "64")[0]) == {f"00{number}.jpg" for number in range(4)}
    # Without the journal, what is there counts as finished.
    (tmp_path / "dir-color" / ".kh-journal.jsonl").unlink()
    assert set(run("--size", "32")[0].values()) == {"already there"}


FAULTS = """
import os, signal, time
from kh_zoo.hookspecs import hookimpl

class Fault:
    def predict_ab(self, lightness):
        import numpy
        brightness = round(float(lightness.mean()))
        if brightness < 20:
            os.kill(os.getpid(), signal.SIGSEGV)
        elif brightness < 40:
            time.sleep(1000)
        elif brightness < 60:
            raise MemoryError
        return numpy.full((*lightness.shape, 2), 20.0)

@hookimpl
def register_engines(register):
    register("fault", lambda folder, head, device: Fault())
"""


def test_a_picture_that_ends_or_stalls_its_process_does_not_end_the_rest(tmp_path):
    """An engine that segfaults, waits for ever or is short of memory, by the brightness."""
    path = tmp_path / "plugin"
    path.mkdir()
    (path / "fault.py").write_text(FAULTS)
    (path / "fault-1.0.dist-info").mkdir()
    (path / "fault-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fault\nVersion: 1.0\n"
    )
    (path / "fault-1.0.dist-info" / "entry_points.txt").write_text(
        "[keras_hypercolumns.plugins]\nfault = fault\n"
    )
    (tmp_path / "dir").mkdir()
    for number, gray in enumerate((200, 20, 200, 80, 120, 200)):
        Image.new("L", (40, 30), gray).save(tmp_path / "dir" / f"{number}.png")
    result = kh(
        *("colorize", "dir", "--engine", "fault", "--timeout", 5, "-j", 2, "--json", "-q"),
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join((str(path), os.environ.get("PYTHONPATH", ""))),
    )
    assert result.returncode == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(record["input"]).stem for record in records] == list("012345")  # in order
    reasons = [record["reason"] for record in records]
    assert reasons[0] is reasons[2] is reasons[5] is None
    assert "SIGSEGV" in reasons[1]
    assert "5 s" in reasons[3]
    assert "not enough memory" in reasons[4]
    assert sorted(contents(tmp_path / "dir-color")) == ["0.png", "2.png", "5.png"]


def test_a_full_disk_ends_the_run_which_goes_on_when_there_is_room(tmp_path, scans, model):
    scans(20)
    out = tmp_path / "out"
    out.mkdir()
    work = f"{KH} colorize dir -o out -m {model} -j 1"
    # A disk of its own, seen by these processes alone.
    own = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = "mount -t tmpfs -o size=256k none out"
    if subprocess.run([*own, mount], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    result = subprocess.run(
        [*own, f"{mount} && {work}; echo $?; ls -A out; mount -o remount,size=9m out && {work} -q"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    first, then = result.stdout.split("\n1\n")
    written = first.split()
    names, again = then.split("\nout/", 1)[0].split(), then.count("out/")
    assert 0 < len(written) < 20
    assert sorted(names) == [".kh-journal.jsonl", *(Path(path).name for path in written)]
    assert "No space left on device" in result.stderr
    assert "stopped: what is left would fail for the same reason" in result.stderr
    assert f"{20 - len(written) - 1} left" in result.stderr
    assert len(written) + again == 20
    assert result.returncode == 0


def test_two_runs_do_not_write_into_one_folder(tmp_path, scans, model):
    scans(2)
    with Journal(tmp_path / "dir-color", {}):
        second = kh("colorize", "dir", "-m", model, cwd=tmp_path)
    assert second.returncode == 2
    assert "another run is writing to dir-color" in second.stderr
    assert kh("colorize", "dir", "-m", model, cwd=tmp_path).returncode == 0


@pytest.fixture
def held_to_modes():
    """What a command begins with to be held to the modes of files, which root is not."""
    if os.getuid():
        return []
    begin = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if subprocess.run([*begin, "true"], capture_output=True, check=False).returncode:
        pytest.skip("root can't give up its rights here")
    return begin


def test_folders_and_files_that_a_user_may_not_read_or_write(tmp_path, scans, model, held_to_modes):
    scans(2)
    scans(1, "dir/locked")
    (tmp_path / "dir/001.jpg").chmod(0)
    (tmp_path / "dir/locked").chmod(0)
    (tmp_path / "closed").mkdir(mode=0o555)
    work = [*held_to_modes, KH, "colorize", "dir", "-m", model, "-o"]
    given, refused = (
        subprocess.run([*work, output], cwd=tmp_path, capture_output=True, text=True, check=False)
        for output in ("out", "closed")
    )
    (tmp_path / "dir/locked").chmod(0o755)
    assert given.returncode == 1
    assert given.stdout.split() == ["out/000.jpg"]
    assert "dir/001.jpg: Permission denied" in given.stderr
    assert "dir/locked: Permission denied" in given.stderr
    assert "Traceback" not in given.stderr
    assert refused.returncode == 2
    assert "Received: closed (Permission denied)" in refused.stderr
    assert sorted(contents(tmp_path / "out")) == ["000.jpg"]
    assert not contents(tmp_path / "closed")


def test_every_kind_of_picture_and_twenty_that_are_broken(tmp_path, model):
    """A small run of benchmarks/archive.py."""
    archive = runpy.run_path(str(ROOT / "benchmarks" / "archive.py"))
    folder, out = tmp_path / "scans", tmp_path / "out"
    archive["make"](folder, 20, 20)
    assert len(list(folder.rglob("*.*"))) == 40
    code, records, _, _ = archive["colorize"](folder, out, model, 64)
    assert code == 1
    assert [record["status"] for record in records].count("failed") == 20
    assert [record["input"] for record in records] == sorted(record["input"] for record in records)
    archive["check"](folder, out, records, model, 64)


class TestStreams:
    def run(self, command, cwd):
        return subprocess.run(
            ["sh", "-c", command.replace("kh ", f"{KH} ")],
            cwd=cwd,
            capture_output=True,
            check=False,
        )

    def test_a_picture_through_a_pipe(self, tmp_path, scans, model):
        scans(1)
        kh("colorize", "dir/000.jpg", "-o", "same.jpg", "-m", model, cwd=tmp_path)
        kh("colorize", "dir/000.jpg", "-o", "other.webp", "-m", model, cwd=tmp_path)
        same, other = (tmp_path / name for name in ("same.jpg", "other.webp"))
        for command, expected in (
            ("cat dir/000.jpg | kh colorize - -o - -q -m MODEL | cat", same),
            ("kh colorize - -q -m MODEL <dir/000.jpg", same),
            ("kh colorize dir/000.jpg -o - --format webp -m MODEL", other),
        ):
            result = self.run(command.replace("MODEL", str(model)), tmp_path)
            assert result.returncode == 0, result.stderr
            assert result.stdout == expected.read_bytes()
        command = f"cat dir/000.jpg | kh colorize - -o new.webp -m {model} --json"
        record = json.loads(self.run(command, tmp_path).stdout)
        assert (record["input"], record["output"], record["status"]) == ("-", "new.webp", "done")
        assert (tmp_path / "new.webp").read_bytes() == other.read_bytes()

    def test_what_is_no_picture_gives_nothing(self, tmp_path, model):
        result = self.run(f"echo text | kh colorize - -q -m {model}", tmp_path)
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.startswith(b"-: not a picture")

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (("-", "dir"), "alone"),
            (("dir", "-o", "-"), "alone"),
            (("-", "--json"), "`--json`"),
            (("-", "-o", "dir"), "file name"),
            (("-", "-o", "-", "--format", "gif"), "`--format`"),
        ],
    )
    def test_wrong_use(self, tmp_path, scans, arguments, word):
        scans(1)
        with (tmp_path / "dir/000.jpg").open() as stdin:
            result = kh("colorize", *arguments, cwd=tmp_path, stdin=stdin)
        assert (result.returncode, result.stdout) == (2, "")
        assert word in result.stderr
