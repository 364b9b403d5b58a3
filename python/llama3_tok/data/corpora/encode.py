"""A chunk of documents, or of conversations, to ids: for each split those that go there."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llama3_tok import _core
from llama3_tok.data.corpora.chunk import Chunk, Position
from llama3_tok.data.corpora.job import Job
from llama3_tok.data.places import Place
from llama3_tok.data.sinks import Rows
from llama3_tok.errors import SpecialTokenError
from llama3_tok.tokenizer import Tokenizer

__all__ = ["TRAIN", "Encoded", "Encoder", "Progress", "Target", "scattered"]

TRAIN = "train"
_HASHED_BYTES = 1 << 20
"""Bytes from the beginning of a document that decide where it goes."""
_LISTED_FAULTS = 100


class Progress(NamedTuple):
    """What was done since the last time."""

    stored_bytes: int = 0
    tokens: int = 0
    documents: int = 0


@dataclass
class Target:
    """Where shards go, and what makes them."""

    job: Job
    tokenizer: Tokenizer
    inputs: Place
    place: Place
    folder: str
    threads: int = 1
    report: Callable[[Progress], object] = lambda _: None

    def options(self, bos: bool, eos: bool) -> _core.Options:
        """What is asked of the core for a text."""
        allowed = self.job.allowed_special
        return _core.Options(bos, eos, "all" if allowed == "all" else list(allowed) or None)

    @property
    def core(self) -> _core.Core:
        """The tokenizer's core: texts in buffers have no other way."""
        return self.tokenizer.definition.core

    def folder_of(self, split: str) -> str:
        """Where the shards of a split are."""
        return os.path.join(self.folder, split) if self.job.splits else self.folder


@dataclass
class Encoded:
    """What comes of a chunk."""

    next: Position
    """Where the chunk after it begins."""
    stored_bytes: int
    documents: int
    rows: list[tuple[str, Rows]] = field(default_factory=list)
    """The splits that get something of it, and what."""
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """How many tokens there are."""
        return sum(len(rows.ids) for _, rows in self.rows)


class Encoder:
    """Encodes the chunks of a section, one after the other."""

    def __init__(self, target: Target, section: int) -> None:
        self._target, self._section = target, section
        self._goes_to = ""
        """The split of a document that has not ended; "" if it is left out."""
        self._now = Encoded(Position(), 0, 0)

    def encode(self, chunk: Chunk) -> Encoded:
        """The ids of a chunk."""
        self._now = Encoded(chunk.next, chunk.stored_bytes, len(chunk))
        self._note(chunk, chunk.faults)
        if chunk.rows is not None and len(chunk):
            self._add_conversations(chunk)
        elif len(chunk):
            self._add_texts(chunk)
        return self._now

    def _note(self, chunk: Chunk, faults: Sequence[tuple[int, str]]) -> None:
        if faults and self._target.job.on_error == "stop":
            raise chunk.fault(*faults[0])
        self._now.counts["skipped"] += len(faults)
        self._now.faults += [str(chunk.fault(*fault)) for fault in faults[:_LISTED_FAULTS]]

    def _order(self, chunk: Chunk) -> npt.NDArray[np.int64]:
        seed = self._target.job.shuffle
        if seed is None or not (chunk.begins and chunk.ends_whole):
            return np.arange(len(chunk))
        return _shuffled(len(chunk), seed, self._section, chunk)

    def _add_texts(self, chunk: Chunk) -> None:
        for split, chosen in self._chosen(chunk, self._order(chunk)):
            rows = self._encoded(chunk, chosen)
            # What is cut off at either side belongs to the document of its first piece.
            rows.begins = chunk.begins or not len(chosen) or int(chosen[0]) != 0
            rows.ends = chunk.ends_whole or not len(chosen) or int(chosen[-1]) != len(chunk) - 1
            self._now.rows.append((split, rows))

    def _chosen(
        self, chunk: Chunk, order: npt.NDArray[np.int64]
    ) -> list[tuple[str, npt.NDArray[np.int64]]]:
        """Which documents go to which split, in this order."""
        job = self._target.job
        if not job.splits and job.sample is None:
            return [(TRAIN, order)]
        digests = _digests(chunk)
        # The upper half decides on the split, the lower half on the sample, as numbers below 1.
        places = (digests >> np.uint64(32)).astype(np.float64) / (1 << 32)
        names = np.zeros(len(chunk), np.int64)
        reached = 0.0
        for index, (_, part) in enumerate(job.splits, 1):
            names[(places >= reached) & (places < reached + part)] = index
            reached += part
        if job.sample is not None:
            parts = (digests & np.uint64(0xFFFFFFFF)).astype(np.float64) / (1 << 32)
            names[parts >= job.sample] = -1
        splits = [TRAIN, *(name for name, _ in job.splits)]
        if not chunk.begins:
            names[0] = splits.index(self._goes_to) if self._goes_to else -1
        if not chunk.ends_whole:
            last = int(names[-1])
            self._goes_to = splits[last] if last >= 0 else ""
        self._now.counts["left_out"] += int((names[0 if chunk.begins else 1 :] < 0).sum())
        listed = [(name, order[names[order] == at]) for at, name in enumerate(splits)]
        return [(name, chosen) for name, chosen in listed if len(chosen)]

    def _encoded(self, chunk: Chunk, chosen: npt.NDArray[np.int64]) -> Rows:
        """The ids of documents. BOS is added where one begins here, EOS where one ends here."""
        target, job = self._target, self._target.job
        starts, ends = chunk.starts[chosen], chunk.ends[chosen]
        first = int(not chunk.begins and int(chosen[0]) == 0)
        last = len(chosen) - int(not chunk.ends_whole and int(chosen[-1]) == len(chunk) - 1)
        parts = []
        for begin, end in pairwise(sorted({0, first, max(first, last), len(chosen)})):
            options = target.options(job.bos and begin >= first, job.eos and end <= last)
            try:
                part = target.core.encode_slices(
                    [chunk.data],
                    None,
                    np.ascontiguousarray(starts[begin:end]),
                    np.ascontiguousarray(ends[begin:end]),
                    target.threads,
                    options,
                )
            except SpecialTokenError as error:
                raise _placed(error, chunk, chosen, begin) from None
            parts.append(part)
        ids = np.concatenate([ids for ids, _ in parts]) if len(parts) > 1 else parts[0][0]
        offsets = parts[0][1]
        for _, more in parts[1:]:
            offsets = np.concatenate([offsets, more[1:] + offsets[-1]])
        self._now.counts["bytes"] += int((ends - starts).sum())
        paths = [chunk.path] * len(chosen)
        if chunk.paths is not None:
            paths = [chunk.paths[at] for at in chosen.tolist()]
        keys = None if chunk.keys is None else [chunk.keys[at] for at in chosen.tolist()]
        return Rows(ids, offsets, keys=keys, paths=paths, places=chunk.places[chosen])

    def _add_conversations(self, chunk: Chunk) -> None:
        from llama3_tok.data.corpora.conversations import encoded

        target = self._target
        for split, chosen in self._chosen(chunk, self._order(chunk)):
            rows, counts, faults = encoded(
                target.job, target.tokenizer, chunk, chosen, target.threads
            )
            self._note(chunk, faults)
            self._now.counts.update(counts)
            if len(rows):
                self._now.rows.append((split, rows))


def _digests(chunk: Chunk) -> npt.NDArray[np.uint64]:
    """A number for each document that depends on nothing but its text, or conversation."""
    if chunk.rows is None:
        return _core.digests(chunk.data, chunk.starts, chunk.ends, _HASHED_BYTES)
    rows = chunk.rows if isinstance(chunk.rows, list) else chunk.rows.to_pylist()
    texts = [json.dumps(row, sort_keys=True, default=str).encode() for row in rows]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    return _core.digests(np.frombuffer(b"".join(texts), np.uint8), starts, ends, _HASHED_BYTES)


def _shuffled(count: int, seed: int, section: int, chunk: Chunk) -> npt.NDArray[np.int64]:
    """The documents of a chunk in an order that depends on the seed and on where they are.

    Each gets a number, and they are sorted by it. The numbers are those of SplitMix64 (Steele, Lea
    and Flood, 2014), which is the same everywhere and for ever.
    """
    origin = (seed * 0x9E3779B97F4A7C15 + section * 0xD1B54A32D192ED03) & (1 << 64) - 1
    origin = (origin + chunk.next.part * 0x8CB92BA72F3D8DD7 + chunk.next.offset) & (1 << 64) - 1
    return np.argsort(scattered(count, origin), kind="stable")


def scattered(count: int, origin: int) -> npt.NDArray[np.uint64]:
    """The first numbers of SplitMix64 from a beginning."""
    with np.errstate(over="ignore"):
        state = np.uint64(origin) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: npt.NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return mixed


def _placed(
    error: SpecialTokenError, chunk: Chunk, chosen: npt.NDArray[np.int64], begin: int
) -> SpecialTokenError:
    """The error with the file and the line of the document that it is in."""
    at = int(chosen[begin + (error.index or 0)])
    path = chunk.paths[at] if chunk.paths is not None else chunk.path
    line = None if chunk.lines is None else int(chunk.lines[at]) + chunk.lines_before()
    place = path if line is None else f"{path}:{line}"
    return SpecialTokenError(f"{place}: {error}", error.token, error.offset, None, path, line)
