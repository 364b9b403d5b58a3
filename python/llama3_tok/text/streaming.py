"""`StreamDecoder`: text from ids as they are generated."""

from operator import index as integer
from typing import SupportsIndex

from llama3_tok import _core, arguments
from llama3_tok.arguments import Ids
from llama3_tok.lazy import np, npt

__all__ = ["StreamDecoder", "begin_after"]

_TAIL = 8
"""Ids of a prompt that are looked at first: nearly always the last three are enough."""


class StreamDecoder:
    """Decodes ids that come one or a few at a time; `Tokenizer.stream_decoder` makes one.

    What `push` and at the end `flush` give, one after the other, is exactly `decode` of all ids
    with `errors="replace"`, however they are divided. A token may end inside a character: only then
    something is held, at most three bytes, and no longer than until they can't become a character.

    A decoder has a state. Each stream needs its own, and two threads must not use one at the same
    time (the core raises RuntimeError if they do).

    >>> decoder = llama3_tok.Tokenizer().stream_decoder()
    >>> [decoder.push(id) for id in llama3_tok.encode("Hi 漢")]
    ['Hi', ' ', '漢']
    >>> decoder.flush()
    ''
    """

    __slots__ = ("_core",)

    def __init__(self, core: _core.StreamDecoder) -> None:
        self._core = core

    def push(self, ids: "SupportsIndex | Ids") -> str:
        """The text that one id, or several, complete.

        `ids` is an integer or what `Tokenizer.decode` takes. Raises InvalidTokenId, its position
        counted from the beginning of the stream, and TypeError for what are not integers; then the
        decoder is as it was before.
        """
        if type(ids) is int:
            return self._core.push([ids])
        try:
            one = integer(ids)  # type: ignore[arg-type] # several ids raise
        except TypeError:
            return self._core.push(arguments.ids(ids, "ids"))
        if isinstance(ids, bool):
            raise TypeError("ids must be integers, not bool")
        return self._core.push([one])

    @property
    def is_inside_character(self) -> bool:
        """Whether the ids end inside a character, so that something is held."""
        return bool(self._core.held)

    def flush(self) -> str:
        """What is left: U+FFFD if a character was begun, else nothing. A new stream begins then."""
        return self._core.flush()

    def __copy__(self) -> "StreamDecoder":
        """Refused: two decoders would share one state."""
        raise TypeError("a StreamDecoder has a state and can't be copied; make one for each stream")

    def __repr__(self) -> str:
        """For people."""
        return f"StreamDecoder({self._core.count:,} ids, {len(self._core.held)} bytes held)"


def begin_after(
    decoder: _core.StreamDecoder, ids: "list[int] | npt.NDArray[np.uint32 | np.int32 | np.int64]"
) -> None:
    """Lets a decoder begin after other ids, of which only the last ones are looked at.

    Those of skipped special tokens have no bytes, so there may have to be more.
    """
    count = _TAIL
    while len(ids):
        before = max(0, len(ids) - count)
        if decoder.begin_after(ids[before:], before):
            return
        count *= 2
