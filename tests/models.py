"""Tiny Llama models for tests: random weights, the real vocabulary, made on the spot.

`scripted` makes one that says what it is told to: each token has a row of its own that decides the
next, so that stopping, streaming and chats can be tested on answers that are known.
"""

import torch
import transformers

from llama3_tok import Tokenizer
from llama3_tok.torch import Llama3
from llama3_tok.torch.generation import cache_keyword

VOCABULARY = 128256
PROFILES = ("llama3", "llama3.1")


def config(**changes):
    """Two layers, 64 wide, four heads on two for keys and values."""
    fields = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
        "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009],
        "tie_word_embeddings": False,
        **changes,
    }
    return transformers.LlamaConfig(**fields)


def network(dtype=torch.float32, seed=0, attention="sdpa", **changes):
    """Random weights, large enough that tokens are not all equally likely."""
    torch.manual_seed(seed)
    made = transformers.LlamaForCausalLM._from_config(
        config(initializer_range=0.2, **changes), attn_implementation=attention
    )
    return made.to(dtype).eval()


def model(profile="llama3.1", **options):
    return Llama3(network(**options), Tokenizer(profile=profile))


def folder(path, profile="llama3.1", dtype=torch.float32, **changes):
    """A folder as transformers and `Tokenizer.save` write it."""
    made = network(dtype=dtype, **changes)
    made.save_pretrained(path)
    Tokenizer(profile=profile).save(path)
    return path


class Scripted(torch.nn.Module):
    """The interface of `LlamaForCausalLM` that generation uses, for answers that are known.

    What comes next is looked up: `script[t]` after a prompt of any content, t tokens after it.
    """

    def __init__(self, script, prompt_tokens):
        super().__init__()
        self.config = config(num_hidden_layers=1, max_position_embeddings=4096)
        self.inner = network(num_hidden_layers=1, max_position_embeddings=4096)
        self.device, self.dtype = self.inner.device, self.inner.dtype
        self.script, self.prompt_tokens = script, prompt_tokens
        self.forwarded = 0

    def get_input_embeddings(self):
        return self.inner.get_input_embeddings()

    def forward(self, input_ids, **options):
        out = self.inner(input_ids=input_ids, **options)
        self.forwarded += input_ids.shape[1]
        at = options[cache_keyword(self.inner)].get_seq_length() - self.prompt_tokens
        out.logits[:, -1] = 0
        out.logits[:, -1, self.script[at]] = 10
        return out


def scripted(script, prompt, tokenizer=None):
    """A model that says the ids of `script`, whatever it is asked, after the prompt's ids."""
    tokenizer = tokenizer or Tokenizer()
    return Llama3(Scripted(list(script), len(tokenizer.encode(prompt, bos=True))), tokenizer)
