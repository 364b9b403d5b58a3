"""Which ids of a text are settled, and how its end may go on: `encode_with_unstable`.

Text that is still being written ends anywhere, and what follows may change its last ids: `fant` is
one token, and so is `fantasy`. So the last pretoken, and white space before it that could join it,
is taken off as *unstable bytes*. How they may go on is found by trying: each token that has its
beginning at one of the unstable bytes, or before the first, and covers all after it, is put there
and the whole is encoded. The definition is tiktoken's, whose results these are.
"""

from bisect import bisect_left
from collections.abc import Iterator

from llama3_tok.tokenizer import Tokenizer

# What the pattern's white space alternatives may move between pretokens.
_SPACE = b" \n\t"


class Completions:
    """The tokens in their order, to find those with a certain beginning."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens = tokenizer.tokens()
        self._order = sorted(range(len(self._tokens)), key=self._tokens.__getitem__)
        self._sorted = [self._tokens[id] for id in self._order]
        self._longest = max(map(len, self._tokens))

    def sorted_tokens(self) -> list[bytes]:
        """The tokens' bytes, sorted."""
        return list(self._sorted)

    def settled(self, ids: list[int]) -> tuple[list[int], bytes]:
        """The stable ones of a text's ids, and the bytes of the others."""
        settled = len(ids) - self._unsettled(ids)
        return ids[:settled], b"".join(self._tokens[id] for id in ids[settled:])

    def split(self, ids: list[int]) -> tuple[list[int], list[list[int]]]:
        """The stable ones of a text's ids, and the ids that may come instead of the others."""
        settled, rest = self.settled(ids)
        if not rest:
            return ids, []
        found: set[tuple[int, ...]] = {(id,) for id in self._beginning(rest)}
        found.update(self._straddling(rest))
        if broken := self._broken_space(rest):
            found.add(broken)
        return settled, sorted(map(list, found))

    def _unsettled(self, ids: list[int]) -> int:
        """How many of the last ids more text may change."""
        first = len(ids)
        while first and ids[first - 1] < len(self._tokens):
            first -= 1
        text = b"".join(self._tokens[id] for id in ids[first:])
        ends = self._tokenizer.pretoken_ends(text)
        last = int(ends[-2]) if len(ends) > 1 else 0
        at, length = len(ids), len(text) - last
        while length > 0:
            at -= 1
            length -= len(self._tokens[ids[at]])
        # A run of white space is cut otherwise if more of it follows.
        if at < len(ids) and self._is_space(ids[at]):
            while at and self._is_space(ids[at - 1]):
                at -= 1
        return len(ids) - at

    def _is_space(self, id: int) -> bool:
        return id < len(self._tokens) and not self._tokens[id].strip(_SPACE)

    def _beginning(self, bytes: bytes) -> Iterator[int]:
        """The tokens that begin with these bytes."""
        for at in range(bisect_left(self._sorted, bytes), len(self._sorted)):
            if not self._sorted[at].startswith(bytes):
                return
            yield self._order[at]

    def _straddling(self, rest: bytes) -> Iterator[tuple[int, ...]]:
        """What a token that begins inside the rest, and covers its end, makes of the whole."""
        texts: list[str | bytes] = []
        others: list[bytes] = []
        for at in range(max(1, len(rest) - self._longest), len(rest)):
            for id in self._beginning(rest[at:]):
                whole = rest[:at] + self._tokens[id]
                (texts if _is_text(whole) else others).append(whole)
        encoded = self._tokenizer.encode_batch(texts, threads=1)
        for ids in [*encoded, *map(self._tokenizer.merge, others)]:
            yield self._up_to(ids, len(rest))

    def _up_to(self, ids: list[int], length: int) -> tuple[int, ...]:
        """The first ids, as many as have `length` bytes."""
        for count, id in enumerate(ids, 1):
            length -= len(self._tokens[id])
            if length <= 0:
                return tuple(ids[:count])
        return tuple(ids)

    def _broken_space(self, rest: bytes) -> tuple[int, ...]:
        """What the rest is if its last character is white space and text follows.

        The pattern then leaves that character to the next pretoken.
        """
        text = rest.decode("utf-8", "replace")
        last = text[-1]
        before = rest[: -len(last.encode())]
        if not before or not last.isspace() or last in "\x1c\x1d\x1e\x1f":
            return ()
        behind = rest[len(before) :]
        return (*self._tokenizer.merge(before), *self._tokenizer.merge(behind))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
