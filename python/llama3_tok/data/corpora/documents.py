"""The bytes of a chunk as documents: a file, lines, what is between separators, or records."""

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from llama3_tok import _core
from llama3_tok.data.corpora.chunk import Chunk, Position
from llama3_tok.data.corpora.job import Job
from llama3_tok.data.corpora.plan import Part

__all__ = ["of_conversations", "of_file", "of_lines", "of_records", "of_separated"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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


def of_file(part: Part, position: Position, data: bytes, after: Position) -> Chunk:
    """The file, or a piece of a long one, is the document."""
    # A piece may be empty only where the document ends.
    start, end = np.zeros(1, np.int64), np.full(1, len(data), np.int64)
    return _chunk(part, position, after, data, start, end)


def of_lines(part: Part, position: Position, data: bytes, after: Position) -> Chunk:
    """Each line that is not empty is a document."""
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


def of_separated(separator: bytes) -> Callable[[Part, Position, bytes, Position], Chunk]:
    """What is between two separators is a document."""

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


def of_records(job: Job) -> Callable[[Part, Position, bytes, Position], Chunk]:
    """A field of each record of JSONL is a document."""
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


def of_conversations(part: Part, position: Position, data: bytes, after: Position) -> Chunk:
    """Each record of JSONL is a conversation."""
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
