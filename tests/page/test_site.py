"""The site in a real browser: no request to another host, no error, and search works."""

import os
import shutil
from pathlib import Path

import pytest

import site_built

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PAGES = ["index", "counting", "coming-from", "exactness", "serving", "measurements"]
PAGES += ["api/tokenizer", "api/chat", "design/index", "messages"]


@pytest.fixture(scope="module")
def browser():
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
def site(tmp_path_factory):
    return site_built.built(tmp_path_factory)


@pytest.fixture
def opened(browser, site):
    """Opens a page; at the end nothing was asked of another host, and no script failed."""
    contexts, complaints, requests = [], [], []

    def open_page(name, width=1280, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((site / f"{name}.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests
    assert [url for url in requests if not url.startswith(("file:", "data:", "about:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_fit_and_are_of_their_colour(opened, width, scheme):
    folder = os.environ.get("LLAMA3_TOK_SCREENSHOTS")
    for name in PAGES:
        page = opened(name, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = int(colour.split("(")[1].split(",")[0])
        assert (brightness > 128) == (scheme == "light"), name
        if folder:
            picture = f"site-{name.replace('/', '-')}-{width}-{scheme}.png"
            page.screenshot(path=str(Path(folder, picture)))


def test_pictures_are_shown(opened):
    for name in ("index", "parity", "llama2"):
        page = opened(name)
        page.wait_for_load_state("load")
        pictures = "[...document.querySelectorAll('article img')]"
        widths = page.evaluate(f"{pictures}.map(image => image.naturalWidth)")
        assert widths
        assert min(widths) > 100


@pytest.mark.parametrize(
    ("name", "first", "expected"),
    [
        ("counting", "llama3-tok count hello.txt", "llama3-tok count hello.txt\necho 'This is a"),
        ("data", "import pyarrow\n", "import pyarrow\nfrom llama3_tok.data import count_arrow"),
        ("counting", "llama3-tok count --long src", "llama3-tok count --long src -g '*.py'"),
    ],
)
def test_examples_are_copied_as_one_types_them(opened, name, first, expected):
    page = opened(name)
    block = page.locator(".highlight", has_text=first.strip()).first
    block.locator("[data-clipboard-target]").click()
    button = block.locator("[data-clipboard-target]")
    text = button.get_attribute("data-clipboard-text") or block.locator("code").inner_text()
    assert text.startswith(expected)
    assert not [line for line in text.splitlines() if line.startswith((">>>", "$", "..."))]
    if name == "data":
        assert "[[9906" not in text


def test_search_finds_a_method_in_pages_of_a_folder(opened):
    page = opened("index")
    page.keyboard.press("Control+k")
    page.wait_for_timeout(500)
    page.keyboard.type("truncate", delay=30)
    found = page.get_by_text("The tokenizer", exact=False).locator("visible=true")
    page.get_by_text("results").first.wait_for(timeout=20_000)
    assert found.count() > 0
    assert page.locator("input:focus").input_value() == "truncate"
