"""The folder for browsers in a browser, without a network, against `kh colorize`.

`KH_ORT_WEB` names ONNX Runtime Web: a folder, or the .tgz file of `npm pack onnxruntime-web@...`.
"""

import base64
import functools
import io
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from chromium import chromium, playwright
from PIL import Image
from skimage import data

from kh_zoo import Colorizer
from kh_zoo.web.web_folder import write_web_folder

if "KH_ORT_WEB" not in os.environ:
    pytest.skip("needs ONNX Runtime Web", allow_module_level=True)

PICTURES = {
    "portrait.png": data.astronaut(),
    "odd.png": data.coffee()[:397, :601],
    "cat.png": data.chelsea(),
    "rocket.png": data.rocket(),
    "grey.png": data.camera(),
    "coins.png": data.coins(),
    "brick.png": data.brick()[:300, :200],
    "strip.png": data.rocket()[200:217],
    "pixel.png": data.coffee()[:1, :1],
    "large.png": np.asarray(Image.fromarray(data.coffee()).resize((1300, 900))),
}


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def colored(tab, path):
    """What the page makes of a picture."""
    tab.set_input_files("#file", path)
    status = tab.locator("#status")
    playwright.expect(status).to_have_text("Colouring …")
    playwright.expect(status).to_have_text("Coloured.", timeout=120_000)
    address = tab.evaluate("document.getElementById('after').toDataURL('image/png')")
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return np.asarray(image.convert("RGB"), int)


def test_without_a_network_it_is_as_kh_colorize(tmp_path):
    write_web_folder("lite", tmp_path / "web", os.environ["KH_ORT_WEB"])
    handler = functools.partial(Handler, directory=str(tmp_path / "web"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with chromium() as browser, browser.new_context() as context:
        try:
            tab = context.new_page()
            wrong, asked = [], []
            tab.on("pageerror", lambda error: wrong.append(str(error)))
            tab.on("request", lambda request: asked.append(request.url))
            own = f"http://127.0.0.1:{server.server_address[1]}/"
            tab.goto(own)
            status = tab.locator("#status")
            playwright.expect(status).to_have_text("Ready.")
            # Kept, and in charge of the page, for the next visit.
            tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        context.set_offline(True)
        tab.reload()
        playwright.expect(status).to_have_text("Ready.")
        for name, pixels in PICTURES.items():
            Image.fromarray(pixels).save(tmp_path / name)
            wanted = Colorizer("lite").colorize(tmp_path / name).numpy().astype(int)
            got = colored(tab, tmp_path / name)
            assert got.shape == wanted.shape, name
            assert np.abs(got - wanted).max() <= 1, name
        assert wrong == []
        assert {url for url in asked if not url.startswith((own, "blob:" + own, "data:"))} == set()
