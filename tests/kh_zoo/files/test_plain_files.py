"""In the place of a file of a model: only a plain one, inside of its folder, is read."""

import os
import time

import pytest
from small_models import model_files
from typer.testing import CliRunner

from kh_cli.app import create_app
from kh_zoo.errors import ModelError
from kh_zoo.files.plain_files import inside, open_plain, plain_path, read_plain
from kh_zoo.hub.store import file_digest, open_any, read_card, read_license

SECRET = "the key of the safe"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return {
        **model_files(tmp_path_factory.mktemp("made")),
        "README.md": b"---\nlicense: mit\n---\nEtchings.\n",
    }


@pytest.fixture
def folder(files, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "secret").write_text(SECRET)
    return folder


def endless(path):
    path.symlink_to("/dev/zero")


INSTEAD = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a link to a file": lambda path: path.symlink_to(path.parent.parent / "secret"),
    "a relative link": lambda path: path.symlink_to("../secret"),
    "a link through a folder": lambda path: path.symlink_to("../one/secret"),
    "a link to a pipe": lambda path: (
        os.mkfifo(path.parent / "pipe"),
        path.symlink_to("pipe"),
    ),
    "a link to what has no end": endless,
    "a link to a random device": lambda path: path.symlink_to("/dev/urandom"),
    "a link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to standard input": lambda path: path.symlink_to("/dev/stdin"),
    "a link to a process": lambda path: path.symlink_to("/proc/self/environ"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "links in a circle": lambda path: (
        path.symlink_to("other"),
        (path.parent / "other").symlink_to(path.name),
    ),
    "a link to a folder": lambda path: path.symlink_to("/etc"),
    "a link to nothing": lambda path: path.symlink_to("/nowhere/at/all"),
    "blobs of no cache": lambda path: (
        (path.parent.parent / "blobs").mkdir(),
        (path.parent.parent / "blobs" / "x").write_text(SECRET),
        path.symlink_to("../blobs/x"),
    ),
}


def replaced(folder, name, kind):
    (folder / name).unlink()
    INSTEAD[kind](folder / name)
    return folder / name


@pytest.mark.parametrize("kind", INSTEAD)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_no_file_of_a_model(folder, name, kind):
    path = replaced(folder, name, kind)
    started = time.monotonic()
    for use in (open_any, lambda folder: plain_path(path), lambda folder: file_digest(path)):
        with pytest.raises(ModelError) as caught:
            use(folder)
        assert SECRET not in str(caught.value)
        assert str(path) in str(caught.value)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("kind", INSTEAD)
def test_no_card(folder, kind, monkeypatch):
    path = replaced(folder, "README.md", kind)
    with pytest.raises(ModelError):
        read_card(path)
    assert read_license(path) is None
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = CliRunner().invoke(create_app(), ["show", str(folder)])
    assert result.exit_code == 0
    assert "It has a card that can't be shown: " in result.stdout
    assert SECRET not in result.output
    assert "HF_HUB_OFFLINE" not in result.output  # of the environment


def test_what_is_too_large_is_not_read(folder):
    with (folder / "README.md").open("r+b") as file:
        file.truncate(10**12)  # of nothing, on the disk
    with pytest.raises(ModelError, match="Received: 1,000,000,000,000"):
        read_card(folder / "README.md")
    with pytest.raises(ModelError, match="at most 5 bytes"):
        read_plain(folder / "config.json", 5)


def test_what_is_sound_is_read(folder, tmp_path, files):
    """Also where somebody keeps the folder elsewhere, and as the cache of the Hub's client does."""
    open_any(folder)
    (tmp_path / "link").symlink_to(folder)
    open_any(tmp_path / "link")
    snapshot = tmp_path / "cache" / "snapshots" / ("a" * 40)
    blobs = tmp_path / "cache" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name, content in files.items():
        (blobs / name.upper()).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{name.upper()}")
        assert inside(snapshot / name) == blobs / name.upper()
        with open_plain(snapshot / name) as file:
            assert file.read() == content
    open_any(snapshot)
    (folder / "other").symlink_to("config.json")
    assert read_plain(folder / "other", 10**6) == files["config.json"]
