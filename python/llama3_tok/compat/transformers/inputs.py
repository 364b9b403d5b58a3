"""`Input`: the ids of one input of a call and, once they are asked for, their places in its text.

Most callers want ids alone, so a text is read for its places only when somebody asks for them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llama3_tok import arguments
from llama3_tok.errors import InternalError
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Input", "Reader"]


class Reading(NamedTuple):
    """What is known of each token of an input."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    words: list[int]


class Reader:
    """Reads texts for the places of their tokens, as the tokenizer was when it was called.

    `has_special` says whether special tokens count in a text. `written` gives the tokens by id, as
    `tokenizer.json` writes them.
    """

    __slots__ = ("_has_special", "_llama3", "_written")

    def __init__(
        self, llama3: Tokenizer, has_special: bool, written: Callable[[], list[str]]
    ) -> None:
        self._llama3, self._has_special, self._written = llama3, has_special, written

    def read(self, texts: Sequence[str], are_words: bool) -> Reading:
        """The tokens of a text, or of the words that make up one.

        Places are in characters: of the text, or of the word if words were given. A character that
        is split over several tokens gives its place to each of them. Words are numbered: those that
        were given, or the pieces that the pattern and the added tokens cut a text into.
        """
        reading = Reading([], [], [], [])
        for index, text in enumerate(texts):
            self._read(text, reading, index if are_words else None)
        return reading

    def _read(self, text: str, into: Reading, word: int | None) -> None:
        """Adds the tokens of one text, all of one word if that is given."""
        allowed = "all" if self._has_special else ()
        encoding = self._llama3.encode_with_offsets(text, allowed_special=allowed)
        ids, written = encoding.ids.tolist(), self._written()
        tokens = [written[id] for id in ids]
        spans = list(map(tuple, encoding.char_spans.tolist()))
        places = self._llama3.added_spans(text, allowed_special=allowed)
        data, starts = arguments.utf8(text, "text"), encoding.byte_spans[:, 0]
        words: list[int] = []
        at = count = 0
        for start, end, id in [*places, (len(data), len(data), None)]:
            if at < start:
                ends = self._llama3.pretoken_ends(data[at:start])
                last = len(ids) if start == len(data) else int(np.searchsorted(starts, start))
                words.extend(_numbered(starts[len(words) : last] - at, ends, count))
                count += len(ends)
            if id is not None:
                # With the white space that it took.
                tokens[len(words)] = data[start:end].decode("utf-8", "replace")
                words.append(count)
                count += 1
            at = end
        into.ids.extend(ids)
        into.tokens.extend(tokens)
        into.offsets.extend(spans)
        into.words.extend(words if word is None else [word] * len(ids))


class Input:
    """One input: its ids, and the texts that they are of, unless it was given as ids.

    The ids may be left out: then they are read with all else.
    """

    __slots__ = ("_ids", "_reader", "_reading", "_texts", "are_words")

    def __init__(
        self,
        ids: list[int] | None,
        texts: Sequence[str] | None,
        are_words: bool,
        reader: Reader | None,
    ) -> None:
        self._ids, self._texts, self._reader = ids, texts, reader
        self._reading: Reading | None = None
        self.are_words = are_words

    @property
    def has_text(self) -> bool:
        """Whether places in a text are known."""
        return self._texts is not None

    @property
    def ids(self) -> list[int]:
        """Its ids, without any around them."""
        return self.reading.ids if self._ids is None else self._ids

    @property
    def reading(self) -> Reading:
        """What is known of each token.

        Raises ValueError of ids that were given without a text.
        """
        if self._reading is None:
            if self._texts is None or self._reader is None:
                raise ValueError(
                    "this input was given as ids or tokens, and places are known in texts only"
                )
            self._reading = self._reader.read(self._texts, self.are_words)
            if self._ids is not None and self._ids != self._reading.ids:
                raise InternalError("a text that was read for places has other ids than before")
        return self._reading

    def __getstate__(self) -> dict[str, Any]:
        """Without the tokenizer, which is large, and so with all that it would be asked for."""
        return {"ids": self.ids, "reading": self.reading, "are_words": self.are_words}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As `__getstate__` gave it."""
        self._ids, self._reading = state["ids"], state["reading"]
        self._texts, self._reader, self.are_words = (), None, state["are_words"]


# So many numbers NumPy needs to be the faster one (2026-11-29).
_FEW = 64


def _numbered(
    starts: "npt.NDArray[np.int64]", ends: "npt.NDArray[np.int64]", first: int
) -> list[int]:
    """The number of the pretoken that each token is in; `first` is that of the first one."""
    if len(starts) > _FEW:
        within: list[int] = (np.searchsorted(ends, starts, side="right") + first).tolist()
        return within
    numbers, last = [], ends.tolist()
    number = 0
    for start in starts.tolist():
        while last[number] <= start:
            number += 1
        numbers.append(first + number)
    return numbers
