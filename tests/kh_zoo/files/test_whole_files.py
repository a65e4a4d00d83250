"""What a power cut leaves: names of whole files only, and every one that was told of."""

import errno
import os
import stat

import numpy as np
import pytest
import pyvips
from small_films import ByLightness, make_film

from kh_zoo.batches.journal import Journal
from kh_zoo.catalog.export import export_model
from kh_zoo.colorizer import Colorizer
from kh_zoo.errors import OutputError
from kh_zoo.files.whole_files import make_folder, put_in_place, sync_folder, write_whole
from kh_zoo.films.colorize_film import colorize_film
from kh_zoo.networks.model_folder import vgg19_config
from kh_zoo.networks.tensors import write_model_folder
from kh_zoo.pictures.output import SUFFIXES, Output


def picture(folder, name):
    Output(folder / name, source=folder / "none").write(pyvips.Image.black(9, 7, bands=3))


def journal(folder, name):
    with Journal(folder, {}, [folder / name]):
        pass


def film(folder, name):
    source = folder.parents[1] / "source.mkv"
    make_film(source, frames=3)
    make_folder(folder)
    colorize_film(source, folder / name, Colorizer(ByLightness(), size=32))


def model_folder(folder, name):
    config = vgg19_config("average", 16, {"etchings": ("relu1_2",)}, vivid=())
    tensors = {name: np.zeros(shape, np.float32) for name, shape in config.tensor_shapes().items()}
    write_model_folder(folder / name, config, tensors)


def exported(folder, name):
    model_folder(folder.parent, "model")
    export_model(folder.parent / "model", folder / name, to="onnx")


WRITERS = {f"picture{suffix}": picture for suffix in SUFFIXES}
WRITERS |= {"film.mkv": film, "journal": journal, "folder": model_folder, "exported": exported}


class Disk:
    """What was synced, made and renamed, by the numbers that the disk has for files."""

    def __init__(self, monkeypatch):
        self.synced, self.problems, self.made, self.renamed = {}, [], {}, []
        self.clock = 0
        real = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "mkdir")}

        def fsync(descriptor):
            real["fsync"](descriptor)
            self.clock += 1
            self.synced[os.fstat(descriptor).st_ino] = (self.clock, self._content(descriptor))

        def rename(source, target, **keywords):
            known = os.stat(source)
            if self.synced.get(known.st_ino, (0, None))[1] != self._content(source):
                self.problems.append(f"{target} was not on the disk before it had its name")
            real["replace"](source, target, **keywords)
            self.clock += 1
            self.renamed.append(os.fspath(target))
            self.made[os.fspath(target)] = self.clock

        def mkdir(path, *mode, **keywords):
            real["mkdir"](path, *mode, **keywords)
            self.clock += 1
            self.made[os.fspath(path)] = self.clock

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", rename)
        monkeypatch.setattr(os, "rename", rename)
        monkeypatch.setattr(os, "mkdir", mkdir)

    @staticmethod
    def _content(file):
        known = os.stat(file)
        return None if stat.S_ISDIR(known.st_mode) else (known.st_size, known.st_mtime_ns)

    def lost(self):
        """What a power cut could take from what is there, with the reason."""
        for path, made in self.made.items():
            folder = os.path.dirname(os.path.abspath(path))
            if os.path.lexists(path) and self.synced.get(os.stat(folder).st_ino, (0,))[0] < made:
                self.problems.append(f"{path}: its folder is not synced")
        return self.problems


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_outlasts_a_power_cut(name, tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    WRITERS[name](tmp_path / "new" / "folder", name)
    assert disk.lost() == []
    assert disk.renamed or name == "journal"
    assert {os.fspath(tmp_path / "new"), os.fspath(tmp_path / "new" / "folder")} <= disk.made.keys()
    if name == "journal":  # its file has its own name from the start
        folder = tmp_path / "new" / "folder"
        assert folder.stat().st_ino in disk.synced


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES])
def test_systems_that_sync_no_folders(number, tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    picture(tmp_path, "picture.png")
    assert (tmp_path / "picture.png").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_what_the_disk_refuses_is_said(kind, number, tmp_path, monkeypatch):
    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (kind == "folder"):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError, match=os.strerror(number)):
        picture(tmp_path, "picture.png")
    with pytest.raises(OSError, match=os.strerror(number)):
        write_whole(tmp_path / "table", b"{}")
    # Not without its content; and of what is unfinished nothing stays.
    assert {path.name for path in tmp_path.iterdir()} == (
        set() if kind == "file" else {"picture.png", "table"}
    )


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_what_was_there_stays_where_the_new_can_not_be_written(call, tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*(("pathlib.Path.write_bytes",) if call == "write" else (os, call)), fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_that_are_none(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "file" / "a" / "b")
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "none", tmp_path / "file")
