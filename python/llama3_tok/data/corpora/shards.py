"""Work on a section: its chunks are encoded and written to shards, to be committed step by step.

A commit is the files of the shards, put into their places, and then one small file that describes
them. Whoever looks finds all of it or, as far as that file tells, nothing.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from llama3_tok.data.corpora.ahead import ahead
from llama3_tok.data.corpora.chunk import Position
from llama3_tok.data.corpora.encode import Encoded, Encoder, Progress, Target
from llama3_tok.data.corpora.manifest import Commit, commit_path, of_file
from llama3_tok.data.corpora.packing import Packer
from llama3_tok.data.corpora.plan import Section
from llama3_tok.data.corpora.read import read
from llama3_tok.data.sinks import FORMATS, Rows, Sink
from llama3_tok.errors import Llama3TokError

__all__ = ["LISTED_FAULTS", "Step", "work"]

LISTED_FAULTS = 100
"""Faults that a commit names; all are counted."""


def work(target: Target, section: Section, number: int, done: Sequence[Commit]) -> "Iterator[Step]":
    """Writes what of a section is not done, and gives its steps: each is to be committed, in order.

    `number` is that of its shards, and `done` are the commits that it has.
    """
    start = done[-1].next if done else Position()
    if start is None:
        return
    place, core, options = target.inputs, target.core, target.options(False, False)
    encoder = Encoder(target, section.number)
    step = Step(target, section.number, number, len(done))
    written: Step | None = None
    # One chunk is read while another is encoded, and a third written, if there are threads for it.
    side_by_side = ahead if target.threads > 1 else iter
    chunks = side_by_side(read(target.job, section, start, place, core, options))
    try:
        for encoded in side_by_side(map(encoder.encode, chunks)):
            step.write(encoded)
            at = encoded.next
            target.report(Progress(encoded.stored_bytes, encoded.tokens, encoded.documents))
            if step.is_full and not at.inside and at.part < len(section.parts):
                step.next = at
                written, step = step, Step(target, section.number, number, step.group + 1)
                yield written
        written = step
        yield written
    finally:
        if step is not written:
            step.discard()


class Step:
    """Shards that are being written: one, or one for each split."""

    next: Position | None = None
    """Where the next step begins; None if the section ends with this one."""

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

    @property
    def is_full(self) -> bool:
        """Whether the shard has the tokens that it should have."""
        return self._tokens >= self._target.job.shard_tokens

    def write(self, encoded: Encoded) -> None:
        """Takes the documents of a chunk."""
        self._counts.update(encoded.counts)
        self._faults += encoded.faults[: LISTED_FAULTS - len(self._faults)]
        for split, rows in encoded.rows:
            self._count(rows)
            self._write(split, rows)

    def _write(self, split: str, rows: Rows) -> None:
        job = self._target.job
        if rows.mask is not None and not self._format.sink.has_mask:
            if not rows.mask.all():
                raise Llama3TokError(
                    f"the format {job.format} has no place for what is learned; take another one, "
                    'or learn="all"'
                )
            rows.mask = None
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
            folder = os.path.join(self._drafts, split)
            os.makedirs(folder)
            name = f"llama3_tok {self._target.tokenizer.profile}"
            sink = self._format.sink(folder, self._name, name, masked, self._target.job.compression)
            self._sinks[split] = sink
        return sink

    def commit(self) -> Commit:
        """Puts all that was written into its place, and says so."""
        try:
            return self._commit()
        finally:
            self.discard()

    def _commit(self) -> Commit:
        target = self._target
        for split, packer in self._packers.items():
            rest = packer.rest()
            if len(rest):
                self._sink(split, rest.mask is not None).write(rest)
        commit = Commit(self._section, self.group, self.next, [], self._counts, self._faults)
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
        return commit

    def discard(self) -> None:
        """Removes what was not put into its place."""
        for sink in self._sinks.values():
            sink.discard()
        shutil.rmtree(self._drafts, ignore_errors=True)
