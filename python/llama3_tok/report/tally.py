"""What a comparison adds up: texts come in parts, in any number, and only sums are kept.

Memory is bounded: of the strings that are cut differently the most telling are kept, and the report
says when some had to be forgotten.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from llama3_tok.lazy import np, npt
from llama3_tok.report import scripts
from llama3_tok.report.causes import Explainer
from llama3_tok.report.characters import sizes_of
from llama3_tok.report.counts import Counts
from llama3_tok.report.languages import Languages
from llama3_tok.report.llama2 import Llama2, Row, Timer
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Excerpt", "Pair", "Tally"]


class Excerpt(NamedTuple):
    """The beginning of a text, token by token: ids, and where each token ends in bytes."""

    text: bytes
    llama3: Row
    llama2: Row
    notes: dict[int, tuple[str, ...]]
    """The causes of the cuts of a place, by where the place begins."""


class Pair(NamedTuple):
    """A string that is cut differently, and the tokens that it is."""

    text: bytes
    llama3: tuple[int, ...]
    llama2: tuple[int, ...]


class _Places(NamedTuple):
    """The stretches at whose ends both rows have a boundary, and the tokens of each."""

    starts: "npt.NDArray[np.int64]"
    ends: "npt.NDArray[np.int64]"
    first3: "npt.NDArray[np.int64]"
    first2: "npt.NDArray[np.int64]"
    """The number of the first token of each place, and at the end the number of tokens."""


class Tally:
    """The sums of one file, or of several: `add` takes a part of a text, or several texts."""

    MAX_STRINGS = 400_000
    LONGEST_STRING = 64
    """Bytes of a string that is worth telling."""

    def __init__(
        self, llama3: Tokenizer, llama2: Llama2, languages: "Languages | None" = None
    ) -> None:
        import numpy as np

        self._llama3, self._llama2, self._languages = llama3, llama2, languages
        tokens = llama3.tokens()
        self._lengths = np.array([len(token) for token in tokens], np.int64)
        self._explainer = Explainer(llama3, llama2, tokens)
        self._loses_space = llama2.loses_space()
        self.total = Counts()
        self.texts = self.byte_tokens = self.newlines = self.spaces_lost = 0
        self.scripts = [Counts() for _ in scripts.NAMES]
        self.causes: Counter[tuple[str, str]] = Counter()
        """How many cuts have a main cause, by cause and by the row that has the cut."""
        self.examples: dict[str, Counter[Pair]] = {}
        self.strings: Counter[Pair] = Counter()
        self.forgot = False
        """Whether strings were forgotten: those that are told may have been more frequent."""
        self.timer3, self.timer2 = Timer(), Timer()

    def add(
        self, texts: Sequence[bytes], *, continued: bool = False, excerpt: int = 0
    ) -> tuple[Counts, Excerpt | None]:
        """Takes texts in; `continued` if the first goes on with the last one.

        What ends here must be the text's end, or a place where both tokenizers may cut. Gives the
        sums of these texts, and with `excerpt` the tokens of about that many bytes.
        """
        import numpy as np

        whole = b"".join(texts)
        with self.timer3:
            ids = self._llama3.encode_ragged(texts, threads=1).ids
        ids3 = ids.astype(np.int64)
        row3 = Row(ids3, np.cumsum(self._lengths[ids3]))
        row2 = self._llama2.row(texts, continued=continued, timer=self.timer2)
        begins = np.cumsum([0, *map(len, texts)])
        self.texts += len(texts) - continued
        counts, characters, by_byte = self._count(whole, row3, row2)
        if self._languages:
            self._languages.add(
                texts,
                scripts.is_letter(by_byte),
                characters,
                row3.starts,
                row2.starts,
                continued=continued,
            )
        self._count_spaces(row2, begins[int(continued) : -1])
        places = _places(len(whole), row3, row2)
        notes = self._explain(
            whole, row3, row2, places, texts, set(begins[int(continued) :].tolist())
        )
        return counts, _excerpt(whole, row3, row2, places, notes, excerpt) if excerpt else None

    def _count(
        self, whole: bytes, row3: Row, row2: Row
    ) -> "tuple[Counts, npt.NDArray[np.int64], npt.NDArray[np.uint8]]":
        """The sums of a text, where its characters begin, and the script of each of its bytes."""
        import numpy as np

        text = whole.decode("utf-8", "surrogateescape")
        by_character = scripts.of_characters(text)
        sizes = sizes_of(text)
        by_byte = np.repeat(by_character, sizes)
        sums = [
            np.bincount(of, minlength=len(scripts.NAMES)).tolist()
            for of in (
                by_byte,
                by_character,
                scripts.of_tokens(by_byte, row3.ends),
                scripts.of_tokens(by_byte, row2.ends),
            )
        ]
        counts = Counts(len(whole), len(text), len(row3.ids), len(row2.ids))
        self.total += counts
        for index, numbers in enumerate(zip(*sums, strict=True)):
            self.scripts[index] += Counts(*numbers)
        is_byte = (row2.ids >= 3) & (row2.ids < 259)
        self.byte_tokens += int(is_byte.sum())
        self.newlines += int((row2.ids == 3 + ord("\n")).sum())
        return counts, np.cumsum(sizes) - sizes, by_byte

    def _count_spaces(self, row2: Row, begins: "npt.NDArray[np.int64]") -> None:
        """Spaces of the text that are lost if its tokens are decoded one by one.

        The first token's is the dummy prefix, unless the text begins with a space itself.
        """
        import numpy as np

        starts = row2.starts
        loses = self._loses_space[row2.ids]
        first = np.unique(np.searchsorted(starts, begins))
        first = first[first < len(starts)]
        self.spaces_lost += int(loses.sum() - loses[first].sum())

    def _explain(
        self,
        whole: bytes,
        row3: Row,
        row2: Row,
        places: _Places,
        texts: Sequence[bytes],
        begins: set[int],
    ) -> dict[int, tuple[str, ...]]:
        import numpy as np

        pretokens = self._pretokens(texts)
        counts3, counts2 = np.diff(places.first3), np.diff(places.first2)
        differ = np.flatnonzero((counts3 != 1) | (counts2 != 1))
        low = np.searchsorted(pretokens, places.starts[differ], side="right").tolist()
        high = np.searchsorted(pretokens, places.ends[differ], side="left").tolist()
        words = _words(places, pretokens)
        within = np.searchsorted(words.ends, places.starts[differ], side="right").tolist()
        ids3, ids2, ends2 = row3.ids.tolist(), row2.ids.tolist(), row2.ends.tolist()
        inside = pretokens.tolist()
        starts, ends = places.starts.tolist(), places.ends.tolist()
        first3, first2 = places.first3.tolist(), places.first2.tolist()
        notes: dict[int, tuple[str, ...]] = {}
        last, word = -1, None
        for place, number, i, j in zip(differ.tolist(), within, low, high, strict=True):
            start, end = starts[place], ends[place]
            i2, j2 = first2[place], first2[place + 1]
            cuts = self._explainer.explain(
                whole[start:end],
                ids3[first3[place] : first3[place + 1]],
                ids2[i2:j2],
                [each - start for each in ends2[i2:j2]],
                [each - start for each in inside[i:j]],
                begins=start in begins,
            )
            for cut in cuts:
                self.causes[cut.causes[0], cut.extra] += 1
            notes[start] = tuple(dict.fromkeys(cut.causes[0] for cut in cuts))
            if number != last:
                last, word = number, self._word(whole, words, number, ids3, ids2)
                if word and len(word.llama3) != len(word.llama2):
                    self.strings[word] += 1
            if word:
                for cause in notes[start]:
                    self.examples.setdefault(cause, Counter())[word] += 1
        self._forget()
        return notes

    def _pretokens(self, texts: Sequence[bytes]) -> "npt.NDArray[np.int64]":
        """Where pretokens end, texts one after the other."""
        import numpy as np

        at, found = 0, []
        for text in texts:
            found.append(self._llama3.pretoken_ends(text) + at)
            at += len(text)
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _word(
        self, whole: bytes, words: _Places, number: int, ids3: list[int], ids2: list[int]
    ) -> Pair | None:
        start, end = int(words.starts[number]), int(words.ends[number])
        if end - start > self.LONGEST_STRING:
            return None
        of3 = ids3[words.first3[number] : words.first3[number + 1]]
        of2 = ids2[words.first2[number] : words.first2[number + 1]]
        return Pair(whole[start:end], tuple(of3), tuple(of2))

    def _forget(self) -> None:
        if len(self.strings) <= self.MAX_STRINGS:
            return
        self.forgot = True
        keep = self.MAX_STRINGS // 4
        gain = {
            pair: count * (len(pair.llama2) - len(pair.llama3))
            for pair, count in self.strings.items()
        }
        best = sorted(gain, key=lambda pair: -abs(gain[pair]))[:keep]
        self.strings = Counter({pair: self.strings[pair] for pair in best})
        self.examples = {
            cause: Counter(dict(counter.most_common(keep // 8)))
            for cause, counter in self.examples.items()
        }


def _places(length: int, row3: Row, row2: Row) -> _Places:
    import numpy as np

    ends = np.intersect1d(row3.ends, row2.ends)
    ends = ends[ends > 0]
    if not len(ends):  # an empty text
        none = np.zeros(1, np.int64)
        return _Places(ends, ends, none, none)
    starts = np.concatenate([[0], ends[:-1]])
    firsts = []
    for row in (row3, row2):
        # A token is in the place in which it begins; one without bytes at the end is in the last.
        where = np.minimum(np.searchsorted(ends, row.starts, side="right"), len(ends) - 1)
        firsts.append(np.searchsorted(where, np.arange(len(ends) + 1)))
    return _Places(starts, ends, firsts[0], firsts[1])


def _words(places: _Places, pretokens: "npt.NDArray[np.int64]") -> _Places:
    """Places taken together until they end where a pretoken does: whole words."""
    import numpy as np

    ends = np.intersect1d(places.ends, pretokens)
    last = np.searchsorted(places.ends, ends)
    first = np.concatenate([np.zeros(1, np.int64), last + 1])
    starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    return _Places(starts, ends, places.first3[first], places.first2[first])


def _excerpt(
    whole: bytes,
    row3: Row,
    row2: Row,
    places: _Places,
    notes: dict[int, tuple[str, ...]],
    most: int,
) -> Excerpt:
    """The places that end within `most` bytes, and at least one that is not much longer."""
    import numpy as np

    count = int(np.searchsorted(places.ends, most, side="right"))
    if not count and len(places.ends) and places.ends[0] <= 4 * most:
        count = 1
    if not count:
        empty = Row(row3.ids[:0], row3.ends[:0])
        return Excerpt(b"", empty, empty, {})
    end, last3, last2 = int(places.ends[count - 1]), places.first3[count], places.first2[count]
    return Excerpt(
        whole[:end],
        Row(row3.ids[:last3], row3.ends[:last3]),
        Row(row2.ids[:last2], row2.ends[:last2]),
        {start: causes for start, causes in notes.items() if start < end},
    )
