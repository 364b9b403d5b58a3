"""What a person is shown of a difference: the place, and the tokens of both sides about it."""

from typing import NamedTuple, TypeAlias

from llama3_tok.lazy import np, npt
from llama3_tok.page.rows import Token, TokenRow
from llama3_tok.report.ours import Ours
from llama3_tok.report.outcome import OURS

Array: TypeAlias = "npt.NDArray[np.uint32]"

__all__ = ["Place", "Shower"]

_Span = tuple[int, int, int]
"""Begin, end and id of a token."""

# Of a long text only this much is shown: tokens before the divergence, and from there on.
_BEFORE, _BEHIND = 4, 12
_WHOLE = 40


class Place(NamedTuple):
    """Where two rows of ids part."""

    token: int
    byte: int


class Shower:
    """Makes rows of ids. It knows how long tokens are."""

    def __init__(self, ours: Ours) -> None:
        import numpy as np

        names = ours.tokenizer.added_tokens
        lengths = [len(token) for token in ours.tokenizer.tokens()]
        lengths += [0] * (ours.tokenizer.vocab_size - len(lengths))
        for name, token in names.items():
            lengths[token.id] = len(name.encode())
        self._lengths = np.array([*lengths, 0], dtype=np.int64)
        self._ours = ours
        self._special = frozenset(token.id for token in names.values())

    def ends(self, ids: "Array") -> "npt.NDArray[np.int64]":
        """Where each token ends, in bytes of what the ids decode to; an unknown id has none."""
        import numpy as np

        known = np.minimum(ids, len(self._lengths) - 1)
        return np.cumsum(self._lengths[known])

    def place(self, ours: "Array", theirs: "Array") -> Place:
        """Where they part; after the shorter one if that is the beginning of the other."""
        import numpy as np

        length = min(len(ours), len(theirs))
        differing = np.flatnonzero(ours[:length] != theirs[:length])
        token = int(differing[0]) if differing.size else length
        return Place(token, int(self.ends(ours[:token])[-1]) if token else 0)

    def rows(
        self, text: bytes, ours: "Array", theirs: "Array", label: str
    ) -> tuple[bytes, list[TokenRow]]:
        """The text about the divergence, and both sides' tokens of it."""
        token, byte = self.place(ours, theirs)
        whole = max(len(ours), len(theirs)) <= _WHOLE
        first = 0 if whole else max(0, token - _BEFORE)
        # Up to the divergence both have the same tokens.
        start = int(self.ends(ours[:first])[-1]) if first else 0
        count = _WHOLE if whole else _BEFORE + _BEHIND
        room = len(text) - start
        left, right = (self._tokens(ids[first : first + count], room) for ids in (ours, theirs))
        if not whole:
            left, right = _to_a_common_end(left, right, byte - start)
        both = set(left) & set(right)
        rows = [
            TokenRow(name, [self._token(span, span in both) for span in spans])
            for name, spans in ((OURS, left), (label, right))
        ]
        end = max((end for _, end, _ in [*left, *right]), default=0)
        return text[start : start + end], rows

    def _tokens(self, ids: "Array", room: int) -> list[_Span]:
        """Begin, end and id of each token."""
        spans, start = [], 0
        for id, end in zip(ids.tolist(), self.ends(ids).tolist(), strict=True):
            # What decodes to something longer than the text, as U+FFFD for one byte, ends with it.
            spans.append((min(start, room), min(end, room), id))
            start = end
        return spans

    def _token(self, span: _Span, is_common: bool) -> Token:
        piece = self._ours.piece(span[2])
        shown = "no id of this vocabulary" if piece is None else _text(piece)
        kinds = ["special"] * (span[2] in self._special) + ["differs"] * (not is_common)
        return Token(*span, shown, " ".join(kinds))


def _to_a_common_end(
    left: list[_Span], right: list[_Span], divergence: int
) -> tuple[list[_Span], list[_Span]]:
    """Two rows less what is after the last place where both have a boundary."""
    last = max({end for _, end, _ in left} & {end for _, end, _ in right}, default=0)
    if last <= divergence:  # they never meet again
        return left, right
    return [one for one in left if one[1] <= last], [one for one in right if one[1] <= last]


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "backslashreplace")
