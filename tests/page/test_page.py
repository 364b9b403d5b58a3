"""The page as text: nothing in it is markup that was not written here, nothing is fetched."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from llama3_tok.page import Page, Token, TokenRow
from llama3_tok.page.rows import places

EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`&amp;]]>--></style></title>"
    "\u202e\u2066\x00\x1b[2J\u2028\ufeff"
)


def whole_page(text: bytes, rows) -> str:
    shown = text.decode("utf-8", "surrogateescape")
    page = Page(shown, shown)
    page.heading(shown)
    page.note(shown)
    page.facts([(shown, shown), ("number", 5)])
    page.table([shown, "n"], [(shown, 1), (shown, 2.5)] * 5, shown)
    page.bars(shown, [(shown, 1, shown), (shown, {shown: 2.0})], shown)
    page.tokens(shown, text, rows, notes={0: shown})
    return page.html()


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value) for name, value in attrs]


def one_row(text):
    return [TokenRow("row", [Token(0, len(text), 7, text.decode("utf-8", "replace"))])]


@settings(max_examples=300)
@given(
    text=strategies.texts().filter(bool).map(lambda text: text.encode("utf-8", "replace"))
    | st.binary(min_size=1)
)
def test_text_never_adds_a_tag_or_a_character_that_hides(text):
    plain, given_html = (whole_page(each, one_row(each)) for each in (b"plain", text))
    expected, found = Tags(plain), Tags(given_html)
    counted = [tag for tag in found.tags if tag != "i"]  # marks are <i>
    assert counted == [tag for tag in expected.tags if tag != "i"]
    assert {name for name, _ in found.attributes} <= {
        *(name for name, _ in expected.attributes),
        "data-m",
        "data-h",
    }
    body = given_html.partition("<body>")[2].partition("<script>")[0]
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", body
    )
    given_html.encode()


def test_markup_in_text_is_shown():
    text = EVIL.encode()
    html = whole_page(text, one_row(text))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert html.count("<script>") == html.count("</script>") == 1
    assert 'data-m="U+202E"' in html
    assert "\u202e" not in html


def test_the_policy_allows_this_style_and_this_script_alone():
    html = whole_page(b"x", one_row(b"x"))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    tags = Tags(html)
    names = {name for name, _ in tags.attributes}
    assert not {"src", "style"} & names
    assert not any(name.startswith("on") for name in names)
    assert {value for name, value in tags.attributes if name == "href"} == {"data:,"}


def test_a_megabyte_token_is_cut_short_on_the_page():
    text = b"a" * 1_000_000
    html = whole_page(b"x", one_row(b"x"))
    long = Page("long")
    long.tokens("long", text, one_row(text))
    assert "1,000,000 bytes" in long.html()
    assert len(long.html()) < len(html) + 5000


def test_places_end_where_all_rows_have_a_boundary():
    first = TokenRow("a", [Token(0, 0, 1, "▁"), Token(0, 3, 2, "abc"), Token(3, 6, 3, "def")])
    second = TokenRow("b", [Token(0, 1, 1, "a"), Token(1, 3, 2, "bc"), Token(3, 6, 3, "def")])
    found = [
        (p.start, p.end, [len(r) for r in p.rows], p.differs) for p in places(6, [first, second])
    ]
    assert found == [(0, 3, [2, 2], True), (3, 6, [1, 1], False)]
    assert [
        len(place.rows[0]) for place in places(0, [TokenRow("e", [Token(0, 0, 9, "<s>")])])
    ] == [1]


@pytest.mark.parametrize("count", [0, 1, 30_000])
def test_every_token_up_to_the_limit_is_there(count):
    tokens = [Token(at, at + 1, at % 900, "x") for at in range(count)]
    page = Page("many")
    page.tokens("many", b"x" * count, [TokenRow("a", tokens), TokenRow("b", tokens)])
    shown = page.html().count("data-id=")
    assert shown == 2 * min(count, 20_000)
    assert ("of 30,000 tokens" in page.html()) == (count == 30_000)
