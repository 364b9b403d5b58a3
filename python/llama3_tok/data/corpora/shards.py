"""Work on a section: its chunks are encoded and written to shards, and each step is committed.

A commit is the files of the shards, put into their places, and then one small file that describes
them. Whoever looks finds all of it or, as far as that file tells, nothing.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llama3_tok import _core
from llama3_tok.data.corpora.ahead import ahead
from llama3_tok.data.corpora.job import Job
from llama3_tok.data.corpora.manifest import Commit, commit_path, of_file
from llama3_tok.data.corpora.packing import Packer
from llama3_tok.data.corpora.plan import Section
from llama3_tok.data.corpora.read import Chunk, Position, read
from llama3_tok.data.places import Place
from llama3_tok.data.sinks import FORMATS, Rows, Sink
from llama3_tok.errors import Llama3TokError, SpecialTokenError
from llama3_tok.tokenizer import Tokenizer

__all__ = ["TRAIN", "Progress", "Target", "work"]

TRAIN = "train"
_HASHED_BYTES = 1 << 20
"""Bytes from the beginning of a document that decide where it goes."""
_LISTED_FAULTS = 100
"""Faults that a commit names; all are counted."""


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


def work(target: Target, section: Section, number: int, done: Sequence[Commit]) -> Iterator[Commit]:
    """Does what of a section is not done, and gives its commits as they are made.

    `number` is that of its shards, and `done` are the commits that it has.
    """
    start = done[-1].next if done else Position()
    if start is None:
        return
    place, core, options = target.inputs, target.core, target.options(False, False)
    step = _Step(target, section.number, number, len(done))
    chunks = read(target.job, section, start, place, core, options)
    try:
        for chunk in ahead(chunks) if target.threads > 1 else chunks:
            tokens = step.add(chunk)
            target.report(Progress(chunk.stored_bytes, tokens, len(chunk)))
            if step.is_full and not chunk.next.inside and chunk.next.part < len(section.parts):
                yield step.commit(chunk.next)
                step = _Step(target, section.number, number, step.group + 1)
        yield step.commit(None)
    finally:
        step.discard()


class _Step:
    """Shards that are being written: one, or one for each split."""

    def __init__(self, target: Target, section: int, number: int, group: int) -> None:
        self.group = group
        self._target = target
        self._section = section
        self._format = FORMATS[target.job.format]
        self._name = f"{self._format.prefix}{number:06d}-{group:04d}"
        self._drafts = target.place.drafts(target.folder)
        self._sinks: dict[str, Sink] = {}
        self._packers: dict[str, Packer] = {}
        self._counts: Counter[str] = Counter()
        self._faults: list[str] = []
        self._tokens = 0
        self._open_tokens = 0
        """Tokens of a document that has not ended."""
        self._goes_to = ""
        """The split of that document; "" if it is left out."""

    @property
    def is_full(self) -> bool:
        """Whether the shard has the tokens that it should have."""
        return self._tokens >= self._target.job.shard_tokens

    def add(self, chunk: Chunk) -> int:
        """Encodes and writes a chunk; gives how many tokens it has."""
        self._note(chunk, chunk.faults)
        if not len(chunk):
            return 0
        before = self._tokens
        if chunk.rows is not None:
            self._add_conversations(chunk)
        else:
            self._add_texts(chunk)
        return self._tokens - before

    def _note(self, chunk: Chunk, faults: Sequence[tuple[int, str]]) -> None:
        if faults and self._target.job.on_error == "stop":
            raise chunk.fault(*faults[0])
        self._counts["skipped"] += len(faults)
        room = _LISTED_FAULTS - len(self._faults)
        self._faults += [str(chunk.fault(*fault)) for fault in faults[:room]]

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
            self._write(split, rows)

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
        self._counts["left_out"] += int((names[0 if chunk.begins else 1 :] < 0).sum())
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
        self._counts["bytes"] += int((ends - starts).sum())
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
            self._counts.update(counts)
            if len(rows):
                self._write(split, rows)

    def _write(self, split: str, rows: Rows) -> None:
        job = self._target.job
        self._count(rows)
        if job.pack is not None:
            packer = self._packers.get(split)
            if packer is None:
                packer = self._packers[split] = Packer(job.pack, job.strategy)
            packed = packer.add(rows)
            if not len(packed):
                return
            rows = packed
        self._sink(split, rows.mask is not None).write(rows)

    def _count(self, rows: Rows) -> None:
        """Counts documents, tokens and the lengths of documents, by powers of two."""
        lengths = np.diff(rows.offsets)
        self._tokens += len(rows.ids)
        self._counts["tokens"] += len(rows.ids)
        if not rows.begins:
            lengths[0] += self._open_tokens
        self._open_tokens = 0
        if not rows.ends:
            self._open_tokens = int(lengths[-1])
            lengths = lengths[:-1]
        self._counts["documents"] += len(lengths)
        if rows.mask is not None:
            self._counts["learned"] += int(np.count_nonzero(rows.mask))
        # The bits of a length: 1 for 1, 2 for 2 and 3, 3 for 4 to 7.
        bits = np.frexp(lengths.astype(np.float64))[1]
        for bit, count in zip(*np.unique(bits, return_counts=True), strict=True):
            self._counts[f"length_{int(bit):02d}"] += int(count)

    def _sink(self, split: str, masked: bool) -> Sink:
        sink = self._sinks.get(split)
        if sink is None:
            if masked and not self._format.sink.has_mask:
                raise Llama3TokError(
                    f"the format {self._target.job.format} has no place for what is learned; "
                    'take another one, or learn="all"'
                )
            folder = os.path.join(self._drafts, split)
            os.makedirs(folder)
            name = f"llama3_tok {self._target.tokenizer.profile}"
            sink = self._format.sink(folder, self._name, name, masked)
            self._sinks[split] = sink
        return sink

    def commit(self, at: Position | None) -> Commit:
        """Puts all that was written into its place, and says so."""
        target = self._target
        for split, packer in self._packers.items():
            rest = packer.rest()
            if len(rest):
                self._sink(split, rest.mask is not None).write(rest)
        commit = Commit(self._section, self.group, at, [], self._counts, self._faults)
        for split, sink in sorted(self._sinks.items()):
            folder = target.folder_of(split)
            names = sorted(sink.close())
            drafts = os.path.join(self._drafts, split)
            files = {name: of_file(os.path.join(drafts, name)) for name in names}
            commit.shards.append(
                {
                    "name": self._name,
                    "split": split,
                    "documents": sink.documents,
                    "tokens": sink.tokens,
                    "masked": sink.is_masked,
                    "files": files,
                }
            )
            for name in names:
                target.place.put(os.path.join(drafts, name), os.path.join(folder, name))
        target.place.write(commit_path(target.folder, self._section, self.group), commit.data())
        self.discard()
        return commit

    def discard(self) -> None:
        """Removes what was not put into its place."""
        for sink in self._sinks.values():
            sink.discard()
        shutil.rmtree(self._drafts, ignore_errors=True)


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
) -> Any:  # noqa: ANN401 - an error
    """The error with the file and the line of the document that it is in."""
    at = int(chosen[begin + (error.index or 0)])
    path = chunk.paths[at] if chunk.paths is not None else chunk.path
    line = None if chunk.lines is None else int(chunk.lines[at]) + chunk.lines_before()
    place = path if line is None else f"{path}:{line}"
    return SpecialTokenError(f"{place}: {error}", error.token, error.offset, None, path, line)
