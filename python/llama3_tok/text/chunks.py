"""A text in chunks that fit, `Tokenizer.split`; and `TokenIndex`, the tokens of any part of it."""

import sys
from collections.abc import Iterator
from typing import Any, Generic, Literal, NamedTuple, TypeAlias

from llama3_tok import _core, arguments
from llama3_tok.arguments import AnyText, Text
from llama3_tok.definition import Definition

__all__ = ["At", "Chunk", "TokenIndex", "split"]

At: TypeAlias = Literal["paragraph", "sentence", "line", "word", "token"]
_PLACES = ("paragraph", "line", "sentence", "word", "token")


class Chunk(NamedTuple, Generic[AnyText]):
    """A part of a text, where it is, and how many tokens it has by itself.

    `start` and `end` count in what the text is: the chunk is `text[start:end]`. `byte_start` and
    `byte_end` count bytes of its UTF-8; of `bytes` they are the same.
    """

    text: AnyText
    start: int
    end: int
    byte_start: int
    byte_end: int
    tokens: int


def split(
    definition: Definition,
    text: Text,
    max_tokens: int,
    overlap: int,
    at: At,
    options: _core.Options | None,
) -> Iterator[Chunk[Any]]:
    """`Tokenizer.split`, which has the description."""
    arguments.choice(at, "at", _PLACES)
    if overlap >= max_tokens:
        raise ValueError(f"overlap must be less than max_tokens, {max_tokens:,}; it is {overlap:,}")
    # No text has more tokens than bytes.
    max_tokens, overlap = (min(number, sys.maxsize) for number in (max_tokens, overlap))
    found = _core.Splitter(definition.core, text, max_tokens, overlap, at, options)
    return _chunks(text, found)


def _chunks(text: Text, found: _core.Splitter) -> Iterator[Chunk[Any]]:
    for byte_start, byte_end, start, end, tokens in found:
        if isinstance(text, bytes):
            start, end = byte_start, byte_end
        yield Chunk(text[start:end], start, end, byte_start, byte_end, tokens)


class TokenIndex:
    """How many tokens any part of a text has; `Tokenizer.token_index` makes one.

    The text is encoded once. After that `count(start, end)` is `Tokenizer.count(text[start:end])`,
    in time that grows with the logarithm of the text's length and encodes no more than some hundred
    bytes at either end, unless there is a longer stretch there that can't be cut, as a hundred
    spaces. It may be shared between threads.

    >>> index = llama3_tok.Tokenizer().token_index("Hello world, how are you?")
    >>> index.count(), index.count(0, 11), index.count(13)
    (7, 2, 4)
    """

    __slots__ = ("_core", "_definition", "_text")

    def __init__(self, definition: Definition, text: Text) -> None:
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be str or bytes, not {type(text).__name__}")
        self._definition, self._text = definition, text
        # Where names of tokens are found in any text, or half a character may be cut off, a part
        # has to be looked at as it is.
        names = any(not token.special for token in definition.added_tokens.values())
        is_plain = not names and not (isinstance(text, str) and _has_surrogates(text))
        self._core = _core.TokenIndex(definition.core, text) if is_plain else None

    def count(self, start: int = 0, end: int | None = None) -> int:
        """The number of tokens of `text[start:end]`; negative numbers count from the end."""
        begin, stop, _ = slice(start, end).indices(len(self._text))
        if begin >= stop:
            return 0
        if self._core is None:
            return self._definition.core.count(self._text[begin:stop])
        return self._core.count(begin, stop, isinstance(self._text, str))

    def __len__(self) -> int:
        """How many characters the text has, or bytes."""
        return len(self._text)

    def __repr__(self) -> str:
        """For people."""
        return f"TokenIndex({len(self._text):,}, {self.count():,} tokens)"


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
