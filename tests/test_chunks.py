"""`split` and `token_index`: parts of a text are measured by their own encoding."""

import random
import re
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import folders
import strategies
from conftest import EXAMPLES
from interpreter import run_python
from llama3_tok import Chunk, SpecialTokenError, Tokenizer

TOKENIZER = Tokenizer()
PLACES = ["paragraph", "line", "sentence", "word", "token"]


def check(tokenizer, text, chunks, most, overlap, **options):
    """What holds for all chunks of any text."""
    end = 0
    for number, chunk in enumerate(chunks):
        assert chunk.text == text[chunk.start : chunk.end] != text[:0]
        assert tokenizer.count(chunk.text, **options) == chunk.tokens <= most
        encoded = text if isinstance(text, bytes) else text.encode("utf-16", "surrogatepass")
        data = encoded if isinstance(text, bytes) else encoded.decode("utf-16", "replace").encode()
        part = data[chunk.byte_start : chunk.byte_end]
        assert tokenizer.encode(part) == tokenizer.encode(chunk.text)
        # Each goes beyond the one before it, and repeats no more of it than it may.
        assert chunk.start <= end < chunk.end
        assert (chunk.start == end) or (number and overlap)
        assert tokenizer.count(text[chunk.start : end]) <= overlap
        end = chunk.end
    assert end == len(text)


limits = st.tuples(st.integers(4, 30), st.integers(0, 3))


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(strategies.texts(), limits, st.sampled_from(PLACES), st.booleans())
def test_chunks_are_the_text_and_fit(text, limits, at, bos):
    most, overlap = limits
    # Half a pair of surrogates at the end of a chunk would be another character.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assume(all(TOKENIZER.count(character) <= most - bos for character in text))
    chunks = list(TOKENIZER.split(text, most, overlap=overlap, at=at, bos=bos))
    check(TOKENIZER, text, chunks, most, overlap, bos=bos)
    data = text.encode()
    check(TOKENIZER, data, list(TOKENIZER.split(data, most, at=at)), most, 0)


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(st.binary(max_size=80), st.integers(1, 9), st.sampled_from(PLACES))
def test_chunks_of_any_bytes(data, most, at):
    try:
        chunks = list(TOKENIZER.split(data, most, at=at))
    except ValueError:
        text = data.decode("utf-8", "surrogateescape")
        assert any(TOKENIZER.count(one.encode("utf-8", "surrogateescape")) > most for one in text)
        return
    check(TOKENIZER, data, chunks, most, 0)


@pytest.mark.parametrize("shape", ["added", "overlapping", "reasoning"])
def test_chunks_with_added_tokens(tmp_path, shape):
    folders.SHAPES[shape](tmp_path)
    ours, dice = Tokenizer(tmp_path), random.Random(shape)
    fill = [*ours.added_tokens, "a", " ", "\n", "word ", "é. ", "\n\n"]
    for _ in range(max(EXAMPLES // 4, 50)):
        text = "".join(dice.choice(fill) for _ in range(dice.randint(1, 40)))
        most = dice.randint(6, 20)
        for allowed in ("all", ()):
            chunks = list(ours.split(text, most, at="word", allowed_special=allowed))
            check(ours, text, chunks, most, 0, allowed_special=allowed)


def texts_of(text, most, **options):
    return [chunk.text for chunk in TOKENIZER.split(text, most, **options)]


def test_chunks_end_where_people_would_divide_a_text():
    text = (
        "One two three. Four five six! Seven.\nA line of words, and more.\n\n"
        "A second paragraph, which is long enough.\n \nA third one."
    )
    assert texts_of(text, 22, at="paragraph") == [
        "One two three. Four five six! Seven.\nA line of words, and more.\n\n",
        "A second paragraph, which is long enough.\n \nA third one.",
    ]
    assert texts_of(text, 16, at="paragraph")[:2] == [
        "One two three. Four five six! Seven.\n",
        "A line of words, and more.\n\n",
    ]
    assert texts_of(text, 9, at="sentence")[:3] == [
        "One two three. Four five six! ",
        "Seven.\n",
        "A line of words, and more.\n\n",
    ]
    assert texts_of(text, 3, at="word")[:4] == ["One two ", "three. ", "Four five ", "six! "]
    text = "漢字。仮名！「文」。終わり"
    for most in range(4, 12):
        for chunk in texts_of(text, most, at="sentence")[:-1]:
            assert chunk.endswith(("。", "！")), most
    # What closes a sentence belongs to it.
    most = TOKENIZER.count("仮名！「文」。")
    assert most < TOKENIZER.count(text[3:])
    assert texts_of(text[3:], most, at="sentence")[0] == "仮名！「文」。"
    assert texts_of("uncuttable" * 10, 4, at="paragraph") == texts_of(
        "uncuttable" * 10, 4, at="token"
    )


def test_a_chunk_repeats_whole_parts_of_the_one_before():
    text = " ".join(f"Sentence {number}." for number in range(30))
    chunks = texts_of(text, 20, overlap=9, at="sentence")
    for before, chunk in pairwise(chunks):
        sentences = re.findall(r"Sentence \d+\.", before)
        assert chunk.startswith(sentences[-2])
        assert before.endswith(f"{sentences[-2]} {sentences[-1]} ")


def test_chunks_are_as_long_as_they_can_be():
    text = "word " * 1000
    for most in (1, 2, 7, 100):
        for chunk in list(TOKENIZER.split(text, most, at="token"))[:-1]:
            longer = text[chunk.start : chunk.end + 1]
            assert TOKENIZER.count(longer) > most


def test_chunks_come_one_by_one_and_take_no_memory_of_the_text():
    code = """
import re, resource
from llama3_tok import Tokenizer
tokenizer = Tokenizer()
text = "A sentence with some words in it. " * 1_000_000
def memory():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
tokenizer.count(text)
before = memory()
chunks = tokenizer.split(text, 10_000, at="sentence")
print(next(chunks).tokens, sum(1 for _ in chunks), memory() - before)
"""
    first, others, kilobytes = map(int, run_python(code).stdout.split())
    assert 9_900 < first <= 10_000
    assert others > 500
    assert kilobytes < 10_000


@pytest.mark.parametrize("run", [")", " ", "\n", "\n ", ".", "。」", "a", "\"' "])
def test_a_long_run_of_anything_is_gone_through_a_few_times_alone(run):
    # Looking at all of it from each of its characters would take hours.
    text = run * (1_000_000 // len(run))
    for at in PLACES:
        chunks = list(TOKENIZER.split(text, 300_000, at=at))
        assert sum(len(chunk.text) for chunk in chunks) == len(text)


def test_wrong_calls_say_what_is_right():
    with pytest.raises(ValueError, match="the character at byte 2 alone has more; raise it"):
        list(TOKENIZER.split("a \U00016ff4", 1))
    with pytest.raises(ValueError, match="overlap must be less than max_tokens, 5; it is 5"):
        TOKENIZER.split("a", 5, overlap=5)
    with pytest.raises(ValueError, match="BOS and EOS alone are 2"):
        list(TOKENIZER.split("a", 1, bos=True, eos=True))
    with pytest.raises(ValueError, match="at must be"):
        TOKENIZER.split("a", 5, at="page")
    with pytest.raises(TypeError, match="text must be str or bytes"):
        TOKENIZER.split(5, 5)
    with pytest.raises(SpecialTokenError, match="at byte 2"):
        TOKENIZER.split("a <|eot_id|>", 5, disallowed_special="all")
    with pytest.raises(TypeError, match="has no option 'size'"):
        TOKENIZER.split("a", 5, size=3)
    assert list(TOKENIZER.split("", 5)) == []
    assert list(TOKENIZER.split("a b", 5)) == [Chunk("a b", 0, 3, 0, 3, 2)]


# The tokens of any part


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(st.lists(strategies.texts(), max_size=6), st.data())
def test_any_part_has_the_tokens_that_it_has_by_itself(parts, data):
    text = "".join(parts) * data.draw(st.integers(1, 8))
    index = TOKENIZER.token_index(text)
    assert len(index) == len(text)
    for _ in range(6):
        start, end = data.draw(st.tuples(*[st.integers(-5, len(text) + 5)] * 2))
        assert index.count(start, end) == TOKENIZER.count(text[start:end])
    raw = text.encode("utf-8", "replace")
    index = TOKENIZER.token_index(raw)
    for _ in range(6):
        start, end = data.draw(st.tuples(*[st.integers(0, len(raw))] * 2))
        assert index.count(start, end) == TOKENIZER.count(raw[start:end])


@settings(max_examples=max(EXAMPLES // 8, 1))
@given(st.lists(st.binary(max_size=60) | st.just(b"some words "), max_size=30), st.data())
def test_any_part_of_any_bytes(parts, data):
    raw = b"".join(parts)
    index = TOKENIZER.token_index(raw)
    for _ in range(6):
        start, end = data.draw(st.tuples(*[st.integers(0, len(raw))] * 2))
        assert index.count(start, end) == TOKENIZER.count(raw[start:end])


def test_every_part_of_a_short_text_of_each_kind():
    text = "It's 1234 漢字!\n\n  e\u0301 😀a  \t\nB" * 3
    index = TOKENIZER.token_index(text)
    for start in range(len(text) + 1):
        for end in range(start, len(text) + 1):
            assert index.count(start, end) == TOKENIZER.count(text[start:end])


@pytest.mark.parametrize("shape", ["added", "overlapping", "reasoning", "chatml"])
def test_parts_with_added_tokens(tmp_path, shape):
    folders.SHAPES[shape](tmp_path)
    ours, dice = Tokenizer(tmp_path), random.Random(shape)
    text = "".join(dice.choice([*ours.added_tokens, "a", " ", "\n", "word "]) for _ in range(300))
    index = ours.token_index(text)
    for _ in range(200):
        start, end = sorted(dice.sample(range(len(text)), 2))
        assert index.count(start, end) == ours.count(text[start:end])


def test_a_part_of_a_long_text_takes_little_work(corpus):
    index = TOKENIZER.token_index(corpus)
    dice = random.Random(1)
    for _ in range(300):
        start = dice.randrange(len(corpus))
        end = start + dice.choice([5, 100, 5000])
        assert index.count(start, end) == TOKENIZER.count(corpus[start:end])
    assert index.count() == TOKENIZER.count(corpus)
    assert repr(index) == f"TokenIndex({len(corpus):,}, {index.count():,} tokens)"
    with pytest.raises(TypeError, match="text must be str or bytes, not list"):
        TOKENIZER.token_index(["a"])
