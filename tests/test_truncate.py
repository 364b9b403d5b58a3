"""`truncate`: against every part of a text, each counted by tiktoken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama3_tok
import oracle
import strategies
from conftest import EXAMPLES


def count(text):
    return len(oracle.encoding().encode_ordinary(text))


def places(text):
    """Where a `str` may be cut: not inside a surrogate pair."""
    for at in range(len(text) + 1):
        before, behind = text[at - 1 : at], text[at : at + 1]
        if not ("\ud800" <= before <= "\udbff" and "\udc00" <= behind <= "\udfff"):
            yield at


def check(tokenizer, text, limits=None):
    parts = {
        "right": [(count(text[:at]), text[:at]) for at in places(text)],
        "left": [(count(text[at:]), text[at:]) for at in reversed([*places(text)])],
    }
    most = max(tokens for tokens, _ in parts["right"] + parts["left"])
    for limit in range(most + 2) if limits is None else limits:
        for side, counted in parts.items():
            expected = [part for tokens, part in counted if tokens <= limit][-1]
            assert tokenizer.truncate(text, limit, side=side) == expected, (limit, side)


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(text=strategies.texts().filter(lambda text: len(text) < 300))
def test_no_longer_part_of_any_text_fits(tokenizer, text):
    check(tokenizer, text)


def unreachable():
    return [oracle.encoding().decode([id]) for id in oracle.unreachable()]


@settings(max_examples=max(EXAMPLES // 100, 1))
@given(data=st.data())
def test_no_longer_part_fits_where_vocab_first_decides(tokenizer, data):
    tokens = st.sampled_from(unreachable())
    check(tokenizer, "".join(data.draw(st.lists(tokens | st.sampled_from(" x1"), max_size=6))))


@pytest.mark.parametrize("token", unreachable()[::7])
def test_what_more_of_a_text_can_take_fewer_tokens(tokenizer, token):
    # The token alone is one, what it begins with may be more.
    assert count(token) == 1 < max(count(token[:end]) for end in range(len(token)))
    check(tokenizer, token)
    check(tokenizer, f"a b{token}")
    assert tokenizer.truncate(token, 1) == tokenizer.truncate(token, 1, side="left") == token


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(
    data=st.lists(
        st.binary(max_size=5) | strategies.texts().map(lambda t: t.encode("utf-8", "replace")),
        max_size=4,
    )
    .map(b"".join)
    .filter(lambda data: len(data) < 200)
)
def test_no_longer_part_of_any_bytes_fits(tokenizer, data):
    # The characters of bytes are those of surrogateescape.
    chars = [c.encode("utf-8", "surrogateescape") for c in data.decode("utf-8", "surrogateescape")]
    beginnings = [b"".join(chars[:at]) for at in range(len(chars) + 1)]
    ends = [b"".join(chars[at:]) for at in reversed(range(len(chars) + 1))]
    for side, parts in (("right", beginnings), ("left", ends)):
        counts = tokenizer.count_batch(parts).tolist()
        for limit in range(max(counts) + 2):
            expected = [part for part, tokens in zip(parts, counts, strict=True) if tokens <= limit]
            assert tokenizer.truncate(data, limit, side=side) == expected[-1]


RUNS = [
    "a",
    "Z",
    " ",
    "\n",
    "\t ",
    " \n",
    "=",
    "1",
    "a1",
    "!a",
    "' ",
    "'s",
    "漢",
    "😀",
    "\u0301",
    "é ",
]


@pytest.mark.parametrize("unit", RUNS, ids=ascii)
def test_runs_are_cut_at_the_longest_part(tokenizer, unit):
    # Longer than the longest token, and with an end of its own.
    for text in (unit * 150, "x" + unit * 70 + "y 1\n"):
        most = count(text)
        check(tokenizer, text, sorted({0, 1, 2, 3, 5, most // 3, most // 2, most - 1, most}))


def longer_parts(text, part, side):
    """The parts that are up to some hundred characters longer."""
    more = range(1, min(300, len(text) - len(part)) + 1)
    if side == "right":
        return [text[: len(part) + extra] for extra in more]
    return [text[len(text) - len(part) - extra :] for extra in more]


MEGABYTE = 1_000_000


@pytest.mark.long
@pytest.mark.parametrize("unit", RUNS, ids=ascii)
def test_a_megabyte_of_anything_is_cut(tokenizer, unit):
    text = (unit * MEGABYTE)[:MEGABYTE]
    for side in ("right", "left"):
        for limit in (10, 3000):
            part = tokenizer.truncate(text, limit, side=side)
            assert text.startswith(part) if side == "right" else text.endswith(part)
            assert 0 < tokenizer.count(part) <= limit
            assert (tokenizer.count_batch(longer_parts(text, part, side)) > limit).all()


@pytest.mark.long
def test_real_texts_are_cut_at_the_longest_part(tokenizer, corpus):
    for side in ("right", "left"):
        for limit in (100, 8_000, 130_000):
            part = tokenizer.truncate(corpus, limit, side=side)
            assert corpus.startswith(part) if side == "right" else corpus.endswith(part)
            assert count(part) <= limit
            assert (tokenizer.count_batch(longer_parts(corpus, part, side)) > limit).all()
    assert tokenizer.truncate(corpus, tokenizer.count(corpus)) == corpus


def test_nothing_fits_into_no_tokens_and_everything_into_many(tokenizer):
    for text in ("", "Hello", b"", b"\xff\xfe", "\ud83d\ude00"):
        for side in ("right", "left"):
            assert tokenizer.truncate(text, 0, side=side) == type(text)()
            assert tokenizer.truncate(text, 10**30, side=side) == text


def test_surrogates_stay_as_they_are_and_pairs_together(tokenizer):
    text = "a\ud83d\ude00b\ud800\udfff\udc00c"
    check(tokenizer, text)
    assert tokenizer.truncate(text, count("a😀")) == "a\ud83d\ude00"


def test_special_tokens_are_text(tokenizer):
    # "eo" is one token, which the ids of the whole text don't have.
    assert tokenizer.truncate("<|eot_id|>", 3) == "<|eo"
    assert tokenizer.decode(tokenizer.encode("<|eot_id|>")[:3]) == "<|e"


def test_wrong_arguments_are_named(tokenizer):
    with pytest.raises(TypeError, match="text must be str or bytes, not list"):
        tokenizer.truncate(["a"], 3)
    with pytest.raises(ValueError, match="max_tokens must be at least 0, not -1"):
        tokenizer.truncate("a", -1)
    for wrong in (None, 1.5, "1", True):
        with pytest.raises(TypeError, match="max_tokens must be an int, not"):
            tokenizer.truncate("a", wrong)
    for wrong in ("middle", None, 1):
        with pytest.raises(ValueError, match="side must be one of 'left', 'right', not"):
            tokenizer.truncate("a", 1, side=wrong)


def test_it_is_a_text_of_the_same_type(tokenizer):
    class Name(str):
        __slots__ = ()

    assert type(tokenizer.truncate(b"Hello world", 1)) is bytes
    assert type(tokenizer.truncate(Name("Hello world"), 1)) is str
    assert tokenizer.truncate(Name("Hello world"), 1) == "Hello"
    assert llama3_tok.count(tokenizer.truncate("Hello world", 1)) == 1
