"""A Hub that means harm, or is none: nothing is written or removed, and it ends with a line."""

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest
from huggingface_hub import constants
from small_models import model_files
from whole_process import KH, kh

from kh_zoo import publish
from kh_zoo.errors import HubError, ModelError, ZooError
from kh_zoo.hub import reader as hub_reader
from kh_zoo.hub.client import hide_token
from kh_zoo.hub.store import (
    check_stored,
    file_digest,
    find_stored,
    list_stored,
    pull,
    read_license,
    read_remote,
    remove,
)

CARD = b"---\nlicense: cc-by-4.0\n---\nEtchings.\n"
API = "GET /api/models/eve/bad"
FILE = "GET /eve/bad/resolve/[^/]+/"
BIG = "9" * 4000


class _Fault:
    """A call that fails once, the `countdown`-th from now, as on a disk that is full."""

    def __init__(self, real=lambda *arguments: None):
        self.real, self.countdown = real, -1

    def __call__(self, *arguments, **keywords):
        self.countdown -= 1
        if self.countdown == -1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*arguments, **keywords)


@pytest.fixture
def files(tmp_path):
    return {**model_files(tmp_path / "made"), "README.md": CARD}


@pytest.fixture
def bad(hub, files):
    return hub.put("eve/bad", files)


@pytest.fixture
def outside(tmp_path):
    """A folder of the user's; what is in it must be as it was."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "thesis.txt").write_text("the only copy")
    return folder


def entries(*folders):
    """Every name below the folders, with what it is."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            state = path.lstat()
            link = os.readlink(path) if path.is_symlink() else None
            content = path.read_bytes() if path.is_file() and not link else None
            found[str(path)] = (state.st_mode, link, content)
    return found


def refused(function, *arguments, **keywords):
    """Call it; it has to end with one of our errors, on one line that can be shown."""
    with pytest.raises(ZooError) as caught:
        function(*arguments, **keywords)
    text = str(caught.value)
    assert text.isprintable(), text
    assert len(text) < 1000
    return text


# Links and blobs that lead out of the cache

LINKS = ("blob to a file", "blob to nothing", "name to a file", "name to nothing", "name to a name")


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("how", ["absolute", "relative"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "README.md"])
@pytest.mark.parametrize("sound", [True, False])
def test_links_out_of_the_cache(hub, bad, files, outside, kind, how, name, sound):
    """What a link of the cache leads to is not ours: the link goes, the file is fetched anew."""
    path = pull("eve/bad").path / name
    blob = path.resolve()
    victim = outside / (blob.name if sound else "thesis.txt")
    if sound:  # weights that somebody keeps on another disk
        shutil.copyfile(blob, victim)
    if kind.endswith("nothing"):
        victim = outside / "nothing"
    link = path if kind.startswith("name") else blob
    if kind == "name to a name":
        other = outside / "link"
        other.symlink_to(victim)
        victim = other
    link.unlink()
    link.symlink_to(victim if how == "absolute" else os.path.relpath(victim, link.parent))
    before = entries(outside)
    stored = pull("eve/bad")
    assert entries(outside) == before
    assert (stored.path / name).read_bytes() == files[name]
    assert (stored.path / name).resolve().parent == blob.parent
    check_stored(stored.path)


@pytest.mark.parametrize("where", ["snapshots", "blobs", "refs", "snapshots/COMMIT", "."])
@pytest.mark.parametrize("moves", [True, False], ids=["another commit", "the same commit"])
def test_folders_that_are_links(hub, bad, files, outside, where, moves):
    stored = pull("eve/bad")
    folder = stored.path.parent.parent
    moved = folder / where.replace("COMMIT", bad)
    shutil.move(moved, outside / "moved")
    moved.symlink_to(outside / "moved", target_is_directory=True)
    # All of it damaged, so that it would be removed.
    for path in {*(folder / "blobs").iterdir(), *(outside / "moved" / "blobs").glob("*")}:
        path.write_bytes(path.read_bytes() + b" ")
    (outside / "moved" / "mine").symlink_to(outside / "thesis.txt")
    if moves:
        hub.put("eve/bad", {"README.md": CARD + b"More.\n"})
    before = entries(outside)
    try:
        pull("eve/bad", refresh=True)
    except ModelError as error:
        assert "link" in str(error)  # noqa: PT017
    assert entries(outside) == before


@pytest.mark.parametrize("where", [".", "blobs", "snapshots", "snapshots/COMMIT"])
def test_rm_follows_no_links(hub, bad, outside, where):
    stored = pull("eve/bad")
    folder = stored.path.parent.parent
    moved = folder / where.replace("COMMIT", bad)
    shutil.move(moved, outside / "moved")
    moved.symlink_to(outside / "moved", target_is_directory=True)
    (stored.path / "mine").symlink_to(outside / "thesis.txt")
    before = entries(outside)
    if any(one.repository == "eve/bad" for one in list_stored()):
        remove("eve/bad")
        assert not folder.exists(follow_symlinks=False) if sys.version_info >= (3, 12) else True
        assert not folder.is_symlink()
    assert entries(outside) == before


def test_rm_of_a_blob_that_is_elsewhere(hub, bad, outside):
    stored = pull("eve/bad")
    blob = (stored.path / "README.md").resolve()
    shutil.move(blob, outside / blob.name)
    blob.symlink_to(outside / blob.name)
    before = entries(outside)
    assert kh("rm", "eve/bad").returncode == 0
    assert entries(outside) == before
    assert not (stored.path.parent.parent).exists()


@pytest.mark.parametrize(
    "ref",
    [b"../../../../outside", b"/", b"", b"\xff\xfe", b"0" * 39, b"g" * 40, b"0" * 10**6, None, 1],
)
def test_refs_that_are_none(hub, bad, outside, ref):
    stored = pull("eve/bad")
    path = stored.path.parent.parent / "refs" / "main"
    path.unlink()
    if ref is None:
        os.mkfifo(path)
    elif ref == 1:
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(ref)
    assert find_stored("eve/bad") is None
    assert pull("eve/bad").path == stored.path
    assert find_stored("eve/bad") == stored.path


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a/../../b", "", "a b", "\0"])
def test_revisions_that_lead_out(hub, bad, tmp_path, revision):
    if revision:
        refused(pull, "eve/bad", revision)
        refused(find_stored, "eve/bad", revision)
    refused(pull, f"../{revision}")
    assert not list((tmp_path / "hf").rglob("refs"))


@pytest.mark.parametrize("name", ["model.safetensors", "README.md", "config.json"])
@pytest.mark.parametrize("kind", ["fifo", "zero", "folder"])
def test_what_is_no_file(hub, bad, files, name, kind):
    stored = pull("eve/bad")
    blob = (stored.path / name).resolve()
    blob.unlink()
    if kind == "fifo":
        os.mkfifo(blob)
    elif kind == "zero":
        blob.symlink_to("/dev/zero")
    else:
        (stored.path / name).unlink()
        (stored.path / name).symlink_to("/dev")
    assert read_license(stored.path / "README.md") in (None, "cc-by-4.0")
    if kind == "fifo":
        refused(file_digest, blob)
    try:
        assert (pull("eve/bad").path / name).read_bytes() == files[name]
    except (HubError, ModelError) as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "call", ["open", "mkdir", "fsync", "replace", "rename", "symlink", "write"]
)
def test_a_full_disk(hub, bad, files, tmp_path, monkeypatch, call):
    """Whichever call fails: a reason, nothing half, and the same command goes on from there."""
    patched = _Fault() if call == "write" else _Fault(getattr(os, call))
    if call == "write":
        monkeypatch.setattr(hub_reader._Line, "came", lambda line, more: patched())
    else:
        monkeypatch.setattr(os, call, patched)
    failed = 0
    for number in range(100):
        patched.countdown = number
        try:
            pull("eve/bad")
        except (OSError, ZooError):
            failed += 1
            patched.countdown = -1
            assert not list((tmp_path / "hf").rglob("*.incomplete"))
            assert not list((tmp_path / "hf").rglob("*.tmp"))
        else:
            if patched.countdown >= 0:  # there were not so many calls
                break
        patched.countdown = -1
        # Whole, or not there; and the same command goes on from there.
        found = find_stored("eve/bad")
        if found:
            check_stored(found)
        assert {path.name for path in pull("eve/bad").path.iterdir()} == set(files)
        shutil.rmtree(tmp_path / "hf")
    assert failed or call == "rename"


# What the API answers

COMMITS = [
    "../../../../outside",
    "/etc/passwd",
    "",
    None,
    5,
    [],
    {},
    "main",
    "0" * 39,
    "0" * 41,
    "g" * 40,
    "A" * 40,
    "0" * 40 + "\n",
    "\u0660" * 40,
    "0" * 40 + "/..",
]
NAMES = [
    "../x",
    "/x",
    "a/../../x",
    "C:x",
    "\\x",
    "",
    None,
    5,
    [],
    {},
    "a\0b",
    "a\x1b[2Jb",
    "\ud800",
]
NAMES += ["x" * 5000, "a\nb", "..", "a\\..\\..\\b"]
SIZES = [-1, 1.5, "5", [], {}, True, 2**70, int(BIG), 10**300]
HASHES = ["../x", "/etc/passwd", 5, [], {}, "0" * 39, "g" * 64, "0" * 63, "0" * 64 + "\n", True]


def description(commit, **changes):
    return {"id": "eve/bad", "sha": commit, "siblings": [{"rfilename": "config.json"}], **changes}


def sibling(**changes):
    return {"rfilename": "config.json", "size": 5, "blobId": "0" * 40, **changes}


def answers():
    """Answers of the API, as bytes, from the commit that is there."""
    for commit in COMMITS:
        yield f"commit {commit!r}", lambda _, commit=commit: description(commit)
    for name in NAMES:
        yield (
            f"name {str(name)[:20]!r}",
            lambda commit, name=name: description(commit, siblings=[sibling(rfilename=name)]),
        )
    for size in SIZES:
        for key in ("size", "lfs"):
            value = {"size": size, "sha256": "0" * 64, "pointerSize": 5} if key == "lfs" else size
            yield (
                f"{key} {str(size)[:10]}",
                lambda commit, key=key, value=value: description(
                    commit, siblings=[sibling(**{key: value})]
                ),
            )
    for hash_ in HASHES:
        for key in ("blobId", "lfs"):
            value = {"size": 5, "sha256": hash_, "pointerSize": 5} if key == "lfs" else hash_
            yield (
                f"{key} {hash_!r:.20}",
                lambda commit, key=key, value=value: description(
                    commit, siblings=[sibling(**{key: value})]
                ),
            )
    for value in (5, "x", {}, [5], [None], ["config.json"], [[]], True, {"config.json": 5}, None):
        yield f"siblings {value}", lambda commit, value=value: description(commit, siblings=value)
    for value in (5, "x", [1], True, {"size": []}):
        yield (
            f"lfs {value}",
            lambda commit, value=value: description(commit, siblings=[sibling(lfs=value)]),
        )
    raw = {
        "HTML": b"<!doctype html><html><body>Please log in</body></html>",
        "nothing": b"",
        "null": b"null",
        "a list": b"[]",
        "a number": b"5",
        "a text": b'"x"',
        "true": b"true",
        "NaN": b"NaN",
        "long digits": b'{"sha": ' + b"9" * 6000 + b"}",
        "deep lists": b"[" * 100_000,
        "deep objects": b'{"a":' * 100_000,
        "deep, closed": b"[" * 50_000 + b"]" * 50_000,
        "half of it": b'{"sha": "',
        "no UTF-8": b"\xff\xfe\x00",
        "a BOM": b"\xef\xbb\xbf{}",
        "zeros": bytes(1000),
        "an empty object": b"{}",
        "escapes": b'{"sha": "\x1b[2J"}',
    }
    for name, content in raw.items():
        yield name, lambda _, content=content: content


ANSWERS = dict(answers())


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_of_the_api(hub, bad, outside, tmp_path, answer):
    content = ANSWERS[answer](bad)
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    hub.fail(API, content, times=9)
    before = entries(outside)
    for ask in (pull, lambda name: read_remote(name, None), lambda name: publish("pool1to4", name)):
        assert "bug" not in refused(ask, "eve/bad")
    assert entries(outside) == before
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "hf" in path.parts]


@pytest.mark.parametrize("answer", ["commit '../../../../outside'", "deep lists", "HTML", "null"])
def test_what_the_command_says(hub, bad, answer):
    content = ANSWERS[answer](bad)
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    hub.fail(API, content, times=9)
    for command in ("pull", "show"):
        result = kh(command, "eve/bad")
        assert result.returncode == 1
        assert "a bug" not in result.stderr
        assert len(result.stderr.splitlines()) == 1


REFS = [
    5,
    None,
    "x",
    {},
    [5],
    [None],
    [{}],
    [{"name": 5}],
    [{"name": "v1", "targetCommit": "../x"}],
]


@pytest.mark.parametrize("tags", REFS, ids=str)
def test_tags_that_are_none(hub, bad, monkeypatch, tags):
    monkeypatch.setenv("HF_TOKEN", hub.token_of("eve"))
    hub.fail("GET /api/models/eve/bad/refs", json.dumps({"tags": tags}).encode())
    refused(publish, "pool1to4", "eve/bad")


@pytest.mark.parametrize("what", ["repos/create", "preupload", "commit/", "tag/"])
@pytest.mark.parametrize(
    "answer",
    [b"", b"null", b"[]", b"5", b"<html>", b"{}", b"[" * 100_000, b'{"commitOid": "../x"}'],
)
def test_answers_while_publishing(hub, tmp_path, monkeypatch, what, answer):
    monkeypatch.setenv("HF_TOKEN", hub.token_of("eve"))
    files = model_files(tmp_path / "made")
    assert files
    hub.fail(f"POST /api/.*{what}", answer, times=9)
    try:
        published = publish(tmp_path / "made", "eve/new", license="MIT")
    except (HubError, ModelError) as error:
        assert str(error).isprintable()  # noqa: PT017
    else:  # where the answer itself is of no use to us
        assert published.commit in hub.commits("eve/new")


# What comes with a file

ETAGS = [
    "/etc/passwd",
    "OUTSIDE",
    "../../../../outside/thesis.txt",
    "",
    None,
    "0" * 39,
    "0" * 32,
    "g" * 40,
    "A" * 64,
    "0" * 40 + "/../../x",
    "..",
    ".",
    "W/",
    "x" * 5000,
    "0" * 41,
    "0" * 63,
    "0" * 65,
    "con",
    "a\\b",
]


@pytest.mark.parametrize("etag", ETAGS, ids=lambda etag: repr(etag)[:20])
@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag"])
def test_etags_that_are_none(hub, bad, outside, tmp_path, etag, quoted, header):
    if header == "X-Linked-Etag" and etag is None:
        pytest.skip("most files have none")
    if etag == "OUTSIDE":
        etag = str(outside / "thesis.txt")
    value = f'"{etag}"' if quoted and etag is not None else etag
    hub.fail(FILE, {header: value}, times=9)
    before = entries(outside)
    text = refused(pull, "eve/bad")
    assert "ETag" in text
    assert entries(outside) == before
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "hf" in path.parts]


@pytest.mark.parametrize("commit", ["../../../../outside", "0" * 40, "", "x", "/etc", "a" * 41])
def test_commits_of_files_that_are_none(hub, bad, outside, tmp_path, commit):
    hub.fail(FILE, {"X-Repo-Commit": commit}, times=9)
    assert "commit" in refused(pull, "eve/bad")
    assert not (tmp_path / "outside" / "config.json").exists()
    # A file that is not there at all: the client makes a note of it, under that name.
    hub.forgive()
    hub.fail(FILE, "EntryNotFound", times=9)
    refused(pull, "eve/bad")


@pytest.mark.parametrize(
    "where",
    [
        "file:///etc/passwd",
        "ftp://x/y",
        "//",
        "http://",
        "http://[",
        "x" * 9000,
        "javascript:1",
        "",
    ],
)
@pytest.mark.parametrize("what", [API, FILE])
def test_redirections_that_lead_nowhere(hub, bad, monkeypatch, where, what):
    monkeypatch.setattr(hub_reader, "TRIES", 1)

    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", where)
        handler.end_headers()

    hub.fail(what, redirect, times=99)
    refused(pull, "eve/bad")


def test_redirections_without_end(hub, bad):
    def redirect(handler):
        handler.send_response(307)
        handler.send_header("Location", handler.path)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    hub.fail(API, redirect, times=99)
    refused(pull, "eve/bad")
    assert len(hub.requests) < 10


def test_another_host_is_not_told_the_token(hub, bad, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token_of("eve"))
    pull("eve/bad")
    hosts = {request.host: request.token for request in hub.requests}
    assert hosts == {"127.0.0.1": hub.token_of("eve"), "localhost": None}


# Bounds of bytes and time


def endless(start, piece, pause=0.0, headers=()):
    """An answer without end."""

    def answer(handler):
        handler.send_response(200)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(start)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)

    return answer


def bomb(packed):
    zeros = bytes(10**6)
    if packed == "deflate":
        return zlib.compress(zeros * 200)
    return gzip.compress(zeros) * 200 if packed == "many gzips" else gzip.compress(zeros * 200)


@pytest.mark.parametrize("what", [API, FILE])
@pytest.mark.parametrize("packed", ["gzip", "deflate", "many gzips", "br", "zstd"])
def test_bombs(hub, bad, what, packed):
    content = bomb(packed) if packed not in ("br", "zstd") else b"x"

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Encoding", packed.removeprefix("many ").rstrip("s"))
        handler.send_header("ETag", "0" * 40)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    hub.fail(what, answer, times=9)
    refused(pull, "eve/bad")


def test_an_answer_that_is_packed_is_read(hub, bad):
    content = hub_answer(hub, bad)

    def answer(handler):
        packed = gzip.compress(content)
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    hub.fail(API, answer)
    assert pull("eve/bad").commit == bad


def hub_answer(hub, commit, lfs=True):
    """What the API answers; a mirror may say nothing of large files."""
    siblings = []
    for name, file in hub.tree("eve/bad", commit).items():
        one = {"rfilename": name}
        if lfs:
            one |= {"size": file.size, "blobId": file.oid}
            if file.sha256:
                one["lfs"] = {"size": file.size, "sha256": file.sha256, "pointerSize": 130}
        siblings.append(one)
    return json.dumps({"id": "eve/bad", "sha": commit, "siblings": siblings}).encode()


@pytest.mark.parametrize("what", [API, FILE])
def test_answers_without_end_in_bytes(hub, bad, tmp_path, what):
    piece = b'{"rfilename": "a"},' * 5000
    hub.fail(what, endless(b'{"siblings": [', piece, headers=[("ETag", "0" * 40)]), times=9)
    started = time.monotonic()
    refused(pull, "eve/bad")
    assert time.monotonic() - started < 30
    assert sum(path.stat().st_size for path in (tmp_path / "hf").rglob("*") if path.is_file()) < 1e6


@pytest.mark.parametrize("what", [API, FILE, "GET /blobs"])
@pytest.mark.parametrize("kind", ["silence", "a dripping head", "a dripping body", "half a body"])
def test_answers_without_end_in_time(hub, bad, monkeypatch, what, kind):
    monkeypatch.setattr(hub_reader, "PATIENCE", 1.5)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(hub_reader, "TRIES", 1)

    def answer(handler):
        if kind == "silence":
            time.sleep(20)
        elif kind == "a dripping head":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(100):
                handler.wfile.write(b"X-A: b\r\n")
                handler.wfile.flush()
                time.sleep(0.2)
        else:
            endless(b"{", b" " if "drip" in kind else b"", 0.2, [("ETag", "0" * 40)])(handler)

    hub.fail(what, answer, times=9)
    started = time.monotonic()
    text = refused(pull, "eve/bad")
    assert "can't be reached" in text
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("size", ["known", "unknown"])
def test_a_file_that_always_begins_anew(hub, bad, monkeypatch, size):
    """Each answer brings bytes, and none brings the end: it is not asked for without end."""
    monkeypatch.setattr(hub_reader._Line, "sleep", lambda line, seconds: None)

    def half(handler):
        handler.send_response(200)
        handler.send_header("ETag", "0" * 40)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(b"{")

    if size == "unknown":
        hub.fail(API, hub_answer(hub, bad, lfs=False), times=9)
    hub.fail(FILE, half, times=99)
    assert "begins anew each time" in refused(pull, "eve/bad")
    assert len(hub.requests) < 10


def test_a_slow_line_that_goes_on_is_waited_for(hub, bad, files, monkeypatch):
    monkeypatch.setattr(hub_reader, "PATIENCE", 0.3)
    monkeypatch.setattr(hub_reader, "LEAST", 1)
    content = files["model.safetensors"]

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for start in range(0, len(content), 10_000):
            handler.wfile.write(content[start : start + 10_000])
            handler.wfile.flush()
            time.sleep(0.1)

    hub.fail("GET /blobs", answer)
    assert pull("eve/bad").fetched


@pytest.mark.parametrize("what", ["GET /api", "GET /eve/bad/resolve", "GET /blobs"])
@pytest.mark.parametrize("command", ["pull", "show", "colorize", "publish"])
def test_one_ctrl_c_ends_what_waits(hub, bad, tmp_path, what, command):
    if (command, what) in {("show", "GET /blobs"), ("publish", "GET /blobs")}:
        pytest.skip("it asks for none")
    hub.fail(what, lambda handler: time.sleep(30), times=99)
    (tmp_path / "photo.png").write_bytes(b"")
    arguments = {
        "colorize": ["colorize", tmp_path / "photo.png", "-m", "eve/bad"],
        "publish": ["publish", "pool1to4", "eve/bad"],
    }.get(command, [command, "eve/bad"])
    process = subprocess.Popen(
        [KH, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_TOKEN": hub.token_of("eve")},
    )
    deadline = time.monotonic() + 60
    wanted = re.compile(what.partition(" ")[2])
    while not any(wanted.search(one.path) for one in hub.requests):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - started < 15  # of thirty, on a machine that is busy
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert not list((tmp_path / "hf").rglob("*.incomplete"))


@pytest.mark.parametrize(
    "what",
    [
        "POST /api/repos/create",
        pytest.param("POST /api/.*/preupload", marks=pytest.mark.long),
        pytest.param("/commit/", marks=pytest.mark.long),
    ],
)
def test_one_ctrl_c_ends_publishing(hub, tmp_path, what):
    model_files(tmp_path / "made")
    hub.fail(what, lambda handler: time.sleep(30), times=99)
    process = subprocess.Popen(
        [KH, "publish", tmp_path / "made", "eve/new", "--license", "MIT"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_TOKEN": hub.token_of("eve")},
    )
    deadline = time.monotonic() + 120
    while not any(re.search(what, f"{one.method} {one.path}") for one in hub.requests):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - started < 15
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("what", ["POST /api/repos/create", "POST /api/.*/tag/"])
def test_publishing_to_a_silent_hub_ends(hub, tmp_path, monkeypatch, what):
    from kh_zoo.hub import client as ours

    monkeypatch.setenv("HF_TOKEN", hub.token_of("eve"))
    monkeypatch.setattr(ours, "_CALL_SECONDS", 1)
    monkeypatch.setattr(ours, "_SLOWEST", 10**9)
    model_files(tmp_path / "made")
    hub.fail(what, lambda handler: time.sleep(30), times=99)
    assert "can't be reached" in refused(publish, tmp_path / "made", "eve/new", license="MIT")
    hub.forgive()
    assert publish(tmp_path / "made", "eve/new", license="MIT").commit


# Tokens


@pytest.mark.parametrize("where", ["variable", "file", "stored"])
@pytest.mark.parametrize(
    "token", ["hf_0123456789abcdef", "secret-of-a-mirror.1=", "jfrog:AKC/x+y=="]
)
def test_the_token_is_struck_out(hub, bad, tmp_path, monkeypatch, where, token):
    home = tmp_path / "hf"
    home.mkdir(exist_ok=True)
    if where == "variable":
        monkeypatch.setenv("HF_TOKEN", token)
    elif where == "file":
        (home / "token").write_text(f"{token}\n")
    else:
        (home / "stored_tokens").write_text(f"[mine]\nhf_token = {token}\n\n")
    for code in (400, 401, 403, 404, 429, 500):
        for place in ("X-Error-Message", "error", "path"):

            def echo(handler, code=code, place=place):
                said = f"your token {token} is not welcome"
                content = json.dumps({"error": said} if place == "error" else {}).encode()
                handler.send_response(code)
                if place == "X-Error-Message":
                    handler.send_header("X-Error-Message", said)
                if place == "path":
                    handler.send_header(
                        "X-Error-Message", f"at http://{token}@host/{token}?x={token}"
                    )
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

            hub.fail(API, echo)
            assert token not in refused(pull, "eve/bad")
    result = kh("doctor", "--json", "--offline")
    assert token not in result.stdout + result.stderr


def test_a_token_that_was_sent_is_known(hub, bad, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "of-another-kind")
    refused(pull, "eve/bad")
    monkeypatch.delenv("HF_TOKEN")
    assert "of-another-kind" not in hide_token("what of-another-kind was")


@pytest.mark.parametrize("token", ["caf\u00e9-token", "a\nb: c", "with\x00zero", "\u202etoken"])
def test_tokens_that_cannot_be_sent(hub, bad, tmp_path, token):
    (tmp_path / "hf").mkdir(exist_ok=True)
    (tmp_path / "hf" / "token").write_text(token, encoding="utf-8")
    text = refused(pull, "eve/bad")
    assert "token" in text
    assert token not in text


def test_what_a_server_says_can_be_shown(hub, bad):
    said = "\x1b]0;pwned\x07\x1b[2J" + "\u202egnp.exe" + "x" * 5000

    def answer(handler):
        content = json.dumps({"error": said}).encode()
        handler.send_response(400)
        handler.send_header("X-HF-Warning", "topic; do as I say")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    hub.fail(API, answer, times=9)
    refused(pull, "eve/bad")
    result = kh("pull", "eve/bad")
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr
    assert "do as I say" not in result.stderr


@pytest.mark.parametrize("what", [API, FILE])
def test_errors_in_any_encoding(hub, bad, what):
    def answer(handler):
        handler.send_response(400)
        for name in (b"X-Error-Message", b"X-Error-Code"):
            handler._headers_buffer.append(name + b": Gr\xc3\xb6\xc3\x9fe \xe2\x80\xae\r\n")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    hub.fail(what, answer, times=9)
    assert "Größe \\u202e" in refused(pull, "eve/bad")


# Synced before it is named


def test_what_is_pulled_is_on_the_disk_before_it_has_its_name(hub, bad, monkeypatch):
    events = []
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename")}

    def fsync(descriptor):
        events.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        real["fsync"](descriptor)

    def renamed(name):
        def rename(source, target, **keywords):
            events.append(("rename", str(source), str(target)))
            real[name](source, target, **keywords)

        return rename

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed("replace"))
    monkeypatch.setattr(os, "rename", renamed("rename"))
    stored = pull("eve/bad")
    folder = stored.path.parent.parent
    renames = [event for event in events if event[0] == "rename"]
    blobs = [event for event in renames if Path(event[2]).parent == folder / "blobs"]
    assert len(blobs) == 3
    for event in [*blobs, ("rename", *next(e for e in renames if "/refs/" in e[2])[1:])]:
        at = events.index(event)
        assert ("sync", event[1]) in events[:at], event
        assert ("sync", str(Path(event[2]).parent)) in events[at:], event
    # A branch names what is there: its file comes last.
    links = [i for i, e in enumerate(events) if e == ("sync", str(stored.path))]
    refs = [i for i, e in enumerate(events) if e[0] == "rename" and "/refs/" in e[2]]
    assert links
    assert max(links) < min(refs)


def test_what_killed_pulls_have_left_is_removed(hub, bad, tmp_path):
    hub.fail("GET /blobs", lambda handler: time.sleep(30), times=1)
    process = subprocess.Popen([KH, "pull", "eve/bad"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "hf").rglob("*.incomplete")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while not any("/blobs" in one.path for one in hub.requests):
        time.sleep(0.01)
    # What somebody is still at is left alone.
    thread = threading.Thread(target=pull, args=("eve/bad",))
    thread.start()
    thread.join()
    assert len(list((tmp_path / "hf").rglob("*.incomplete"))) == 1
    process.kill()
    process.wait()
    hub.put("eve/bad", {"README.md": CARD + b"More.\n"})
    pull("eve/bad", refresh=True)
    assert list((tmp_path / "hf").rglob("*.incomplete")) == []


def stalls(handler):
    """Sends a half of a file, and no more."""
    content = stalls.content
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    time.sleep(30)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_pull_that_was_killed_goes_on_where_it_was(hub, bad, files, tmp_path, damaged):
    stalls.content = files["model.safetensors"]
    hub.fail("GET /blobs", stalls, times=1)
    process = subprocess.Popen([KH, "pull", "eve/bad"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    unfinished = tmp_path / "hf" / "hub" / "models--eve--bad" / "blobs"
    half = len(stalls.content) // 2
    while sum(path.stat().st_size for path in unfinished.glob("*.incomplete")) < half // 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    [path] = unfinished.glob("*.incomplete")
    there = path.stat().st_size
    if damaged:
        path.write_bytes(b"x" * there)
    hub.requests.clear()
    if damaged:
        with pytest.raises(HubError, match="another hash"):
            pull("eve/bad")
        assert not list(unfinished.glob("*.incomplete"))
    stored = pull("eve/bad")
    assert (stored.path / "model.safetensors").read_bytes() == stalls.content
    assert not list(unfinished.glob("*.incomplete"))
    asked = [one.range for one in hub.requests if "/blobs/" in one.path]
    assert asked[0] == f"bytes={there}-"


# Mirrors


@pytest.mark.parametrize("lists", ["nothing", "the pointer"])
def test_a_mirror_that_lists_no_large_files(hub, bad, files, lists):
    answer = json.loads(hub_answer(hub, bad, lfs=False))
    if lists == "the pointer":
        tree = hub.tree("eve/bad", bad)
        for one in answer["siblings"]:
            one["blobId"] = tree[one["rfilename"]].oid
    hub.fail(API, json.dumps(answer).encode(), times=9)
    stored = pull("eve/bad")
    for name, content in files.items():
        assert (stored.path / name).read_bytes() == content
    check_stored(stored.path)
    hub.requests.clear()
    assert not pull("eve/bad").fetched
    assert hub.requests == []


@pytest.mark.parametrize("etag", ["pointer", "none", "md5"])
def test_a_mirror_that_redirects_without_a_hash(hub, bad, files, etag):
    hub.fail(API, hub_answer(hub, bad, lfs=False), times=9)
    headers = {"pointer": {}, "none": {"ETag": None}, "md5": {"ETag": "0" * 32}}[etag]
    hub.fail(f"{FILE}model.safetensors", {"X-Linked-Etag": None, **headers}, times=9)
    content = files["model.safetensors"]
    assert (pull("eve/bad").path / "model.safetensors").read_bytes() == content


@pytest.mark.parametrize("fault", ["wrong_hash", "truncated"])
@pytest.mark.parametrize("what", ["GET /blobs", FILE])
def test_damage_on_a_mirror(hub, bad, fault, what):
    hub.fail(API, hub_answer(hub, bad, lfs=False), times=9)
    hub.fail(what, fault)
    assert "hash" in refused(pull, "eve/bad")
    assert find_stored("eve/bad") is None
    assert pull("eve/bad").fetched


def test_a_mirror_that_serves_large_files_itself(hub, bad, files):
    hub.fail(API, hub_answer(hub, bad, lfs=False), times=9)
    content = files["model.safetensors"]
    tree = hub.tree("eve/bad", bad)

    def answer(handler):
        handler.send_response(200)
        handler.send_header("ETag", f'W/"{tree["model.safetensors"].sha256}"')
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    hub.fail(f"{FILE}model.safetensors", answer)
    assert (pull("eve/bad").path / "model.safetensors").read_bytes() == content
