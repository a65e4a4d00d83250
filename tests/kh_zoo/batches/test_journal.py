import json
import os

import pytest
from PIL import Image

from kh_zoo.batches.journal import NAME, Journal, Stamp
from kh_zoo.batches.plan import PlanError, plan_batch
from kh_zoo.batches.resume import resume
from kh_zoo.batches.settings import Settings
from kh_zoo.pictures.unfinished import remove_unfinished


@pytest.fixture
def pair(tmp_path):
    """An input and the output that a journal says was made from it."""
    source, target = tmp_path / "a.png", tmp_path / "out" / "a.png"
    target.parent.mkdir()
    for path, gray in ((source, 90), (target, 91)):
        Image.new("L", (4, 3), gray).save(path)
    with Journal(target.parent, {"size": 64}) as journal:
        journal.begin(target)
        journal.done(source, target, Stamp.of(source, digest=True), Stamp.of(target))
    return source, target


def judge(pair, settings=None):
    return Journal(pair[1].parent, settings or {"size": 64}).judge(*pair)


def test_what_is_unchanged_is_not_done_again(pair):
    assert judge(pair) == (False, "already there")
    os.utime(pair[0], (1, 1))  # as by a copy that keeps no times
    assert judge(pair) == (False, "already there")


def test_what_has_changed_is(pair):
    assert judge(pair, {"size": 32}) == (True, "other settings: size 64 before, 32 now")
    content = bytearray(pair[0].read_bytes())
    content[-1] ^= 1  # the size stays
    pair[0].write_bytes(content)
    os.utime(pair[0], (1, 1))
    assert judge(pair) == (True, "the input has changed")


def test_what_was_begun_is(pair):
    with Journal(pair[1].parent, {"size": 64}) as journal:
        journal.begin(pair[1])
    assert judge(pair) == (True, "not finished by an earlier run")


@pytest.mark.parametrize("cut", [b'{"event": "beg', b'{"event": "begun"}\n', b"\xff\0\n", b"[]\n"])
def test_lines_that_are_cut_or_damaged_count_for_nothing(pair, cut):
    path = pair[1].parent / NAME
    with path.open("ab") as file:
        file.write(cut)
    assert judge(pair) == (False, "already there")
    with Journal(pair[1].parent, {"size": 64}) as journal:  # nor do they spoil what follows
        journal.failed(*pair, "no reason")
    assert json.loads(path.read_bytes().splitlines()[-1])["reason"] == "no reason"
    assert judge(pair)[0]


def test_names_in_any_encoding(tmp_path):
    source = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        source.write_bytes(b"in")
    except OSError:
        pytest.skip("the file system has no such names")
    target = tmp_path / "out" / source.name
    target.parent.mkdir()
    target.write_bytes(b"out")
    with Journal(target.parent, {}) as journal:
        journal.done(source, target, Stamp.of(source), Stamp.of(target))
    assert Journal(target.parent, {}).judge(source, target) == (False, "already there")
    source.write_bytes(b"another")
    assert Journal(target.parent, {}).judge(source, target) == (True, "the input has changed")


def test_the_output_of_another_input_is_not_replaced_unasked(tmp_path, pair, model):
    other = tmp_path / "other" / "a.png"
    other.parent.mkdir()
    Image.new("L", (40, 30), 90).save(other)
    arguments = {"output": tmp_path / "out"}
    settings = Settings(model=str(model))
    with pytest.raises(PlanError, match=r"was made from .*a\.png, and `--overwrite` is needed"):
        resume(plan_batch([other], **arguments), settings)
    plan, _ = resume(plan_batch([other], overwrite=True, **arguments), settings)
    assert len(plan.jobs) == 1
    pair[0].unlink()  # it may have been moved
    plan, _ = resume(plan_batch([other], **arguments), settings)
    assert [job.reason for job in plan.jobs] == ["the input has changed"]


def test_unfinished_files_are_removed_and_no_others(tmp_path):
    ours = (".a.0123abcd.png", ".b.c.ffffffff.tif")
    others = (".a.0123abcd.jpg", ".d.0123abcd.png", "a.0123abcd.png", ".a.0123abc.png", "a.png")
    for name in (*ours, *others):
        (tmp_path / name).touch()
    targets = [tmp_path / "a.png", tmp_path / "b.c.tif", tmp_path / "gone" / "a.png"]
    assert remove_unfinished(targets) == 2
    assert {path.name for path in tmp_path.iterdir()} == set(others)
