"""What libraries for guided generation have to know of a tokenizer.

A grammar decides which text may come; the library finds which tokens that leaves, by their bytes.
Each function here makes the tokenizer object of one library: the bytes of every token, none of a
special one, which no grammar's text has, and all stop ids. The libraries are the extra `guides`.

`rows` is how many ids the model has logits for, where those are more than the tokenizer has ids:
what is beyond never comes. `stop_ids` are the ids that end an answer, by default the tokenizer's.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from llama3_tok import arguments
from llama3_tok.extras import require
from llama3_tok.lazy import LazyModule
from llama3_tok.shared import given
from llama3_tok.tokenizer import Tokenizer

if TYPE_CHECKING:
    import llguidance as llguidance_
    import outlines_core
    import xgrammar as xgrammar_
else:
    # The functions below have the names of the libraries.
    llguidance_ = LazyModule("llguidance")
    outlines_core = LazyModule("outlines_core")
    xgrammar_ = LazyModule("xgrammar")

__all__ = ["llguidance", "outlines", "xgrammar"]


class _Known(NamedTuple):
    """What all of them want to know."""

    tokens: list[bytes]
    """The bytes of each id; none of special tokens, and of ids that no token has."""
    special: list[int]
    stops: list[int]


def _known(tokenizer: Tokenizer, rows: int | None, stop_ids: Iterable[int] | None) -> _Known:
    size = tokenizer.vocab_size
    if rows is not None:
        rows = arguments.count(rows, "rows", 1)
        if rows < size:
            raise ValueError(f"rows must be at least the tokenizer's ids, {size:,}; it is {rows:,}")
    tokens = tokenizer.tokens()
    tokens += [b""] * ((rows or size) - len(tokens))
    special = []
    for token in tokenizer.added_tokens.values():
        tokens[token.id] = b"" if token.special else token.content.encode()
        if token.special:
            special.append(token.id)
    stops = tokenizer.stop_ids if stop_ids is None else stop_ids
    return _Known(tokens, special, tokenizer.checked_ids(list(stops), "stop_ids"))


def xgrammar(
    tokenizer: Tokenizer | None = None,
    *,
    rows: int | None = None,
    stop_ids: Iterable[int] | None = None,
) -> "xgrammar_.TokenizerInfo":
    """The `TokenizerInfo` of XGrammar, for its `GrammarCompiler`."""
    library = require("xgrammar", "guides")
    known = _known(given(tokenizer), rows, stop_ids)
    return library.TokenizerInfo(
        known.tokens, library.VocabType.RAW, stop_token_ids=known.stops, add_prefix_space=False
    )


def llguidance(
    tokenizer: Tokenizer | None = None,
    *,
    rows: int | None = None,
    stop_ids: Iterable[int] | None = None,
    slices: list[str] | None = None,
) -> "llguidance_.LLTokenizer":
    """The `LLTokenizer` of llguidance, which encodes texts with this tokenizer.

    `slices` is an option of its own.
    """
    library = require("llguidance", "guides")
    tokenizer = given(tokenizer)
    known = _known(tokenizer, rows, stop_ids)
    wrapper = library.TokenizerWrapper(_Encoding(tokenizer, known))
    return library.LLTokenizer(wrapper, eos_token=known.stops, slices=slices)


class _Encoding:
    """A tokenizer as llguidance's `TokenizerWrapper` wants it."""

    def __init__(self, tokenizer: Tokenizer, known: _Known) -> None:
        self.eos_token_id = known.stops[0]
        self.bos_token_id = tokenizer.bos_id
        # It wants all tokens to have bytes: special ones are told apart by their ids.
        names = {token.id: token.content.encode() for token in tokenizer.added_tokens.values()}
        self.tokens = [
            token or names.get(id, f"<|no_token_{id}|>".encode())
            for id, token in enumerate(known.tokens)
        ]
        nameless = (id for id, token in enumerate(known.tokens) if not token and id not in names)
        self.special_token_ids = sorted({*known.special, *nameless})
        self._encode: Callable[[bytes], list[int]] = tokenizer.encode

    def __call__(self, text: bytes) -> list[int]:
        return self._encode(text)


def outlines(
    tokenizer: Tokenizer | None = None,
    *,
    stop_ids: Iterable[int] | None = None,
) -> "outlines_core.Vocabulary":
    """The `Vocabulary` of outlines-core, for its `Index`.

    It knows one id that ends an answer: the first of `stop_ids`.
    """
    library = require("outlines_core", "guides")
    known = _known(given(tokenizer), None, stop_ids)
    ids: dict[bytes, list[int]] = {}
    for id, token in enumerate(known.tokens):
        if token and id not in known.stops:
            ids.setdefault(token, []).append(id)
    return library.Vocabulary(known.stops[0], ids)
