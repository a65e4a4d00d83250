"""The split, against the sentence that defines it."""

import hashlib
import os

import pytest

from keras_hypercolumns.training.data.split import list_pictures, split_of
from kh_zoo.measuring import split as of_the_zoo

NAMES = [f"flowers/tulip/{number}_é.jpg" for number in range(400)]


def test_a_name_falls_where_its_sha256_says():
    sides = {"test": [], "validation": [], "train": []}
    for name in NAMES:
        number = int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest(), "big")
        expected = {0: "test", 1: "validation"}.get(number % 20, "train")
        assert split_of(name) == expected
        sides[expected].append(name)
    # One in twenty each.
    assert 5 < len(sides["test"]) < 40
    assert 5 < len(sides["validation"]) < 40


def test_known_names():
    # From `printf NAME | sha256sum`.
    assert split_of("flowers/daisy/100080576_f52e8ee070_n.jpg") == "train"
    assert split_of("a/3.jpg") == split_of("a/7.jpg") == "validation"
    assert split_of("a/19.jpg") == split_of("a/30.jpg") == "test"


def test_pictures_are_found_below_the_folder_by_split(tmp_path):
    for name in ("b/two.JPG", "a/one.jpg", "a/deep/three.png", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = list_pictures(tmp_path)
    assert found == ["a/deep/three.png", "a/one.jpg", "b/two.JPG"]
    parts = [list_pictures(tmp_path, split) for split in ("train", "validation", "test")]
    assert sorted(parts[0] + parts[1] + parts[2]) == found


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_pictures_of_a_split_are_its_own(pictures, split):
    expected = sorted(pictures.splits[split]["flowers"] + pictures.splits[split]["photos"])
    assert list_pictures(pictures.folder, split) == expected


LISTS = pytest.mark.parametrize("listed", [list_pictures, of_the_zoo.list_pictures])


@LISTS
def test_folders_that_are_linked_are_read_once_at_their_own_place(tmp_path, listed):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for path in (data / "z/one.jpg", elsewhere / "deep/two.jpg"):
        path.parent.mkdir(parents=True)
        path.touch()
    (data / "a").mkdir()
    (data / "a/to_z").symlink_to("../z")
    (data / "b").symlink_to(elsewhere)
    (data / "up").symlink_to("..")
    (elsewhere / "round").symlink_to(data)
    assert listed(data) == ["b/deep/two.jpg", "z/one.jpg"]
    (tmp_path / "link").symlink_to(data)
    assert listed(tmp_path / "link") == ["b/deep/two.jpg", "z/one.jpg"]


@LISTS
def test_what_is_hidden_or_a_preview_is_no_picture(tmp_path, listed):
    for name in (".trash/a.jpg", "@eaDir/a.jpg", "._b.jpg", ".jpg", "b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert listed(tmp_path) == ["b.jpg"]


@LISTS
def test_what_could_be_waited_for_is_no_picture(tmp_path, listed):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "nowhere.png").symlink_to("none.png")  # which is named when it is read
    (tmp_path / "b.jpg").touch()
    assert listed(tmp_path) == ["b.jpg", "nowhere.png"]


@LISTS
def test_names_that_are_no_utf8_have_a_split(tmp_path, listed):
    names = [b"flowers/caf\xe9_%d.jpg" % number for number in range(60)]
    (tmp_path / "flowers").mkdir()
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    for split, remainders in {"test": [0], "validation": [1], "train": range(2, 20)}.items():
        assert [os.fsencode(name) for name in listed(tmp_path, split)] == sorted(
            name for name in names if int(hashlib.sha256(name).hexdigest(), 16) % 20 in remainders
        )
