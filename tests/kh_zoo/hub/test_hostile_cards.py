"""Cards from anywhere: what can't be read is one line, and spoils no other model."""

import hashlib
import itertools
import json
import time

import pytest
import yaml
from huggingface_hub import constants
from small_models import model_files
from typer.testing import CliRunner

from kh_cli.app import create_app
from kh_zoo.errors import ModelError
from kh_zoo.hub.card import BEGIN, END, Facts, card_license, card_problems, write_card
from kh_zoo.hub.store import list_stored, remove

SOUND = "---\nlicense: mit\n---\nEtchings.\n"
FACTS = Facts("me/mine", "mine", "A model.", "MIT", True, "int8.", "not stated")


def metadata(text):
    return f"---\n{text}\n---\nEtchings.\n"


BOMB = "a0: &a0 [x, x]\n" + "\n".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)
)
KEYS = (
    *("1: x", "~: x", "true: x", "1.5: x", "2020-01-01: x", "[a, b]: x", "{a: b}: x", "? [a]\n: x"),
    *("!!binary aGk=: x", "? !!set {a, b}\n: x"),
)
DEEP = (
    *("a: " + opened * 5_000 + closed * 5_000 for opened, closed in ("[]", "{}")),
    *("a: " + opened * 40_000 for opened in ("[", "{", "- ", "? ")),
    "\n".join(f"{' ' * i}a:" for i in range(300)),
)
ALIASES = (
    BOMB,
    "a: &a [*a]",
    "a: &a {b: *a}",
    "a: &a {x: 1}\nb: {<<: *a}",
    "a: &a x\n" + "b: [" + "*a, " * 20_000 + "]",
    "\n".join(f"k{i}: &k{i} {{<<: [{', '.join(f'*k{j}' for j in range(i))}]}}" for i in range(40)),
)
TYPES = (
    *("a: !!int x", "a: !!int ''", "a: !!float ''", "a: !!bool x", "a: !!timestamp x"),
    *("a: 2020-13-45", "a: !!binary ä", "a: !!python/object/apply:os.system [ls]"),
    *("a: !!python/name:os.system", f"a: {'9' * 5_000}", "a: !!omap x", "a: !!pairs x", "a: !x y"),
    *("a: 2020-01-01 00:00:00 +99:99", "a: @", "a: `", "a: %", "a:\t- x", "- x", "x", "7", "[a"),
    *("a: b: c", '"\\ud800": x', 'a: "\\UFFFFFFFF"', "--- x", "a: 1\n...\nb: 2", "\0", "a: \x07"),
)
LONG = ("a: '" + "x" * 900_000 + "'", "\n" * 900_000, "a: 1\n" * 100_000, "#" * 900_000)
UNREAD = [metadata(text) for text in (*KEYS, *DEEP, *ALIASES, *TYPES, *LONG)]
# Names of arguments of what reads them, which are keys as any other.
READ = [
    metadata(f"license: mit\n{text}")
    for text in (
        *("self: x", "ignore_metadata_errors: x", "eval_results: x", "model_name: 3", "cls: x"),
        *("tags: x", "tags: [1, ~, x]", "model-index: x", "model-index: [{name: x}]", "data: {}"),
        *("kwargs: {}", "language: [no]", "date: 2020-01-01", "a: .nan", "b: !!binary aGk="),
        *("c: !!set {a, b}", "d: ~", "datasets: {a: b}", "license_name: [x]", "base_model: 7"),
    )
]
ODD = (
    "",
    " ",
    "\n \n",
    "\x0b",
    "\u2028x",
    "---",
    "---\n",
    "---\n---",
    "---\n\n---\n",
    "\n" * 900_000,
    "-" * 900_000,
    " " * 900_000,
)


def ids(texts):
    return [repr(text[:30]) + f"+{len(text)}" for text in texts]


@pytest.mark.parametrize("text", UNREAD, ids=ids(UNREAD))
def test_what_cannot_be_read_is_said_at_once(text):
    started = time.monotonic()
    try:
        found = card_license(text)
    except ModelError as error:
        reason = str(error)
        assert "its metadata can't be read" in reason
        assert len(reason) < 400
        assert "\n" not in reason
        assert card_problems(text) == [reason]
        with pytest.raises(ModelError):
            write_card(FACTS, text)
    else:  # such as of comments alone, which are no metadata
        assert found is None
        assert yaml.safe_load(write_card(FACTS, text).split("---\n")[1])["license"] == "mit"
    assert time.monotonic() - started < 5


def shown(value):
    """As Python writes it, which tells types and NaN apart; sets are written in any order."""
    return f"set of {sorted(map(repr, value))}" if type(value) is set else repr(value)


@pytest.mark.parametrize("text", READ, ids=ids(READ))
def test_what_can_be_read_is_kept(text):
    """PyYAML itself reads what is written, and finds what was there."""
    assert card_license(text) == "mit"
    before = yaml.safe_load(text.split("---\n")[1])
    after = yaml.safe_load(write_card(FACTS, text).split("---\n")[1])
    ours = {"license", "library_name", "tags", "pipeline_tag", "license_name"}
    for key in before.keys() - ours:
        assert shown(after.get(key)) == shown(before[key])
    assert write_card(FACTS, write_card(FACTS, text)) == write_card(FACTS, text)


@pytest.mark.parametrize("text", ODD, ids=ids(ODD))
def test_cards_without_metadata(text):
    assert card_license(text) is None
    once = write_card(FACTS, text)
    assert once.startswith("---\nlicense: mit\n")
    assert write_card(FACTS, once) == once


MARKS = list(itertools.product([BEGIN, END, BEGIN[:-3]], repeat=3))


@pytest.mark.parametrize("marks", MARKS, ids=str)
def test_marks_of_ours_that_are_no_pair(marks):
    """Whatever an edit has left of them: one pair is written, and no word of a person's is lost."""
    mine = [f"mine {number}" for number in range(4)]
    parts = [part for pair in itertools.zip_longest(mine, marks, fillvalue="") for part in pair]
    once = write_card(FACTS, SOUND + "\n".join(parts))
    assert card_problems(once) == []
    assert write_card(FACTS, once) == once
    # What stands between a first mark, with no other behind it, and the second one is ours.
    pairs = ((n, m) for m in range(3) for n in range(m) if marks[n : m + 1 : m - n] == (BEGIN, END))
    within = next(
        (slice(n + 1, m + 1) for n, m in pairs if BEGIN not in marks[n + 1 : m]), slice(0)
    )
    lost = set(mine[within])
    assert {part for part in mine if part not in once} == lost


@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", ["", "\ufeff", "\n \n"])
def test_ends_of_lines(line, before):
    assert card_license(before + SOUND.replace("\n", line)) == "mit"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Puts a model into a cache of its own; what is in none of the files is a link to a blob."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def put(repository, files):
        here = folder / f"models--{repository.replace('/', '--')}"
        snapshot = here / "snapshots" / hashlib.sha1(repository.encode()).hexdigest()
        for made in (snapshot, here / "blobs", here / "refs"):
            made.mkdir(parents=True)
        (here / "refs" / "main").write_text(snapshot.name)
        for name, content in files.items():
            blob = here / "blobs" / hashlib.sha256(content).hexdigest()
            blob.write_bytes(content)
            (snapshot / name).symlink_to(f"../../blobs/{blob.name}")
        return snapshot

    return put


def kh(*arguments):
    result = CliRunner().invoke(create_app(), list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_one_card_spoils_no_other_model(cache, tmp_path):
    files = model_files(tmp_path / "made")
    cards = {
        "latin-1": "---\nlicense: mit\n---\nRadierungen für München".encode("latin-1"),
        "number": metadata("1: x").encode(),
        "none": metadata("~: x").encode(),
        "deep": DEEP[0].encode(),
        "bomb": metadata(BOMB).encode(),
        "argument": metadata("license: mit\nself: x\nignore_metadata_errors: 1").encode(),
        "sound": SOUND.encode(),
    }
    for name, card in cards.items():
        cache(f"eve/{name}", {**files, "README.md": card})
    broken = cache("eve/broken", {**files, "README.md": SOUND.encode()})
    (broken / "config.json").unlink()
    table = json.loads(files["config.json"])
    (broken / "config.json").write_text(json.dumps({**table, "size": 7}))
    found = {stored.repository.partition("/")[2]: stored for stored in list_stored()}
    assert set(found) == {*cards, "broken"}
    licenses = {name: one.license for name, one in found.items() if one.license}
    assert licenses == dict.fromkeys(("latin-1", "argument", "sound", "broken"), "mit")
    assert {name for name, one in found.items() if one.problem} == {"number", "none", "bomb"}
    listed = kh("list", "--json")
    records = [json.loads(line) for line in listed.stdout.splitlines()]
    assert {one["name"] for one in records} >= {f"eve/{name}" for name in found}
    assert {one["name"] for one in records if one["where"] == "damaged"} == {"eve/broken"}
    for name in ("number", "none", "bomb", "broken"):
        [line] = [line for line in listed.stderr.splitlines() if f"eve/{name}:" in line]
        assert len(line) < 600
    verified = kh("verify", "--json")
    states = {one["name"]: one["status"] for one in map(json.loads, verified.stdout.splitlines())}
    damaged = {name for name, state in states.items() if state != "ok"}
    assert {name.partition("@")[0] for name in damaged} == {"eve/broken"}
    assert verified.exit_code == 1
    for name in cards:
        assert "licence" in kh("show", f"eve/{name}").stdout.replace("license", "licence")
    for name in found:
        remove(f"eve/{name}")
    assert list_stored() == []


def test_copies_without_hashes_can_not_be_told(cache, tmp_path):
    """As where links can't be made."""
    snapshot = cache("ada/etchings", model_files(tmp_path / "made"))
    assert kh("verify", "ada/etchings").exit_code == 0
    for path in snapshot.iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    result = kh("verify", "ada/etchings", "--json")
    record = json.loads(result.stdout)
    assert (result.exit_code, record["status"]) == (1, "unknown")
    assert "as a copy" in record["reason"]
