"""Parquet, and Arrow's stream format as `datasets` keeps it: a row for each document.

The columns are `input_ids`, with a mask `labels` (-100 where nothing is learned), with packed rows
`seq_lengths`, and `id` where documents have one. Lists have 64-bit offsets, and ids are int32.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink
from llama3_tok.errors import Llama3TokError
from llama3_tok.extras import require

__all__ = [
    "ArrowSink",
    "ParquetSink",
    "document",
    "documents_of_parquet",
    "tokens",
    "tokens_of_parquet",
]

IGNORED = -100
MAX_ROW_TOKENS = 1 << 25
"""The most tokens of a document that comes in pieces."""


class _Tables(Sink):
    """Tables of rows. A document that comes in pieces has to be in memory: it is one value."""

    _writer: Any = None

    def begin(self) -> None:
        """See `Sink`."""
        self._held: list[Rows] = []

    @classmethod
    def libraries(cls) -> dict[str, str]:
        """See `Sink`."""
        return {"pyarrow": require("pyarrow", "data").__version__}

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """See `Sink`."""
        self._held.append(rows)
        if len(self._held) > 1 and sum(len(part.ids) for part in self._held) > MAX_ROW_TOKENS:
            raise Llama3TokError(
                f"a document has more than {MAX_ROW_TOKENS:,} tokens, and in Parquet and Arrow it "
                "is one value, which has to be in memory; take another format, or pack="
            )
        if rows.ends:
            self._write(self._table(_joined(self._held)))
            self._held = []

    def _table(self, rows: Rows) -> Any:  # noqa: ANN401 - without types
        arrow = require("pyarrow", "data")

        def lists(values: npt.NDArray[np.int32]) -> Any:  # noqa: ANN401
            return arrow.LargeListArray.from_arrays(arrow.array(rows.offsets), arrow.array(values))

        ids = rows.ids.view(np.int32)
        columns = {"input_ids": lists(ids)}
        if rows.mask is not None:
            columns["labels"] = lists(np.where(rows.mask != 0, ids, np.int32(IGNORED)))
        if rows.lengths is not None:
            columns["seq_lengths"] = arrow.LargeListArray.from_arrays(
                arrow.array(rows.length_offsets), arrow.array(rows.lengths)
            )
        if rows.keys is not None:
            columns["id"] = arrow.array(list(rows.keys), arrow.string())
        return arrow.table(columns)

    def _write(self, table: Any) -> None:  # noqa: ANN401
        raise NotImplementedError

    def finish(self) -> None:
        """See `Sink`."""
        if self._writer is None:
            none = Rows(np.empty(0, np.uint32), np.zeros(1, np.int64))
            none.mask = np.empty(0, np.uint8) if self.is_masked else None
            self._write(self._table(none))
        self._writer.close()


class ParquetSink(_Tables):
    """`NAME.parquet`."""

    compressions = ("zstd", "lz4", "none")

    def _write(self, table: Any) -> None:  # noqa: ANN401
        if self._writer is None:
            parquet = require("pyarrow.parquet", "data")
            self._writer = parquet.ParquetWriter(
                self.file(".parquet"),
                table.schema,
                compression=self.compression,
                use_dictionary=False,
                # The least and the largest id of some rows help nobody to find any.
                write_statistics=[name for name in table.column_names if name == "id"],
            )
        self._writer.write_table(table)


class ArrowSink(_Tables):
    """`NAME.arrow`, a stream of batches: `datasets.Dataset.from_file` and pyarrow read it."""

    def _write(self, table: Any) -> None:  # noqa: ANN401
        if self._writer is None:
            ipc = require("pyarrow.ipc", "data")
            self._writer = ipc.new_stream(self.file(".arrow"), table.schema)
        self._writer.write_table(table)


def _joined(parts: list[Rows]) -> Rows:
    """Rows whose last document goes on in the next ones, as one."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    ids = np.concatenate([part.ids for part in parts])
    ends, total = [], 0
    for part in parts:
        mine = part.offsets[1:] + total
        ends.append(mine if part.ends else mine[:-1])
        total += len(part.ids)
    joined = Rows(ids, np.concatenate([np.zeros(1, np.int64), *ends]))
    joined.keys = first.keys
    if first.mask is not None:
        joined.mask = np.concatenate([part.mask for part in parts if part.mask is not None])
    return joined


def _of_row(ids: Any, labels: Any) -> Document:  # noqa: ANN401
    mask = None if labels is None else (np.asarray(labels) != IGNORED).astype(np.uint8)
    return np.asarray(ids).astype(np.uint32), mask


def documents_of_parquet(shard: Shard, number: int) -> Document:
    """A document of a shard of Parquet."""
    file = require("pyarrow.parquet", "data").ParquetFile(shard.path(".parquet"))
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if number < count:
            row = file.read_row_group(group).slice(number, 1)
            return _row(row)
        number -= count
    raise IndexError(number)


def document(shard: Shard, number: int) -> Document:
    """A document of a shard of Arrow."""
    arrow = require("pyarrow", "data")
    with arrow.memory_map(shard.path(".arrow")) as source:
        for batch in arrow.ipc.open_stream(source):
            if number < batch.num_rows:
                return _row(arrow.Table.from_batches([batch]).slice(number, 1))
            number -= batch.num_rows
    raise IndexError(number)


def _row(table: Any) -> Document:  # noqa: ANN401
    names = table.column_names
    labels = table["labels"][0].as_py() if "labels" in names else None
    return _of_row(table["input_ids"][0].as_py(), labels)


def tokens_of_parquet(shard: Shard) -> tuple[int, int]:
    """How many tokens and documents the file has."""
    file = require("pyarrow.parquet", "data").ParquetFile(shard.path(".parquet"))
    return _counted(file.iter_batches(columns=["input_ids"]))


def tokens(shard: Shard) -> tuple[int, int]:
    """How many tokens and documents the file has."""
    arrow = require("pyarrow", "data")
    with arrow.memory_map(shard.path(".arrow")) as source:
        return _counted(arrow.ipc.open_stream(source))


def _counted(batches: Any) -> tuple[int, int]:  # noqa: ANN401
    total = rows = 0
    for batch in batches:
        lists = batch.column(batch.schema.get_field_index("input_ids"))
        total, rows = total + len(lists.flatten()), rows + batch.num_rows
    return total, rows
