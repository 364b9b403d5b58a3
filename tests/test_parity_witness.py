"""The rows that a person is shown of a difference."""

import numpy as np
import pytest

import oracle
from llama3_tok import Tokenizer
from llama3_tok.report.ours import Ours
from llama3_tok.report.witness import Shower

LONG = "".join(f"{number}, word and word. " for number in range(100)).encode()


@pytest.fixture(scope="module")
def shower():
    return Shower(Ours(Tokenizer()))


def ids(values):
    return np.array(values, dtype=np.uint32)


@pytest.mark.parametrize("at", [0, 1, 50, -1])
def test_a_long_text_is_shown_about_the_divergence(shower, at):
    ours = Tokenizer().encode_array(LONG)
    at %= len(ours)
    theirs = ids([*ours[:at], 0, *ours[at + 1 :]])
    place = shower.place(ours, theirs)
    assert place.token == at
    assert LONG[: place.byte] == Tokenizer().decode_bytes(ours[:at])
    text, rows = shower.rows(LONG, ours, theirs, "theirs")
    assert text in LONG
    assert [row.label for row in rows] == ["llama3_tok", "theirs"]
    for row in rows:
        assert len(row.tokens) <= 16
        assert [token.start for token in row.tokens[1:]] == [t.end for t in row.tokens[:-1]]
        assert row.tokens[-1].end <= len(text)
    assert [t.id for t in rows[1].tokens if "differs" in t.kind].count(0) == 1
    for token in rows[0].tokens:
        assert text[token.start : token.end].decode() == token.piece


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [([], [0] * 50), ([0] * 50, []), ([0] * 50, [0] * 60), ([9906], []), ([9906], [4_000_000_000])],
)
def test_rows_of_different_lengths_are_shown_in_part(shower, ours, theirs):
    text = Tokenizer().decode_bytes(ours)
    shown, rows = shower.rows(text, ids(ours), ids(theirs), "theirs")
    assert text.startswith(shown) or shown in text
    for row in rows:
        for token in row.tokens:
            assert 0 <= token.start <= token.end <= len(text)


def test_classes_of_characters_are_those_of_the_pattern():
    ours = Ours(Tokenizer())
    expected = {
        "a letter": "aéжक漢ªʰ",
        "a number": "1٣½Ⅷ㊿",
        "neither": "!€\u0301😀\U00011de0\ue000",
        "white space": " \t\x85\u3000\u2028",
    }
    for name, characters in expected.items():
        assert {ours.class_of(character) for character in characters} == {name}


def test_the_class_of_a_character_changed_changes_the_cuts():
    ours = Ours(Tokenizer())
    for text in ("a\u00e9b", "don't \u00e9\u00e9 1\u00e92", "\u00e9", "x  \u00e9y\n"):
        assert ours.with_class(text, "\u00e9", "a letter") == Tokenizer().encode(text)
    separate = [*Tokenizer().encode("a"), *Tokenizer().encode("éb")]
    assert ours.with_class("aéb", "é", "neither") == separate
    assert ours.with_class("1é", "é", "a number") == oracle.merge("1é".encode())
