"""One character again and again, and what may be joined with the last one: equal to tiktoken."""

import random

import oracle
from conftest import EXAMPLES
from llama3_tok import Tokenizer


def _tokens():
    """Tokens of several characters, of which one is not ASCII."""
    for bytes_ in oracle.ranks():
        try:
            token = bytes_.decode()
        except UnicodeDecodeError:
            continue
        if len(token) > 1 and not token.isascii():
            yield token


def test_runs_that_end_in_each_token_give_the_ids_of_tiktoken():
    ours, encode = Tokenizer(), oracle.encoding().encode_ordinary
    made = random.Random(EXAMPLES)
    tokens = list(_tokens())
    assert len(tokens) > 10_000
    for token in tokens:
        # Up to 255 bytes are a pretoken that is remembered.
        times = made.choice((9, 17, made.randrange(2, 60), made.randrange(80, 130)))
        unit = token[: made.choice((1, 1, 1, 2))]
        text = made.choice(("", " ", "a")) + unit * times + token[len(unit) :]
        assert ours.encode(text) == encode(text), text


def test_runs_of_many_thousands_give_the_ids_of_tiktoken():
    ours, encode = Tokenizer(), oracle.encoding().encode_ordinary
    for unit in ("\u0436", "\u7684", "\u0301", "\U0001f469\u200d", "\U00020000", "\u00a0\u3000"):
        for times in (2047, 4096, 4105, 8300, 20_001):
            text = "e" + unit * times + "\u6f22"
            assert ours.encode(text) == encode(text), (unit, times)
