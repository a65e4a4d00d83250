"""The page of `kh page` in a browser; where there is none, `test_page.py` has to do.

`KH_AXE` names axe-core's axe.min.js, whose rules for accessibility are tried then.
"""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from chromium import chromium, playwright
from page_client import served
from PIL import Image
from whole_process import kh

from kh_zoo.page import painter
from kh_zoo.page.choices import list_choices
from kh_zoo.page.gallery import Options

SCRIPT = '<img src=x onerror="document.title=1">.jpg'
LONG = "a_very_long_name_" * 8 + ".png"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def served_page(model):
    with served(Options(list_choices(str(model)))) as client:
        yield client


@pytest.fixture
def page(served_page, browser, request):
    """A tab with an empty page; whatever goes wrong in it fails the test."""
    for id in served_page.pictures():
        served_page.ask("DELETE", f"pictures/{id}")
    options = getattr(request, "param", {"viewport": {"width": 1000, "height": 800}})
    with browser.new_context(**options) as context:
        tab = context.new_page()
        wrong, asked = [], []
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(served_page.server.address)
        yield tab
        assert wrong == []
        own = (served_page.server.address, f"blob:http://{served_page.host}/")
        assert [url for url in asked if not url.startswith(own)] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five pictures, of which one is broken."""
    folder = tmp_path_factory.mktemp("scans")
    (folder / "sub").mkdir()
    y, x = np.mgrid[:300, :400]
    wave = (128 + 60 * np.sin(x / 30) + 50 * np.cos(y / 40)).astype("uint8")
    for name in ("one.jpg", "two.png", SCRIPT, LONG):
        Image.fromarray(wave).save(folder / name)
    Image.fromarray(wave[:, :150]).save(folder / "sub" / "narrow.tif")
    (folder / "broken.jpg").write_bytes((folder / "one.jpg").read_bytes()[:2000])
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes(b"")
    return folder


def wait(tab, count):
    """Until so many pictures are there, and nothing is left to do."""
    playwright.expect(tab.locator("#list li")).to_have_count(count)
    playwright.expect(tab.locator("#progress")).to_be_hidden()


def add(tab, folder, *names):
    tab.set_input_files("#pictures", [folder / name for name in names])
    wait(tab, len(names))


def open_first(tab):
    tab.locator(".open").first.click()
    playwright.expect(tab.locator("#gray")).to_be_visible()
    settle(tab)


def settle(tab):
    """Until what was asked for is shown."""
    tab.wait_for_load_state("networkidle")
    tab.wait_for_timeout(150)


def seen(tab):
    """The picture as it is seen: chroma of each column, without the handle."""
    # Its lower part, below the knob.
    shot = Image.open(io.BytesIO(tab.locator("#frame").screenshot())).convert("RGB")
    pixels = np.asarray(shot, "float64")[-20:]
    return np.ptp(pixels, axis=2).mean(0)


def line(tab):
    """Where the picture begins to be coloured, as a part of its width."""
    colored = seen(tab) > 12
    return np.argmax(colored) / len(colored)


def drag(tab, target, knob=50):
    """Move the line by the mouse."""
    box = tab.locator("#frame").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * line(tab), box["y"] + knob)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * target, box["y"] + knob + 40, steps=4)
    tab.mouse.up()


def fingers(tab):
    """What puts fingers on the page, moves and takes them away."""
    session = tab.context.new_cdp_session(tab)

    def touch(kind, *points):
        points = [{"x": x, "y": y, "id": id} for id, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    return touch


def swipe(tab, touch, target):
    """Move the line by a finger."""
    box = tab.locator("#frame").bounding_box()
    left, top, width = box["x"], box["y"] + 40, box["width"]
    start = line(tab)
    touch("touchStart", (left + width * start, top))
    for part in (0.2, 0.5, 0.8, 1):
        touch("touchMove", (left + width * (start + part * (target - start)), top))
    touch("touchEnd")


def fits(tab):
    return tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def serious(tab):
    """What axe-core finds; nothing where it is not at hand."""
    if "KH_AXE" not in os.environ:
        return []
    tab.evaluate(Path(os.environ["KH_AXE"]).read_text(encoding="utf-8"))
    found = tab.evaluate("axe.run()")
    assert len(found["passes"]) > 15
    return [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]


@pytest.mark.parametrize(
    "page", [{"viewport": {"width": 1000, "height": 800}, "has_touch": True}], indirect=True
)
def test_from_the_upload_to_the_files(page, served_page, folder, model, tmp_path, monkeypatch):
    """Five pictures, one broken, all the way in one run."""
    predicting, predicted = served_page.server.gallery.predicting, []
    do = predicting.do
    monkeypatch.setattr(
        predicting, "do", lambda task, **values: predicted.append(task) or do(task, **values)
    )
    names = ["one.jpg", "two.png", SCRIPT, LONG, "broken.jpg"]
    add(page, folder, *names)
    rows = {row.split("\n")[0]: row for row in page.locator("#list li").all_inner_texts()}
    assert rows.keys() == set(names)
    assert "cut short" in rows["broken.jpg"]
    assert all("coloured" in rows[name] for name in names[:4])
    assert page.title() == "Colour photographs"
    assert page.inner_text("#status") == "4 coloured, 1 failed"
    assert predicted.count(painter.predict) == 5
    page.get_by_role("button", name="one.jpg").first.click()
    settle(page)
    assert abs(line(page) - 0.5) < 0.02
    drag(page, 0.25)
    assert abs(line(page) - 0.25) < 0.02
    page.locator("#frame").scroll_into_view_if_needed()
    swipe(page, fingers(page), 0.7)
    assert abs(line(page) - 0.7) < 0.02
    page.focus("#divide")
    page.keyboard.press("Home")
    assert line(page) < 0.01
    before = seen(page).mean()
    page.focus("#saturation")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    settle(page)
    assert abs(seen(page).mean() - before / 2) < 0.12 * before
    assert predicted.count(painter.predict) == 5
    page.get_by_role("button", name="Use for all pictures").click()
    wait(page, 5)
    assert predicted.count(painter.predict) == 6  # the broken one is tried again
    assert serious(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    settle(page)
    assert fits(page)
    assert serious(page) == []

    with page.expect_download() as download:
        page.click("#download-all")
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for name in names:
        (scans / name).write_bytes((folder / name).read_bytes())
    assert kh("colorize", scans, "-o", out, "-m", model, "--saturation", "0.5").returncode == 1
    written = {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}
    with zipfile.ZipFile(download.value.path()) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == written
    assert written.keys() == set(names[:4])

    with page.context.new_page() as other:
        other.goto(page.url)
        wait(other, 5)
        other.get_by_role("button", name="Remove broken.jpg").click()
        playwright.expect(page.locator("#list li")).to_have_count(4)


@pytest.mark.parametrize("chosen", ["input", "drop"])
def test_a_folder_is_taken_as_by_colorize(page, served_page, folder, chosen):
    if chosen == "input":
        page.set_input_files("#folder", folder)
    else:
        session = page.context.new_cdp_session(page)
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": 300, "y": 300, "data": data}
            session.send("Input.dispatchDragEvent", event)
    wait(page, 6)
    found = {picture["name"] for picture in served_page.pictures().values()}
    names = ("one.jpg", "two.png", SCRIPT, LONG, "broken.jpg", "sub/narrow.tif")
    assert found == {f"{folder.name}/{name}" for name in names}
    assert page.inner_text("#problems").startswith("2 passed over")


def test_the_line_is_moved_by_mouse_and_keys(page, folder):
    add(page, folder, "one.jpg")
    open_first(page)
    assert abs(line(page) - 0.5) < 0.02
    for target in (0.2, 0.85):
        drag(page, target)
        assert abs(line(page) - target) < 0.02
    page.focus("#divide")
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    assert abs(line(page) - 0.55) < 0.02
    assert page.get_attribute("#divide", "aria-valuetext") == "55 % grey"
    page.keyboard.press("Home")
    assert line(page) < 0.01


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_phone(page, folder):
    assert fits(page)
    add(page, folder, "one.jpg", LONG, SCRIPT, "broken.jpg")
    assert fits(page)
    open_first(page)
    assert fits(page)
    page.locator("#frame").scroll_into_view_if_needed()
    touch = fingers(page)
    swipe(page, touch, 0.75)
    assert abs(line(page) - 0.75) < 0.02
    # Two fingers that part.
    box = page.locator("#frame").bounding_box()
    left, top = box["x"], box["y"] + 40
    touch("touchStart", (left + 150, top), (left + 200, top))
    for more in range(0, 60, 10):
        touch("touchMove", (left + 150 - more, top), (left + 200 + more, top))
    touch("touchEnd")
    playwright.expect(page.locator("#frame")).to_have_class("zoomed")
    assert fits(page)
    page.get_by_role("button", name="Next picture").click()
    playwright.expect(page.locator("#title")).to_have_text(LONG)
    assert fits(page)


def test_strength_and_model_are_changed_live(page, served_page, folder, model, monkeypatch):
    gallery = served_page.server.gallery
    asked = []
    do = gallery.predicting.do
    monkeypatch.setattr(
        gallery.predicting, "do", lambda task, **values: asked.append(task) or do(task, **values)
    )
    add(page, folder, "one.jpg", "two.png")
    open_first(page)
    page.focus("#divide")
    page.keyboard.press("Home")
    before = seen(page).mean()
    page.focus("#saturation")
    for presses, factor in ((10, 0.5), (10, 0)):
        for _ in range(presses):
            page.keyboard.press("ArrowLeft")
        settle(page)
        assert abs(seen(page).mean() - factor * before) < 0.12 * before
    assert asked.count(painter.predict) == 2
    page.get_by_role("button", name="Use for all pictures").click()
    playwright.expect(page.locator("#strength")).to_have_text("0.00")
    wait(page, 2)
    assert [one["saturation"] for one in served_page.pictures().values()] == [0, 0]
    page.select_option("#model", "lite")
    playwright.expect(page.locator("#facts")).not_to_contain_text("colouring")
    wait(page, 2)
    settle(page)
    assert asked.count(painter.predict) == 3
    page.select_option("#model", str(model))
    settle(page)
    assert asked.count(painter.predict) == 3


def test_late_answers_do_not_move_the_controls(page, served_page, folder):
    page.add_init_script(
        """const ask = fetch;
        window.fetch = async (address, options) => {
          const answer = await ask(address, options);
          const late = String(address).startsWith("state") ? 400 : 0;
          await new Promise((resolve) => setTimeout(resolve, late));
          return answer;
        };"""
    )
    page.reload()
    add(page, folder, "one.jpg")
    open_first(page)
    page.focus("#saturation")
    for _ in range(16):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(90)
    assert page.inner_text("#strength") == "1.80"
    page.wait_for_timeout(2000)
    assert page.inner_text("#strength") == "1.80"
    assert [one["saturation"] for one in served_page.pictures().values()] == [1.8]


def test_a_picture_is_enlarged(page, folder):
    add(page, folder, "one.jpg")
    open_first(page)
    zoom = page.locator("#zoom")
    fitted = zoom.inner_text()
    page.focus("#stage")
    page.keyboard.press("+")
    page.keyboard.press("+")
    playwright.expect(zoom).not_to_have_text(fitted)
    before = page.evaluate("stage.scrollLeft")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert page.evaluate("stage.scrollLeft") > before
    assert abs(line(page) - 0.5) < 0.02  # where it is seen
    page.keyboard.press("0")
    playwright.expect(zoom).to_have_text(fitted)
    box = page.locator("#frame").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    playwright.expect(zoom).not_to_have_text(fitted)
    before = page.evaluate("[stage.scrollLeft, stage.scrollTop]")
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 70, steps=3)
    page.mouse.up()
    after = page.evaluate("[stage.scrollLeft, stage.scrollTop]")
    assert after == pytest.approx([before[0] + 40, before[1] + 30], abs=1)


def test_all_by_keyboard(page, folder):
    add(page, folder, "one.jpg", "two.png")
    page.focus("#add-folder")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "title"
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert reached >= {
        *("previous", "next", "close", "stage", "divide", "saturation", "model"),
        *("smaller", "larger", "fit", "for-all", "download"),
    }
    page.focus("#close")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.innerText").startswith("one.jpg")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Remove
    playwright.expect(page.locator("#list li")).to_have_count(1)
    playwright.expect(page.locator(".open")).to_be_focused()


@pytest.mark.skipif("KH_AXE" not in os.environ, reason="needs axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1000])
def test_axe_finds_nothing(page, folder, scheme, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    assert serious(page) == []
    page.set_input_files("#folder", folder)
    wait(page, 6)
    assert serious(page) == []
    open_first(page)
    page.click("#larger")
    page.click("#larger")
    assert serious(page) == []


def test_that_it_has_ended_is_said(model, browser):
    with served(Options(list_choices(str(model)))) as client, browser.new_page() as tab:
        tab.goto(client.server.address)
        wait(tab, 0)
        client.server.stop()
        playwright.expect(tab.locator("#where")).to_contain_text("has ended")
