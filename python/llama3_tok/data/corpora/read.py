"""Reading a section: chunks of documents, cut by position alone.

A chunk is a function of where it begins, so reading can go on at the end of any chunk.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Protocol

import numpy as np

from llama3_tok import _core
from llama3_tok._core import Core, Options
from llama3_tok.data.corpora import documents, parquet
from llama3_tok.data.corpora.chunk import Chunk, Position
from llama3_tok.data.corpora.job import Job
from llama3_tok.data.corpora.plan import Part, Section
from llama3_tok.data.places import Place
from llama3_tok.errors import InputError
from llama3_tok.text.files import unpacked

__all__ = ["read"]

CHUNK_BYTES = 4 << 20
SHUFFLED_BYTES = 16 << 20
"""The window within which documents are shuffled."""
MAX_RECORD_BYTES = 64 << 20
"""The most bytes that one line of JSONL may have: it has to be in memory as a whole."""
_LONG_BYTES = 16 << 20
"""A document of text that is longer comes in pieces."""


class _Bytes(Protocol):
    """The content of a part from a position on."""

    @property
    def stored_bytes(self) -> int:
        """How many bytes of the file were read."""

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer at the end."""


class _Plain:
    """A part of a file that can be read anywhere."""

    def __init__(self, part: Part, place: Place, stack: ExitStack) -> None:
        self._file = stack.enter_context(place.open(part.path))
        self._part = part
        self._at = -1

    @property
    def stored_bytes(self) -> int:
        return max(self._at, self._part.begin) - self._part.begin

    def at(self, offset: int, size: int) -> bytes:
        begin = self._part.begin + offset
        left = min(size, self._part.end - begin)
        if left <= 0:
            return b""
        if begin != self._at:
            self._file.seek(begin)
        data = self._file.read(left)
        while len(data) < left and (more := self._file.read(left - len(data))):
            data += more
        self._at = begin + len(data)
        return data


class _Packed:
    """A packed file, which is read from its beginning."""

    def __init__(self, part: Part, place: Place, stack: ExitStack) -> None:
        self._file = unpacked(stack.enter_context(place.local(part.path)))
        self._held, self._begin, self._ended = b"", 0, False

    @property
    def stored_bytes(self) -> int:
        return self._file.stored_read

    def at(self, offset: int, size: int) -> bytes:
        while offset > self._begin + len(self._held) and not self._ended:
            self._begin += len(self._held)
            self._held = self._more(min(CHUNK_BYTES, offset - self._begin))
        self._held = self._held[max(0, offset - self._begin) :]
        self._begin = offset
        if len(self._held) < size and not self._ended:
            self._held += self._more(size - len(self._held))
        return self._held[:size]

    def _more(self, size: int) -> bytes:
        data = self._file.read(size)
        self._ended = len(data) < size
        return data


def read(
    job: Job, section: Section, start: Position, place: Place, core: "Core", options: "Options"
) -> Iterator[Chunk]:
    """The chunks of a section from a position on.

    Raises InputError for a file that changed since it was planned, or is damaged.
    """
    position = start
    while position.part < len(section.parts):
        part = section.parts[position.part]
        if part.kind == "file" and _is_small(part):
            files = _small_files(job, section, position, place)
            yield files
            position = files.next
            continue
        _check(part, place)
        with ExitStack() as stack:
            for chunk in _of_part(job, part, position, place, core, options, stack):
                yield chunk
                position = chunk.next
        _check(part, place)
        if position.part < len(section.parts) and section.parts[position.part] == part:
            position = Position(position.part + 1)


def chunk_bytes(job: Job) -> int:
    """How many bytes a chunk has at most, but for one that has a single document."""
    fills_rows = job.pack is not None and job.strategy == "best-fit"
    size = SHUFFLED_BYTES if job.shuffle is not None or fills_rows else CHUNK_BYTES
    # Shards end with chunks: small ones are not to be much longer than they should be.
    return max(1 << 12, min(size, job.shard_tokens))


def _check(part: Part, place: Place) -> None:
    now = place.described(part.path)
    if (now.size, now.changed) != (part.size, part.changed):
        reason = "the file was changed since the corpus was begun; begin it again in another folder"
        raise InputError(f"{part.path}: {reason}", part.path, None, reason)


def _is_small(part: Part) -> bool:
    return not part.is_packed and part.size <= CHUNK_BYTES


def _small_files(job: Job, section: Section, start: Position, place: Place) -> Chunk:
    """One chunk of the next files that are documents."""
    texts: list[bytes] = []
    paths: list[str] = []
    number, total, limit = start.part, 0, chunk_bytes(job)
    for part in section.parts[start.part :]:
        if part.kind != "file" or not _is_small(part) or (texts and total + part.size > limit):
            break
        _check(part, place)
        with place.open(part.path) as file:
            data = file.read()
        if len(data) != part.size:
            _check(part, place)
        texts.append(data)
        paths.append(part.path)
        number, total = number + 1, total + part.size
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    kept = ends > starts
    return Chunk(
        paths[0],
        Position(number),
        np.frombuffer(b"".join(texts), np.uint8),
        starts[kept],
        ends[kept],
        np.zeros(int(kept.sum()), np.int64),
        None,
        [path for path, keep in zip(paths, kept, strict=True) if keep],
        stored_bytes=total,
    )


def _of_part(
    job: Job,
    part: Part,
    start: Position,
    place: Place,
    core: "Core",
    options: "Options",
    stack: ExitStack,
) -> Iterator[Chunk]:
    if part.kind == "parquet":
        yield from parquet.row_groups(job, part, start, place, stack)
        return
    source: _Bytes = (_Packed if part.is_packed else _Plain)(part, place, stack)
    split = {
        "file": documents.of_file,
        "line": documents.of_lines,
        "separator": documents.of_separated(job.separator.encode()),
        "jsonl": documents.of_records(job),
        "messages": documents.of_conversations,
    }[part.kind]
    separator = {"separator": job.separator.encode(), "file": b""}.get(part.kind, b"\n")
    position, size, stored = start, chunk_bytes(job), 0
    while True:
        try:
            taken = _take(source, position, size, separator, part, core, options)
        except _TooLong:
            before = Chunk(part.path, position)
            before.lines_before = partial(_lines_before, part, place)
            most = f"{MAX_RECORD_BYTES >> 20} MB"
            reason = f"the line has more than {most}, and a record has to be in memory as a whole"
            raise before.fault(position.line + 1, reason) from None
        if taken is None:
            return
        data, length, is_last, ends_whole = taken
        after = Position(
            position.part + 1 if is_last else position.part,
            0 if is_last else position.offset + length,
            0 if is_last else position.line + _core.count_newlines(data),
            not ends_whole,
        )
        chunk = split(part, position, data, after)
        chunk.lines_before = partial(_lines_before, part, place)
        chunk.begins, chunk.ends_whole = not position.inside, ends_whole
        chunk.stored_bytes, stored = source.stored_bytes - stored, source.stored_bytes
        yield chunk
        if is_last:
            return
        position = after


def _take(
    source: _Bytes,
    position: Position,
    size: int,
    separator: bytes,
    part: Part,
    core: "Core",
    options: "Options",
) -> tuple[bytes, int, bool, bool] | None:
    """The bytes of the next chunk, how many they are, and whether part and document end with it."""
    is_record = part.kind in ("jsonl", "messages")
    most = MAX_RECORD_BYTES if is_record else _LONG_BYTES
    wanted = size
    while True:
        data = source.at(position.offset, wanted + 1)
        if len(data) <= wanted:
            # The end of the part; an empty one, or one after a separator, has no chunk.
            return (data, len(data), True, True) if data or position.inside else None
        found = data.rfind(separator, 0, wanted) if separator else -1
        if found >= 0:
            cut = found + len(separator)
            return data[:cut], cut, False, True
        if separator and wanted < most:
            wanted = min(2 * wanted, most)
            continue
        if is_record:
            raise _TooLong
        # A piece of a long document, cut where no id depends on it. A separator may have begun.
        known = data[: wanted - max(0, len(separator) - 1)]
        if length := _core.last_cut(core, known, options):
            return data[:length], length, False, False
        wanted *= 2


class _TooLong(Exception):
    """A record is longer than what may be in memory."""


def _lines_before(part: Part, place: Place) -> int:
    """How many lines of a file are before a part of it."""
    count, left = 0, part.begin
    with place.open(part.path) as file:
        while left and (data := file.read(min(left, CHUNK_BYTES))):
            count, left = count + _core.count_newlines(data), left - len(data)
    return count
