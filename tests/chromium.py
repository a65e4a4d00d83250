"""A browser for tests; where there is none, the module that imports this is skipped."""

import contextlib
import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api")
_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if not _CHROMIUM:
    pytest.skip("needs Chromium", allow_module_level=True)


@contextlib.contextmanager
def chromium():
    playwright.expect.set_options(timeout=30_000)
    with playwright.sync_playwright() as running:
        # Root, as in a container, has no sandbox.
        browser = running.chromium.launch(executable_path=_CHROMIUM, chromium_sandbox=False)
        yield browser
        browser.close()
