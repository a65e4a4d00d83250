"""A model, its page and ONNX Runtime Web: all that a browser needs, in a folder."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from kh_zoo.catalog.find import find, open_source, pull_source
from kh_zoo.errors import OutputError
from kh_zoo.networks.whole_graph import whole_graph

STATIC = Path(__file__).parent / "static"
RUNTIME = "onnxruntime-web@1.30.0"
"""The npm package whose files run the graph, and its version."""
FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}
"""Those that are taken from it, with their sha256."""
_NPM = 300
"""Seconds that npm may take."""


def write_web_folder(
    model: str | os.PathLike[str],
    target: str | os.PathLike[str],
    runtime: str | os.PathLike[str] | None = None,
) -> None:
    """Write a page that colours pictures in the browser that shows it.

    Any file server will do, such as `python -m http.server`; pictures never leave the device, and
    after the first visit no network is needed.

    Args:
        model: As for `load_model`.
        target: The folder to write; made if it is missing.
        runtime: A folder with the files of ONNX Runtime Web, or the `.tgz` of its npm package.
            Defaults to `None`: npm brings it.

    Raises:
        VariantError, ModelError: If there is no such model, or it is a Keras model of its own.
        OutputError: If ONNX Runtime Web can't be had, or is not the one that is expected.
        HubError: If the model is to be pulled, and the Hub can't be reached, or refuses.
    """
    folder, head = open_source(pull_source(find(model)))
    graph = whole_graph(folder, head).to_bytes()
    found = _runtime(runtime)
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(STATIC, target, dirs_exist_ok=True)
    files = {"model.onnx": graph, **found}
    for name, content in files.items():
        (target / name).write_bytes(content)
    # The browser keeps these, and asks for all of them anew when one of them changed.
    names = sorted(path.name for path in STATIC.iterdir() if path.name != "offline.js")
    digest = hashlib.sha256()
    for name in (*names, *files):
        digest.update((target / name).read_bytes())
    kept = {"version": digest.hexdigest()[:16], "files": ["./", *names, *files]}
    worker = (STATIC / "offline.js").read_text(encoding="utf-8")
    (target / "offline.js").write_text(
        worker.replace("KEPT", json.dumps(kept)), encoding="utf-8", newline="\n"
    )


def _runtime(place: str | os.PathLike[str] | None) -> dict[str, bytes]:
    """The files of ONNX Runtime Web, checked."""
    if place is None:
        with tempfile.TemporaryDirectory() as folder:
            return _checked(_from_npm(Path(folder)))
    if not (Path(place).is_dir() or Path(place).is_file()):
        raise OutputError(f"`runtime` should be a folder or a .tgz file. Received: {place}")
    return _checked(Path(place))


def _from_npm(folder: Path) -> Path:
    npm = shutil.which("npm")
    hint = f"`runtime` takes a folder or a .tgz that `npm pack {RUNTIME}` brought elsewhere"
    if npm is None:
        raise OutputError(f"npm, which brings ONNX Runtime Web, is not installed: {hint}")
    try:
        subprocess.run(
            [npm, "pack", RUNTIME, "--silent"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_NPM,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = " ".join((getattr(error, "stderr", None) or str(error)).split())[-200:]
        raise OutputError(f"npm could not bring {RUNTIME} ({said}): {hint}") from error
    return next(folder.glob("*.tgz"))


def _checked(place: Path) -> dict[str, bytes]:
    found = {}
    for name, expected in FILES.items():
        content = _read(place, name)
        if content is None or hashlib.sha256(content).hexdigest() != expected:
            reason = "is missing" if content is None else "is another one"
            raise OutputError(f"{place}: `{name}` of {RUNTIME} {reason}")
        found[name] = content
    return found


def _read(place: Path, name: str) -> bytes | None:
    if place.is_dir():
        path = next((p for p in (place / name, place / "dist" / name) if p.is_file()), None)
        return path.read_bytes() if path else None
    try:
        with tarfile.open(place) as archive:
            member = archive.extractfile(f"package/dist/{name}")
            return member.read() if member else None
    except KeyError:
        return None
    except (OSError, tarfile.TarError) as error:
        text = f"`runtime` should be a folder or a .tgz file ({error}). Received: {place}"
        raise OutputError(text) from error
