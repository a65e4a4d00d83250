"""`kh page` as it is started and ended."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
import webbrowser

import numpy as np
import pytest
from PIL import Image
from whole_process import KH

ADDRESS = r"http://127\.0\.0\.1:\d+/[\w-]{43}/"


def test_ctrl_c_ends_it(model, monkeypatch, kh_here, tmp_path):
    opened, seen = [], []

    def open_browser(address):
        with urllib.request.urlopen(address, timeout=60) as answer:
            seen.append(answer.read())
        opened.append(address)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(webbrowser, "open", open_browser)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, output, errors = kh_here("page", "-m", model)
    assert code == 0
    assert output == f"{opened[0]}\n"
    assert re.fullmatch(ADDRESS, opened[0])
    assert b"<h1>Colour photographs</h1>" in seen[0]
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_it_colours(model, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (2000, 1500), "uint8")
    Image.fromarray(noise).save(tmp_path / "noise.png")
    content = (tmp_path / "noise.png").read_bytes()
    # Each is written, too, which takes far longer than to send it: so some are left.
    with subprocess.Popen(
        [KH, "page", "--no-browser", "-m", model, "-o", tmp_path / "out"],
        env={**os.environ, "TMPDIR": str(kept)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        address = process.stdout.readline().strip()
        assert re.fullmatch(ADDRESS, address)
        for name in ("a.png", "b.png", "c.png"):
            url = f"{address}pictures?name={name}"
            request = urllib.request.Request(url, content, method="PUT")
            urllib.request.urlopen(request, timeout=60).close()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert re.search(r"\nended with ([23] pictures|1 picture) not done\n$", errors)
    assert list(kept.iterdir()) == []


@pytest.fixture
def refusal(kh_here):
    """The one line that a wrong use gets."""

    def run(*arguments):
        code, output, errors = kh_here("page", "--no-browser", *arguments)
        assert (code, output) == (2, "")
        assert errors.startswith("Error: ")
        assert errors.count("\n") == 1
        return errors

    return run


def test_wrong_uses(refusal, tmp_path):
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, words in (
            (("--port", port), f"`--port` should be one that is free. Received: {port}"),
            (("--format", "bmp"), "`--format` should be one of"),
            (("-o", tmp_path / "file"), "`--output` should be a folder that can be written to."),
            (("-m", "light"), "Did you mean 'lite'?"),
            (("--engine", "steam"), "Received: 'steam'"),
        ):
            assert words in refusal(*arguments)


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_the_extra_is_named_where_it_is_missing(package, monkeypatch, refusal):
    for name in ("server", "app", "guard"):
        monkeypatch.delitem(sys.modules, f"kh_zoo.page.{name}", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install 'keras-hypercolumns[page]'" in refusal()
