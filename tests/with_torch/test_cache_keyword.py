"""The keyword of the key-value cache, which transformers 5.24 renamed."""

import functools
import inspect

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import models  # noqa: E402
from llama3_tok import Llama3TokError, Tokenizer  # noqa: E402
from llama3_tok.torch import Llama3  # noqa: E402
from llama3_tok.torch.generation import Reader, cache_keyword  # noqa: E402


class Wrapper(torch.nn.Module):
    """A network in another one, which takes the cache as its own `forward` has it."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.config = inner, inner.config
        self.device, self.dtype = inner.device, inner.dtype
        self.caches = []

    def get_input_embeddings(self):
        return self.inner.get_input_embeddings()

    def pass_on(self, cache, options):
        self.caches.append(cache)
        return self.inner(**options, **{cache_keyword(self.inner): cache})


class Old(Wrapper):
    def forward(self, past_key_values=None, **options):
        return self.pass_on(past_key_values, options)


class New(Wrapper):
    def forward(self, cache=None, **options):
        return self.pass_on(cache, options)


class Both(Wrapper):
    def forward(self, past_key_values=None, cache=None, **options):
        assert past_key_values is None
        return self.pass_on(cache, options)


class Renamed(New):
    """As transformers' own decorator has it: the old name is taken and not in the signature."""

    @functools.wraps(New.forward)
    def forward(self, *arguments, **options):
        assert "past_key_values" not in options
        return New.forward(self, *arguments, **options)


class Neither(Wrapper):
    def forward(self, **options):
        return self.pass_on(options.pop(cache_keyword(self.inner)), options)


OF_TRANSFORMERS = {"cache", "past_key_values"} & set(
    inspect.signature(transformers.LlamaForCausalLM.forward).parameters
)


@pytest.fixture(scope="module")
def network():
    return models.network()


def test_transformers_has_one_name(network):
    assert {cache_keyword(network)} == OF_TRANSFORMERS


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [
        (Old, "past_key_values"),
        (New, "cache"),
        (Both, "cache"),
        (Renamed, "cache"),
        (Neither, *OF_TRANSFORMERS),
    ],
)
def test_the_name_is_the_one_that_the_forward_knows(network, kind, keyword):
    wrapped = kind(network)
    assert cache_keyword(wrapped) == keyword
    options = {"max_new_tokens": 6, "stop_ids": []}
    made = Llama3(wrapped, Tokenizer()).generate("Hello", **options)
    assert made.ids == Llama3(network, Tokenizer()).generate("Hello", **options).ids
    assert len(wrapped.caches) == 6
    assert len({id(cache) for cache in wrapped.caches}) == 1
    # Two ids of the prompt, and all that was generated but the last.
    assert wrapped.caches[0].get_seq_length() == 2 + 5


def test_a_compiled_network_has_the_name_of_transformers(network):
    assert cache_keyword(torch.compile(network, backend="eager")) == cache_keyword(network)


def test_what_is_read_stays_in_the_cache(network):
    """A forward that does not know the keyword drops it, and reads without what came before."""
    reader = Reader(network, Tokenizer())
    reader.read([[64, 65]])
    assert reader.length == 2
    logits = reader.read([[66]])
    with torch.no_grad():
        whole = network(torch.tensor([[64, 65, 66]])).logits[:, -1]
    torch.testing.assert_close(logits, whole)


def test_a_transformers_that_names_neither_is_an_error(network, monkeypatch):
    def forward(*_, **__):
        raise AssertionError

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", forward)
    with pytest.raises(Llama3TokError, match="neither as `cache` nor as `past_key_values`"):
        Reader(network, Tokenizer())
