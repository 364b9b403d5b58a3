"""`llama3-tok serve` while one types: what is drawn already stays, and is right."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from llama3_tok import Tokenizer
from playground_server import CORPUS, Server

pytest.importorskip("uvicorn", reason="uvicorn, of the extra `serve`, is not installed")

from llama3_tok.playground import views
from llama3_tok.playground.views import MOST, Playground

PLAYGROUND = Playground({"llama3.1": Tokenizer()})
LINES = "".join(f"{number} lines of a text, don't you see? 漢字 😀\n" for number in range(13))


def drawn_blocks(answer):
    """The blocks of an answer."""
    return re.findall(r"<div class=line>.*?</div>", answer["html"], re.DOTALL)


def said(before, after, blocks):
    """What the page says of what it has drawn: of the text `before`, when it is now `after`."""
    # Two halves of a character are one, and half of one takes what U+FFFD does.
    before, after = (
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        for text in (before, after)
    )
    same = 0
    while before[same : same + 1] == after[same : same + 1] != "":
        same += 1
    size = len(after[:same].encode())
    firsts = (re.search(r"data-a=(\d+)", block) for block in blocks)
    starts = [int(first[1]) if first else 0 for first in firsts]
    end = sum(start <= size for start in starts)
    number = max(0, end - views.MAX_STARTS)
    return {"same": size, "number": number, "starts": starts[number:end]}


def after_a_change(before, after, **options):
    """The blocks of a page that shows `before` and gets what is to be drawn for `after`."""
    blocks = drawn_blocks(PLAYGROUND.tokens({"text": before, **options, "most": "usual"}))
    drawn = said(before, after, blocks)
    answer = PLAYGROUND.tokens({"text": after, "drawn": drawn, **options})
    return [*blocks[: answer["kept"]], *drawn_blocks(answer)], answer


@pytest.mark.filterwarnings("ignore:the text begins with <.begin_of_text.> already")
@pytest.mark.parametrize("options", [{}, {"bos": True, "special": True}])
@given(strategies.texts(), strategies.texts(), strategies.texts(), st.booleans())
def test_the_blocks_are_those_of_the_text_drawn_anew(options, beginning, before, after, is_long):
    beginning = LINES * is_long + beginning
    before, after = beginning + before, beginning + after
    blocks, answer = after_a_change(before, after, most="usual", **options)
    anew = PLAYGROUND.tokens({"text": after, "most": "usual", **options})
    assert blocks == drawn_blocks(anew)
    assert {**answer, "kept": 0, "html": anew["html"]} == anew


@pytest.mark.parametrize("at", [len(LINES), len(LINES) // 2, 1, 0])
def test_what_may_have_changed_is_drawn_and_no_more(at):
    after = LINES[:at] + "x" + LINES[at:]
    blocks, answer = after_a_change(LINES, after, most="few")
    anew = drawn_blocks(PLAYGROUND.tokens({"text": after, "most": "usual"}))
    assert blocks == anew[: len(blocks)]
    # All lines before the change but for the last ones, which may not be settled.
    assert 0 <= LINES.count("\n", 0, at) - answer["kept"] <= 10
    new = answer["html"].count("data-id=")
    assert new == min(
        MOST["few"], PLAYGROUND.tokens({"text": after})["count"] - answer["shown"] + new
    )


def test_no_more_than_usual_is_drawn_however_much_stays():
    text = LINES * 60
    for most in ("few", "usual"):
        blocks, answer = after_a_change(text, text + "x", most=most)
        assert answer["shown"] == MOST["usual"] < answer["count"]
        assert "".join(blocks).count("data-id=") == MOST["usual"]


def test_with_llama2_beside_all_is_drawn(llama2_path):
    from llama3_tok.report.llama2 import load

    both = Playground({"llama3.1": Tokenizer()}, load(llama2_path))
    blocks = drawn_blocks(both.tokens({"text": LINES}))
    answer = both.tokens({"text": LINES + "x", "drawn": said(LINES, LINES + "x", blocks)})
    assert answer["kept"] == 0
    assert len(drawn_blocks(answer)) > len(blocks) - 2


@pytest.mark.parametrize(
    ("drawn", "reason"),
    [
        (7, "drawn must be an object"),
        ({}, "drawn.starts must be a list"),
        ({"same": 1, "number": 0, "starts": [0] * 65}, "at most 64 places"),
        ({"same": 4, "number": 0, "starts": []}, "places of the text"),
        ({"same": True, "number": 0, "starts": []}, "places of the text"),
        ({"same": 1, "number": 0, "starts": [-1]}, "places of the text"),
        ({"same": 1, "number": "0", "starts": [1]}, "places of the text"),
    ],
)
def test_what_makes_no_sense_is_refused(drawn, reason):
    with pytest.raises(views.Refused, match=reason):
        PLAYGROUND.tokens({"text": "abc", "drawn": drawn})


# In a browser


@pytest.fixture(scope="module")
def server():
    """One without Llama 2, with which all is drawn anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LLAMA3_TOK_LLAMA2", raising=False)
        running = Server()
    yield running
    running.stop()


def ids(page):
    return page.locator("#tokens .t").evaluate_all(
        "tokens => tokens.map((token) => Number(token.dataset.id))"
    )


def put(page, at, typed):
    """Types at a place of the text, and waits for its count."""
    area = page.locator("#text")
    area.evaluate("(area, at) => { area.focus(); area.setSelectionRange(at, at); }", at)
    page.keyboard.insert_text(typed)
    return area.input_value()


def test_tokens_are_right_wherever_one_types(page, expect, tokenizer):
    page.locator("#text").fill(LINES)
    text = LINES
    # Blocks that stay are the same elements.
    mark = "blocks => blocks.forEach((block) => { block.dataset.old = ''; })"
    for at, typed in ((len(text), "and more 😀"), (300, "\n\n"), (0, "x"), (2, CORPUS)):
        expect(page.locator("#counts")).to_contain_text(f"{len(text):,} characters")
        page.locator("#tokens .line").evaluate_all(mark)
        text = put(page, at, typed)
        expect(page.locator("#counts")).to_contain_text(f"{len(text):,} characters")
        expect(page.locator("#more")).to_be_hidden()
        assert ids(page) == tokenizer.encode(text)
        kept = page.locator("#tokens .line[data-old]").count()
        assert 0 <= text.count("\n", 0, at) - kept <= 10
    # What is taken away, half of a pair of surrogates too.
    page.locator("#text").fill(text := text[:1000] + "😀")
    page.locator("#text").fill(text := text[:-1] + "😁")
    page.wait_for_function(
        "wanted => [...document.querySelectorAll('#tokens .t')].map((t) => t.dataset.id).join()"
        " === wanted",
        arg=",".join(map(str, tokenizer.encode(text))),
    )


def test_the_tab_key_and_the_arrow_keys_reach_what_was_typed(page, expect, tokenizer):
    page.locator("#text").fill("one two three")
    expect(page.locator("#counts")).to_contain_text("13 characters")
    page.locator("#tokens .t").first.focus()
    text = put(page, 13, " four")
    expect(page.locator("#counts")).to_contain_text(f"{len(text)} characters")
    assert page.locator("#tokens .t[tabindex='0']").count() == 1
    page.locator("#tokens .t[tabindex='0']").focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.id") == str(tokenizer.encode(text)[-1])
