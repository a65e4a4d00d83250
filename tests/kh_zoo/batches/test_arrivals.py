"""Pictures that arrive, in every way in which programs write files."""

import os
import shutil

import numpy as np
import pytest

from kh_zoo.batches.arrivals import Arrivals

SETTLE = 5


class Time:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def arrivals(tmp_path, time):
    (tmp_path / "in").mkdir()
    return Arrivals(tmp_path / "in", tmp_path / "in" / "out", settle=SETTLE, clock=time)


def grow(path, random, time):
    """As a scanner: in pieces, with pauses."""
    for _ in range(random.integers(1, 6)):
        with path.open("ab") as file:
            file.write(bytes(7))
        yield time.now
        while random.random() < 0.5:
            yield None


def rename(path, random, time):
    """As an editor or rsync: under another name, and at once at the end."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(b"part")
    yield None
    part.rename(path)
    yield time.now


def keep_time(path, random, time):
    """As `cp -p` or an archive: old as soon as it is there, and not at its end yet."""
    for size in (3, 9):
        path.write_bytes(bytes(size))
        os.utime(path, (0, 0))
        yield time.now


def allocate(path, random, time):
    """As Windows: with its size from the start, and filled later."""
    for number in range(3):
        path.write_bytes(bytes([number]) * 100)
        os.utime(path, ns=(0, number))
        yield time.now


def replace(path, random, time):
    """What is there is replaced by something of the same size, minutes later."""
    path.write_bytes(b"first")
    yield time.now
    for _ in range(random.integers(0, 20)):
        yield None
    new = path.with_suffix(".new")
    new.write_bytes(b"other")
    new.replace(path)
    yield time.now


@pytest.mark.parametrize("seed", range(8))
def test_each_is_told_when_it_has_rested_and_not_before(seed, arrivals, time):
    random = np.random.default_rng(seed)
    folders = [arrivals.folder, arrivals.folder / "new" / "deeper"]
    under_way, changed, told = {}, {}, {}
    for tick in range(120):
        time.now += 1
        if tick < 60 and tick % 3 == 0:
            path = folders[random.integers(2)] / f"{tick}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            ways = (grow, rename, keep_time, allocate, replace)
            under_way[path] = ways[random.integers(len(ways))](path, random, time)
        for path, way in list(under_way.items()):
            try:
                changed[path] = next(way) or changed.get(path)
            except StopIteration:
                del under_way[path]
        if random.random() < 0.8:
            for path in arrivals.look():
                assert time.now - changed[path] >= SETTLE
                told.setdefault(path, []).append(time.now)
    assert len(told) == len(changed) == 20
    for path, times in told.items():
        assert [moment for moment in times if moment > changed[path]] == times[-1:]
    assert arrivals.waiting == {}


def test_one_that_can_not_be_read_is_tried_once_more(arrivals, time):
    path = arrivals.folder / "half.png"
    path.write_bytes(b"half")
    told = []
    for _ in range(100):
        time.now += 1
        for found in arrivals.look():
            told.append(time.now)
            assert arrivals.may_be_incomplete(found) == (len(told) == 1)
            assert arrivals.waiting == ({path: True} if len(told) == 1 else {})
    assert told == [1 + SETTLE, 1 + arrivals.patience]


def test_one_that_changes_while_it_is_read_comes_again(arrivals, time):
    path = arrivals.folder / "half.png"
    path.write_bytes(b"half")
    arrivals.look()
    time.now = 60  # so long it took, too
    assert arrivals.look() == [path]
    path.write_bytes(b"half and half")
    assert arrivals.may_be_incomplete(path)
    assert arrivals.look() == []
    assert arrivals.waiting == {path: False}
    time.now += SETTLE
    assert arrivals.look() == [path]
    assert not arrivals.may_be_incomplete(arrivals.folder / "unknown.png")


def test_a_drive_that_is_away_for_a_while(arrivals, time, tmp_path):
    path = arrivals.folder / "picture.png"
    path.write_bytes(b"picture")
    arrivals.look()
    time.now += SETTLE
    assert arrivals.look() == [path]
    arrivals.folder.rename(tmp_path / "away")
    for expected in ([arrivals.folder], []):
        assert arrivals.look() == []
        assert [folder for folder, _ in arrivals.unreadable] == expected
    (tmp_path / "away").rename(arrivals.folder)
    time.now += 2 * SETTLE
    assert arrivals.look() == []
    shutil.rmtree(arrivals.folder)
    arrivals.look()
    assert [folder for folder, _ in arrivals.unreadable] == [arrivals.folder]


def test_outputs_and_others_are_none(arrivals, time):
    (arrivals.folder / "out").mkdir()
    for name in ("out/picture.png", "picture.color.png", ".hidden.png", "scan.tmp", "Thumbs.db"):
        (arrivals.folder / name).write_bytes(b"none")
    (arrivals.folder / "picture.png").write_bytes(b"one")
    arrivals.look()
    time.now += SETTLE
    assert arrivals.look() == [arrivals.folder / "picture.png"]
    assert arrivals.own == {arrivals.folder / "picture.color.png"}
    assert arrivals.passed == {"hidden": 1, ".tmp": 1, "of the system": 1}


def test_looking_takes_a_tenth_of_the_time_at_most(arrivals, time, monkeypatch):
    arrivals.look()
    assert arrivals.pause == 0.5
    listed = os.scandir

    def slow(folder):
        time.now += 3
        return listed(folder)

    monkeypatch.setattr(os, "scandir", slow)
    arrivals.look()
    assert arrivals.pause == 30
