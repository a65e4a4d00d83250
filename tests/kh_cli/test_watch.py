"""`kh watch` as it is started, and ended by Ctrl-C."""

import json
import shutil
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from PIL import Image
from whole_process import KH


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (40, 50), "uint8")
    Image.fromarray(noise).save(path)
    return path


def test_what_is_there_and_what_arrives_is_coloured_as_by_colorize(model, tmp_path, kh_here):
    scans, made = tmp_path / "scans", tmp_path / "made"
    out = scans / "out"
    picture(scans / "before.png", 1)
    picture(out / "mine.png", 7)
    options = ("-m", model, "--saturation", "0.8", "--format", "jpg")
    command = [KH, "watch", scans, "-o", out, "--settle", "0.8", "-j", "1", "--json", *options]
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        reading = threading.Thread(target=lambda: lines.extend(map(json.loads, process.stdout)))
        reading.start()

        def until(count):
            end = time.monotonic() + 60
            while len(lines) < count:
                if time.monotonic() > end:
                    process.kill()
                    pytest.fail(f"no more than {lines}")
                time.sleep(0.05)

        until(1)
        refused = kh_here("colorize", scans, "-o", out, "--overwrite", *options)
        # A scanner that writes for a while.
        content = picture(made / "slow.png", 2).read_bytes()
        with (scans / "slow.png").open("wb", buffering=0) as file:
            for part in np.array_split(np.frombuffer(content, "uint8"), 8):
                file.write(part.tobytes())
                time.sleep(0.2)
        # A copy as old as the original, in a new folder; a part that gets its name at the end.
        (scans / "new").mkdir()
        shutil.copy2(picture(made / "old.png", 3), scans / "new" / "old.png")
        picture(made / "part.png", 4).rename(scans / "part.tmp")
        (scans / "cut.png").write_bytes(content[: len(content) // 2])
        time.sleep(0.2)
        (scans / "part.tmp").rename(scans / "renamed.png")
        until(4)
        picture(scans / "before.png", 5)
        until(5)
        picture(scans / "last.png", 6)
        until(6)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        reading.join()
    assert process.returncode == 1
    assert refused[0] == 2
    assert "another run is writing" in refused[2]
    assert errors.splitlines()[1:2] == ["1 of them again: the input has changed"]
    assert "6 coloured in" in errors
    assert errors.endswith("\n1 passed over: 1 in the output folder\n1 failed\n")
    became = [(line["input"], line["status"]) for line in lines]
    assert became[0] == (f"{scans}/before.png", "done")
    arrived = {(f"{scans}/{name}.png", "done") for name in ("slow", "new/old", "renamed")}
    assert set(became[1:4]) == arrived
    assert became[4:] == [
        (f"{scans}/before.png", "done"),
        (f"{scans}/last.png", "done"),
        (f"{scans}/cut.png", "failed"),
    ]
    assert lines[-1]["reason"].startswith("damaged or cut short")
    # Its journal is that of `kh colorize`, which makes the same files.
    code, printed, _ = kh_here("colorize", scans, "-o", out, "--json", *options)
    again = {(one := json.loads(line))["input"]: one["status"] for line in printed.splitlines()}
    assert code == 1
    assert again.pop(f"{scans}/cut.png") == "failed"
    assert set(again.values()) == {"skipped"}
    assert len(again) == 5
    kh_here("colorize", scans, "-o", tmp_path / "other", *options)
    files = [path.relative_to(out) for path in sorted(out.rglob("*.jpg"))]
    assert len(files) == 5
    for file in files:
        assert (out / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.long
def test_a_scanner_that_writes_for_ten_seconds_is_no_fault(model, tmp_path, kh_here):
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    content = np.frombuffer(picture(tmp_path / "made.png").read_bytes(), "uint8")
    command = [KH, "watch", scans, "-o", out, "-m", model, "-j", "1", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stderr.readline()
        begun = time.monotonic()
        with (scans / "slow.png").open("wb", buffering=0) as file:
            for pause, part in zip((*(0.5,) * 14, 3), np.array_split(content, 15), strict=True):
                time.sleep(pause)
                file.write(part.tobytes())
        written = time.monotonic()
        line = json.loads(process.stdout.readline())
        done = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert written - begun >= 10
    assert done - written >= 5
    assert (line["input"], line["status"]) == (f"{scans}/slow.png", "done")
    assert (process.returncode, rest) == (0, "")
    assert "1 coloured in" in errors
    assert "failed" not in errors
    kh_here("colorize", tmp_path / "made.png", "-o", tmp_path / "other", "-m", model)
    [other] = (tmp_path / "other").glob("*.png")
    assert (out / "slow.png").read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "`DIR` should be a folder, which is there. Received: gone"),
        (["file"], "`DIR` should be a folder, which is there. Received: file"),
        (["dir-color"], "`DIR` should be one of inputs. Received: dir-color"),
        (["dir", "-o", "dir"], "`--output` should be another folder than `DIR`. Received: dir"),
        (["dir", "-o", "file"], "`--output` should be a folder that can be written to."),
        (["dir", "--format", "bmp"], "`--format` should be one of"),
        (["dir", "-m", "light"], "Did you mean 'lite'?"),
        (["dir", "--engine", "steam"], "Received: 'steam'"),
    ],
)
def test_wrong_uses(arguments, message, tmp_path, monkeypatch, kh_here):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for name in ("dir", "dir-color"):
        (tmp_path / name).mkdir()
    code, out, err = kh_here("watch", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
