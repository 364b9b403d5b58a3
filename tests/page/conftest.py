"""A real browser, found by LLAMA3_TOK_CHROMIUM or as `chromium` on the path, and a server."""

import os
import shutil

import pytest

from playground_server import Server


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = (os.environ.get("LLAMA3_TOK_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if path is None:
        pytest.skip("no Chromium: neither LLAMA3_TOK_CHROMIUM nor `chromium` names one")
    with playwright.sync_playwright() as started:
        # CI runs as root, where Chromium has no sandbox.
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def server(llama2_path):
    """A `llama3-tok serve` for the tests of a file, with Llama 2 beside."""
    running = Server("--llama2", llama2_path)
    yield running
    running.stop()


@pytest.fixture
def page(browser, server):
    """The page of `server`, opened; at the end nothing else was asked, and the console is empty."""
    complaints, requests = [], []
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(server.address)
    opened.locator("#tokenizer option").first.wait_for(state="attached")
    yield opened
    context.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith(f"{server.address}/")} == set()


@pytest.fixture
def expect():
    return pytest.importorskip("playwright.sync_api").expect
