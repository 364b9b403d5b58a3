"""Reading a section: chunks of documents, cut by position alone.

A chunk is a function of where it begins, so reading can go on at the end of any chunk.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from llama3_tok import _core
from llama3_tok._core import Core, Options
from llama3_tok.data.corpora.job import Job
from llama3_tok.data.corpora.plan import Part, Section
from llama3_tok.data.places import Place
from llama3_tok.errors import InputError
from llama3_tok.extras import require

__all__ = ["Chunk", "Position", "read"]

CHUNK_BYTES = 4 << 20
SHUFFLED_BYTES = 16 << 20
"""The window within which documents are shuffled."""
MAX_RECORD_BYTES = 64 << 20
"""The most bytes that one line of JSONL may have: it has to be in memory as a whole."""
_LONG_BYTES = 16 << 20
"""A document of text that is longer comes in pieces."""
_ROWS = 4096
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Position(NamedTuple):
    """Where in a section a chunk begins: the part, and bytes or rows from its beginning."""

    part: int = 0
    offset: int = 0
    line: int = 0
    """Lines of the part before it."""
    inside: bool = False
    """Whether it is inside a document."""


@dataclass
class Chunk:
    """Documents in a buffer, or conversations as rows."""

    path: str
    """The file; of several, that of the first document."""
    next: Position
    data: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    starts: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    ends: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    places: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Where each begins in its file: in bytes, unpacked, or in rows of Parquet."""
    lines: npt.NDArray[np.int64] | None = None
    """The line of each in its part of the file, from 1; None where documents are not lines."""
    paths: Sequence[str] | None = None
    """The file of each, where they are of several."""
    keys: Sequence[str] | None = None
    rows: Any = None
    """Conversations: a list, or a batch of Arrow."""
    begins: bool = True
    """Whether the first document begins with the chunk."""
    ends_whole: bool = True
    """Whether the last document ends with the chunk."""
    faults: list[tuple[int, str]] = field(default_factory=list)
    """Lines of the part that are no such document, from 1, and why."""
    lines_before: Callable[[], int] = lambda: 0
    """How many lines of the file are before the part: they are counted when somebody asks."""
    stored_bytes: int = 0
    """Bytes of files that were read for it."""

    def fault(self, line: int, reason: str) -> InputError:
        """The error of a line of the part."""
        line += self.lines_before()
        return InputError(f"{self.path}:{line}: {reason}", self.path, line, reason)

    def __len__(self) -> int:
        """How many documents it has, or pieces of one."""
        return len(self.starts) if self.rows is None else len(self.rows)


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
        self._file = _core.UnpackedFile(stack.enter_context(place.local(part.path)))
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
        yield from _row_groups(job, part, start, place, stack)
        return
    source: _Bytes = (_Packed if part.is_packed else _Plain)(part, place, stack)
    split = {
        "file": _no_split,
        "line": _lines,
        "separator": _between(job.separator.encode()),
        "jsonl": _records(job),
        "messages": _rows,
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


def _chunk(
    part: Part,
    position: Position,
    after: Position,
    data: bytes,
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> Chunk:
    places = starts + (part.begin + position.offset)
    return Chunk(part.path, after, np.frombuffer(data, np.uint8), starts, ends, places)


def _no_split(part: Part, position: Position, data: bytes, after: Position) -> Chunk:
    # A piece may be empty only where the document ends.
    start, end = np.zeros(1, np.int64), np.full(1, len(data), np.int64)
    return _chunk(part, position, after, data, start, end)


def _lines(part: Part, position: Position, data: bytes, after: Position) -> Chunk:
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == 10)
    # A line that ends with CR and LF ends before both.
    ends = ends - (array[ends - 1] == 13) * (ends > 0)
    starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(array == 10) + 1])
    if data.endswith(b"\n"):
        starts = starts[:-1]
    else:
        ends = np.append(ends, len(data))
    lines = np.arange(position.line + 1, position.line + 1 + len(starts), dtype=np.int64)
    kept = ends > starts
    # The rest of a line is a piece, and its beginning; either may be empty.
    if position.inside:
        kept[0] = True
    if after.inside:
        kept[-1] = True
    chunk = _chunk(part, position, after, data, starts[kept], ends[kept])
    chunk.lines = lines[kept]
    return chunk


def _between(separator: bytes) -> Callable[[Part, Position, bytes, Position], Chunk]:
    def split(part: Part, position: Position, data: bytes, after: Position) -> Chunk:
        starts, ends, at = [], [], 0
        while (found := data.find(separator, at)) >= 0:
            starts.append(at)
            ends.append(found)
            at = found + len(separator)
        if at < len(data) or after.inside:
            starts.append(at)
            ends.append(len(data))
        first, last = np.array(starts, np.int64), np.array(ends, np.int64)
        kept = last > first
        if position.inside and len(kept):
            kept[0] = True
        return _chunk(part, position, after, data, first[kept], last[kept])

    return split


def _records(job: Job) -> Callable[[Part, Position, bytes, Position], Chunk]:
    field = str(job.field)

    def split(part: Part, position: Position, data: bytes, after: Position) -> Chunk:
        data, begin = _without_mark(part, position, data)
        texts, offsets, lines, starts, faults = _core.jsonl_column(data, field)
        kept = offsets[1:] > offsets[:-1]
        keys: list[str] | None = None
        if job.id_field is not None:
            keys, without = _keys(data, lines, kept, job.id_field)
            faults = sorted([*faults, *without])
        lines = lines[kept]
        chunk = Chunk(part.path, after, texts, offsets[:-1][kept], offsets[1:][kept])
        chunk.places = starts[kept] + begin
        chunk.lines, chunk.keys = lines + (position.line + 1), keys
        chunk.faults = [(position.line + 1 + line, why) for line, why in faults]
        return chunk

    return split


def _without_mark(part: Part, position: Position, data: bytes) -> tuple[bytes, int]:
    """A chunk without the byte order mark of its file, and where in the file that begins."""
    rest = data.removeprefix(_BYTE_ORDER_MARK) if part.is_first and not position.offset else data
    return rest, part.begin + position.offset + len(data) - len(rest)


def _keys(
    data: bytes, lines: npt.NDArray[np.int64], kept: npt.NDArray[np.bool_], field: str
) -> tuple[list[str], list[tuple[int, str]]]:
    """The ids of records, which may be strings or numbers, and which have none.

    A record without one is taken out of those that are `kept`.
    """
    records, keys, faults = data.split(b"\n"), [], []
    for index, line in enumerate(lines.tolist()):
        if not kept[index]:
            continue
        value = json.loads(records[line])
        for name in [field] if field in value else field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, bool) or not isinstance(value, str | int):
            kept[index] = False
            faults.append((line, f"the field {field!r} is not a string or a number"))
        else:
            keys.append(str(value))
    return keys, faults


def _rows(part: Part, position: Position, data: bytes, after: Position) -> Chunk:
    data, begin = _without_mark(part, position, data)
    rows, lines, starts, faults = [], [], [], []
    next_start = 0
    for line, record in enumerate(data.split(b"\n")):
        start = next_start
        next_start += len(record) + 1
        if not record.strip():
            continue
        try:
            row = json.loads(record)
            if not isinstance(row, dict):
                raise ValueError("it is not an object")
        except (ValueError, RecursionError) as error:
            reason = f"this is not the JSON of a conversation: {error}"
            faults.append((position.line + 1 + line, reason[:300]))
            continue
        rows.append(row)
        lines.append(line)
        starts.append(start)
    chunk = Chunk(part.path, after, rows=rows, faults=faults)
    chunk.places = np.array(starts, np.int64) + begin
    chunk.lines = np.array(lines, np.int64) + (position.line + 1)
    return chunk


def _row_groups(
    job: Job, part: Part, start: Position, place: Place, stack: ExitStack
) -> Iterator[Chunk]:
    """The rows of groups of a Parquet file; a chunk has rows of one group."""
    parquet = require("pyarrow.parquet", "data")
    file = parquet.ParquetFile(stack.enter_context(place.open(part.path)))
    columns = [name for name in (job.field, job.id_field) if name is not None]
    if not job.messages:
        _check_columns(file, columns, part.path)
    row = 0
    counts = [file.metadata.row_group(group).num_rows for group in range(part.begin, part.end)]
    rows = max(sum(counts), 1)
    for group, count in enumerate(counts, part.begin):
        if row + count <= start.offset:
            row += count
            continue
        batches = file.iter_batches(
            _ROWS, row_groups=[group], columns=None if job.messages else columns
        )
        for batch in batches:
            begin, row = row, row + batch.num_rows
            if row <= start.offset:
                continue
            after = Position(start.part, row, row)
            if job.messages:
                chunk = Chunk(part.path, after, rows=batch)
                chunk.places = np.arange(batch.num_rows, dtype=np.int64)
            else:
                chunk = _column(batch, columns, part, after)
            chunk.places += begin
            chunk.stored_bytes = part.stored_bytes * batch.num_rows // rows
            yield chunk


def _check_columns(file: Any, columns: Sequence[str], path: str) -> None:  # noqa: ANN401 - without types
    for name in columns:
        if name not in file.schema_arrow.names:
            known = ", ".join(file.schema_arrow.names[:20])
            reason = f"there is no column {name!r}; there are {known}"
            raise InputError(f"{path}: {reason}", path, None, reason)


def _column(batch: Any, columns: Sequence[str], part: Part, after: Position) -> Chunk:  # noqa: ANN401
    """The texts of a column, which are read where they are, but for types that few files have."""
    arrow = require("pyarrow", "data")
    column = batch.column(batch.schema.get_field_index(columns[0]))
    if arrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        column = column.cast(arrow.large_binary())
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError):
        reason = f"the column {columns[0]!r} has {column.type}, which is not text"
        raise InputError(f"{part.path}: {reason}", part.path, None, reason) from None
    _, places, texts = column.buffers()
    offsets = np.frombuffer(places, np.int64)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(texts or b"", np.uint8)
    kept = column.is_valid().to_numpy(zero_copy_only=False) & (offsets[1:] > offsets[:-1])
    rows = np.flatnonzero(kept)
    chunk = Chunk(part.path, after, data, offsets[:-1][kept], offsets[1:][kept], rows)
    if len(columns) > 1:
        keys = batch.column(batch.schema.get_field_index(columns[1])).to_pylist()
        chunk.keys = [str(key) for key, keep in zip(keys, kept.tolist(), strict=True) if keep]
    return chunk
