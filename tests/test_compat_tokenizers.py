"""`DecodeStream`: what the class of that name in tokenizers gives, step by step."""

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama3_tok
import oracle
import strategies
from conftest import EXAMPLES
from llama3_tok import InvalidTokenId, Tokenizer
from llama3_tok.compat.tokenizers import DecodeStream

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
TOKENIZER = Tokenizer()


@pytest.fixture(scope="module")
def theirs(saved_folder):
    return tokenizers.Tokenizer.from_file(str(saved_folder / "tokenizer.json"))


def bytes_of(text):
    return [TOKENIZER.token_id(bytes([byte])) for byte in text.encode()]


# Text that is UTF-8, whole tokens or one for each byte, and special tokens.
valid_ids = st.lists(
    st.one_of(
        strategies.texts().map(lambda text: llama3_tok.encode(text.encode("utf-8", "replace"))),
        st.text(max_size=4).map(lambda text: bytes_of(text.encode("utf-8", "ignore").decode())),
        st.sampled_from([[id] for id in oracle.SPECIAL.values()]),
    ),
    max_size=8,
).map(lambda lists: list(chain.from_iterable(lists)))


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(valid_ids, st.booleans(), st.integers(0, 20))
def test_each_step_gives_what_theirs_does(theirs, ids, skip, at):
    for prompt in ([], ids[:at]):
        text = TOKENIZER.decode_bytes(prompt, skip_special=skip)
        # Theirs takes U+FFFD at the end for a character that is cut, and gives the whole prompt.
        if text.decode("utf-8", "ignore").encode() != text or text.endswith("\ufffd".encode()):
            prompt = []
        ours = DecodeStream(prompt, skip)
        other = tokenizers.decoders.DecodeStream(prompt, skip_special_tokens=skip)
        for id in ids[len(prompt) :]:
            assert ours.step(TOKENIZER, id) == other.step(theirs, id)


def test_of_a_prompt_that_ends_with_a_replacement_character_nothing_is_given():
    stream = DecodeStream(TOKENIZER.encode("a\ufffd"))
    assert [stream.step(TOKENIZER, id) for id in TOKENIZER.encode("b\ufffdc")] == [
        "b",
        None,
        "\ufffdc",
    ]


@settings(max_examples=max(EXAMPLES // 8, 1))
@given(st.lists(st.integers(0, 255), max_size=12), st.booleans())
def test_bytes_that_are_not_utf_8_are_what_theirs_are_where_it_does_not_raise(theirs, ids, skip):
    ours = DecodeStream(skip_special_tokens=skip)
    other = tokenizers.decoders.DecodeStream(skip_special_tokens=skip)
    given = ""
    for id in ids:
        found = ours.step(TOKENIZER, id)
        given += found or ""
        if other is not None:
            try:
                expected = other.step(theirs, id)
            except Exception as error:  # it has no class of its own
                if "Invalid prefix" not in str(error):
                    raise
                other = None
            else:
                assert found == expected
    # What is held at the end are no characters.
    assert TOKENIZER.decode(ids).removeprefix(given).strip("\ufffd") == ""


def test_several_ids_are_one_step(theirs):
    ids = TOKENIZER.encode("Hello, 漢字 and 😀")
    ours, other = DecodeStream(), tokenizers.decoders.DecodeStream()
    for part in (ids[:3], ids[3:]):
        assert ours.step(TOKENIZER, part) == other.step(theirs, part)


def test_ids_that_no_token_has_are_left_out(theirs):
    ours, other = DecodeStream(), tokenizers.decoders.DecodeStream()
    for id in (9906, 200_000, 1917):
        assert ours.step(TOKENIZER, id) == other.step(theirs, id)
    with pytest.raises(InvalidTokenId, match="-1 at position 3"):
        ours.step(TOKENIZER, -1)


def test_the_tokenizer_is_one_of_ours_and_stays_the_same(theirs, tokenizer):
    stream = DecodeStream()
    with pytest.raises(TypeError, match="tokenizer must be a llama3_tok.Tokenizer, not Tokenizer"):
        stream.step(theirs, 1)
    stream.step(tokenizer, 1)
    with pytest.raises(ValueError, match="begun with another tokenizer"):
        stream.step(Tokenizer(profile="llama3"), 1)
    with pytest.raises(TypeError, match="skip_special_tokens must be a bool"):
        DecodeStream(skip_special_tokens=1)


def test_the_class_for_transformers_is_taken_as_well():
    pytest.importorskip("transformers", reason="transformers is not installed")
    from llama3_tok.compat.transformers import Llama3Tokenizer

    tokenizer, stream = Llama3Tokenizer(), DecodeStream()
    assert [stream.step(tokenizer, id) for id in [9906, 1917]] == ["Hello", " world"]
