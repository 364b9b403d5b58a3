"""`PrefixCache`: the ids of texts that begin as others did."""

from collections.abc import Iterable
from typing import NamedTuple, Unpack

from llama3_tok import _core, arguments
from llama3_tok.arguments import Text, TextOptions
from llama3_tok.chat import conversations
from llama3_tok.chat.messages import ChatOptions, Message
from llama3_tok.lazy import np, npt
from llama3_tok.shared import given
from llama3_tok.tokenizer import Tokenizer

__all__ = ["PrefixCache", "PrefixInfo"]


class PrefixInfo(NamedTuple):
    """What a `PrefixCache` holds and did.

    `blocks` are pieces of texts, in `bytes` bytes of memory of at most `max_bytes`. Of the `texts`
    that were encoded, with `all_bytes` bytes, `known_bytes` were known.
    """

    blocks: int
    bytes: int
    max_bytes: int
    texts: int
    known_bytes: int
    all_bytes: int

    @property
    def hit_rate(self) -> float:
        """The part of the bytes that was known; 0 without any."""
        return self.known_bytes / self.all_bytes if self.all_bytes else 0.0


class PrefixCache:
    """Encodes texts and conversations, and remembers them: of the next one only what is new.

    For prompts that grow, as conversations and the histories of agents do, and for those that have
    a long beginning in common. The ids are always those of `Tokenizer.encode` and `encode_chat`:
    texts are remembered in pieces that end where the ids of both sides do not depend on each
    other, whatever follows, and a piece is found by all of its bytes.

    `max_bytes` bounds its memory; when it is full, what was not used for the longest time is
    forgotten. It takes about twice as many bytes as the texts have, those with a beginning in
    common counted once. `options` are those of `Tokenizer.encode`, for all texts. Threads may
    share it.

    >>> from llama3_tok.serving import PrefixCache
    >>> cache = PrefixCache()
    >>> history = "A long history. " * 1000
    >>> len(cache.encode(history)), len(cache.encode(history + "And something new."))
    (4001, 4004)
    >>> round(cache.info().hit_rate, 1)
    0.4
    """

    __slots__ = ("_core", "_max_bytes", "_tokenizer")

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        *,
        max_bytes: int = 256 << 20,
        **options: Unpack[TextOptions],
    ) -> None:
        self._tokenizer = given(tokenizer)
        self._max_bytes = arguments.count(max_bytes, "max_bytes", 0)
        chosen = arguments.chosen(options, "PrefixCache", "max_bytes")
        self._core = _core.PrefixCache(self._tokenizer.definition.core, chosen, self._max_bytes)

    def encode(self, text: Text) -> list[int]:
        """The ids of a text; raises as `Tokenizer.encode`."""
        return self._core.encode(text)

    def encode_array(self, text: Text) -> "npt.NDArray[np.uint32]":
        """The same as `uint32[n]`."""
        arguments.load_numpy()
        return self._core.encode_array(text)

    def encode_chat(self, messages: Iterable[Message], **options: Unpack[ChatOptions]) -> list[int]:
        """The ids of a conversation; options and errors are those of `Tokenizer.encode_chat`."""
        return _core.listed(self._chat(messages, options, "encode_chat"))

    def encode_chat_array(
        self, messages: Iterable[Message], **options: Unpack[ChatOptions]
    ) -> "npt.NDArray[np.uint32]":
        """The same as `uint32[n]`.

        Where a chat template has to be run for a folder, its output is encoded as by the tokenizer,
        with nothing remembered: running it takes longer than that.
        """
        return self._chat(messages, options, "encode_chat_array")

    def _chat(
        self, messages: Iterable[Message], options: ChatOptions, call: str
    ) -> "npt.NDArray[np.uint32]":
        arguments.load_numpy()
        definition = self._tokenizer.definition
        chat = conversations.by_core(definition, messages, options, call)
        if chat is None:
            return self._tokenizer.encode_chat_array(messages, **options)
        return self._core.encode_chat_array(definition.core, chat)

    def info(self) -> PrefixInfo:
        """What it holds and did."""
        blocks, bytes_, *done = self._core.info()
        return PrefixInfo(blocks, bytes_, self._max_bytes, *done)

    def clear(self) -> None:
        """Forgets all texts."""
        self._core.clear()

    def __repr__(self) -> str:
        """For people."""
        info = self.info()
        return f"PrefixCache({info.blocks:,} blocks, {info.bytes:,} of {info.max_bytes:,} bytes)"
