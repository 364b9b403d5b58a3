"""llama.cpp reads the GGUF file and gives the same ids; where its Python package is installed."""

import pytest
from hypothesis import HealthCheck, given, settings

import strategies
from llama3_tok import PROFILES, Tokenizer
from llama3_tok.formats.convert import convert

llama_cpp = pytest.importorskip(
    "llama_cpp", reason="llama.cpp is not installed: pip install llama-cpp-python"
)


@pytest.fixture(scope="module", params=PROFILES)
def both(request, tmp_path_factory):
    tokenizer = Tokenizer(profile=request.param)
    path = tmp_path_factory.mktemp("gguf") / "vocabulary.gguf"
    convert(tokenizer.vocabulary, path, profile=request.param)
    return tokenizer, llama_cpp.Llama(str(path), vocab_only=True, verbose=False)


def theirs(model, text, *, special):
    return model.tokenize(text.encode(), add_bos=False, special=special)


def test_the_special_ids_are_the_same(both):
    tokenizer, model = both
    assert model.n_vocab() == tokenizer.vocab_size
    assert (model.token_bos(), model.token_eos()) == (tokenizer.bos_id, tokenizer.eos_id)
    for name, id in tokenizer.special_tokens.items():
        assert theirs(model, f"a {name}\nb", special=True) == tokenizer.encode(
            f"a {name}\nb", allowed_special="all"
        )
        assert theirs(model, name, special=True) == [id]
        assert theirs(model, name, special=False) == tokenizer.encode(name)


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=strategies.texts())
def test_the_ids_of_any_text_are_the_same(both, text):
    tokenizer, model = both
    text = text.encode("utf-8", "replace").decode()
    assert theirs(model, text, special=False) == tokenizer.encode(text)
