"""`FastEncoding`: what callers of a fast tokenizer find in `BatchEncoding.encodings`.

It has the attributes and methods of `tokenizers.Encoding` by which one asks where a token stands,
with the same values. Each is made when it is asked for.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import chain
from operator import index as integer
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, overload

from llama3_tok.compat.transformers.inputs import Input
from llama3_tok.compat.transformers.truncation import Window
from llama3_tok.folder import Around

__all__ = ["Encodings", "FastEncoding", "Frame"]

_T = TypeVar("_T")

_end = itemgetter(1)


class Frame:
    """What is put around each text of a call, and padding.

    `around` are ids before and after a text, `pair` those before and after each of two. `length` is
    what rows are padded to, known when all rows are, and 0 if they are not. `name` gives the token
    of an id.
    """

    __slots__ = ("around", "length", "name", "pad_id", "pad_type_id", "pads_left", "pair")

    def __init__(self, around: Around, name: Callable[[int], str]) -> None:
        self.around, self.pair, self.name = (around.before, around.after), around.pair, name
        self.length = self.pad_id = self.pad_type_id = 0
        self.pads_left = False

    def __getstate__(self) -> dict[str, Any]:
        """Without the tokenizer, by which `name` gives tokens."""
        used = (*chain(*self.around, *self.pair), self.pad_id)
        names = {id: self.name(id) for id in used}
        return {one: getattr(self, one) for one in self.__slots__} | {"name": names.__getitem__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As `__getstate__` gave it."""
        for name, value in state.items():
            setattr(self, name, value)

    def sides(self, count: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """What is before and after each of so many texts, one or two."""
        if count == 1:
            return [self.around]
        first, after, second, last = self.pair
        return [(first, after), (second, last)]

    def count(self, texts: int) -> int:
        """How many ids are around one text, or two."""
        return sum(map(len, self.around if texts == 1 else self.pair))


class Part(NamedTuple):
    """The window of an input that a row has, and those that overflow from it."""

    input: Input
    window: Window
    overflow: Sequence[Window] = ()

    @property
    def length(self) -> int:
        """How many tokens the window has."""
        return self.window[1] - self.window[0]

    def at(self, window: Window) -> "Part":
        """Another window of the same input, from which nothing overflows."""
        return Part(self.input, window)


class FastEncoding:
    """The tokens of one row of a batch: of a text or a pair, with what is around them.

    >>> from llama3_tok.compat.transformers import Llama3Tokenizer
    >>> encoding = Llama3Tokenizer()("Hello world")[0]
    >>> encoding.tokens, encoding.offsets
    (['<|begin_of_text|>', 'Hello', 'Ġworld'], [(0, 0), (0, 5), (5, 11)])
    """

    __slots__ = ("_frame", "_parts")

    def __init__(self, parts: tuple[Part, ...], frame: Frame) -> None:
        self._parts, self._frame = parts, frame

    def __repr__(self) -> str:
        """For people."""
        return f"FastEncoding({len(self):,} tokens of {self.n_sequences} texts)"

    def __len__(self) -> int:
        """How many tokens there are, padding included."""
        return max(self._frame.length, self.unpadded)

    @property
    def unpadded(self) -> int:
        """How many tokens there are without padding."""
        inside = sum(stop - start for _, (start, stop), _ in self._parts)
        return inside + self._frame.count(len(self._parts))

    # What each token is

    @property
    def ids(self) -> list[int]:
        """The ids."""
        return self._laid(lambda part: part.input.ids, lambda id: id, self._frame.pad_id)

    @property
    def tokens(self) -> list[str]:
        """The tokens as `tokenizer.json` writes them; added ones as the text has them."""
        name = self._frame.name
        pad = name(self._frame.pad_id)
        return self._laid(lambda part: part.input.reading.tokens, name, pad)

    @property
    def type_ids(self) -> list[int]:
        """0 for the tokens of the first text and around it, 1 for those of the second."""
        column: list[int] = []
        for place, (part, (before, after)) in enumerate(self._sides()):
            column += [place] * (len(before) + part.length + len(after))
        return self._padded(column, self._frame.pad_type_id)

    @property
    def attention_mask(self) -> list[int]:
        """1 for each token, 0 for padding."""
        return self._padded([1] * self.unpadded, 0)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for padding and what was put around a text, 0 for what is in it, special or not."""
        column: list[int] = []
        for part, (before, after) in self._sides():
            column += [*[1] * len(before), *[0] * part.length, *[1] * len(after)]
        return self._padded(column, 1)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Where each token stands in its text, or in its word, in characters; (0, 0) in none."""
        return self._laid(lambda part: part.input.reading.offsets, lambda _: (0, 0), (0, 0))

    @property
    def word_ids(self) -> list[int | None]:
        """The number of the word of each token; None for what is in no text."""
        return self._laid(lambda part: part.input.reading.words, lambda _: None, None)

    @property
    def sequence_ids(self) -> list[int | None]:
        """0 for the tokens of the first text, 1 for those of the second, None for others."""
        ids: list[int | None] = [None] * len(self)
        for place, (start, stop) in enumerate(self._ranges()):
            ids[start:stop] = [place] * (stop - start)
        return ids

    @property
    def n_sequences(self) -> int:
        """1, or 2 for a pair."""
        return len(self._parts)

    @property
    def overflowing(self) -> list["FastEncoding"]:
        """The rows that truncation cut off, in the order of the library tokenizers.

        Of a pair, each window of one text stands with each of the other.
        """
        if len(self._parts) == 1:
            (part,) = self._parts
            return [FastEncoding((part.at(window),), self._frame) for window in part.overflow]
        first, second = self._parts
        rows = []
        for window in first.overflow:
            row = FastEncoding((first.at(window), second), self._frame)
            rows += [row, *row.overflowing]
        rows += [
            FastEncoding((first, second.at(window)), self._frame) for window in second.overflow
        ]
        return rows

    # From characters and words to tokens and back

    def token_to_sequence(self, token_index: int) -> int | None:
        """The text that a token is of, 0 or 1; None if it is in none."""
        token = _natural(token_index)
        for place, (start, stop) in enumerate(self._ranges()):
            if start <= token < stop:
                return place
        return None

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None:
        """Where a token stands in its text; None if it is in none."""
        found = self._in_part(token_index)
        return None if found is None else found[0].input.reading.offsets[found[1]]

    def token_to_word(self, token_index: int) -> int | None:
        """The number of a token's word; None if it is in no text."""
        found = self._in_part(token_index)
        return None if found is None else found[0].input.reading.words[found[1]]

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """The first token of a word and the one after its last; None without such a word."""
        word, place = _natural(word_index), _natural(sequence_index)
        if place >= len(self._parts):  # then the library tokenizers look in the whole row
            words = self.word_ids
            until = next((i for i, one in enumerate(words) if (one or 0) > word), len(words))
            found = [i for i in range(until) if words[i] == word]
            return (found[0], found[-1] + 1) if found else None
        part, (begin, _) = self._parts[place], self._ranges()[place]
        start, stop = part.window
        words_of_text = part.input.reading.words
        low = bisect_left(words_of_text, word, start, stop)
        high = bisect_right(words_of_text, word, start, stop)
        return (begin + low - start, begin + high - start) if low < high else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """Where a word stands in its text; None without such a word."""
        tokens = self.word_to_tokens(word_index, sequence_index)
        if tokens is None:
            return None
        offsets = self.offsets
        return offsets[tokens[0]][0], offsets[tokens[1] - 1][1]

    def char_to_token(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """The first token that has a character of a text, or of a word of it; None if none has."""
        char, place = _natural(char_pos), _natural(sequence_index)
        if place >= len(self._parts):  # then the library tokenizers look in the whole row
            return _first_with(self.offsets, char, 0, len(self))
        part, (begin, _) = self._parts[place], self._ranges()[place]
        start, stop = part.window
        offsets = part.input.reading.offsets
        if not part.input.are_words:  # there the places begin anew with each word
            start = bisect_right(offsets, char, start, stop, key=_end)
            stop = min(stop, start + 1)
        found = _first_with(offsets, char, start, stop)
        return None if found is None else begin + found - part.window[0]

    def char_to_word(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """The number of the word that has a character of a text; None if none has."""
        token = self.char_to_token(char_pos, sequence_index)
        return None if token is None else self.token_to_word(token)

    # How a row is put together

    def _sides(self) -> "zip[tuple[Part, tuple[tuple[int, ...], tuple[int, ...]]]]":
        """Each part with the ids before and after it."""
        return zip(self._parts, self._frame.sides(len(self._parts)), strict=True)

    def _laid(
        self, of: Callable[[Part], Sequence[_T]], around: Callable[[int], _T], pad: _T
    ) -> list[_T]:
        """A column: each part's window of what `of` gives, and `around` of the ids around it."""
        column: list[_T] = []
        for part, (before, after) in self._sides():
            start, stop = part.window
            column += map(around, before)
            if start < stop:
                column += of(part)[start:stop]
            column += map(around, after)
        return self._padded(column, pad)

    def _padded(self, column: list[_T], pad: _T) -> list[_T]:
        missing = self._frame.length - len(column)
        if missing <= 0:
            return column
        return [pad] * missing + column if self._frame.pads_left else column + [pad] * missing

    def _ranges(self) -> list[Window]:
        """Where the tokens of each part stand in the row."""
        at = len(self) - self.unpadded if self._frame.pads_left else 0
        ranges = []
        for part, (before, after) in self._sides():
            at += len(before)
            ranges.append((at, at + part.length))
            at += part.length + len(after)
        return ranges

    def _in_part(self, token_index: int) -> tuple[Part, int] | None:
        """The part that a token is of, and which token of the input it is."""
        place = self.token_to_sequence(token_index)
        if place is None:
            return None
        part = self._parts[place]
        return part, integer(token_index) - self._ranges()[place][0] + part.window[0]


class Encodings(Sequence[FastEncoding]):
    """The encodings of a batch, made when the first is asked for. Pickled it is a list."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], list[FastEncoding]]) -> None:
        self._make: Callable[[], list[FastEncoding]] | None = make
        self._made: list[FastEncoding] = []

    def _all(self) -> list[FastEncoding]:
        if self._make is not None:
            self._made, self._make = self._make(), None
        return self._made

    @overload
    def __getitem__(self, index: int) -> FastEncoding: ...
    @overload
    def __getitem__(self, index: slice) -> list[FastEncoding]: ...
    def __getitem__(self, index: int | slice) -> FastEncoding | list[FastEncoding]:
        """One of them, or several."""
        return self._all()[index]

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._all())

    def __repr__(self) -> str:
        """As a list."""
        return repr(self._all())

    def __reduce__(self) -> tuple[Any, ...]:
        """As a list, which needs no tokenizer."""
        return list, (self._all(),)


def _first_with(offsets: Sequence[tuple[int, int]], char: int, start: int, stop: int) -> int | None:
    found = (i for i in range(start, stop) if offsets[i][0] <= char < offsets[i][1])
    return next(found, None)


def _natural(value: int) -> int:
    """An index; those below 0 are refused as by the library tokenizers."""
    number = integer(value)
    if number < 0:
        raise OverflowError(f"an index must not be negative, and {number} is")
    return number
