"""Guided generation: what a model may write, by libraries that know the tokenizer."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
pytest.importorskip("transformers")

import models  # noqa: E402
from llama3_tok import Tokenizer  # noqa: E402
from llama3_tok.serving import guides  # noqa: E402

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["漢字", "é", "a b"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
ANSWER = '{"name": "漢 é", "age": 42, "tags": ["漢字"]}'


@pytest.fixture(scope="module")
def model():
    # More rows than ids, as models have them.
    return models.model(vocab_size=models.VOCABULARY + 64)


def answers(model, mask_of, accept, seed, most=120):
    """Draws until a stop id comes."""
    generator, ids = torch.Generator().manual_seed(seed), []
    prompt = model.tokenizer.encode("A person: ", bos=True)
    while len(ids) < most:
        with torch.no_grad():
            logits = model.network(torch.tensor([[*prompt, *ids]])).logits[0, -1]
        allowed = mask_of(len(logits))
        logits[~allowed] = -torch.inf
        id = int(torch.multinomial(logits.softmax(-1), 1, generator=generator))
        if id in model.tokenizer.stop_ids:
            return ids
        ids.append(id)
        accept(id)
    raise AssertionError("the answer does not end")


def bits(mask, size):
    words = np.asarray(mask, np.int32).view(np.uint8).reshape(-1)
    return torch.from_numpy(np.unpackbits(words, bitorder="little")[:size].astype(bool))


def check(model, ids):
    special = set(model.tokenizer.special_tokens.values())
    assert not special & set(ids)
    found = json.loads(model.tokenizer.decode(ids))
    assert set(found) == {"name", "age", "tags"}
    assert 1 <= len(found["name"]) <= 12
    assert 0 <= found["age"] <= 150
    assert all(tag in ("漢字", "é", "a b") for tag in found["tags"])


def test_xgrammar_answers_parse(model):
    xgrammar = pytest.importorskip("xgrammar", reason="xgrammar is not installed")
    rows = models.VOCABULARY + 64
    info = guides.xgrammar(model.tokenizer, rows=rows)
    assert info.vocab_size == rows
    assert sorted(info.stop_token_ids) == sorted(model.tokenizer.stop_ids)
    assert {128000, 128006, models.VOCABULARY} <= set(info.special_token_ids)
    assert info.decoded_vocab[9906] == b"Hello"
    # With white space anywhere, a random model writes it for ever.
    compiler = xgrammar.GrammarCompiler(info)
    compiled = compiler.compile_json_schema(json.dumps(SCHEMA), any_whitespace=False)
    for seed in range(3):
        matcher = xgrammar.GrammarMatcher(compiled)
        mask = xgrammar.allocate_token_bitmask(1, rows)

        def allowed(size, matcher=matcher, mask=mask):
            matcher.fill_next_token_bitmask(mask)
            return bits(mask[0], size)

        check(model, answers(model, allowed, matcher.accept_token, seed))
    matcher = xgrammar.GrammarMatcher(compiled)
    assert all(matcher.accept_token(id) for id in model.tokenizer.encode(ANSWER))
    for stop in model.tokenizer.stop_ids:
        again = xgrammar.GrammarMatcher(compiled)
        for id in model.tokenizer.encode(ANSWER):
            again.accept_token(id)
        assert again.accept_token(stop)


def test_llguidance_answers_parse(model):
    llguidance = pytest.importorskip("llguidance", reason="llguidance is not installed")
    rows = models.VOCABULARY + 64
    known = guides.llguidance(model.tokenizer, rows=rows)
    assert known.vocab_size == rows
    assert sorted(known.eos_tokens) == sorted(model.tokenizer.stop_ids)
    text = "Hello 漢字 <|eot_id|>"
    assert known.tokenize_str(text) == model.tokenizer.encode(text)
    grammar = llguidance.LLMatcher.grammar_from_json_schema(
        SCHEMA, {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    )
    for seed in range(3):
        matcher = llguidance.LLMatcher(known, grammar)

        def allowed(size, matcher=matcher):
            return bits(np.frombuffer(matcher.compute_bitmask(), np.int32), size)

        def accept(id, matcher=matcher):
            assert matcher.consume_token(id), matcher.get_error()

        check(model, answers(model, allowed, accept, seed))
    matcher = llguidance.LLMatcher(known, grammar)
    assert matcher.consume_tokens(model.tokenizer.encode(ANSWER))
    mask = bits(np.frombuffer(matcher.compute_bitmask(), np.int32), rows)
    assert set(mask.nonzero()[:, 0].tolist()) >= set(model.tokenizer.stop_ids)


def test_outlines_answers_match(model):
    outlines_core = pytest.importorskip("outlines_core", reason="outlines-core is not installed")
    known = guides.outlines(model.tokenizer)
    assert known.get_eos_token_id() == model.tokenizer.stop_ids[0]
    pattern = r'\{"kanji": "(漢字|é|a b){1,3}", "n": [0-9]{1,3}\}'
    index = outlines_core.Index(pattern, known)
    for seed in range(3):
        guide = outlines_core.Guide(index)

        def allowed(size, guide=guide):
            mask = torch.zeros(size, dtype=torch.bool)
            mask[guide.get_tokens()] = True
            return mask

        ids = answers(model, allowed, guide.advance, seed)
        assert set(json.loads(model.tokenizer.decode(ids))) == {"kanji", "n"}


def test_folders_have_their_own_tokens(tmp_path):
    import folders

    xgrammar = pytest.importorskip("xgrammar", reason="xgrammar is not installed")
    folders.SHAPES["reasoning"](tmp_path)
    tokenizer = Tokenizer(tmp_path)
    info = guides.xgrammar(tokenizer)
    # Tags are not special tokens here: a grammar may have them.
    assert info.decoded_vocab[128013] == b"<think>"
    assert sorted(info.stop_token_ids) == sorted(tokenizer.stop_ids)
    compiled = xgrammar.GrammarCompiler(info).compile_grammar(
        'root ::= "<think>" [a-z ]+ "</think>"'
    )
    matcher = xgrammar.GrammarMatcher(compiled)
    assert all(matcher.accept_token(id) for id in tokenizer.encode("<think>so it is</think>"))


def test_wrong_calls_say_what_is_right(model):
    with pytest.raises(ValueError, match="rows must be at least the tokenizer's ids, 128,256"):
        guides.xgrammar(model.tokenizer, rows=128_000)
    with pytest.raises(TypeError, match="tokenizer must be a Tokenizer or None, not str"):
        guides.llguidance("llama3")
