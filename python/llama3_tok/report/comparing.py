"""Llama 3 beside Llama 2: what the same text costs in each, and why.

`compare` gives a `Comparison`: plain data, also as JSON (`to_json`) and as a page (`to_html`).
Both tokenizers see the uncut text; what is said of it holds for all of it, however it was read.
"""

import os
from collections.abc import Callable, Iterable

from llama3_tok.report import languages, scripts, sources
from llama3_tok.report import llama2 as _llama2
from llama3_tok.report.causes import MEANINGS
from llama3_tok.report.comparison import Comparison
from llama3_tok.report.counts import Counts
from llama3_tok.report.figures import CauseCount, FileCount
from llama3_tok.report.llama2 import Llama2
from llama3_tok.report.ours import Ours
from llama3_tok.report.tally import Excerpt, Pair, Tally
from llama3_tok.text import files
from llama3_tok.text.files import Fault, How, Source, Totals
from llama3_tok.tokenizer import FilePath, Text, Tokenizer

__all__ = ["compare"]

MAX_STRINGS = 20
EXCERPTS = 20
"""Of how many files the beginning is shown token by token."""
WHOLE_TEXT, BEGINNING = 50_000, 1_500
"""Bytes that are shown token by token: of a text, and of each file."""


def compare(
    text: Text | None = None,
    *,
    paths: Iterable[FilePath] = (),
    llama2: FilePath | None = None,
    tokenizer: Tokenizer | None = None,
    field: str | None = None,
    price: float | tuple[float, float] | None = None,
    excerpt: int | None = None,
    globs: Iterable[str] = (),
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Comparison:
    """Compares Llama 3's tokens with Llama 2's, for a text or for files and folders.

    `llama2` is Llama 2's `tokenizer.model` or a folder that has it (default: LLAMA3_TOK_LLAMA2).
    `paths` are read in parts, in bounded memory; folders are walked as `git` sees them, narrowed by
    `globs`, binary files are left out, `.gz` and `.zst` are unpacked, and with `field` files are
    JSONL of which that field is compared, each record a text of its own. `price` is that of a
    million tokens, or those of Llama 3 and of Llama 2. `excerpt` says how many bytes of each
    beginning are shown token by token (default: 50,000 of a text, 1,500 of each of the first 20
    files). `progress` gets the bytes read so far of all files, as stored.

    The two vocabularies are compared: added tokens are text here, also those of a folder that are
    not special and that `encode` finds in any text.

    A file that can't be read is in `faults`. Raises TypeError and ValueError for arguments that
    make no sense, MissingExtra without the library sentencepiece, VocabularyNotFound without
    Llama 2's model, VocabularyError if it is another.

    >>> from llama3_tok import report
    >>> report.compare("In 2024", llama2="tokenizer.model").total
    Counts(bytes=7, characters=7, llama3=4, llama2=6)
    """
    given = [os.fsdecode(path) for path in paths]
    if (text is None) == (not given):
        raise ValueError("give a text or paths, and not both")
    prices = _prices(price)
    model = _llama2.load(llama2)
    encoder = Tokenizer() if tokenizer is None else tokenizer
    if not all(token.special for token in encoder.added_tokens.values()):
        encoder = Ours(encoder).with_names_alone().tokenizer
    if text is not None:
        tally = Tally(encoder, model)
        # What the core makes of lone surrogates is the text.
        data = encoder.decode_bytes(encoder.encode_array(text))
        _, shown = tally.add([data], excerpt=WHOLE_TEXT if excerpt is None else excerpt)
        excerpts = [("", shown)] if shown else []
        return _made(tally, {}, encoder, model, [], excerpts, [], prices)
    told = languages.Languages()
    tally = Tally(encoder, model, told)
    work = _Files(tally, encoder, model, field, threads, BEGINNING if excerpt is None else excerpt)
    work.run(list(files.find(given, globs=list(globs), field=field)), progress)
    sums = told.sums()
    return _made(tally, sums, encoder, model, work.counted, work.excerpts, work.faults, prices)


def _prices(price: float | tuple[float, float] | None) -> tuple[float, float] | None:
    if price is None:
        return None
    of3, of2 = price if isinstance(price, tuple) else (price, price)
    if not (0 <= of3 < float("inf") and 0 <= of2 < float("inf")):
        raise ValueError("a price must be a number that is not negative")
    return float(of3), float(of2)


class _Files:
    """One run over files."""

    def __init__(
        self,
        tally: Tally,
        encoder: Tokenizer,
        model: Llama2,
        field: str | None,
        threads: int | None,
        excerpt: int,
    ) -> None:
        self._tally, self._encoder, self._model = tally, encoder, model
        self._field, self._excerpt = field, excerpt
        self._threads = threads
        self.counted: list[FileCount] = []
        self.excerpts: list[tuple[str, Excerpt]] = []
        self.faults: list[Fault] = []

    def run(self, found: list[Source | Fault], progress: Callable[[int], object] | None) -> None:
        """Takes all files in, in order."""
        done = 0
        for source in found:
            try:
                if isinstance(source, Fault):
                    raise source
                size = sources.size(source)
                # The first pass finds what is wrong before anything of the file is in the sums, and
                # leaves out binary files; it takes a small part of the time.
                _, first = next(files.count(self._encoder, [source], How(self._field)))
                if isinstance(first, Fault):
                    raise first
                if isinstance(first, Totals):
                    self._take(source.path, _behind(done, progress))
                done += size
            except Fault as fault:
                self.faults.append(fault)
            if progress:
                progress(done)

    def _take(self, path: str, progress: Callable[[int], object]) -> None:
        counts, excerpt = Counts(), self._excerpt if len(self.excerpts) < EXCERPTS else 0
        for part, read in sources.parts(
            self._encoder, self._model, path, self._field, self._threads
        ):
            added, shown = self._tally.add(part.texts, continued=part.continued, excerpt=excerpt)
            counts += added
            if shown and shown.text:
                self.excerpts.append((path, shown))
                excerpt = 0
            progress(read)
        self.counted.append(FileCount(path, counts))


def _behind(done: int, progress: Callable[[int], object] | None) -> Callable[[int], object]:
    """Progress within a file, as progress of all."""
    return lambda read: progress and progress(done + read)


def _made(
    tally: Tally,
    told: dict[str, Counts],
    encoder: Tokenizer,
    model: Llama2,
    counted: list[FileCount],
    excerpts: list[tuple[str, Excerpt]],
    faults: list[Fault],
    prices: tuple[float, float] | None,
) -> Comparison:
    types: dict[str, tuple[int, Counts]] = {}
    for each in counted:
        number, counts = types.get(sources.suffix(each.path), (0, Counts()))
        types[sources.suffix(each.path)] = number + 1, counts + each.counts

    def gain(item: tuple[Pair, int]) -> int:
        return item[1] * (len(item[0].llama2) - len(item[0].llama3))

    strings = sorted(tally.strings.items(), key=lambda item: (-gain(item), item[0]))
    named = [
        (name, counts)
        for name, counts in zip(scripts.NAMES, tally.scripts, strict=True)
        if counts.characters or counts.llama3 or counts.llama2
    ]
    causes = [
        CauseCount(
            cause,
            tally.causes[cause, "llama2"],
            tally.causes[cause, "llama3"],
            tuple(_most(tally.examples.get(cause, {}), 5)),
        )
        for cause in MEANINGS
        if tally.causes[cause, "llama2"] or tally.causes[cause, "llama3"]
    ]
    return Comparison(
        tokenizer=encoder,
        llama2=model,
        texts=tally.texts,
        total=tally.total,
        byte_tokens=tally.byte_tokens,
        newlines=tally.newlines,
        spaces_lost=tally.spaces_lost,
        causes=tuple(sorted(causes, key=lambda each: -(each.llama2 + each.llama3))),
        scripts=tuple(sorted(named, key=lambda item: -item[1].characters)),
        languages=tuple(
            sorted(
                told.items(),
                key=lambda item: (item[0] == languages.NOT_TOLD, -item[1].characters),
            )
        ),
        types=tuple(
            (name, number, counts)
            for name, (number, counts) in sorted(types.items(), key=lambda item: -item[1][1].bytes)
        ),
        files=tuple(counted),
        gains=tuple(item for item in strings[:MAX_STRINGS] if gain(item) > 0),
        losses=tuple(item for item in strings[: -MAX_STRINGS - 1 : -1] if gain(item) < 0),
        forgot=tally.forgot,
        seconds=(tally.timer3.seconds, tally.timer2.seconds),
        excerpts=tuple(excerpts),
        faults=tuple(faults),
        prices=prices,
    )


def _most(examples: "dict[Pair, int]", most: int) -> list[tuple[Pair, int]]:
    return sorted(examples.items(), key=lambda item: (-item[1], item[0]))[:most]
