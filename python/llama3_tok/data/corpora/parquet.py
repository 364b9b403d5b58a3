"""Documents in the columns of Parquet files."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from llama3_tok.data.corpora.chunk import Chunk, Position
from llama3_tok.data.corpora.job import Job
from llama3_tok.data.corpora.plan import Part
from llama3_tok.data.places import Place
from llama3_tok.errors import InputError
from llama3_tok.extras import require

__all__ = ["row_groups"]

_ROWS = 4096


def row_groups(
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
