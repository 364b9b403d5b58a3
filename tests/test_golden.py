"""Known ids: published ones, the 588 tokens of vocab-first, every token, Meta's own class."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_models.llama3.tokenizer import Tokenizer as MetaTokenizer

import llama3_tok
import oracle
import strategies
from conftest import EXAMPLES

VECTORS = Path(__file__).parent / "vectors" / "golden.jsonl"
CASES = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["text"][:20]))
def test_golden_texts_have_their_ids(case, tokenizer):
    options = {"bos": case["bos"], "eos": case["eos"]}
    allowed = "all" if case["special"] else ()
    assert tokenizer.encode(case["text"], allowed_special=allowed, **options) == case["ids"]


def test_role_names_and_the_blank_line_are_one_token_each(tokenizer):
    expected = {"user": 882, "system": 9125, "assistant": 78191, "\n\n": 271}
    assert {text: tokenizer.encode(text)[0] for text in expected} == expected
    assert all(tokenizer.count(text) == 1 for text in expected)


def test_exactly_588_tokens_exist_only_through_the_vocab_first_rule():
    unreachable = oracle.unreachable()
    assert oracle.UNREACHABLE.read_text("ascii") == oracle.written_unreachable()
    assert len(unreachable) == 588
    assert min(unreachable) == 100769
    assert {100769, 100827, 100937, 101309, 101673, 101798} <= set(unreachable)
    assert oracle.merge(" Việt".encode()) == [11655, 26298, 83]


def test_each_of_the_588_tokens_is_emitted_whole(tokenizer):
    for id in oracle.unreachable():
        token = oracle.encoding().decode_single_token_bytes(id)
        assert tokenizer.encode(token) == [id]
        assert tokenizer.encode(token.decode()) == [id]


@pytest.mark.parametrize(
    "frame",
    [" {}", "{} ", "a{}", "{}a", "The {}.", "{0}{0}", "{0} {0}\n{0}", "({})", "1{}2", "'{}'"],
)
def test_the_588_tokens_in_text_give_the_ids_of_tiktoken(frame, tokenizer):
    for id in oracle.unreachable():
        text = frame.format(oracle.encoding().decode([id]))
        assert tokenizer.encode(text) == oracle.encoding().encode_ordinary(text), text


def test_every_token_round_trips_through_its_bytes(tokenizer):
    for token, id in oracle.ranks().items():
        assert tokenizer.token_bytes(id) == token
        assert tokenizer.token_id(token) == id
        assert tokenizer.decode_bytes([id]) == token
    assert len(oracle.ranks()) == 128_000


def test_every_token_alone_gives_the_ids_of_tiktoken(tokenizer):
    for token in oracle.ranks():
        try:
            text = token.decode()
        except UnicodeDecodeError:
            continue
        assert tokenizer.encode(text) == oracle.encoding().encode_ordinary(text)


def test_every_special_token_round_trips_through_its_name(tokenizer):
    assert list(tokenizer.special_tokens.items()) == list(oracle.SPECIAL.items())
    for name, id in oracle.SPECIAL.items():
        assert tokenizer.token_bytes(id) == name.encode()
        assert tokenizer.token_id(name) == tokenizer.token_id(name.encode()) == id


META = MetaTokenizer.get_instance()


@pytest.mark.filterwarnings("ignore:the text begins with")
@settings(max_examples=max(EXAMPLES // 4, 1))
@given(strategies.texts(), st.booleans(), st.booleans(), st.sampled_from([None, "all"]))
def test_ids_are_those_of_metas_class_where_it_does_not_cut(text, bos, eos, allowed):
    tokenizer = llama3_tok.Tokenizer(profile="meta")
    expected = META.encode(text, bos=bos, eos=eos, allowed_special=allowed)
    found = tokenizer.encode(text, bos=bos, eos=eos, allowed_special=allowed or ())
    assert found == expected
    assert tokenizer.decode(found) == META.decode(expected)


def test_the_meta_profile_is_that_of_metas_class():
    tokenizer = llama3_tok.Tokenizer(profile="meta")
    assert tokenizer.special_tokens == META.special_tokens
    assert tokenizer.vocab_size == META.n_words
    assert (tokenizer.bos_id, tokenizer.eos_id) == (META.bos_id, META.eos_id)
    assert (tokenizer.eot_id, tokenizer.pad_id) == (META.eot_id, META.pad_id)
    assert tokenizer.stop_ids == sorted(META.stop_tokens)


@pytest.mark.parametrize(
    ("text", "ours"), [("=" * 25_001, 392), ("1" * 25_001, 8334), ("\n" * 25_002, 782)]
)
def test_long_runs_are_not_cut_as_metas_class_cuts_them(text, ours, tokenizer):
    assert tokenizer.count(text) == ours == len(oracle.encoding().encode_ordinary(text))
    assert len(META.encode(text, bos=False, eos=False)) == ours + 1


def test_a_million_spaces_have_the_ids_that_tiktoken_can_not_give(tokenizer):
    # tiktoken's regex engine overflows its stack here; Hugging Face's gives this count.
    ids = tokenizer.encode(" " * 1_000_000)
    assert len(ids) == 7_813
    assert tokenizer.decode(ids) == " " * 1_000_000


def test_ten_megabytes_of_one_letter_are_encoded(tokenizer):
    letters = 10_000_000
    assert tokenizer.encode("a" * letters) == tokenizer.encode("a" * 8) * (letters // 8)
