"""The folder for browsers: what is in it, and what is taken into it. See docs/elsewhere.md for the
browser itself."""

import hashlib
import io
import json
import re
import tarfile

import numpy as np
import onnxruntime
import pytest

from kh_zoo.errors import OutputError
from kh_zoo.web import web_folder
from kh_zoo.web.web_folder import write_web_folder

CONTENT = {"ort.wasm.bundle.min.mjs": b"export {}", "ort-wasm-simd-threaded.wasm": b"\0asm"}


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """ONNX Runtime Web's package, small."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(web_folder, "FILES", hashes)
    path = tmp_path / "runtime.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in CONTENT.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_holds_all_that_the_page_asks_for(runtime, tmp_path):
    target = tmp_path / "web"
    write_web_folder("lite", target, runtime)
    there = {path.name for path in target.iterdir()}
    texts = [(target / name).read_text() for name in there if name.endswith((".html", ".js"))]
    asked = {
        name.removeprefix("./")
        for text in texts
        for name in re.findall(r'"((?:\./)?[\w.-]+\.(?:js|css|mjs|wasm|onnx))"', text)
    }
    assert {"page.js", "colorize.js", "model.onnx", "ort.wasm.bundle.min.mjs"} <= asked <= there
    assert not any(re.search(r"https?://", text) for text in texts), "asks another machine"
    session = onnxruntime.InferenceSession(
        (target / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    feed = {"picture": np.full((20, 30, 3), 80, np.uint8), "saturation": np.ones(1, np.float32)}
    assert session.run(None, feed)[0].shape == (20, 30, 3)


def kept(target):
    [text] = re.findall(r"const kept = (.*);", (target / "offline.js").read_text())
    return json.loads(text)


def test_what_is_kept_offline_is_all_and_changes_with_it(runtime, tmp_path):
    for model in ("lite", "relu3to5"):
        write_web_folder(model, tmp_path / model, runtime)
    lite, other = kept(tmp_path / "lite"), kept(tmp_path / "relu3to5")
    there = {path.name for path in (tmp_path / "lite").iterdir()} - {"offline.js"}
    assert set(lite["files"]) == there | {"./"}
    assert lite["files"] == other["files"]
    assert lite["version"] != other["version"]


def test_a_folder_will_do_and_another_version_will_not(runtime, tmp_path):
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    write_web_folder("lite", tmp_path / "web", tmp_path)
    (tmp_path / "ort-wasm-simd-threaded.wasm").write_bytes(b"\0asm\1")
    with pytest.raises(OutputError, match=r"`ort-wasm-simd-threaded.wasm` of .* is another one"):
        write_web_folder("lite", tmp_path / "b", tmp_path)
    (tmp_path / "ort.wasm.bundle.min.mjs").unlink()
    with pytest.raises(OutputError, match=r"is missing"):
        write_web_folder("lite", tmp_path / "b", tmp_path)
    (tmp_path / "c.tgz").write_bytes(b"no archive")
    with pytest.raises(OutputError, match=r"`runtime` should be a folder or a .tgz file"):
        write_web_folder("lite", tmp_path / "b", tmp_path / "c.tgz")
    assert not (tmp_path / "b").exists()


def test_npm_brings_it_or_it_is_said_how_else(tmp_path, monkeypatch, runtime):
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(OutputError, match=r"npm, .* is not installed: `runtime` takes"):
        write_web_folder("lite", tmp_path / "a")
    npm = tools / "npm"
    npm.write_text(
        f'#!/bin/sh\n[ "$*" = "pack {web_folder.RUNTIME} --silent" ] || exit 9\n'
        f"/bin/cp {runtime} .\n"
    )
    npm.chmod(0o755)
    write_web_folder("lite", tmp_path / "a")
    assert (tmp_path / "a" / "ort.wasm.bundle.min.mjs").read_bytes() == b"export {}"
    npm.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    with pytest.raises(OutputError, match=r"npm could not bring .* \(no network\)"):
        write_web_folder("lite", tmp_path / "b")
