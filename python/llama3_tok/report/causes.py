"""Why two rows of tokens are cut differently, cut by cut.

A place is a stretch of text at whose ends both rows have a boundary and inside which none is
common. So every boundary inside it is in one row alone, and makes one token more in that row: the
causes of the cuts account for the whole difference in tokens.

Each cause is shown at its cut by what is in the two vocabularies, or by encoding the place again
without the rule that is blamed. Inside a place each tokenizer works as on the place's bytes alone,
since no merge crosses its ends.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from llama3_tok.report.llama2 import Llama2
from llama3_tok.tokenizer import Tokenizer

__all__ = ["MEANINGS", "Cut", "Explainer"]

PREFIX = "dummy prefix"
DIGITS = "digits"
FALLBACK = "byte fallback"
SPACES = "white space"
VOCAB_FIRST = "vocab-first"
PATTERN = "pattern"
VOCABULARY = "vocabulary"
ORDER = "merge order"

MEANINGS = {
    PREFIX: "Llama 2 puts a space before the text; without it this cut would be as Llama 3's",
    DIGITS: "Llama 2 has no piece with two of these digits side by side; Llama 3 has up to three",
    FALLBACK: "the character is none of Llama 2's pieces, so it is written as its bytes",
    SPACES: "the cut is inside a run of white space, which each divides by its own rule",
    VOCAB_FIRST: "Llama 3 takes a pretoken that is a token whole; merging alone would cut here",
    PATTERN: "Llama 3's pattern cuts here, and merging alone would not; Llama 2 has no pattern",
    VOCABULARY: "one vocabulary has a token over this place that the other does not have",
    ORDER: "both have the token over this place, but only one's order of merges reaches it",
}
"""What each cause means, the most particular first: that one is a cut's main cause."""


class Cut(NamedTuple):
    """A boundary that one row alone has."""

    at: int
    """Bytes from the beginning of the place; 0 for a token without bytes of its own."""
    extra: str
    """The row that has it: "llama2" or "llama3"."""
    causes: tuple[str, ...]
    """All that were shown, the main one first."""


class Explainer:
    """Explains places; what it knows of one is kept for the next that is the same."""

    MAX_KNOWN = 200_000
    """Places that are remembered."""
    LONG = 256
    """Bytes above which a place is not remembered."""

    def __init__(self, llama3: Tokenizer, llama2: Llama2, tokens: Sequence[bytes]) -> None:
        self._llama3, self._llama2, self._tokens = llama3, llama2, tokens
        self._vocabulary = frozenset(tokens)
        self._known: dict[tuple[object, ...], tuple[Cut, ...]] = {}

    def explain(
        self,
        text: bytes,
        llama3: Sequence[int],
        llama2: Sequence[int],
        ends: Sequence[int],
        pretokens: Sequence[int],
        *,
        begins: bool,
    ) -> tuple[Cut, ...]:
        """The cuts of a place whose bytes are `text`, in the order of the text.

        `llama3` and `llama2` are the ids in it, `ends` where those of Llama 2 end and `pretokens`
        where pretokens end inside it, from its beginning. `begins` says that the place is the first
        of its text, where Llama 2 has its dummy prefix.
        """
        key = (text, tuple(llama3), tuple(llama2), tuple(pretokens), begins)
        cuts = self._known.get(key)
        if cuts is None:
            cuts = tuple(_Place(self, text, key[1], key[2], ends, pretokens, begins).cuts())
            if len(text) <= self.LONG:
                if len(self._known) >= self.MAX_KNOWN:
                    self._known.clear()
                self._known[key] = cuts
        return cuts

    def merged(self, data: bytes) -> set[int]:
        """Where merging alone cuts some bytes: no pattern, and no token found whole."""
        ids = self._llama3.merge(data)
        return set(_ends([len(self._tokens[id]) for id in ids]))


class _Place:
    """One place: which of the causes hold at each of its cuts."""

    def __init__(
        self,
        explainer: Explainer,
        text: bytes,
        llama3: Sequence[int],
        llama2: Sequence[int],
        ends: Sequence[int],
        pretokens: Sequence[int],
        begins: bool,
    ) -> None:
        self._explainer, self._llama2 = explainer, explainer._llama2
        self._text, self._begins, self._pretokens = text, begins, set(pretokens)
        self._ids2, self._ends2 = llama2, list(ends)
        self._ends3 = _ends([len(explainer._tokens[id]) for id in llama3])
        self._merged: set[int] | None = None
        self._unprefixed: set[int] | None = None

    def cuts(self) -> list[Cut]:
        found = []
        ends3, size = set(self._ends3), len(self._text)
        for index, end in enumerate(self._ends2):
            start = self._ends2[index - 1] if index else 0
            if start == end:  # a token without bytes: the prefix, or the rest of a byte fallback
                first = self._begins and index == 0
                found.append(Cut(end, "llama2", (PREFIX if first else FALLBACK,)))
            elif end < size and end not in ends3:
                found.append(Cut(end, "llama2", self._why_llama2(end)))
        ends2 = set(self._ends2)
        for end in self._ends3:
            if end < size and end not in ends2:
                found.append(Cut(end, "llama3", self._why_llama3(end)))
        return sorted(found)

    def _why_llama2(self, at: int) -> tuple[str, ...]:
        """Why Llama 2 cuts where Llama 3 has a token."""
        start, end = _around(self._ends3, at)
        token = self._text[start:end]
        known = self._llama2.knows(token, prefixed=self._begins and start == 0)
        left, right = self._characters(at)
        is_known_apart = not self._llama2.may_join(left, right)
        return self._that_hold(
            {
                PREFIX: lambda: self._begins and at not in self._without_prefix(),
                DIGITS: lambda: left.isnumeric() and right.isnumeric() and is_known_apart,
                FALLBACK: lambda: self._beside_byte(at),
                SPACES: lambda: left.isspace() and right.isspace(),
                VOCAB_FIRST: lambda: at - start in self._explainer.merged(token),
                VOCABULARY: lambda: not known,
                ORDER: lambda: known,
            }
        )

    def _why_llama3(self, at: int) -> tuple[str, ...]:
        """Why Llama 3 cuts where Llama 2 has a token."""
        start, end = _around(self._ends2, at)
        known = self._text[start:end] in self._explainer._vocabulary
        left, right = self._characters(at)
        by_pattern = at in self._pretokens and at not in self._unpatterned()
        return self._that_hold(
            {
                PREFIX: lambda: self._begins and at in self._without_prefix(),
                SPACES: lambda: left.isspace() and right.isspace(),
                PATTERN: lambda: by_pattern,
                VOCABULARY: lambda: not known,
                ORDER: lambda: known and not by_pattern,
            }
        )

    @staticmethod
    def _that_hold(claims: dict[str, Callable[[], bool]]) -> tuple[str, ...]:
        return tuple(cause for cause in MEANINGS if cause in claims and claims[cause]())

    def _characters(self, at: int) -> tuple[str, str]:
        """The characters before and after a byte; a part of one is surrogates."""
        left = self._text[max(at - 4, 0) : at].decode("utf-8", "surrogateescape")[-1:]
        return left, self._text[at : at + 4].decode("utf-8", "surrogateescape")[:1]

    def _beside_byte(self, at: int) -> bool:
        index = bisect_left(self._ends2, at)
        return any(map(self._llama2.is_byte, self._ids2[index : index + 2]))

    def _unpatterned(self) -> set[int]:
        if self._merged is None:
            self._merged = self._explainer.merged(self._text)
        return self._merged

    def _without_prefix(self) -> set[int]:
        if self._unprefixed is None:
            row = self._llama2.row([self._text], continued=True)
            self._unprefixed = set(row.ends.tolist())
        return self._unprefixed


def _ends(lengths: Sequence[int]) -> list[int]:
    return list(accumulate(lengths))


def _around(ends: Sequence[int], at: int) -> tuple[int, int]:
    """The token of a row inside which a byte is."""
    index = bisect_right(ends, at)
    return (ends[index - 1] if index else 0), ends[index]
