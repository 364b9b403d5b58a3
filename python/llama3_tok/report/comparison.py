"""Llama 3 beside Llama 2: what the same text costs in each, and why.

`compare` gives a `Comparison`: plain data, also as JSON (`to_json`) and as a page (`to_html`).
Both tokenizers see the uncut text; what is said of it holds for all of it, however it was read.
"""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama3_tok import UNICODE_VERSION, __version__
from llama3_tok.profiles import releases
from llama3_tok.report import languages, scripts, sources
from llama3_tok.report import llama2 as _llama2
from llama3_tok.report.causes import MEANINGS
from llama3_tok.report.llama2 import Llama2
from llama3_tok.report.ours import Ours
from llama3_tok.report.tally import Counts, Excerpt, Pair, Tally
from llama3_tok.text import files
from llama3_tok.text.files import Fault, Source
from llama3_tok.tokenizer import FilePath, Text, Tokenizer

if TYPE_CHECKING:
    from llama3_tok.report.llama2 import Row

__all__ = ["CauseCount", "Comparison", "FileCount", "compare"]

LLAMA2_WINDOW = 4096
"""Tokens of its context, from the `max_position_embeddings` of the published models."""
MOST_STRINGS = 20
EXCERPTS = 20
"""Of how many files the beginning is shown token by token."""
WHOLE_TEXT, BEGINNING = 50_000, 1_500
"""Bytes that are shown token by token: of a text, and of each file."""


@dataclass(frozen=True, slots=True)
class FileCount:
    """One file, and what it has."""

    path: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class CauseCount:
    """How many tokens more each row has for one cause, and where it is most frequent."""

    cause: str
    llama2: int
    llama3: int
    examples: tuple[tuple[Pair, int], ...]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. Tokens are those of texts alone, without BOS and EOS."""

    tokenizer: Tokenizer
    llama2: Llama2
    texts: int
    """How many texts there are: 1, or the number of files, or of records."""
    total: Counts
    byte_tokens: int
    """Tokens of Llama 2 that are single bytes, those of line breaks included."""
    newlines: int
    spaces_lost: int
    """Spaces that Llama 2 loses if tokens are decoded one by one."""
    causes: tuple[CauseCount, ...]
    """They account for all of the difference: total.llama2 - total.llama3 is the sum of theirs."""
    scripts: tuple[tuple[str, Counts], ...]
    languages: tuple[tuple[str, Counts], ...]
    """ISO 639-1 codes, and "und" at the end for what is not told; of files only."""
    types: tuple[tuple[str, int, Counts], ...]
    """Suffix, files, sums."""
    files: tuple[FileCount, ...]
    gains: tuple[tuple[Pair, int], ...]
    """Strings for which Llama 3 needs fewer tokens, with how often they come."""
    losses: tuple[tuple[Pair, int], ...]
    """Strings for which it needs more."""
    forgot: bool
    """Whether there were too many strings to count each: frequencies are then at least these."""
    seconds: tuple[float, float]
    """What encoding took, one thread each: Llama 3, Llama 2."""
    excerpts: tuple[tuple[str, Excerpt], ...]
    """The beginnings of texts, by path ("" for a text that has none)."""
    faults: tuple[Fault, ...]
    """Files that can't be read; nothing of them is in the sums."""
    prices: tuple[float, float] | None
    """Per million tokens: Llama 3, Llama 2."""

    @property
    def rules(self) -> list[tuple[str, str, str]]:
        """What differs between the two whatever the text, and what that is in this one."""
        llama3 = self.tokenizer
        alone = (
            f"loses {self.spaces_lost:,} spaces of this text"
            if self.spaces_lost
            else "as the whole"
        )
        pad = "none" if llama3.pad_id is None else str(llama3.pad_id)
        return [
            ("ids", f"{llama3.vocab_size:,}", f"{len(self.llama2.pieces):,}"),
            ("BOS", str(llama3.bos_id), str(_llama2.BOS)),
            ("EOS", str(llama3.eos_id), str(_llama2.EOS)),
            ("padding", pad, "none"),
            (
                "unknown text",
                "never: any bytes are tokens",
                f"bytes; <unk> ({_llama2.UNK}) never comes",
            ),
            ("before the text", "nothing", "a space, the dummy prefix"),
            ("digits", "groups of up to three", "one by one"),
            ("text is cut before merging", "by a pattern", "no"),
            (
                "a word that is a token",
                "is taken whole (vocab-first)",
                "is reached by merges or not at all",
            ),
            ("tokens decoded one by one", "as the whole, in bytes", alone),
            ("text that is not UTF-8", "kept byte for byte", "U+FFFD for each byte"),
        ]

    @property
    def windows(self) -> list[dict[str, Any]]:
        """For each context: its tokens, the characters that fill it, how many this text takes."""
        found = []
        for model, window in _windows():
            tokens = self.total.llama2 if model == "Llama 2" else self.total.llama3
            fit = int(self.total.characters * window / tokens) if tokens else None
            found.append(
                {
                    "model": model,
                    "tokens": window,
                    "characters": fit,
                    "windows": -(-tokens // window),
                }
            )
        return found

    @property
    def costs(self) -> dict[str, float] | None:
        """What the tokens cost at the prices given."""
        if self.prices is None:
            return None
        of3, of2 = self.prices
        return {
            "llama3": self.total.llama3 * of3 / 1e6,
            "llama2": self.total.llama2 * of2 / 1e6,
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON has it; `bytes` that are not UTF-8 are U+FFFD in strings."""
        return {
            "versions": {
                "llama3_tok": __version__,
                "unicode": UNICODE_VERSION,
                "python": ".".join(map(str, sys.version_info[:3])),
                "processor": _processor(),
                "llama3_sha256": self.tokenizer.vocabulary_sha256,
                "llama2_sha256": self.llama2.sha256,
                "profile": self.tokenizer.profile,
            },
            "texts": self.texts,
            "total": counts_json(self.total),
            "llama2_byte_tokens": self.byte_tokens,
            "llama2_line_breaks": self.newlines,
            "llama2_spaces_lost": self.spaces_lost,
            "causes": [
                {
                    "cause": each.cause,
                    "means": MEANINGS[each.cause],
                    "more_tokens_llama2": each.llama2,
                    "more_tokens_llama3": each.llama3,
                    "examples": [self._pair(*example) for example in each.examples],
                }
                for each in self.causes
            ],
            "scripts": [{"script": name} | counts_json(counts) for name, counts in self.scripts],
            "languages": [
                {"language": code, "name": languages.name(code)} | counts_json(counts)
                for code, counts in self.languages
            ],
            "types": [
                {"type": name, "files": number} | counts_json(counts)
                for name, number, counts in self.types
            ],
            "files": [{"path": each.path} | counts_json(each.counts) for each in self.files],
            "strings": {
                "gains": [self._pair(*gain) for gain in self.gains],
                "losses": [self._pair(*loss) for loss in self.losses],
                "complete": not self.forgot,
            },
            "rules": [
                {"rule": rule, "llama3": of3, "llama2": of2} for rule, of3, of2 in self.rules
            ],
            "windows": self.windows,
            "price_per_million": None
            if self.prices is None
            else {"llama3": self.prices[0], "llama2": self.prices[1]},
            "cost": self.costs,
            "seconds": {"llama3": self.seconds[0], "llama2": self.seconds[1]},
            "excerpts": [
                {
                    "path": path,
                    "text": excerpt.text.decode("utf-8", "replace"),
                    "llama3": _row_json(excerpt.llama3),
                    "llama2": _row_json(excerpt.llama2),
                    "causes": {str(at): list(causes) for at, causes in excerpt.notes.items()},
                }
                for path, excerpt in self.excerpts
            ],
            "faults": [
                {"path": fault.path, "line": fault.line, "reason": fault.reason}
                for fault in self.faults
            ],
        }

    def to_html(self) -> str:
        """The same as a page: one file that needs nothing else."""
        from llama3_tok.report.comparison_page import page

        return page(self).html()

    def _pair(self, pair: Pair, times: int) -> dict[str, Any]:
        return {
            "text": pair.text.decode("utf-8", "replace"),
            "times": times,
            "llama3": list(pair.llama3),
            "llama2": list(pair.llama2),
            "llama2_pieces": [self.llama2.piece(id) for id in pair.llama2],
        }


def _windows() -> list[tuple[str, int]]:
    """The tokens of each context: releases with the same one are named by the first of them."""
    titles: dict[int, list[str]] = {}
    for release in releases():
        titles.setdefault(release.context, []).append(release.title)
    found = [("Llama 2", LLAMA2_WINDOW)]
    for window, same in titles.items():
        found.append((f"{same[0]} and later" if len(same) > 1 else same[0], window))
    return found


def _processor() -> str:
    """What the figures of speed were measured on."""
    import platform

    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def counts_json(counts: Counts) -> dict[str, Any]:
    """Counts and what follows from them; None where there are no tokens to divide by."""
    numbers: dict[str, Any] = {"bytes": counts.bytes, "characters": counts.characters}
    for name, tokens in (("llama3", counts.llama3), ("llama2", counts.llama2)):
        numbers[name] = {
            "tokens": tokens,
            "bytes_per_token": counts.bytes / tokens if tokens else None,
            "characters_per_token": counts.characters / tokens if tokens else None,
        }
    return numbers | {"ratio": counts.ratio}


def _row_json(row: "Row") -> list[list[int]]:
    return [
        list(token)
        for token in zip(row.ids.tolist(), row.starts.tolist(), row.ends.tolist(), strict=True)
    ]


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
        from llama3_tok._core import cpu_count

        self._tally, self._encoder, self._model = tally, encoder, model
        self._field, self._excerpt = field, excerpt
        self._threads = cpu_count() if threads is None else threads
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
                _, first = next(files.count(self._encoder, [source], field=self._field))
                if isinstance(first, Fault):
                    raise first
                if first is not None:
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
        gains=tuple(item for item in strings[:MOST_STRINGS] if gain(item) > 0),
        losses=tuple(item for item in strings[: -MOST_STRINGS - 1 : -1] if gain(item) < 0),
        forgot=tally.forgot,
        seconds=(tally.timer3.seconds, tally.timer2.seconds),
        excerpts=tuple(excerpts),
        faults=tuple(faults),
        prices=prices,
    )


def _most(examples: "dict[Pair, int]", most: int) -> list[tuple[Pair, int]]:
    return sorted(examples.items(), key=lambda item: (-item[1], item[0]))[:most]
