"""A disk that is full at any write: a reason, and the same command succeeds once there is room.

The disk is a small one of its own, of so many bytes and names, and native code meets it, too.
"""

import json
import os
import subprocess
import sys

import failing_disk
import pytest
from PIL import Image
from small_models import RECIPE, model_files

# All in one process: the disk is emptied, the command is run there, and again when there is room.
RUN = """
import builtins, json, os, shutil, subprocess, sys, tempfile
from pathlib import Path
from kh_cli.main import main

disk, work = Path(sys.argv[1]), json.load(open(sys.argv[2]))

def run(arguments):
    sys.argv[1:] = arguments
    tempfile.tempdir = None
    with open("said", "w+b") as said:
        kept = [os.dup(1), os.dup(2)]
        os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os.dup2(kept[0], 1), os.dup2(kept[1], 2)
        said.seek(0)
        return code, said.read().decode(errors="replace")

def empty():
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
"""
# The process alone sees the disk, which is made as large as is asked for.
OF_SIZES = f"""{RUN}
subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True)

def resize(**limits):
    given = ",".join(f"{{name}}={{value}}" for name, value in limits.items())
    subprocess.run(["mount", "-o", f"remount,{{given}}", disk], check=True)

for number, limits in enumerate(work["limits"]):
    resize(size="1g", nr_inodes=9999)
    empty()
    arguments = [word.format(number) for word in work["command"]]
    resize(**limits)
    first = run(arguments)
    resize(size="1g", nr_inodes=9999)
    print(json.dumps([limits, *first, *run(arguments)]), flush=True)
"""
# It is full from each call in turn, until several are more than a command and its processes make.
AT_CALLS = f"""{RUN}
at, done = 1, 0
while done < 5:
    empty()
    arguments = [word.format(at) for word in work["command"]]
    builtins.failing_disk.begin(at)
    first = run(arguments)
    done = 0 if first[0] else done + 1
    builtins.failing_disk.begin(0)
    print(json.dumps([at, *first, *run(arguments)]), flush=True)
    at += 1
"""
ROOM = {"size": "1g", "nr_inodes": 9999}
PAGE = 4096
STEPS = {"train": 12}  # each takes seconds
COMMANDS = {
    "pull": ["pull", "eve/sound"],
    "colorize": ["colorize", "dir", "-o", "disk/out", "-m", "MODEL", "-j1", "-q"],
    "publish": ["publish", "MODEL", "ada/etchings-{}", "--license", "MIT"],
    "train": ["train", "recipe.toml", "--data", "DATA", "--run", "disk/run", "--init", "random"],
}


@pytest.fixture
def desk(hub, model, pictures, tmp_path):
    """Runs a program of the above with a command, and checks what becomes of it."""
    disk = tmp_path / "disk"
    for folder in (disk, tmp_path / "dir", tmp_path / "home"):
        folder.mkdir()
    for number in range(3):
        Image.effect_noise((120 + number, 90), 60).save(tmp_path / "dir" / f"{number}.png")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    card = {"README.md": b"---\nlicense: mit\n---\n"}
    hub.put("eve/sound", {**model_files(tmp_path / "made"), **card})

    def run(program, what, before=(), limits=(), **environment):
        places = {"MODEL": str(model), "DATA": str(pictures.folder)}
        line = [places.get(word, word) for word in COMMANDS[what]]
        (tmp_path / "work.json").write_text(json.dumps({"command": line, "limits": limits}))
        environment |= {"HF_TOKEN": hub.token_of("ada"), "HOME": str(tmp_path / "home")}
        if what == "pull":
            environment["HF_HUB_CACHE"] = str(disk / "hub")
        if what == "publish":
            environment["TMPDIR"] = str(disk)
        result = subprocess.run(
            [*before, sys.executable, "-c", program, disk, "work.json"],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        cases = [json.loads(line) for line in result.stdout.splitlines()]
        if not cases and "mount" in result.stderr:
            pytest.skip("this system lets nobody mount a small disk")
        assert result.returncode == 0, result.stderr
        codes = []
        for of, code, said, again, said_again in cases:
            assert "Traceback" not in said, (of, said)
            assert "a bug in" not in said, (of, said)
            assert code == 0 or "No space left on device" in said, (of, said)
            assert again == 0, (of, said, said_again)
            codes.append(code)
        return codes

    return run


@pytest.fixture
def full(desk):
    """Runs a command on disks of these limits."""

    def run(what, limits):
        codes = desk(OF_SIZES, what, ("unshare", "--map-root-user", "--mount"), limits)
        assert len(codes) == len(limits)
        return codes

    return run


def test_a_full_disk(full):
    assert 0 not in full("pull", [{"size": 1}, {"size": 30 * PAGE}, {"nr_inodes": 2}])


@pytest.mark.long
@pytest.mark.parametrize("what", COMMANDS)
def test_a_disk_that_is_full_at_any_write(full, what):
    """From nothing to all that the command needs, in steps, and name by name."""
    doubled = [2**power for power in range(0, 15, 2)]
    sizes = full(what, [{**ROOM, "size": PAGE * count} for count in doubled])
    names = full(what, [{**ROOM, "nr_inodes": count} for count in doubled[:4]])
    size, most = doubled[sizes.index(0)], doubled[names.index(0)]
    pages = range(1, size, max(size // STEPS.get(what, 60), 1))
    limits = [{**ROOM, "size": PAGE * count} for count in pages]
    limits += [{**ROOM, "nr_inodes": count} for count in range(1, most)]
    codes = full(what, limits)
    print(f"{what}: {len(codes) - codes.count(0)} of {len(codes)} refused")
    assert codes.count(0) < len(codes) - 9


@pytest.mark.long
@pytest.mark.parametrize("what", COMMANDS)
def test_a_disk_that_is_full_from_each_call_on(desk, what, tmp_path):
    """Of `train` these are some 290, half an hour."""
    codes = desk(AT_CALLS, what, **failing_disk.install(tmp_path / "disk", tmp_path / "place"))
    print(f"{what}: {len(codes) - codes.count(0)} of {len(codes)} refused")
    assert codes.count(0) < len(codes) - 5
