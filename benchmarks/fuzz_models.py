"""Fuzz what model folders, cards and answers of a Hub say, guided by coverage of our own code.

    pip install atheris
    python benchmarks/fuzz_models.py folders --seconds 900
    python benchmarks/fuzz_models.py cards --seconds 900
    python benchmarks/fuzz_models.py answers --seconds 900

Inputs are trees of JSON, in which values are replaced, moved, left out and made odd, and bytes. A
folder is checked, and if it is sound, built and run on a small picture. Answers come from a server
on this machine, and each is pulled from. An input that raises anything but a `ZooError` (a warning
counts), or after which there is a file outside of the cache, is a finding: it is written to
`finding-*` in the folder it is started in, once for each place. One that takes more than thirty
seconds, or 1 GB more than the empty process, ends the run, in `timeout-*` or `oom-*`.
"""

import argparse
import contextlib
import copy
import hashlib
import io
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(tempfile.mkdtemp())
os.environ |= {"HF_HOME": str(ROOT / "cache"), "HF_HUB_DISABLE_XET": "1"}
os.environ |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN_PATH": str(ROOT / "none")}

import atheris  # noqa: E402
from findings import note  # noqa: E402

with atheris.instrument_imports(include=["kh_zoo.networks", "kh_zoo.hub", "kh_zoo.with_keras"]):
    import kh_zoo.hub.card
    import kh_zoo.hub.reader
    import kh_zoo.hub.store
    import kh_zoo.networks.keras_folder
    import kh_zoo.networks.onnx_graph
    import kh_zoo.with_keras.keras_model
    from kh_zoo.hub.card import Facts, card_license, card_problems, write_card
    from kh_zoo.hub.store import open_any, pull, read_remote
    from kh_zoo.networks.model_folder import CONFIG, TENSORS, vgg19_config
    from kh_zoo.networks.tensors import write_model_folder

import keras  # noqa: E402
import numpy as np  # noqa: E402

from kh_zoo import load_model, save_model  # noqa: E402
from kh_zoo.engines.onnx_engine import OnnxEngine  # noqa: E402
from kh_zoo.errors import ZooError  # noqa: E402

warnings.simplefilter("error")
warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # Keras's own
LIGHTNESS = np.zeros((64, 64), np.float32)
FACTS = Facts("me/mine", "mine", "A model.", "MIT", True, "int8.", "not stated")
ODD = (
    *(None, True, 0, -1, 1, 3, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, "", "x", "\0", "\ud800"),
    *("../x", "/etc/passwd", "a" * 3000, [], {}, [[]], [None], {"a": {}}, [0] * 300, "\x1b[2J"),
)


# What is fuzzed


def made() -> dict[str, dict[str, bytes]]:
    """Sound folders of each kind, as files."""
    picture = keras.Input((None, None, 1), name="picture")
    x = keras.layers.Conv2D(4, 3, 2, padding="same", activation="relu", name="one")(picture)
    y = keras.layers.DepthwiseConv2D(3, padding="same", name="each")(x)
    y = keras.layers.Add(name="sum")([x, keras.layers.BatchNormalization(name="norm")(y)])
    y = keras.layers.UpSampling2D(2, interpolation="bilinear", name="up")(y)
    ab = keras.layers.Conv2D(2, 1, name="two")(y)
    mean = y - keras.ops.mean(y, axis=2, keepdims=True)
    other = keras.layers.Conv2D(2, 1, name="three")(mean)
    folders = {name: ROOT / name for name in ("network", "keras", "vgg")}
    save_model(keras.Model(picture, ab), folders["network"], size=64)
    save_model(keras.Model(picture, other), folders["keras"], size=64)
    config = vgg19_config("average", 64, {"etchings": ("relu1_2",)}, vivid=())
    tensors = {name: np.zeros(shape, np.float32) for name, shape in config.tensor_shapes().items()}
    write_model_folder(folders["vgg"], config, tensors)
    found = {
        name: {path.name: path.read_bytes() for path in folder.iterdir()}
        for name, folder in folders.items()
    }
    for folder in folders.values():
        shutil.rmtree(folder)
    return found


class Folders:
    """`{"kind": ..., "files": {name: a tree of JSON}}`; of tensors the table stands there."""

    def __init__(self) -> None:
        self.sound = made()
        self.folder = ROOT / "folder"
        self.built = 0

    def seeds(self) -> Iterator[bytes]:
        for kind, files in self.sound.items():
            trees = {
                name: json.loads(_table(content) if name == TENSORS else content)
                for name, content in files.items()
                if not name.endswith(".h5")
            }
            yield json.dumps({"kind": kind, "files": trees}).encode()

    def check(self, content: bytes) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        try:
            tree = json.loads(content)
            files = dict(self.sound[tree["kind"]])
            changed = {name: json.dumps(tree["files"][name]).encode() for name in tree["files"]}
        except (ValueError, LookupError, TypeError, RecursionError):
            files, changed = dict(self.sound["network"]), {CONFIG: content}
        for name in files:
            if name not in changed and not name.endswith(".h5"):
                continue  # it is missing
            text = changed.get(name, files[name])
            if name == TENSORS:
                data = files[name][8 + len(_table(files[name])) :]
                text = struct.pack("<Q", len(text)) + text + data
            (self.folder / name).write_bytes(text)
        open_any(self.folder)
        if (self.folder / TENSORS).exists():
            opened = kh_zoo.networks.model_folder.open_model_folder(self.folder)
            OnnxEngine(opened, opened.config.variants[0]).predict_ab(LIGHTNESS)
        else:
            load_model(self.folder)
        self.built += 1


class Cards:
    """The text of a card."""

    def seeds(self) -> Iterator[bytes]:
        yield write_card(FACTS).encode()
        for block in ("license: mit\ntags: [a, b]", "a: {b: [c, ~]}\nd: !!set {e}", "x: &a 1"):
            yield f"---\n{block}\n---\nEtchings.\n".encode()

    def check(self, content: bytes) -> None:
        text = content.decode("utf-8", errors="replace")
        card_license(text)
        card_problems(text)
        once = write_card(FACTS, text)
        if write_card(FACTS, once) != once:
            raise ValueError("written again it is another")


class Answers:
    """What a server says: `{"api": ..., "tags": ..., "status": ..., "headers": {...}}`."""

    def __init__(self) -> None:
        self.files = {**made()["vgg"], "README.md": b"---\nlicense: mit\n---\n"}
        self.said: Any = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        from huggingface_hub import constants

        constants.ENDPOINT = f"http://127.0.0.1:{self.server.server_address[1]}"
        constants.HF_HUB_DOWNLOAD_TIMEOUT = 2
        kh_zoo.hub.reader.PATIENCE = 3.0
        kh_zoo.hub.reader.TRIES = 1
        self.pulled = 0

    def seeds(self) -> Iterator[bytes]:
        siblings = [
            {"rfilename": name, "size": len(content), "blobId": _oid(content)}
            for name, content in self.files.items()
        ]
        for lfs in (False, True):
            files = copy.deepcopy(siblings)
            if lfs:
                content = self.files[TENSORS]
                large = next(one for one in files if one["rfilename"] == TENSORS)
                sha256 = hashlib.sha256(content).hexdigest()
                large["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 130}
            answer = {"sha": "0" * 40, "private": False, "siblings": files}
            names = ("ETag", "X-Linked-Etag", "X-Linked-Size", "Location", "Content-Range")
            names += ("Content-Encoding", "Content-Length", "X-Error-Message", "Retry-After")
            headers = {"X-Repo-Commit": "0" * 40, **dict.fromkeys(names)}
            yield json.dumps({"api": answer, "status": 200, "headers": headers}).encode()

    def check(self, content: bytes) -> None:
        try:
            self.said = json.loads(content)
        except (ValueError, RecursionError):
            self.said = content
        shutil.rmtree(ROOT / "cache", ignore_errors=True)
        with contextlib.suppress(ZooError):
            read_remote("eve/bad", None)
        pull("eve/bad")
        self.pulled += 1
        outside = {path.name for path in ROOT.iterdir()} - {"cache"}
        if outside:
            raise AssertionError(f"outside of the cache: {outside}")


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _table(tensors: bytes) -> bytes:
    (length,) = struct.unpack("<Q", tensors[:8])
    return tensors[8 : 8 + length]


def _handler(answers: Answers) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = answers.said if isinstance(answers.said, dict) else {}
            headers, status = said.get("headers"), said.get("status")
            headers = headers if isinstance(headers, dict) else {}
            headers = {name: value for name, value in headers.items() if value is not None}
            if self.path.startswith("/api"):
                content = answers.said
                if said:
                    content = json.dumps(said.get("api")).encode()
                    headers.clear()
                elif not isinstance(content, bytes):
                    content = json.dumps(content).encode()
            else:
                content = answers.files.get(self.path.rsplit("/", 1)[-1], b"")
                headers.setdefault("ETag", f'"{_oid(content)}"')
            self.send_response(status if type(status) is int and 200 <= status < 600 else 200)
            for name, value in {"Content-Length": len(content), **headers}.items():
                line = f"{name}: {value}".encode("utf-8", errors="replace")
                self._headers_buffer.append(line.replace(b"\n", b"") + b"\r\n")
            with contextlib.suppress(OSError):
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


# How inputs are changed


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a few places of a tree of JSON, or else bytes."""
    chance = random.Random(seed)
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict) or chance.random() < 0.05:
        return bytes(atheris.Mutate(data, max_size))
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        places = list(_places(tree))
        if not places:
            break
        container, key = chance.choice(places)
        other, other_key = chance.choice(places)
        match chance.randrange(6):
            case 0:
                container[key] = copy.deepcopy(chance.choice(ODD))  # which may be changed next
            case 1:
                container[key] = _near(container[key], chance)
            case 2:
                container[key] = copy.deepcopy(other[other_key])
            case 3:
                container[key] = [container[key]]
            case 4:
                del container[key]
            case _ if isinstance(container, list):
                container.append(copy.deepcopy(other[other_key]))
            case _:
                container[str(other_key)] = copy.deepcopy(chance.choice(ODD))
    changed = json.dumps(tree).encode()
    return changed if len(changed) <= max_size else data


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        for key in range(len(node)) if isinstance(node, list) else list(node):
            yield node, key
            if isinstance(node[key], list | dict):
                stack.append(node[key])


def _near(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        with contextlib.suppress(OverflowError):
            return chance.choice(
                (value + 1, value - 1, value * 1000, -value, value / 2, str(value))
            )
    if isinstance(value, str) and value:
        at = chance.randrange(len(value))
        middle = chance.choice(("", ".", "/", "\0", " ", "é", "0", value))
        return value[:at] + middle + value[at + chance.randrange(2) :]
    if isinstance(value, list):
        return value[::-1] if chance.random() < 0.5 else value * 2
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["folders", "cards", "answers"])
    parser.add_argument("--seconds", type=int, default=900)
    arguments = parser.parse_args()
    target = {"folders": Folders, "cards": Cards, "answers": Answers}[arguments.what]()
    corpus = Path(f"corpus-{arguments.what}")
    corpus.mkdir(exist_ok=True)
    for number, content in enumerate(target.seeds()):
        target.check(content)  # or it would show nothing
        (corpus / f"seed-{number}").write_bytes(content)

    def check(content: bytes) -> None:
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                target.check(content)
        except ZooError as error:
            if "\n" in str(error) or len(str(error)) > 2000:  # no reason, on a line
                note(error, content)
        except Exception as error:
            note(error, content)

    options = [f"-max_total_time={arguments.seconds}", "-timeout=30", "-max_len=60000"]
    options += ["-rss_limit_mb=4096", "-print_final_stats=1", str(corpus)]
    mutator = {} if arguments.what == "cards" else {"custom_mutator": mutate}
    atheris.Setup([sys.argv[0], *options], check, **mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
