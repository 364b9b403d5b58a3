"""The main promise: the ids are tiktoken's, for any text."""

from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import strategies
from code_paths import code_paths
from conftest import EXAMPLES
from llama3_tok import Tokenizer

TOKENIZER = Tokenizer()


@given(strategies.texts())
def test_ids_and_count_are_those_of_tiktoken(text):
    expected = oracle.encoding().encode_ordinary(text)
    assert TOKENIZER.encode(text) == expected
    assert TOKENIZER.count(text) == len(expected)
    for name, path in code_paths().items():
        assert path.encode_batch([text]) == [expected], name


@given(strategies.texts(), st.sets(st.sampled_from(sorted(oracle.SPECIAL)), max_size=3))
def test_special_tokens_are_split_as_tiktoken_does(text, allowed):
    for allowed_special in (allowed, "all"):
        expected = oracle.encoding().encode(
            text, allowed_special=allowed_special, disallowed_special=()
        )
        assert TOKENIZER.encode(text, allowed_special=allowed_special) == expected


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(st.lists(strategies.texts(), max_size=8), st.integers(1, 4))
def test_every_entry_point_gives_the_same_ids(texts, threads):
    expected = [oracle.encoding().encode_ordinary(text) for text in texts]
    assert TOKENIZER.encode_batch(texts, threads=threads) == expected
    assert [array.tolist() for array in map(TOKENIZER.encode_array, texts)] == expected
    ragged = TOKENIZER.encode_ragged(texts, threads=threads)
    assert [ids.tolist() for ids in ragged] == expected
    assert ragged.ids.tolist() == list(chain.from_iterable(expected))
    assert TOKENIZER.count_batch(texts, threads=threads).tolist() == list(map(len, expected))


@given(strategies.texts())
def test_bytes_give_the_ids_of_the_text(text):
    try:
        data = text.encode()
    except UnicodeEncodeError:  # lone surrogates are no UTF-8; as `str` they are U+FFFD
        data = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    assert TOKENIZER.encode(data) == TOKENIZER.encode(text)


@given(
    st.binary(max_size=80)
    | st.lists(
        st.binary(max_size=3)
        | strategies.texts().map(lambda text: text.encode("utf-8", "surrogatepass")),
        max_size=5,
    ).map(b"".join)
)
def test_any_bytes_come_back(data):
    ids = TOKENIZER.encode(data)
    assert TOKENIZER.decode_bytes(ids) == data
    assert TOKENIZER.decode_bytes(TOKENIZER.encode_array(data)) == data
    assert TOKENIZER.count(data) == len(ids)


@given(st.lists(st.integers(0, 128255), max_size=20), st.sampled_from(["replace", "ignore"]))
def test_decoding_is_that_of_tiktoken(ids, errors):
    assert TOKENIZER.decode_bytes(ids) == oracle.encoding().decode_bytes(ids)
    assert TOKENIZER.decode(ids, errors=errors) == oracle.encoding().decode(ids, errors=errors)
