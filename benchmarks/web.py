"""The page of `kh export --to web` in Chromium, offline, against `kh colorize`.

    npm pack onnxruntime-web@1.30.0
    python benchmarks/web.py DIR onnxruntime-web-1.30.0.tgz

First the largest difference of each picture in DIR, in levels of 255. Then the time that a picture
of one megapixel takes, from where its pixels are known to where the coloured ones are: in the page,
in ONNX Runtime with the same graph, by `kh colorize` (its file read and written too, without its
start). They take turns; medians. Needs Chromium and Playwright.
"""

import base64
import functools
import io
import shutil
import statistics
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from kh_zoo.colorizer import Colorizer
from kh_zoo.web.web_folder import write_web_folder

ROUNDS = 5
SIDE = 1000
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# When the page begins to colour, and when it has.
WATCH = """
const said = document.getElementById('status');
const seen = new MutationObserver(() => {
  if (said.textContent.startsWith('Colouring')) window.begun = performance.now();
  if (said.textContent.startsWith('Coloured')) window.took = performance.now() - window.begun;
});
seen.observe(said, { childList: true });
"""


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def in_page(tab: Page, path: Path) -> tuple[float, np.ndarray]:
    """Seconds, and the pixels."""
    # The same file again is a change, too.
    tab.evaluate("document.getElementById('file').value = ''; window.took = 0")
    tab.evaluate("document.getElementById('status').textContent = ''")
    tab.set_input_files("#file", path)
    expect(tab.locator("#status")).to_contain_text("Coloured.", timeout=600_000)
    address = tab.evaluate("document.getElementById('after').toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return tab.evaluate("window.took") / 1000, np.asarray(image.convert("RGB"), int)


def open_offline(browser: Any, web: Path) -> Page:
    handler = functools.partial(Handler, directory=str(web))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        expect(tab.locator("#status")).to_have_text("Ready.", timeout=120_000)
        tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
        server.shutdown()
        thread.join()
    tab.context.set_offline(True)
    tab.reload()
    expect(tab.locator("#status")).to_have_text("Ready.", timeout=120_000)
    tab.evaluate(WATCH)
    return tab


def compare(tab: Page, colorizer: Colorizer, paths: list[Path]) -> None:
    print("| picture | size | largest difference | of more than one level |")
    print("| --- | --- | --- | --- |")
    for path in paths:
        wanted = colorizer.colorize(path).numpy()[..., :3].astype(int)
        error = np.abs(in_page(tab, path)[1] - wanted)
        height, width = error.shape[:2]
        part = 100 * np.mean(error > 1)
        print(f"| {path.name} | {width} x {height} | {error.max()} | {part:.4f} % |", flush=True)


def race(tab: Page, colorizer: Colorizer, web: Path, path: Path) -> None:
    model = (web / "model.onnx").read_bytes()
    picture = np.asarray(Image.open(path))
    feed = {"picture": picture, "saturation": np.float32([1])}

    def session(threads: int) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def timed(run: Any) -> float:
        begun = time.perf_counter()
        run()
        return time.perf_counter() - begun

    one, all_of_them = session(1), session(0)
    ways = {
        "page, one thread": lambda: in_page(tab, path)[0],
        "ONNX Runtime, one thread": lambda: timed(lambda: one.run(None, feed)),
        "ONNX Runtime, all": lambda: timed(lambda: all_of_them.run(None, feed)),
        "kh colorize": lambda: timed(lambda: colorizer.colorize_file(path, web / "out.png")),
    }
    for run in ways.values():
        run()  # not counted
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, run in ways.items():
            times[name].append(run())
    print("\n| one megapixel | median | fastest |\n| --- | --- | --- |")
    for name, found in times.items():
        print(f"| {name} | {statistics.median(found):.2f} s | {min(found):.2f} s |")


def main() -> None:
    paths = sorted(Path(sys.argv[1]).glob("*"))
    colorizer = Colorizer("lite")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as running:
        web = Path(folder) / "web"
        write_web_folder("lite", web, sys.argv[2])
        # Root, as in a container, has no sandbox.
        browser = running.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        tab = open_offline(browser, web)
        compare(tab, colorizer, paths)
        square = Path(folder) / "square.png"
        with Image.open(paths[0]) as image:
            image.convert("RGB").resize((SIDE, SIDE)).save(square)
        race(tab, colorizer, web, square)
        browser.close()


if __name__ == "__main__":
    main()
