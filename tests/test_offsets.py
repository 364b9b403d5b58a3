"""`encode_with_offsets`: every span against what the text itself says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama3_tok
import oracle
import strategies
from conftest import EXAMPLES


def pieces_of(text):
    """Of each character: the `str` indices it has, and its bytes, pairs of surrogates joined."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
        for index, char in enumerate(text):
            yield index, index + 1, char.encode("utf-8", "surrogateescape")
        return
    index = 0
    while index < len(text):
        pair = text[index : index + 2]
        is_pair = "\ud800" <= pair[0] <= "\udbff" and "\udc00" <= pair[1:] <= "\udfff"
        joined = pair if is_pair else pair[0]
        char = joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        yield index, index + (2 if is_pair else 1), char.encode()
        index += 2 if is_pair else 1


def check(tokenizer, text, **options):
    encoding = tokenizer.encode_with_offsets(text, **options)
    ids = tokenizer.encode(text, **options)
    assert encoding.ids.dtype == np.uint32
    assert encoding.byte_spans.dtype == encoding.char_spans.dtype == np.int64
    assert encoding.byte_spans.shape == encoding.char_spans.shape == (len(ids), 2)
    assert encoding.ids.tolist() == ids
    assert len(encoding) == len(ids)

    pieces = list(pieces_of(text))
    data = b"".join(piece for _, _, piece in pieces)
    # The character of each byte, and one after the last.
    chars = [(start, end) for start, end, piece in pieces for _ in piece]
    chars.append((len(text) if isinstance(text, str) else len(pieces),) * 2)
    at, owner = 0, {}
    for place, (id, span, char_span) in enumerate(
        zip(ids, encoding.byte_spans.tolist(), encoding.char_spans.tolist(), strict=True)
    ):
        start, end = span
        assert start == at
        at = end
        if start == end:
            assert id in (tokenizer.bos_id, tokenizer.eos_id)
            assert char_span == [chars[start][0]] * 2
            continue
        assert data[start:end] == tokenizer.token_bytes(id)
        assert char_span == [chars[start][0], chars[end - 1][1]]
        for char in range(*char_span):
            owner.setdefault(char, place)
    assert at == len(data)
    assert list(owner) == list(range(chars[-1][0]))
    for char, place in owner.items():
        assert encoding.token_at(char) == place
    for outside in (-1, len(owner), -len(owner)):
        if outside not in owner:
            with pytest.raises(IndexError, match=f"character {outside} is out of range"):
                encoding.token_at(outside)


@pytest.mark.filterwarnings("ignore:.*second:UserWarning")  # of BOS, where the text begins with it
@settings(max_examples=max(EXAMPLES // 10, 1))
@given(text=strategies.texts(), bos=st.booleans(), eos=st.booleans(), special=st.booleans())
def test_spans_of_any_text_are_those_of_its_bytes_and_characters(
    tokenizer, text, bos, eos, special
):
    allowed = "all" if special else frozenset()
    check(tokenizer, text, bos=bos, eos=eos, allowed_special=allowed)


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(
    data=st.lists(
        st.binary(max_size=6) | strategies.texts().map(lambda t: t.encode("utf-8", "replace")),
        max_size=5,
    ).map(b"".join)
)
def test_spans_of_any_bytes_are_those_of_surrogateescape(tokenizer, data):
    check(tokenizer, data)


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(text=st.text("a\ud83d\ude00\udbff\udc00é漢😀 ", max_size=12))
def test_joined_surrogate_pairs_are_two_characters_and_lone_ones_one(tokenizer, text):
    check(tokenizer, text, bos=True)


def test_a_character_split_over_tokens_has_its_span_in_each(tokenizer):
    encoding = tokenizer.encode_with_offsets("x🏽y")
    assert encoding.ids.tolist() == oracle.encoding().encode_ordinary("x🏽y")
    assert encoding.byte_spans.tolist() == [[0, 1], [1, 3], [3, 4], [4, 5], [5, 6]]
    assert encoding.char_spans.tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [2, 3]]
    assert [encoding.token_at(char) for char in range(3)] == [0, 1, 4]


def test_ids_are_tiktokens_and_spans_go_on_over_a_long_text(tokenizer):
    text = "naïve 漢字 😀 don't\n" * 20_000
    encoding = tokenizer.encode_with_offsets(text, eos=True)
    assert encoding.ids.tolist() == [*oracle.encoding().encode_ordinary(text), 128001]
    assert encoding.char_spans[-1].tolist() == [len(text)] * 2
    starts, ends = encoding.byte_spans.T
    assert (starts[1:] == ends[:-1]).all()
    # Where a token begins and ends with a character, the characters are its text.
    data = text.encode()
    for place in range(0, len(encoding), 997):
        (start, end), (first, last) = encoding.byte_spans[place], encoding.char_spans[place]
        assert data[start:end].decode(errors="ignore") in text[first:last]


def test_an_empty_text_has_no_characters(tokenizer):
    assert tokenizer.encode_with_offsets("").byte_spans.shape == (0, 2)
    encoding = tokenizer.encode_with_offsets("", bos=True, eos=True)
    assert encoding.char_spans.tolist() == encoding.byte_spans.tolist() == [[0, 0], [0, 0]]
    for each in (encoding, tokenizer.encode_with_offsets("")):
        with pytest.raises(IndexError, match="character 0 is out of range for 0 characters"):
            each.token_at(0)


def test_wrong_arguments_are_named(tokenizer):
    with pytest.raises(TypeError, match="text must be str or bytes, not int"):
        tokenizer.encode_with_offsets(5)
    with pytest.raises(llama3_tok.SpecialTokenError, match="at byte 1"):
        tokenizer.encode_with_offsets("a<|eot_id|>", disallowed_special="all")
    with pytest.raises(TypeError):
        tokenizer.encode_with_offsets("a").token_at("a")


def test_it_reads_as_what_it_is(tokenizer):
    assert repr(tokenizer.encode_with_offsets("x🏽y")) == "Encoding(5 ids of 3 characters)"
