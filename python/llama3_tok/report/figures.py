"""What a comparison found, as plain data, and what follows from it."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from llama3_tok.about import UNICODE_VERSION, __version__
from llama3_tok.profiles import releases
from llama3_tok.report import llama2 as _llama2
from llama3_tok.report.counts import Counts
from llama3_tok.report.llama2 import Llama2
from llama3_tok.report.tally import Excerpt, Pair
from llama3_tok.text.files import Fault
from llama3_tok.tokenizer import Tokenizer

__all__ = ["CauseCount", "Figures", "FileCount"]

LLAMA2_WINDOW = 4096
"""Tokens of its context, from the `max_position_embeddings` of the published models."""


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
class Figures:
    """What `compare` found: tokens are those of texts alone, without BOS and EOS."""

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
    def versions(self) -> dict[str, str]:
        """What it takes to do it again: programs, processor, vocabularies, profile."""
        return {
            "llama3_tok": __version__,
            "unicode": UNICODE_VERSION,
            "python": ".".join(map(str, sys.version_info[:3])),
            "processor": _processor(),
            "llama3_sha256": self.tokenizer.vocabulary_sha256,
            "llama2_sha256": self.llama2.sha256,
            "profile": self.tokenizer.profile,
        }

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


def _processor() -> str:
    """What the figures of speed were measured on."""
    import platform

    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _windows() -> list[tuple[str, int]]:
    """The tokens of each context: releases with the same one are named by the first of them."""
    titles: dict[int, list[str]] = {}
    for release in releases():
        titles.setdefault(release.context, []).append(release.title)
    found = [("Llama 2", LLAMA2_WINDOW)]
    for window, same in titles.items():
        found.append((f"{same[0]} and later" if len(same) > 1 else same[0], window))
    return found
