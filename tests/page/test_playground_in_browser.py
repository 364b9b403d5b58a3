"""`llama3-tok serve`: its page in a real browser."""

import os
import re
from pathlib import Path

import pytest

from playground_server import CORPUS, Server

pytest.importorskip("uvicorn", reason="uvicorn, of the extra `serve`, is not installed")


def shown(page):
    return page.locator("#tokens .r:nth-child(1) > .t").evaluate_all(
        "tokens => tokens.map((token) => Number(token.dataset.id))"
    )


def test_tokens_appear_as_one_types(page, expect, tokenizer):
    page.locator("#text").press_sequentially("Việt Nam 😀 نص", delay=5)
    expect(page.locator("#counts")).to_contain_text("13 characters")
    assert shown(page) == tokenizer.encode("Việt Nam 😀 نص")
    page.locator("#text").fill("")
    expect(page.locator("#counts")).to_contain_text("0 tokens")
    assert shown(page) == []


@pytest.mark.long
def test_a_megabyte_is_pasted(page, expect, tokenizer):
    text = (CORPUS * 20_000)[:1_000_000]
    page.locator("#text").evaluate(
        "(area, text) => { area.value = text; area.dispatchEvent(new Event('input')); }", text
    )
    count = f"{tokenizer.count(text):,}"
    expect(page.locator("#counts")).to_contain_text(count, timeout=30_000)
    expect(page.locator("#counts")).to_contain_text("Llama 2 is asked up to")
    page.locator("#more").click()
    expect(page.locator("#more")).to_contain_text("20,000 of", timeout=30_000)


def test_a_token_is_explained_by_a_click_and_by_the_keyboard(page, expect):
    page.locator("#text").fill("in Việt Nam")
    expect(page.locator("#counts")).to_contain_text("3 tokens")
    page.locator("#tokens .t", has_text="Việt").first.click()
    expect(page.locator("#explained")).to_contain_text("merging alone would give 3 tokens")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator("#explained")).to_contain_text("258: as a whole it is a token")


def test_everything_is_reached_by_the_keyboard_and_has_a_name(page, expect):
    page.locator("#text").fill("a b")
    expect(page.locator("#counts")).to_contain_text("2 tokens")
    names = set()
    page.locator("#auto").focus()
    for _ in range(14):
        names.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
        page.keyboard.press("Tab")
    assert {"auto", "mode-text", "tokenizer", "marks", "ids", "text", "special", "bos"} <= names
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, textarea, select, button")]
        .filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim()))
        .map((one) => one.outerHTML)"""
    )
    assert unnamed == []


def test_an_explanation_goes_with_its_text(page, expect):
    page.locator("#text").fill("in Việt Nam")
    expect(page.locator("#counts")).to_contain_text("3 tokens")
    page.locator("#tokens .t", has_text="Việt").first.click()
    expect(page.locator("#explained")).to_contain_text("merging alone")
    page.locator("#text").fill("another")
    expect(page.locator("#explained")).to_be_empty()
    expect(page.locator("#hint")).to_be_visible()


def test_a_token_at_the_bottom_of_the_window_can_be_clicked(page, expect):
    page.locator("#text").fill("in Việt Nam")
    expect(page.locator("#counts")).to_contain_text("3 tokens")
    place = page.locator("#tokens .t", has_text="Việt").first.bounding_box()
    page.set_viewport_size({"width": 1000, "height": int(place["y"] + place["height"]) + 12})
    page.mouse.move(place["x"] + 4, place["y"] + 4)
    expect(page.locator("#inspector")).to_be_visible()
    page.mouse.click(place["x"] + 4, place["y"] + 4)
    expect(page.locator("#explained")).to_contain_text("merging alone")


def test_text_from_right_to_left_is_written_so(page, expect):
    page.locator("#text").fill("1. نص عربي")
    expect(page.locator("#text")).to_have_attribute("dir", "rtl")
    page.locator("#text").fill("Latin نص")
    expect(page.locator("#text")).to_have_attribute("dir", "ltr")


def test_special_tokens_are_asked_for(page, expect):
    page.locator("#text").fill("<|eot_id|>")
    expect(page.locator("#mentions")).to_contain_text("<|eot_id|>")
    page.locator("#special").check()
    expect(page.locator("#counts")).to_contain_text("1 token")
    expect(page.locator("#mentions")).to_be_hidden()
    assert shown(page) == [128009]


def test_a_conversation_is_edited(page, expect):
    page.get_by_text("Conversation", exact=True).click()
    expect(page.locator("#counts")).to_contain_text("learned in training")
    before = page.locator("#counts").inner_text()
    page.get_by_role("button", name="Add a message").click()
    page.keyboard.type("And who else?")
    expect(page.locator("#counts")).not_to_have_text(before)
    expect(page.locator("#messages li")).to_have_count(4)
    page.get_by_role("button", name="Remove message 1").click()
    expect(page.locator("#messages li")).to_have_count(3)
    expect(page.locator("#tokens .k-learned").first).to_be_visible()
    page.get_by_text("Tools", exact=True).click()
    page.get_by_label("Tools, a JSON list").fill("[{")
    expect(page.get_by_role("alert")).to_contain_text("not JSON")
    page.get_by_label("Tools, a JSON list").fill("")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_file_is_opened(page, expect, tmp_path):
    (tmp_path / "text.txt").write_text("Hello world")
    page.locator("#file").set_input_files(tmp_path / "text.txt")
    expect(page.locator("#counts")).to_contain_text("2 tokens")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    page.locator("#file").set_input_files(tmp_path / "binary")
    expect(page.get_by_role("alert")).to_contain_text("not a text in UTF-8")


def test_a_file_is_dropped(page, expect):
    page.evaluate(
        """() => {
        const data = new DataTransfer();
        data.items.add(new File(["Hello world"], "dropped.txt"));
        const event = { dataTransfer: data, bubbles: true, cancelable: true };
        document.body.dispatchEvent(new DragEvent("drop", event));
        }"""
    )
    expect(page.locator("#counts")).to_contain_text("2 tokens")
    assert page.locator("#text").input_value() == "Hello world"


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_window_in_both_themes(page, expect, width, scheme):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.locator("#text").fill(CORPUS * 3)
    expect(page.locator("#counts")).to_contain_text("tokens")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in re.findall(r"\d+", ground)[:3]) > 384
    assert light == (scheme == "light")
    folder = os.environ.get("LLAMA3_TOK_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder, f"playground-{width}-{scheme}.png")))
    page.get_by_text("Conversation", exact=True).click()
    expect(page.locator("#counts")).to_contain_text("learned")
    assert page.evaluate(overflow) <= 0


def test_a_server_that_is_gone_is_said(browser, expect):
    running = Server()
    opened = browser.new_page()
    opened.goto(running.address)
    opened.locator("#tokenizer option").first.wait_for(state="attached")
    running.stop()
    opened.locator("#text").fill("a")
    expect(opened.get_by_role("alert")).to_contain_text("does not answer")
    opened.close()
