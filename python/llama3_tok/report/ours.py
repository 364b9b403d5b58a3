"""Our own ids, also under the assumptions that explain another's: the experiments' one side."""

import time
from functools import cache, cached_property
from typing import Any

from llama3_tok.errors import ChatFormatError, InvalidTokenId
from llama3_tok.lazy import np, npt
from llama3_tok.profiles import PROFILES, find
from llama3_tok.report.client import Answer, Failure
from llama3_tok.report.items import Item
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Ours"]

# A character of each class for the pattern, which is part of no contraction and no other rule.
CLASSES = {"a letter": "é", "a number": "1", "neither": "!", "white space": "\u3000"}


class Ours:
    """The tokenizer that is being judged."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def dialect(self, kind: str) -> str:
        """The chat format to compare with a reference of this kind."""
        profile = self.tokenizer.profile
        of_release = find(profile).dialect if profile in PROFILES else "hf"
        return "meta" if kind == "meta" else of_release

    @cached_property
    def special(self) -> list[bytes]:
        """The names of the special tokens."""
        return [name.encode() for name in self.tokenizer.special_tokens]

    @cached_property
    def asks_more(self) -> list[bytes]:
        """The names of added tokens that are not just special ones with a name and an id."""
        return [
            name.encode()
            for name, token in self.tokenizer.added_tokens.items()
            if not token.special or token.single_word or token.lstrip or token.rstrip
        ]

    def with_names_alone(self) -> "Ours":
        """The same special tokens without flags, and none of the other added tokens."""
        return _with_names_alone(self.tokenizer)

    def answer(self, item: Item, kind: str) -> Answer:
        """The ids of an item, as a reference of this kind is asked for them."""
        import numpy as np

        started = time.perf_counter()
        try:
            if item.chat is None:
                ids = self.text(item.text, item.special)
            else:
                ids = np.asarray(self.chat(item, kind), dtype=np.uint32)
        except ChatFormatError as error:
            return Answer(None, failure=Failure("error", f"ChatFormatError: {error}"))
        except MemoryError:
            return Answer(None, failure=Failure("memory", "out of memory"))
        return Answer(ids, time.perf_counter() - started)

    def text(self, text: bytes, special: bool) -> "npt.NDArray[np.uint32]":
        """The ids of a text."""
        return self.tokenizer.encode_array(text, allowed_special="all" if special else frozenset())

    def chat(self, item: Item, kind: str) -> list[int]:
        """The ids of a conversation."""
        assert item.chat is not None
        ids: list[int] = self.tokenizer.encode_chat(item.chat.messages, **self._options(item, kind))
        return ids

    def rendered(self, item: Item, kind: str) -> bytes:
        """The text of a conversation."""
        assert item.chat is not None
        return self.tokenizer.render_chat(item.chat.messages, **self._options(item, kind)).encode()

    def _options(self, item: Item, kind: str) -> dict[str, Any]:
        """Those of a conversation; the header of an answer ends each, as for all references."""
        assert item.chat is not None
        own = {"dialect": self.dialect(kind), "add_generation_prompt": True}
        return {**item.chat.options, **own}

    def piece(self, id: int) -> bytes | None:
        """The bytes of a token; None for what is not an id."""
        try:
            return self.tokenizer.token_bytes(id)
        except InvalidTokenId:
            return None

    def with_profile(self, profile: str) -> "Ours":
        """The same ranks with the special tokens of another release."""
        return _with_profile(self.tokenizer, profile)

    def merges_only(self, text: bytes) -> list[int]:
        """The ids without the vocab-first rule: each pretoken is merged, also if it is a token."""
        pretokens = self.tokenizer.pretokens(text)
        return [id for pretoken in pretokens for id in self.tokenizer.merge(pretoken)]

    def class_of(self, character: str) -> str:
        """Which of CLASSES the pattern has a character in: where it is not cut from its like."""
        data = character.encode("utf-8", "replace")
        for name, like in CLASSES.items():
            if len(self.tokenizer.pretokens(like.encode() + data)) == 1:
                return name
        return "white space"

    def with_class(self, text: str, character: str, name: str) -> list[int]:
        """The ids if the pattern had a character in another class."""
        like = text.replace(character, CLASSES[name]).encode("utf-8", "replace").decode()
        ids: list[int] = []
        start = 0
        for pretoken in self.tokenizer.pretokens(like):
            end = start + len(pretoken)
            piece = text[start:end].encode("utf-8", "replace")
            ids += self.tokenizer.merge(piece, vocab_first=True)
            start = end
        return ids


@cache
def _with_profile(tokenizer: Tokenizer, profile: str) -> Ours:
    ranks, name = tokenizer.rank_file(), tokenizer.vocabulary
    return Ours(Tokenizer.from_bytes(ranks, profile=profile, name=name))


@cache
def _with_names_alone(tokenizer: Tokenizer) -> Ours:
    ranks, names, name = tokenizer.rank_file(), tokenizer.special_tokens, tokenizer.vocabulary
    return Ours(Tokenizer.from_bytes(ranks, all_special_tokens=names, name=name))
