import json
import os
import stat
import tracemalloc

import pytest
from PIL import Image

from kh_zoo.batches.journal import NAME, Journal
from kh_zoo.batches.plan import PlanError, plan_batch
from kh_zoo.batches.resume import resume
from kh_zoo.errors import OutputError
from kh_zoo.pictures.unfinished import remove_unfinished
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.stamp import Stamp


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
    return Journal(pair[1].parent, settings or {"size": 64}, [pair[1]]).judge(*pair)


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
    assert Journal(target.parent, {}, [target]).judge(source, target) == (False, "already there")
    source.write_bytes(b"another")
    assert Journal(target.parent, {}, [target]).judge(source, target) == (
        True,
        "the input has changed",
    )


def test_the_output_of_another_input_is_not_replaced_unasked(tmp_path, pair, model):
    other = tmp_path / "other" / "a.png"
    other.parent.mkdir()
    Image.new("L", (40, 30), 90).save(other)
    arguments = {"output": tmp_path / "out"}
    settings = Settings(model=str(model))
    with pytest.raises(PlanError, match=r"was made from .*a\.png, and `overwrite` is needed"):
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


DONE = {
    **{"event": "done", "output": "a.png", "input": "/a.png", "settings": "0" * 16},
    "input_stamp": {"size": 1, "mtime_ns": 1, "sha256": None},
    "output_stamp": {"size": 1, "mtime_ns": 1, "sha256": None},
}
BEGUN = {"event": "begun", "output": "a.png"}
FAILED = {"event": "failed", "output": "a.png", "input": "/a.png", "reason": "none"}
RUN = {
    **{"event": "run", "settings": "0" * 16, "values": {"size": 64}, "version": "1"},
    "time": "2026-11-27T00:00:00+00:00",
}
ODD = (
    None,
    True,
    5,
    1.5,
    "",
    [],
    {},
    ["a.png"],
    {"a": {}},
    float("nan"),
    10**300,
    "\ud800",
    "x\0y",
)


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def spoilt():
    """Lines that are one field away from those that we write, and others."""
    for record in (DONE, BEGUN, FAILED, RUN):
        yield {**record, "further": 1}
        for name, right in record.items():
            yield {key: value for key, value in record.items() if key != name}
            for value in (*ODD, deep(50)):
                if type(value) is not type(right) or (
                    name == "event" and value not in ("", "\ud800")
                ):
                    yield {**record, name: value}
    for name in ("input_stamp", "output_stamp"):
        stamp = DONE[name]
        yield {**DONE, name: {**stamp, "further": 1}}
        for part in stamp:
            yield {**DONE, name: {key: value for key, value in stamp.items() if key != part}}
            for value in ODD:
                if type(value) is not int and not isinstance(value, str | None):
                    yield {**DONE, name: {**stamp, part: value}}
    yield {**RUN, "values": {"size": [64]}}
    yield {**RUN, "values": {"size": "6" * 300}}
    yield from (None, 5, [], "done", deep(900))


LINES = [json.dumps(record).encode() for record in spoilt()]
LINES += [
    *(b"", b" ", b"\xff\0", b'{"event": "beg', b"[" * 100_000, b'{"a":' * 50_000),
    *(b'{"event": "begun", "output": "' + b"a" * 200_000 + b'"}', b"9" * 6000, b"\x1b[31m"),
]


def test_no_line_blocks_its_folder(pair):
    """Each is passed over and counted, and what we know besides stays known."""
    source, target = pair
    path = target.parent / NAME
    ours = path.read_bytes()
    assert len(LINES) > 200
    for line in LINES:
        for before, after in ((b"", line + b"\n"), (line + b"\n", b"")):
            path.write_bytes(before + ours + after)
            journal = Journal(target.parent, {"size": 64}, [target])
            assert (journal.passed_over, line) == (1, line)
            assert journal.judge(source, target) == (False, "already there")
            assert journal.other_input(source, target) is None
    path.write_bytes(ours + b"\n".join(LINES))
    with Journal(target.parent, {"size": 32}, [target]) as journal:
        assert journal.passed_over == len(LINES)
        assert journal.judge(source, target) == (True, "other settings: size 64 before, 32 now")
        journal.begin(target)
    assert judge(pair) == (True, "not finished by an earlier run")


@pytest.mark.parametrize("right", [DONE, BEGUN, FAILED, RUN], ids=lambda line: line["event"])
def test_lines_that_we_write_are_not_passed_over(tmp_path, right):
    (tmp_path / NAME).write_text(json.dumps(right) + "\n")
    assert Journal(tmp_path, {}).passed_over == 0


def test_what_is_no_plain_file_is_refused(tmp_path):
    """In no time, and with nothing written through it."""
    victim = tmp_path / "victim"
    victim.write_text("somebody's")
    kinds = {
        "link": lambda path: path.symlink_to(victim),
        "dangling link": lambda path: path.symlink_to(tmp_path / "made"),
        "endless": lambda path: path.symlink_to("/dev/zero"),
        "loop": lambda path: path.symlink_to(path.name),
        "FIFO": os.mkfifo,
        "folder": os.mkdir,
        "socket": lambda path: os.mknod(path, 0o600 | stat.S_IFSOCK),
    }
    for kind, make in kinds.items():
        folder = tmp_path / kind
        folder.mkdir()
        make(folder / NAME)
        with pytest.raises(OutputError, match=r"should be a plain file.* Received: a (link|\w+)"):
            Journal(folder, {}, [folder / "a.png"])
    assert victim.read_text() == "somebody's"
    assert not (tmp_path / "made").exists()


def test_a_link_that_comes_later_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("somebody's")
    journal = Journal(tmp_path / "out", {})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).symlink_to(victim)
    with pytest.raises(OutputError, match="Received: a link"):
        journal.__enter__()
    assert victim.read_text() == "somebody's"


def test_a_journal_without_end_is_refused_and_a_long_one_takes_no_memory(tmp_path):
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(OutputError, match=r"at most 300,000,000 bytes.*1,099,511,627,776"):
        Journal(tmp_path, {})
    lines = b"".join(b'{"event": "begun", "output": "%d.png"}\n' % n for n in range(30_000))
    runs = b"".join(json.dumps({**RUN, "settings": f"{n}"}).encode() + b"\n" for n in range(3000))
    (tmp_path / NAME).write_bytes(lines + runs)
    tracemalloc.start()
    journal = Journal(tmp_path, {}, [tmp_path / "7.png"])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3_000_000
    assert journal.judge(tmp_path, tmp_path / "7.png")[0]
    assert not journal.knows(tmp_path / "30001.png")


def test_files_that_are_none_any_more_have_no_stamp(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "gone"):
        assert Stamp.of(path, digest=True) is None
        assert Stamp.of(path) is None
