"""Pipes, devices and sockets in the place of files: nothing waits for them, and they stay."""

import os
import socket
import stat
import threading
import time

import numpy as np
import pytest
from PIL import Image
from whole_process import kh

from kh_cli.options.listed_paths import listed_paths
from kh_cli.output.errors import WrongUse

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
WHERE = [
    "colorize {}.png",
    "colorize photo.png {}.png",
    "colorize photo.png -o {}.png",
    "colorize photo.png -o {}.png --overwrite",
    "colorize photo.png -o {}.jpg/out",
    "colorize -m {}.png photo.png",
    "colorize --from {}.png",
    "compare lite --data {}.png -o page.html",
    "compare lite --data photo.png -o {}.html --overwrite",
    "evaluate lite --data {}.png",
    "evaluate lite --data photos --report {}.html",
    "export lite out --to web --runtime {}.png",
    "features {}.png",
    "features photo.png -o {}.png --overwrite",
    "show {}.png",
    "study lite --data photos --plot {}.html",
    "train {}.toml --data photos",
    "watch {}.png",
]


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


KINDS = {
    "pipe": make_pipe,
    "socket": make_socket,
    "link": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("line", WHERE)
@pytest.mark.parametrize("kind", KINDS)
def test_one_in_the_place_of_a_file(tmp_path, kind, line, monkeypatch, kh_here):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), "uint8")
    Image.fromarray(noise).save("photo.png")
    special = [tmp_path / f"special{suffix}" for suffix in (".png", ".jpg", ".html", ".toml")]
    for path in special:
        KINDS[kind](path)
    before = [os.lstat(path) for path in special]
    started = time.monotonic()
    code, _, err = kh_here(*line.format("special").split())
    assert time.monotonic() - started < 25
    assert code in (1, 2)
    assert "special" in err
    assert "bug" not in err
    after = [os.lstat(path) for path in special]
    assert [(one.st_ino, one.st_mode) for one in after] == [
        (one.st_ino, one.st_mode) for one in before
    ]


def test_among_the_pictures_of_a_measurement(tmp_path, kh_here):
    Image.new("RGB", (64, 64), (200, 90, 40)).save(tmp_path / "a.png")
    make_pipe(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("b.png")
    (tmp_path / "d.png").symlink_to("/dev/zero")
    code, out, _ = kh_here("evaluate", "lite", "--data", tmp_path, "--all", "--json")
    assert (code, out.count('"pictures": 1')) == (0, out.count("\n"))


def test_a_list_from_a_pipe_is_waited_for_as_long_as_somebody_has_it_open(tmp_path, monkeypatch):
    monkeypatch.setattr("kh_cli.options.listed_paths._PATIENCE", 1)
    make_pipe(tmp_path / "list")

    def write():
        time.sleep(0.5)
        with open(tmp_path / "list", "wb", buffering=0) as file:
            time.sleep(1.5)
            file.write(b"a.png\n")
            time.sleep(0.3)
            file.write(b"b.png\n")

    writer = threading.Thread(target=write)
    writer.start()
    assert [path.name for path in listed_paths(tmp_path / "list")] == ["a.png", "b.png"]
    writer.join()
    with pytest.raises(WrongUse, match="nobody writes to"):
        listed_paths(tmp_path / "list")


def test_a_list_without_end(tmp_path):
    (tmp_path / "list").symlink_to("/dev/zero")
    with pytest.raises(WrongUse, match=r"more than 200,000,000 bytes"):
        listed_paths(tmp_path / "list")
    with open("/dev/zero", "rb") as zeros:
        done = kh("colorize", "--from", "-", stdin=zeros)
    assert (done.returncode, "more than 200,000,000 bytes" in done.stderr) == (2, True)


def test_devices_stay(tmp_path):
    from kh_zoo.files.whole_files import check_place, write_whole

    for path in ("/dev/null", "/dev/zero"):
        (tmp_path / "link.txt").unlink(missing_ok=True)
        (tmp_path / "link.txt").symlink_to(path)
        for place in (path, tmp_path / "link.txt"):
            with pytest.raises(FileExistsError):
                check_place(type(tmp_path)(place))
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "link.txt", b"words")
    assert stat.S_ISCHR(os.stat(tmp_path / "link.txt").st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["link.txt"]
