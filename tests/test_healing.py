"""`heal` and `prefix_tokens`: what a prompt that ends anywhere may go on with."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import folders
import oracle
import strategies
from conftest import EXAMPLES
from llama3_tok import InvalidTokenId, Tokenizer

TOKENIZER = Tokenizer()


def looked_up(tokenizer, data):
    """The same by a look at each token."""
    special = {token.id for token in tokenizer.added_tokens.values() if token.special}
    found = []
    for id in range(tokenizer.vocab_size):
        try:
            token = tokenizer.token_bytes(id)
        except InvalidTokenId:
            continue
        if id not in special and (token.startswith(data) or data.startswith(token)):
            found.append(id)
    return found


@pytest.mark.parametrize(
    "text", ["", "a", " worl", "漢", "://exa", "  \n", "<|eot_id|>", "zqzqz" * 30]
)
def test_prefix_tokens_are_those_that_a_look_at_each_token_finds(text):
    found = TOKENIZER.prefix_tokens(text)
    assert found.dtype == np.uint32
    assert found.tolist() == looked_up(TOKENIZER, text.encode())
    assert TOKENIZER.prefix_tokens(text.encode()).tolist() == found.tolist()


def test_prefix_tokens_of_half_a_character_and_of_no_text():
    half = "漢".encode()[:2]
    assert TOKENIZER.prefix_tokens(half).tolist() == looked_up(TOKENIZER, half)
    assert TOKENIZER.prefix_tokens("\ud83d").tolist() == TOKENIZER.prefix_tokens("\ufffd").tolist()
    with pytest.raises(TypeError, match="text must be str or bytes, not int"):
        TOKENIZER.prefix_tokens(5)


@pytest.mark.parametrize("shape", ["reasoning", "added", "words"])
def test_ordinary_added_tokens_are_among_them(tmp_path, shape):
    folders.SHAPES[shape](tmp_path)
    ours = Tokenizer(tmp_path)
    for data in (b"<th", b"Sonder", b"Hell", b"!", b"</think>x"):
        assert ours.prefix_tokens(data).tolist() == looked_up(ours, data)


@settings(max_examples=max(EXAMPLES // 2, 1))
@given(strategies.texts(), strategies.texts())
def test_the_ids_of_the_whole_are_always_allowed(prompt, more):
    prompt, more = (one.encode("utf-8", "replace") for one in (prompt, more))
    kept, rest = TOKENIZER.heal(TOKENIZER.encode(prompt))
    assert TOKENIZER.decode_bytes(kept) + rest.rest == prompt
    whole = TOKENIZER.encode(prompt + more)
    assert whole[: len(kept)] == kept
    for id in whole[len(kept) :]:
        if not rest.is_done:
            assert id in rest.allowed()
        rest.push(id)
    assert rest.is_done


@settings(max_examples=max(EXAMPLES // 8, 1))
@given(st.lists(st.integers(0, 128_255), max_size=40))
def test_any_ids_are_kept_up_to_where_nothing_depends_on_what_follows(ids):
    kept, rest = TOKENIZER.heal(ids)
    assert ids[: len(kept)] == kept
    assert TOKENIZER.decode_bytes(ids[len(kept) :]) == rest.rest
    special = set(oracle.SPECIAL.values())
    assert not special & set(ids[len(kept) :])


def test_the_boundary_moves_over_several_tokens():
    ids = TOKENIZER.encode("Hello   wor")
    for text, expected in [
        ("Hello wor", b" wor"),
        ("see https://exa", b"://exa"),
        ("a     ", b"     "),
        ("x = [1, 2", b"2"),
    ]:
        kept, rest = TOKENIZER.heal(TOKENIZER.encode(text, bos=True))
        assert rest.rest.endswith(expected)
        assert TOKENIZER.decode_bytes(kept)[len("<|begin_of_text|>") :] + rest.rest == text.encode()
    assert len(ids) - len(TOKENIZER.heal(ids)[0]) >= 2
    prompt = TOKENIZER.encode_chat([{"role": "user", "content": "hi"}])
    kept, rest = TOKENIZER.heal(prompt)
    assert (kept, rest.rest) == (prompt[:-1], b"\n\n")
    assert TOKENIZER.heal([])[0] == []
    assert TOKENIZER.heal([128009])[1].is_done


def test_a_long_end_without_a_place_to_cut():
    ids = TOKENIZER.encode("word " + "a" * 5000)
    kept, rest = TOKENIZER.heal(ids)
    assert TOKENIZER.decode(kept) == "word"
    assert rest.rest == b" " + b"a" * 5000


def test_what_is_not_allowed_is_an_error():
    _, rest = TOKENIZER.heal(TOKENIZER.encode("Hello wor"))
    with pytest.raises(ValueError, match=r"id 9906 is b'Hello', and what has to come is b' wor'"):
        rest.push(9906)
    rest.push(220)
    assert rest.rest == b"wor"
    assert repr(rest) == "Continuation(b'wor')"
    for wrong in ([-1], [200_000]):
        with pytest.raises(InvalidTokenId):
            TOKENIZER.heal(wrong)
    with pytest.raises(TypeError):
        TOKENIZER.heal("text")


@pytest.mark.long
@pytest.mark.parametrize("shape", folders.SHAPES)
def test_folders_of_any_kind(tmp_path, shape):
    folders.SHAPES[shape](tmp_path)
    ours, dice = Tokenizer(tmp_path), random.Random(shape)
    # White space that a token takes has no id, so it can't be written again.
    takes_space = any(token.lstrip or token.rstrip for token in ours.added_tokens.values())
    names = [name for name, token in ours.added_tokens.items() if not token.special]
    fill = [*names, "a", " ", "\n", "Hello", "é", "<", "word "]
    for _ in range(100):
        prompt, more = ("".join(dice.choices(fill, k=dice.randint(0, 8))) for _ in range(2))
        ids = ours.encode(prompt)
        kept, rest = ours.heal(ids)
        assert ids[: len(kept)] == kept
        assert ours.decode_bytes(kept) + rest.rest == ours.decode_bytes(ids)
        if takes_space:
            continue
        assert rest.rest == prompt.encode()[len(ours.decode_bytes(kept)) :]
        whole = ours.encode(prompt + more)
        assert whole[: len(kept)] == kept
        for id in whole[len(kept) :]:
            rest.push(id)
        assert rest.is_done
