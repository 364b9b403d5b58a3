"""`stream_decoder`: the text of all ids at once, however they come."""

import codecs
import threading
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama3_tok
import oracle
import strategies
from conftest import EXAMPLES
from llama3_tok import InvalidTokenId


def parts_of_characters():
    """Ids of tokens that are not UTF-8 by themselves, and of single bytes."""
    tokens = oracle.ranks().items()
    broken = [id for token, id in tokens if token.decode("utf-8", "ignore").encode() != token]
    assert len(broken) > 500
    return broken


any_ids = st.lists(
    st.one_of(
        st.deferred(lambda: st.sampled_from(parts_of_characters())),
        st.integers(0, 255),
        st.integers(0, 128_255),
        strategies.texts().map(llama3_tok.encode),
    ).map(lambda ids: ids if isinstance(ids, list) else [ids]),
    max_size=12,
).map(lambda lists: list(chain.from_iterable(lists)))


@settings(max_examples=max(EXAMPLES // 8, 1))
@given(ids=any_ids, cuts=st.lists(st.integers(0, 40), max_size=8), skip=st.booleans())
def test_any_division_of_any_ids_gives_the_text_of_all_at_once(tokenizer, ids, cuts, skip):
    decoder, given, certain = tokenizer.stream_decoder(skip_special=skip), "", ""
    # Python's own decoder says which text is certain; it holds surrogates for longer than need be.
    python = codecs.getincrementaldecoder("utf-8")("replace")
    places = sorted({0, len(ids), *(cut for cut in cuts if cut < len(ids))})
    for start, end in pairwise(places):
        given += decoder.push(ids[start:end])
        certain += python.decode(tokenizer.decode_bytes(ids[start:end], skip_special=skip))
        assert given.startswith(certain)
    text = tokenizer.decode(ids, skip_special=skip)
    assert given + decoder.flush() == text
    assert "".join(map(decoder.push, ids)) + decoder.flush() == text


def test_text_comes_as_soon_as_it_is_complete(tokenizer):
    ids = [id for byte in "a漢😀b".encode() for id in [tokenizer.token_id(bytes([byte]))]]
    decoder = tokenizer.stream_decoder()
    assert [decoder.push(id) for id in ids] == ["a", "", "", "漢", "", "", "", "😀", "b"]
    assert decoder.flush() == ""


def test_what_cannot_become_a_character_is_not_held(tokenizer):
    decoder = tokenizer.stream_decoder()

    def push(data):
        return decoder.push([tokenizer.token_id(bytes([byte])) for byte in data])

    assert push(b"\xf0\x9f") == ""
    assert push(b"\xf0") == "\ufffd"
    assert push(b"\x80") == "\ufffd\ufffd"
    assert push(b"\xed") == ""
    assert push(b"\xa0") == "\ufffd\ufffd"
    assert push(b"\xe6\xbc") == ""
    assert decoder.push(128009) == "\ufffd<|eot_id|>"
    assert push(b"\xe6") == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""


def test_special_tokens_left_out_do_not_divide_a_character(tokenizer):
    first, *rest = (tokenizer.token_id(bytes([byte])) for byte in "漢".encode())
    decoder = tokenizer.stream_decoder(skip_special=True)
    assert decoder.push(first) == decoder.push(128009) == ""
    assert decoder.push(rest) == "漢"


def test_an_id_comes_as_any_integer_and_ids_as_in_decode(tokenizer):
    decoder = tokenizer.stream_decoder()
    for one in (9906, np.int64(9906), np.uint32(9906), np.array(9906)):
        assert decoder.push(one) == "Hello"
    for several in ([9906, 1917], (9906, 1917)):
        assert decoder.push(several) == "Hello world"
    assert decoder.push(np.array([9906, 1917])) == "Hello world"
    assert decoder.push(np.array([9906])) == "Hello"
    assert decoder.push([]) == decoder.push(np.array([], np.int64)) == ""


@pytest.mark.parametrize("bad", [-1, 128_256, 1 << 40, 1 << 80, -(1 << 80)])
def test_a_bad_id_is_named_with_its_place_in_the_stream_and_changes_nothing(tokenizer, bad):
    first, *rest = (tokenizer.token_id(bytes([byte])) for byte in "漢".encode())
    decoder = tokenizer.stream_decoder()
    decoder.push([9906, first])
    before = repr(decoder)
    for ids, place in ((bad, 2), ([rest[0], bad], 3), ([rest[0], rest[1], 5, bad, 7], 5)):
        with pytest.raises(InvalidTokenId, match=f"{bad} at position {place}") as caught:
            decoder.push(ids)
        assert (caught.value.id, caught.value.position) == (bad, place)
        assert repr(decoder) == before
    assert decoder.push(rest) == "漢"
    decoder.flush()
    with pytest.raises(InvalidTokenId, match="position 0"):
        decoder.push(bad)


@pytest.mark.parametrize("wrong", ["5", b"5", True, 5.0, None, {5}, [5.0], ["5"], [True]])
def test_what_is_no_id_is_a_type_error_and_changes_nothing(tokenizer, wrong):
    decoder = tokenizer.stream_decoder()
    with pytest.raises(TypeError):
        decoder.push(wrong)
    assert decoder.push(9906) == "Hello"
    assert repr(decoder) == "StreamDecoder(1 ids, 0 bytes held)"


def test_long_pushes_and_streams_in_threads_of_their_own(tokenizer):
    text = "Ein Streamtext mit 漢字, 😀 und mehr. " * 3000
    ids = tokenizer.encode(text)
    results = {}

    def stream(size):
        decoder = tokenizer.stream_decoder()
        parts = [decoder.push(ids[at : at + size]) for at in range(0, len(ids), size)]
        results[size] = "".join(parts) + decoder.flush()

    threads = [threading.Thread(target=stream, args=(size,)) for size in (1, 700, 10**6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys((1, 700, 10**6), text)


def test_canonical_ids_are_those_that_their_text_gives(tokenizer):
    for text in ("Hello world", "漢字 😀 Việt", "", " " * 300, "<|eot_id|>", b"\xff\xe6\xbc"):
        assert tokenizer.is_canonical(tokenizer.encode(text))
    assert not tokenizer.is_canonical([39, 4896, 1917])
    assert tokenizer.is_canonical([128000, *tokenizer.encode("a"), 128009, 128009])
    assert tokenizer.is_canonical([*tokenizer.encode("a"), 128009, *tokenizer.encode("a")])
    assert not tokenizer.is_canonical([128000, 39, 4896])
    with pytest.raises(InvalidTokenId, match="128256 at position 2"):
        tokenizer.is_canonical([39, 4896, 128256])
    with pytest.raises(TypeError, match="ids must be integers, not str"):
        tokenizer.is_canonical("text")


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(ids=any_ids)
def test_ids_are_canonical_if_and_only_if_encoding_each_text_between_specials_gives_them(
    tokenizer, ids
):
    again, text = [], []
    for id in [*ids, None]:
        if id is None or id >= 128_000:
            again += tokenizer.encode(tokenizer.decode_bytes(text))
            again += [id]
            text = []
        else:
            text.append(id)
    canonical = again[:-1] == ids
    assert tokenizer.is_canonical(ids) == canonical
    assert tokenizer.is_canonical(np.array(ids, np.int32)) == canonical


# After a prompt


@settings(max_examples=max(EXAMPLES // 8, 1))
@given(ids=any_ids, at=st.integers(0, 60), tail=st.integers(0, 70), skip=st.booleans())
def test_an_answer_is_what_follows_the_prompt_and_nothing_of_it(tokenizer, ids, at, tail, skip):
    prompt, answer = ids[:at], ids[at:]
    # Python's own decoder, which has read the prompt.
    python = codecs.getincrementaldecoder("utf-8")("replace")
    python.decode(tokenizer.decode_bytes(prompt, skip_special=skip))
    expected = python.decode(tokenizer.decode_bytes(answer, skip_special=skip), final=True)
    decoder = tokenizer.stream_decoder(skip_special=skip, prompt_tail=prompt)
    assert "".join(map(decoder.push, answer)) + decoder.flush() == expected
    # The last ids are enough where they have three bytes.
    last = prompt[-tail:] if tail else []
    if len(tokenizer.decode_bytes(last, skip_special=skip)) >= 3:
        decoder = tokenizer.stream_decoder(skip_special=skip, prompt_tail=last)
        assert "".join(map(decoder.push, answer)) + decoder.flush() == expected


def bytes_of(tokenizer, text):
    return [tokenizer.token_id(bytes([byte])) for byte in text.encode()]


def test_a_character_between_prompt_and_answer_comes_with_the_answer(tokenizer):
    ids = bytes_of(tokenizer, "a漢😀b")
    for at in range(len(ids) + 1):
        decoder = tokenizer.stream_decoder(prompt_tail=np.array(ids[:at], np.uint32))
        before = tokenizer.decode_bytes(ids[:at]).decode("utf-8", "ignore")
        assert "".join(map(decoder.push, ids[at:])) == "a漢😀b"[len(before) :]
    decoder = tokenizer.stream_decoder(prompt_tail=tokenizer.encode("Say "))
    assert decoder.push(tokenizer.encode(" hello")) == " hello"


def test_special_tokens_that_are_skipped_are_not_the_end_of_a_character(tokenizer):
    ids = bytes_of(tokenizer, "漢")
    prompt = [*ids[:2], *[128006] * 100]
    decoder = tokenizer.stream_decoder(skip_special=True, prompt_tail=prompt)
    assert decoder.push(ids[2]) == "漢"
    decoder = tokenizer.stream_decoder(prompt_tail=prompt)
    assert decoder.push(ids[2]) == "\ufffd"


def test_a_long_prompt_takes_no_longer(tokenizer):
    class Looked(list):
        """A list that counts what is looked at."""

        seen = 0

        def __getitem__(self, index):
            Looked.seen += len(range(*index.indices(len(self)))) if isinstance(index, slice) else 1
            return super().__getitem__(index)

    # A list is not copied, and of an array only the end is read.
    from llama3_tok.text.streaming import begin_after

    prompt = Looked(tokenizer.encode("some text " * 10_000))
    begin_after(tokenizer.definition.core.stream_decoder(False, "error"), prompt)
    assert Looked.seen <= 8


# Ids that no token has


def test_ids_beyond_the_vocabulary_are_what_the_caller_says(tokenizer):
    ids = [*tokenizer.encode("Hello"), 128_300, 10**9, *tokenizer.encode(" world")]
    for unknown, expected in (("skip", "Hello world"), ("replace", "Hello\ufffd\ufffd world")):
        decoder = tokenizer.stream_decoder(unknown=unknown)
        assert decoder.push(ids) == expected
        assert "".join(map(decoder.push, ids)) == expected
        assert decoder.push(np.array(ids, np.int64)) == expected
        with pytest.raises(InvalidTokenId, match="-1 at position 13 is not a token id"):
            decoder.push([9906, -1])
    with pytest.raises(InvalidTokenId, match="128300 at position 1"):
        tokenizer.stream_decoder().push(ids)
    with pytest.raises(ValueError, match="unknown must be"):
        tokenizer.stream_decoder(unknown="ignore")
    with pytest.raises(InvalidTokenId, match="128300 at position 1"):
        tokenizer.stream_decoder(prompt_tail=ids[:2])
    assert tokenizer.stream_decoder(prompt_tail=ids, unknown="skip").push(9906) == "Hello"
    for wrong in ("Hello", 5, [1.5], ["a"], [True]):
        with pytest.raises(TypeError):
            tokenizer.stream_decoder(prompt_tail=wrong)


def test_a_replaced_id_ends_a_character(tokenizer):
    ids = bytes_of(tokenizer, "漢")
    decoder = tokenizer.stream_decoder(unknown="replace")
    assert decoder.push([*ids[:2], 128_300, ids[2]]) == "\ufffd" * 3
