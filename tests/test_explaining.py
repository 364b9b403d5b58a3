"""`Tokenizer.explain`: what cut a text, what the vocabulary answered, and what merges."""

import json
import time
import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

import oracle
import strategies
from llama3_tok.text.explaining import ALTERNATIVES, AddedPiece, Pretoken

GROUPS = regex.compile("|".join(f"({alternative.pattern})" for alternative in ALTERNATIVES))


def merged_in_order(data):
    """The rule as it is written: `(start, middle, end, id)` for each step, and the ids."""
    ranks, parts, steps = oracle.ranks(), [(at, at + 1) for at in range(len(data))], []
    while True:
        pairs = [
            (ranks[data[left[0] : right[1]]], at)
            for at, (left, right) in enumerate(pairwise(parts))
            if data[left[0] : right[1]] in ranks
        ]
        if not pairs:
            return steps, [ranks[data[start:end]] for start, end in parts]
        rank, at = min(pairs)
        (start, middle), (_, end) = parts[at : at + 2]
        steps.append((start, middle, end, rank))
        parts[at : at + 2] = [(start, end)]


def test_the_alternatives_are_the_pattern():
    assert "|".join(alternative.pattern for alternative in ALTERNATIVES) == oracle.PATTERN
    assert [alternative.number for alternative in ALTERNATIVES] == [1, 2, 3, 4, 5, 6, 7]


@given(text=strategies.texts())
def test_pieces_are_cut_by_the_alternative_that_they_name(tokenizer, text):
    # The library regex knows characters of later Unicode versions than tiktoken does.
    text = "".join(char for char in text if unicodedata.category(char) != "Cn")
    explanation = tokenizer.explain(text)
    data = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    expected = [(found[0].encode(), found.lastindex) for found in GROUPS.finditer(data)]
    assert [(piece.bytes, piece.alternative.number) for piece in explanation] == expected
    assert [id for piece in explanation for id in piece.ids] == tokenizer.encode(text)


@given(text=strategies.texts())
def test_every_step_of_merging_is_that_of_the_rule(tokenizer, text):
    for piece in tokenizer.explain(text):
        steps, ids = merged_in_order(piece.bytes[:200])
        if len(piece.bytes) <= 200:
            assert [tuple(step) for step in piece.merge_steps] == steps
            assert list(piece.merged_ids) == ids
            assert piece.vocab_first == (piece.bytes in oracle.ranks())
            whole = [oracle.ranks()[piece.bytes]] if piece.vocab_first else ids
            assert list(piece.ids) == whole
            assert piece.differs == (whole != ids)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_explained(tokenizer, data):
    explanation = tokenizer.explain(data)
    assert b"".join(piece.bytes for piece in explanation) == data
    assert [id for piece in explanation for id in piece.ids] == tokenizer.encode(data)
    assert [explanation.at(byte).start for byte in range(len(data))] == [
        piece.start for piece in explanation for _ in piece.bytes
    ]
    json.dumps(explanation.as_json())


def test_all_tokens_that_merging_does_not_reach_are_said_to_differ(tokenizer):
    alone = [token for token in tokenizer.tokens() if len(tokenizer.pretokens(token)) == 1]
    expected = [token for token in alone if tokenizer.merge(token) != [oracle.ranks()[token]]]
    assert 500 < len(expected) <= 588
    assert all(tokenizer.explain(token)[0].differs for token in expected)
    reached = [token for token in alone[::50] if token not in expected]
    assert not any(tokenizer.explain(token)[0].differs for token in reached)


def test_viet_is_in_the_vocabulary_and_not_reached_by_merging(tokenizer):
    piece = tokenizer.explain("in Việt")[1]
    assert (piece.bytes, piece.start, piece.end) == (" Việt".encode(), 2, 9)
    assert piece.ids == (101798,)
    assert piece.merged_ids == (11655, 26298, 83)
    assert piece.differs
    whole, alone = piece.tree().parts
    assert whole.note.startswith("101798")
    assert [node.note.split(":")[0] for node in alone.parts] == ["11655", "26298", "83"]
    value = piece.as_json()
    assert value["merging_alone"] == [11655, 26298, 83]
    assert value["text"] == " Việt"
    assert value["pattern"] == ALTERNATIVES[1].pattern


def test_special_tokens_are_pieces_only_if_they_are_allowed(tokenizer):
    text = "a<|eot_id|> b<|eom_id|>"
    plain = tokenizer.explain(text)
    assert all(isinstance(piece, Pretoken) for piece in plain)
    assert [(one.name, one.start, one.id) for one in plain.mentions] == [
        ("<|eot_id|>", 1, 128009),
        ("<|eom_id|>", 13, 128008),
    ]
    assert plain.mentions[0].remedy == "allowed_special={'<|eot_id|>'}"
    some = tokenizer.explain(text, allowed_special={"<|eot_id|>"})
    assert [piece.name for piece in some if isinstance(piece, AddedPiece)] == ["<|eot_id|>"]
    assert [one.name for one in some.mentions] == ["<|eom_id|>"]
    assert some.ids == tokenizer.encode(text, allowed_special={"<|eot_id|>"})


def test_bos_and_eos_are_pieces_without_bytes(tokenizer):
    explanation = tokenizer.explain("hi", bos=True, eos=True)
    assert explanation.ids == [128000, 6151, 128001]
    assert [(piece.ids, piece.bytes, piece.start) for piece in explanation] == [
        ((128000,), b"", 0),
        ((6151,), b"hi", 0),
        ((128001,), b"", 2),
    ]
    assert explanation.at(0).ids == (6151,)
    assert explanation[-1].name == "<|end_of_text|>"
    assert [piece.ids for piece in explanation[1:]] == [(6151,), (128001,)]


@pytest.mark.parametrize("text", ["", b""])
def test_nothing_has_no_pieces(tokenizer, text):
    explanation = tokenizer.explain(text)
    assert (list(explanation), explanation.ids, explanation.mentions) == ([], [], [])
    assert explanation.as_json() == {"bytes": 0, "ids": [], "pieces": [], "mentions": []}


def test_wrong_places_and_arguments_are_errors(tokenizer):
    explanation = tokenizer.explain("one two")
    for place in (-1, 7, 100):
        with pytest.raises(IndexError, match="7 bytes"):
            explanation.at(place)
    for index in (-3, 2):
        with pytest.raises(IndexError, match="2 pieces"):
            explanation[index]
    with pytest.raises(TypeError, match="str or bytes"):
        tokenizer.explain(None)
    with pytest.raises(TypeError, match="no option 'allowed'"):
        tokenizer.explain("a", allowed="all")


@pytest.mark.parametrize("unit", ["a", "xq", "漢字", "=-"])
def test_a_long_pretoken_is_explained_in_bounded_time_and_size(tokenizer, unit):
    text = unit * 100_000
    started = time.perf_counter()
    piece = tokenizer.explain(text)[0]
    tree = piece.tree(most=50)
    assert time.perf_counter() - started < 20
    assert len(tree.parts) == 51
    assert "more tokens" in tree.parts[-1].note
    assert not any(node.parts for node in tree.parts)


def test_an_added_token_of_a_folder_is_a_piece(tokenizer):
    renamed = tokenizer.with_special_tokens({"<|mine|>": 128002})
    explanation = renamed.explain("a <|mine|>", allowed_special="all")
    assert explanation[-1].as_json()["name"] == "<|mine|>"
    assert explanation.ids == renamed.encode("a <|mine|>", allowed_special="all")
