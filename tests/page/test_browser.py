"""The page in a real browser: no requests, no errors, and everything it offers works.

Chromium is found by LLAMA3_TOK_CHROMIUM, or as `chromium` on the path (Debian's package). Pictures
are written where LLAMA3_TOK_SCREENSHOTS names a folder.
"""

import os
import time
from pathlib import Path

import pytest

from llama3_tok import report
from llama3_tok.page import Page, Token, TokenRow

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

TEXT = (
    "In 2024 the <script>alert(1)</script> \u202eWeather\u202c was 12345\n"
    "— Việt Nam 好きです 한국어\n"
    "\tdef f():\n\t\treturn 'x'\x00  \n\n𓀀 end.\n"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory, tokenizer, llama2_path):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "sample.txt").write_text(TEXT * 3)
    (folder / "other.py").write_text("for x in range(100):\n    print(x)\n" * 8)
    found = report.compare(
        paths=[folder / "sample.txt", folder / "other.py"],
        tokenizer=tokenizer,
        llama2=llama2_path,
        price=0.5,
    )
    (folder / "compare.html").write_text(found.to_html())
    many = Page("Many", "10,000 tokens in each row")
    tokens = [Token(5 * at, 5 * at + 5, at, "word ") for at in range(10_000)]
    many.tokens("many", b"word " * 10_000, [TokenRow("a", tokens), TokenRow("b", tokens)])
    (folder / "many.html").write_text(many.html())
    return folder


@pytest.fixture
def opened(browser, files):
    """Opens a page; at the end nothing was fetched, and the console is empty."""
    contexts, complaints, requests = [], [], []

    def open_page(name="compare.html", **options):
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append("a dialog"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((files / name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("file:")] == []
    assert len(requests) == len(contexts)


def picture(page, name):
    folder = os.environ.get("LLAMA3_TOK_SCREENSHOTS")
    data = page.screenshot(path=str(Path(folder, f"{name}.png")) if folder else None)
    assert data.startswith(b"\x89PNG")
    return data


def test_pointing_at_a_token_links_it_with_the_other_row(opened):
    page = opened()
    token = page.locator(".r:nth-child(1) > .t", has_text="202").first
    token.hover()
    assert "on" in token.get_attribute("class").split()
    others = page.locator(".t.also")
    assert [text.strip() for text in others.all_text_contents()][-3:] == ["2", "0", "2"]
    shown = page.locator("#inspector").inner_text()
    assert f"id {token.get_attribute('data-id')}" in shown
    assert "32 30 32" in shown
    assert "digits" in shown
    page.mouse.move(1, 1)
    assert page.locator(".t.on").count() == 0


def test_the_keyboard_walks_along_and_between_the_rows(opened):
    page = opened()
    tokens = page.locator(".tokens").first.locator(".r:nth-child(1) > .t")
    assert page.locator(".flow").first.locator('.t[tabindex="0"]').count() == 1
    page.locator(".flow").first.locator('.t[tabindex="0"]').focus()

    def focused():
        return page.evaluate(
            "[document.activeElement.dataset.a, [...document.activeElement.parentNode.parentNode"
            ".children].indexOf(document.activeElement.parentNode)]"
        )

    starts = [tokens.nth(at).get_attribute("data-a") for at in range(3)]
    assert focused() == [starts[0], 0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert focused() == [starts[2], 0]
    assert page.locator(".t.on").get_attribute("data-a") == starts[2]
    page.keyboard.press("ArrowDown")
    assert focused()[1] == 1
    page.keyboard.press("ArrowUp")
    assert focused() == [starts[2], 0]
    page.keyboard.press("ArrowLeft")
    assert focused() == [starts[1], 0]
    page.keyboard.press("End")
    assert focused()[0] == tokens.last.get_attribute("data-a")
    page.keyboard.press("Home")
    assert focused() == [starts[0], 0]
    assert page.locator("#inspector").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#inspector").is_visible()


def test_search_and_filters(opened):
    page = opened()
    figure = page.locator(".tokens").first
    figure.locator(".find-token").fill("weather")
    hits = figure.locator(".t.hit")
    assert hits.count() > 0
    assert all("weather" in text.lower() for text in hits.all_text_contents())
    assert figure.locator(".found").inner_text().startswith(f"{hits.count()} token")
    figure.locator(".find-token").press("Enter")
    assert page.locator(".t.on").count() == 1
    id = figure.locator(".t").nth(3).get_attribute("data-id")
    figure.locator(".find-token").fill(id)
    assert id in {hits.nth(at).get_attribute("data-id") for at in range(hits.count())}
    figure.locator(".find-token").fill("")
    assert hits.count() == 0

    alike = figure.locator(".p:not(.d)")
    assert alike.first.is_visible()
    figure.locator(".only").check()
    assert not alike.first.is_visible()
    assert figure.locator(".p.d").first.is_visible()


def test_white_space_and_controls_are_named_on_demand(opened):
    page = opened()
    content = "element => getComputedStyle(element, '::before').content"
    control = page.locator('.flow .u[data-m="U+0000"]').first
    space = page.locator(".flow .s").first
    assert control.evaluate(content) == '"▯"'
    assert space.evaluate(content) == "none"
    page.locator("#marks").check()
    assert control.evaluate(content) == '"U+0000"'
    assert space.evaluate(content) == '"·"'
    page.locator("#ids").check()
    token = page.locator(".flow .t").first
    shown = token.evaluate("element => getComputedStyle(element, '::after').content")
    assert shown == f'"{token.get_attribute("data-id")}"'


def test_tables_are_sorted_and_filtered(opened):
    page = opened()
    table = page.locator("table", has=page.locator("th", has_text="script"))

    def column(at):
        return table.locator(f"tbody tr:visible td:nth-child({at})").all_text_contents()

    header = table.locator("th button", has_text="Llama 3")
    header.click()
    numbers = [int(text.replace(",", "")) for text in column(3)]
    assert numbers == sorted(numbers, reverse=True)
    header.click()
    assert [int(text.replace(",", "")) for text in column(3)] == numbers[::-1]
    assert table.locator("th[aria-sort=ascending]").count() == 1

    searched = page.locator(".data", has=page.locator(".find-row")).first
    rows = searched.locator("tbody tr:visible")
    count = rows.count()
    wanted = rows.nth(2).locator("td").first.text_content()
    searched.locator(".find-row").fill(wanted.upper())
    assert 0 < rows.count() < count
    assert all(wanted.lower() in text.lower() for text in rows.all_text_contents())


def test_dark_mode_follows_the_system_and_the_switch(opened):
    colour = "getComputedStyle(document.body).backgroundColor"
    light, dark = opened(), opened(color_scheme="dark")
    assert light.evaluate(colour) == "rgb(253, 253, 252)"
    assert dark.evaluate(colour) == "rgb(20, 23, 27)"
    light.locator("label", has_text="dark").click()
    assert light.evaluate(colour) == "rgb(20, 23, 27)"
    dark.locator("label", has_text="light").click()
    assert dark.evaluate(colour) == "rgb(253, 253, 252)"
    picture(light, "light-switched")
    picture(opened(color_scheme="dark"), "dark")
    picture(opened(), "light")


def test_it_can_be_read_without_javascript(opened):
    page = opened(java_script_enabled=False)
    assert page.locator(".flow .t").first.is_visible()
    assert page.locator(".bars rect").first.is_visible()
    assert page.locator("table").first.is_visible()
    # What needs JavaScript is not offered, and what does not need it works.
    assert not page.locator(".search").first.is_visible()
    assert "byte" in page.locator(".flow .t").first.get_attribute("title")
    page.locator(".only").first.check()
    assert not page.locator(".flow").first.locator(".p:not(.d)").first.is_visible()
    picture(page, "no-javascript")


def test_it_fits_400_pixels(opened):
    page = opened(viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator("#marks").check()
    page.locator("#ids").check()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    picture(page, "narrow")


def test_sentences_in_tables_are_readable_in_400_pixels(opened):
    """Each has the width of a line, its header beside it, and nothing has to be scrolled aside."""
    page = opened(viewport={"width": 400, "height": 800})
    table = page.locator("table.wordy", has_text="what it means").first
    cell = table.locator("td[data-h='what it means']").first
    assert len(cell.inner_text()) > 40
    assert cell.bounding_box()["width"] > 300
    shown = cell.evaluate("cell => getComputedStyle(cell, '::before').content")
    assert shown == '"what it means"'
    assert table.evaluate("one => one.parentElement.scrollWidth <= one.parentElement.clientWidth")
    wide = opened().locator("td[data-h='what it means']").first
    assert wide.evaluate("cell => getComputedStyle(cell).display") == "table-cell"


@pytest.mark.long
def test_ten_thousand_tokens_are_usable(opened):
    start = time.monotonic()
    page = opened("many.html")
    page.locator(".flow .t").first.hover()
    assert page.locator("#inspector").inner_text().startswith("a")
    page.locator(".find-token").fill("9999")
    page.locator(".find-token").press("Enter")
    page.wait_for_selector(".t.on[data-id='9999']")
    page.locator(".t[data-id='9999']").first.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".t.on").get_attribute("data-id") == "9998"
    # Seconds on a slow machine; without `content-visibility` the layout alone takes most of them.
    assert time.monotonic() - start < 60


def test_a_page_that_scrolls_under_the_pointer_keeps_the_focused_token(opened):
    page = opened("many.html")
    page.locator(".t[data-id='20']").first.hover()
    assert page.locator(".t.on").get_attribute("data-id") == "20"
    box = page.locator(".t[data-id='20']").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.locator(".t[data-id='9999']").first.focus()
    # Once the page has come to rest another token is where the pointer is, or some pixels below.
    page.evaluate(
        """async ([x, y]) => {
          const under = () => document.elementFromPoint(x, y)?.closest(".t");
          for (let still = 0, before; still < 10; before = window.scrollY) {
            await new Promise(requestAnimationFrame);
            still = before === window.scrollY && under() ? still + 1 : 0;
            if (!under()) window.scrollBy(0, -3);
          }
        }""",
        [x, y],
    )
    page.mouse.move(x, y)  # to where it is
    assert page.locator(".t.on").get_attribute("data-id") == "9999"
    page.mouse.move(x + 1, y)
    under = "([x, y]) => document.elementFromPoint(x, y).closest('.t').dataset.id"
    assert page.locator(".t.on").get_attribute("data-id") == page.evaluate(under, [x + 1, y])


def test_the_pictures_show_something(opened):
    page = opened()
    assert len(picture(page, "compare")) > 20_000
