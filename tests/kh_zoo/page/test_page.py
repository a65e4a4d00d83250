"""The page of `kh page`, asked over HTTP by a client that knows nothing of it."""

import contextlib
import http.client
import io
import itertools
import json
import re
import shutil
import socket
import struct
import time
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_client import served
from PIL import Image
from small_models import model_files

from kh_zoo import Colorizer, list_variants
from kh_zoo.errors import PictureError
from kh_zoo.page import app, painter
from kh_zoo.page.choices import Choice, list_choices
from kh_zoo.page.gallery import Options
from kh_zoo.page.names import free_path, key, safe_path


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A second model."""
    folder = tmp_path_factory.mktemp("other")
    model_files(folder, seed=1)
    return str(folder)


@pytest.fixture(scope="module")
def page(model, other):
    choices = {**list_choices(str(model)), other: Choice(other)}
    with served(Options(choices)) as client:
        yield client


@pytest.fixture(scope="module")
def first(model):
    return str(model)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Pictures of several kinds, by name."""
    random = np.random.default_rng(3)
    rgb = random.integers(0, 256, (90, 121, 3), "uint8")
    alpha = np.dstack([rgb, random.integers(0, 256, (90, 121), "uint8")])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    exif[0x010E] = "Grandmother"
    found = {}
    for name, array, options in (
        ("turned.jpg", rgb, {"exif": exif}),
        ("alpha.png", alpha, {}),
        ("deep.tif", random.integers(0, 65536, (70, 80), "uint16"), {}),
        ("plain.bmp", rgb, {}),
        ("grey.webp", rgb[..., 0], {"lossless": True}),
    ):
        file = io.BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], Path(name).suffix[1:].upper())
        Image.fromarray(array).save(file, kind, **options)
        found[name] = file.getvalue()
    return found


def png_of(width, height):
    """A sound PNG file of a few bytes that claims a size."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))


def hostile(kinds):
    script = "<script>document.title = 'taken'</script>"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{script}</svg>'
    return {
        "cut.jpg": kinds["turned.jpg"][:-2000],
        "bomb.png": png_of(60_000, 60_000),
        "empty.jpg": b"",
        "page.jpg": f"<!doctype html>{script}".encode(),
        "drawing.jpg": svg.encode(),
        "drawing.svg": svg.encode(),
        "archive.png": b"PK\3\4" + bytes(100),
    }


def test_files_are_those_of_colorize(page, kinds, model, tmp_path):
    ids = {name: page.put(f"scans/{name}", content) for name, content in kinds.items()}
    page.wait(*ids.values())
    archive = zipfile.ZipFile(io.BytesIO(page.get("pictures.zip")))
    assert archive.testzip() is None
    for name, content in kinds.items():
        source = tmp_path / name
        source.write_bytes(content)
        picture = page.pictures()[ids[name]]
        assert picture["target"] == f"scans/{name}".replace(".bmp", ".png")
        expected = tmp_path / "out" / Path(picture["target"]).name
        notes = Colorizer(model).colorize_file(source, expected)
        assert tuple(picture["notes"]) == notes
        answer = page.ask("GET", f"pictures/{ids[name]}/file")
        assert answer.content == expected.read_bytes() == archive.read(picture["target"])
        assert answer.headers["content-disposition"] == f'attachment; filename="{expected.name}"'
        with Image.open(source) as before, Image.open(expected) as after:
            turned = before.getexif().get(0x0112, 1) >= 5
            assert after.size == (before.size[::-1] if turned else before.size)
            assert [picture["width"], picture["height"]] == list(after.size)


def test_what_cannot_be_read_fails_as_in_colorize(page, kinds, model, tmp_path):
    sent = hostile(kinds)
    ids = {name: page.put(name, content) for name, content in sent.items()}
    good = page.put("good.jpg", kinds["turned.jpg"])
    for name, picture in zip(ids, page.wait(*ids.values()), strict=True):
        (tmp_path / name).write_bytes(sent[name])
        with pytest.raises(PictureError) as error:
            Colorizer(model).colorize(tmp_path / name)
        assert (picture["status"], picture["reason"]) == ("failed", str(error.value))
        for rest in ("file", "gray?level=0", "small?saturation=1"):
            assert page.ask("GET", f"pictures/{ids[name]}/{rest}").status in (400, 404)
    assert page.wait(good)[0]["status"] == "done"


def test_an_output_is_not_coloured_again(page, kinds):
    [first] = page.wait(page.put("one.png", kinds["alpha.png"]))
    again = page.put("again.png", page.get(f"pictures/{first['id']}/file"))
    assert page.wait(again)[0]["reason"].startswith("an output itself")


def test_saturation_and_known_models_take_no_prediction(
    page, first, other, kinds, tmp_path, monkeypatch
):
    asked = []
    do = page.server.gallery.predicting.do
    monkeypatch.setattr(
        page.server.gallery.predicting,
        "do",
        lambda task, **values: asked.append(task) or do(task, **values),
    )
    source = tmp_path / "alpha.png"
    source.write_bytes(kinds["alpha.png"])
    id = page.put("alpha.png", kinds["alpha.png"])
    page.wait(id)
    assert asked.count(painter.predict) == 1
    for model, saturation, predictions in (
        *((first, factor, 1) for factor in (0, 0.35, 2)),
        (other, 0.7, 2),
        (other, 1.9, 2),
        (first, 1.4, 2),
    ):
        page.choose([id], model, saturation)
        assert asked.count(painter.predict) == predictions
        Colorizer(model, saturation=saturation).colorize_file(source, tmp_path / "out.png")
        assert page.get(f"pictures/{id}/file") == (tmp_path / "out.png").read_bytes()


def test_what_is_shown_is_the_picture(page, first, kinds):
    id = page.put("alpha.png", kinds["alpha.png"])
    page.wait(id)
    model = quote(first)

    def shown(rest):
        content = page.get(f"pictures/{id}/{rest}&model={model}")
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "JPEG"
            return np.asarray(image.convert("RGB"), "float64")

    with Image.open(io.BytesIO(page.get(f"pictures/{id}/file"))) as image:
        white = Image.new("RGBA", image.size, "white")
        file = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    for level in range(4):
        color, gray = (shown(f"{rest}level={level}") for rest in ("color?saturation=1&", "gray?"))
        assert color.shape[:2] == (round(90 / 2**level), round(121 / 2**level))
        assert np.abs(color.mean((0, 1)) - file.mean((0, 1))).max() < 4
        assert np.ptp(gray, axis=2).max() <= 1
        none = shown(f"color?saturation=0&level={level}")
        assert np.abs(none - gray).mean() < 2  # what JPEG loses of noise
    assert np.abs(shown("color?saturation=1&level=0") - file).mean() < 6
    assert shown("small?saturation=1").shape[0] % 16 == 0


@pytest.mark.parametrize(
    ("width", "height", "least"),
    [(1, 1, 0), (8000, 5000, 0), (8001, 5000, 1), (25000, 20000, 2), (40000, 10, 1)],
)
def test_large_pictures_are_shown_in_a_part_of_their_size(width, height, least):
    assert painter.least_level(width, height) == least


def test_nobody_else_is_let_in(page):
    """All but the right host, origin and token, in every combination, for every kind of path."""
    port = page.host.partition(":")[2]
    right = page.host
    hosts = [right, f"localhost:{port}", "localhost", "evil.example", f"evil.example:{port}", ""]
    origins = [None, f"http://{right}", "http://evil.example", "null", f"https://{right}"]
    sites = [None, "same-origin", "cross-site", "same-site"]
    token = page.path.strip("/")
    paths = [f"/{token}/", "/", "/static/page.js", f"/{token[:-1]}/", f"//{token}/", "/%2e%2e/"]
    good, statuses = 0, {}
    with contextlib.closing(http.client.HTTPConnection(right, timeout=60)) as connection:
        for host, origin, site, path in itertools.product(hosts, origins, sites, paths):
            named = {"Host": host, "Origin": origin, "Sec-Fetch-Site": site}
            headers = {name: value for name, value in named.items() if value is not None}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            allowed = (
                host in hosts[:2]
                and origin in (None, f"http://{right}", f"http://localhost:{port}")
                and site in (None, "same-origin")
                and path == paths[0]
            )
            good += allowed
            statuses[host, origin, site, path] = (answer.status, 200 if allowed else 403)
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.headers["cache-control"] == "no-store"
    assert {one for one in statuses.items() if one[1][0] != one[1][1]} == set()
    assert good == 8


def raw(page, text, wait=0.0):
    """Send bytes as they are, and return the answer."""
    host, port = page.host.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(text.replace("HOST", page.host).encode("latin-1"))
        time.sleep(wait)
        with contextlib.suppress(ConnectionError):
            return connection.makefile("rb").read()
        return b""


def test_odd_requests_are_refused(page):
    put = f"PUT {page.path}pictures?name=a.jpg HTTP/1.1\r\n"
    before = page.pictures()
    kept = set(page.server.gallery.folder.iterdir())
    for text, status in (
        (f"GET {page.path} HTTP/1.1\r\n\r\n", b"400"),  # no host
        (f"GET {page.path} HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n", b"4"),
        (f"GET {page.path} HTTP/1.0\r\n\r\n", b"403"),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n", b"403"),
        (put + "Host: HOST\r\nContent-Length: 5000000000\r\n\r\n", b"413"),
        (put + "Host: evil.example\r\nContent-Length: 5000000000\r\n\r\n", b"403"),
        (put + "Host: HOST\r\nContent-Length: -1\r\n\r\n", b"400"),
        (put + "Host: HOST\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        ("\x16\x03\x01\x02\x00", b"400"),  # TLS
    ):
        answer = raw(page, text)
        assert answer.startswith(b"HTTP/1.1 " + status), (text, answer)
    for method, path, body, status in (
        ("POST", "pictures", b"", 405),
        ("GET", "static/../../app.py", None, 404),
        ("GET", "static/%2e%2e/app.py", None, 404),
        ("GET", "static/..%2fapp.py", None, 404),
        ("GET", "pictures/../state", None, 404),
        ("GET", "pictures/..%2f..%2fetc%2fpasswd/file", None, 404),
        ("GET", "state?since=inf", None, 400),
        ("GET", "state", None, 400),
        ("POST", "settings", b"{", 400),
        ("POST", "settings", b"[" * 100_000, 400),
        ("POST", "settings", b'{"ids": [[]], "model": "lite", "saturation": 1}', 400),
        ("POST", "settings", b'{"ids": [], "model": "lite", "saturation": NaN}', 400),
        ("POST", "settings", b'{"ids": [], "model": ["lite"], "saturation": 1}', 400),
        ("POST", "settings", b'{"ids": [], "model": "/etc", "saturation": 1}', 400),
        ("POST", "settings", b" " * 2**21, 413),
    ):
        assert page.ask(method, path, body).status == status, (method, path, body[:99])
    assert page.pictures() == before
    assert set(page.server.gallery.folder.iterdir()) == kept
    page.get("")


def test_uploads_have_limits(page, monkeypatch):
    monkeypatch.setattr(app, "MOST_BYTES", 100_000)
    monkeypatch.setattr(app, "PATIENCE", 0.1)
    kept = set(page.server.gallery.folder.iterdir())
    head = f"PUT {page.path}pictures?name=a.jpg HTTP/1.1\r\nHost: HOST\r\n"
    chunked = head + "Transfer-Encoding: chunked\r\n\r\n"
    piece = f"{50_000:x}\r\n{'x' * 50_000}\r\n"
    assert raw(page, head + "Content-Length: 100001\r\n\r\n").startswith(b"HTTP/1.1 413")
    assert raw(page, chunked + 3 * piece).startswith(b"HTTP/1.1 413")  # unannounced
    assert raw(page, chunked + piece).startswith(b"HTTP/1.1 408")  # the rest never comes
    assert raw(page, head + "Content-Length: 9\r\n\r\nabc").startswith(b"HTTP/1.1 408")
    host, port = page.host.split(":")
    with socket.create_connection((host, int(port)), timeout=0.02) as connection:  # by drops
        slow = f"{head}Content-Length: 99\r\n\r\n".replace("HOST", page.host)
        connection.sendall(slow.encode())
        answer = b""
        for _ in range(90):
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(12)
                break
        assert answer == b"HTTP/1.1 408"
    with socket.create_connection((host, int(port))) as connection:  # gone
        connection.sendall((head + "Content-Length: 9\r\n\r\nabc").replace("HOST", host).encode())
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(free=app._SPARE + 50_000)
    )
    assert raw(page, head + "Content-Length: 60000\r\n\r\n").startswith(b"HTTP/1.1 507")
    assert set(page.server.gallery.folder.iterdir()) == kept
    page.get("")


NAMES = st.lists(
    st.one_of(
        st.text(max_size=300),
        st.sampled_from(["..", ".", "", "CON.jpg", "a.jpg", "..\\..\\b.jpg", "\0", "C:", " . "]),
    ),
    max_size=40,
).map("/".join)


@given(NAMES)
@settings(max_examples=100, deadline=None)
def test_names_stay_below_the_folder(name):
    try:
        path = safe_path(name)
    except ValueError:
        assert {"", ".", ".."} & set(name.split("/")) or name.count("/") > 30
        return
    assert not path.is_absolute()
    assert len(path.parts) == name.count("/") + 1
    for part in path.parts:
        assert part not in ("", ".", "..")
        assert not re.search(r"[\x00-\x1f/\\]|^\.|[. ]$", part)
        assert len(part.encode()) <= 200
    assert safe_path(str(path)) == path
    assert key(free_path(path, {key(path)})) != key(path)


def test_names_are_refused_or_kept_apart(page, kinds, tmp_path):
    for name in ("../a.jpg", "/etc/a.jpg", "a/../../b.jpg", "", "a//b.jpg", "." * 2):
        answer = page.ask("PUT", f"pictures?name={quote(name, safe='')}", b"x")
        assert answer.status == 400
        assert answer.content.startswith(b"`name` should be")
    script = '<img src=x onerror="alert(1)">.jpg'
    sent = ["x/A.jpg", "x/a.jpg", "x/a.jpg", script, "..\\..\\up.jpg", "über \u202e.jpg"]
    sent += ["in", "out", "0.npz"]  # as what is kept is called
    found = page.wait(*(page.put(name, kinds["turned.jpg"]) for name in sent))
    assert [picture["target"] for picture in found] == [
        *("x/A.jpg", "x/a (2).jpg", "x/a (3).jpg"),
        *(script, "_._.._up.jpg", "über \u202e.jpg", "in.png", "out.png", "0.npz.png"),
    ]
    archive = zipfile.ZipFile(io.BytesIO(page.get("pictures.zip")))
    assert {picture["target"] for picture in found} <= set(archive.namelist())
    headers = page.ask("GET", f"pictures/{found[3]['id']}/file").headers
    assert headers["content-disposition"].startswith("attachment; filename*=utf-8''%3Cimg")


def test_a_process_that_dies_is_named_and_the_next_picture_is_coloured(page, kinds):
    gallery = page.server.gallery
    good = page.wait(page.put("before.jpg", kinds["turned.jpg"]))[0]["id"]
    gallery.predicting._process.kill()
    gallery.predicting._process.wait()
    ids = [page.put(name, kinds["turned.jpg"]) for name in ("one.jpg", "two.jpg")]
    one, two = page.wait(*ids)
    assert one["reason"].startswith("the process that colours ended (SIGKILL")
    assert two["status"] == "done"
    assert page.get(f"pictures/{good}/file") == page.get(f"pictures/{two['id']}/file")
    # What has failed is tried again when its settings are chosen again.
    assert page.choose([one["id"]], one["model"], 1)[0]["status"] == "done"


def test_what_is_removed_is_gone(page, kinds):
    gallery = page.server.gallery
    before = len(list(gallery.folder.iterdir()))
    ids = [page.put(f"{i}.jpg", kinds["turned.jpg"]) for i in range(3)]
    for id in ids:  # one is being coloured, the others wait
        assert page.ask("DELETE", f"pictures/{id}").status == 200
        assert page.ask("DELETE", f"pictures/{id}").status == 404
    page.wait(page.put("last.jpg", kinds["turned.jpg"]))
    assert not page.pictures().keys() & set(ids)
    assert len(list(gallery.folder.iterdir())) == before + 1


def test_a_folder_is_written_to_and_nothing_in_it_replaced(model, kinds, tmp_path):
    folder = tmp_path / "new" / "out"
    (folder / "x").mkdir(parents=True)
    (folder / "x" / "turned.jpg").write_text("mine")
    source = tmp_path / "turned.jpg"
    source.write_bytes(kinds["turned.jpg"])
    choices = list_choices(str(model))
    with served(Options(choices, suffix=".png", output=folder)) as page:
        (folder / "x" / "turned.png").write_text("mine")

        def expect(picture, saturation):
            Colorizer(model, saturation=saturation).colorize_file(source, tmp_path / "e.png")
            assert picture["saved"]
            written = folder / picture["target"]
            assert written.read_bytes() == (tmp_path / "e.png").read_bytes()
            return picture["target"]

        [picture] = page.wait(page.put("x/turned.jpg", kinds["turned.jpg"]))
        assert expect(picture, 1) == "x/turned (2).png"
        [picture] = page.choose([picture["id"]], str(model), 1.5)
        assert expect(picture, 1.5) == "x/turned (2).png"
        (folder / "x" / "turned (2).png").write_text("mine")
        [picture] = page.choose([picture["id"]], str(model), 0.5)
        assert expect(picture, 0.5) == "x/turned (3).png"
        assert page.ask("DELETE", f"pictures/{picture['id']}").status == 200
        session = page.server.gallery.folder
    assert not session.exists()
    for name in ("turned.jpg", "turned.png", "turned (2).png"):
        assert (folder / "x" / name).read_text() == "mine"
    assert sorted(path.name for path in (folder / "x").iterdir()) == [
        *("turned (2).png", "turned (3).png", "turned.jpg", "turned.png")
    ]


def test_the_page_loads_nothing_from_elsewhere():
    for path in app.STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"(?m)^\s*//.*| // .*", "", text)) in (
            [],
            ["http://www.w3.org"],  # the name of SVG
        ), path


def test_all_that_needs_no_network_is_offered(page, first, other):
    state = json.loads(page.get("state?since=-1"))
    expected = [first]
    for variant in list_variants():
        expected += [variant.name, f"{variant.name}, vivid"][: 1 + variant.vivid]
    assert state["choices"] == [*expected, other]
    assert next(iter(list_choices("relu1-5"))) == "relu1-5"
    assert "relu1to5" not in list_choices("relu1-5")
