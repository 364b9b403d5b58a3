"""Arrow columns of text as columns of ids: what every library that speaks Arrow is served with."""

from collections.abc import Mapping
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from llama3_tok import arguments
from llama3_tok.arguments import BatchOptions, Options
from llama3_tok.data import columns
from llama3_tok.data.columns import ArrowArray, ArrowStream, Chunk, Column
from llama3_tok.errors import Llama3TokError
from llama3_tok.extras import require
from llama3_tok.lazy import pa
from llama3_tok.shared import given
from llama3_tok.text import second_bos
from llama3_tok.tokenizer import Tokenizer

__all__ = ["count_arrow", "encode_arrow"]


@overload
def encode_arrow(
    column: ArrowStream, *, tokenizer: Tokenizer | None = None, **options: Unpack[BatchOptions]
) -> "pa.ChunkedArray": ...
@overload
def encode_arrow(
    column: ArrowArray, *, tokenizer: Tokenizer | None = None, **options: Unpack[BatchOptions]
) -> "pa.LargeListArray": ...
def encode_arrow(
    column: ArrowArray | ArrowStream,
    *,
    tokenizer: Tokenizer | None = None,
    **options: Unpack[BatchOptions],
) -> "pa.LargeListArray | pa.ChunkedArray":
    """The ids of each row of an Arrow column, as a column of lists: `large_list<int32>`.

    `column` is anything that speaks the Arrow PyCapsule interface: an array of pyarrow, a Series of
    Polars or pandas, a relation of DuckDB or a table with one column, an array of nanoarrow. Its
    type is string, large_string, string_view, binary, large_binary, binary_view, fixed_size_binary,
    null or a dictionary of these. Bytes need not be UTF-8, as in `Tokenizer.encode`. The text is
    read where it is, without a copy and without an object for each row; the values of a dictionary
    are encoded once.

    A null row is null, and has neither BOS nor EOS. An array gives a `pyarrow.LargeListArray`; what
    may have several chunks gives a `pyarrow.ChunkedArray` with the same chunks, so that it fits
    beside the column in a table. Ids fit `int32`, which most readers of Parquet and Arrow take; the
    offsets have 64 bits, so that a column may have more than 2^31 ids.

    `tokenizer` is by default the one of `llama3_tok.encode`. The other options are those of
    `Tokenizer.encode_batch`; an error names the row, which a SpecialTokenError has as `index`.

    Raises TypeError for what is not a column of text, SpecialTokenError as `Tokenizer.encode`,
    MissingExtra without pyarrow, and Llama3TokError for a damaged column and for a tokenizer with
    ids of 2^31 and more.

    >>> import pyarrow
    >>> from llama3_tok.data import encode_arrow
    >>> encode_arrow(pyarrow.array(["Hello world", None, "Hello"]), bos=True).to_pylist()
    [[128000, 9906, 1917], None, [128000, 9906]]
    """
    pa = require("pyarrow", "data")
    tokenizer = given(tokenizer)
    if len(tokenizer) > 1 << 31:
        raise Llama3TokError(
            f"the tokenizer has ids up to {len(tokenizer) - 1}, which int32 can't hold; give its "
            "special tokens ids below 2147483648, or use Tokenizer.encode_ragged"
        )
    read, chosen, threads = _asked("encode_arrow", column, tokenizer, options)
    core = tokenizer.definition.core
    ids, offsets = core.encode_slices(*read.texts, threads, chosen)
    values = pa.Array.from_buffers(pa.int32(), len(ids), [None, pa.py_buffer(ids)])
    lists = [_lists(read, chunk, values, offsets) for chunk in read.chunks]
    return _as_given(read, lists, pa.large_list(pa.int32()))


@overload
def count_arrow(
    column: ArrowStream, *, tokenizer: Tokenizer | None = None, **options: Unpack[BatchOptions]
) -> "pa.ChunkedArray": ...
@overload
def count_arrow(
    column: ArrowArray, *, tokenizer: Tokenizer | None = None, **options: Unpack[BatchOptions]
) -> "pa.Int64Array": ...
def count_arrow(
    column: ArrowArray | ArrowStream,
    *,
    tokenizer: Tokenizer | None = None,
    **options: Unpack[BatchOptions],
) -> "pa.Int64Array | pa.ChunkedArray":
    """How many ids each row of an Arrow column has, as `int64`; a null row is null.

    The parameters and errors are those of `encode_arrow`, and no ids are made.

    >>> import pyarrow
    >>> from llama3_tok.data import count_arrow
    >>> count_arrow(pyarrow.array(["Hello world", None, "Hello"]), bos=True).to_pylist()
    [3, None, 2]
    """
    pa = require("pyarrow", "data")
    tokenizer = given(tokenizer)
    read, chosen, threads = _asked("count_arrow", column, tokenizer, options)
    core = tokenizer.definition.core
    counts = core.count_slices(*read.texts, threads, chosen)
    numbers = [_numbers(read, chunk, counts) for chunk in read.chunks]
    return _as_given(read, numbers, pa.int64())


def _asked(
    call: str,
    column: ArrowArray | ArrowStream,
    tokenizer: Tokenizer,
    options: Mapping[str, Any],
) -> "tuple[Column, Options | None, int]":
    """The column and the options, checked; it warns of a text that would get a second BOS."""
    chosen = arguments.chosen(options, call, "threads", "tokenizer")
    threads = arguments.threads(options.get("threads"))
    read = columns.read(column)
    if chosen is not None and chosen.bos and tokenizer.bos_id is not None:
        bos = tokenizer.definition.name(tokenizer.bos_id)
        second_bos.warn(columns.beginning_with(read.texts, bos.encode()), chosen, bos)
    return read, chosen, threads


def _lists(
    read: Column, chunk: Chunk, values: "pa.Array", offsets: npt.NDArray[np.int64]
) -> "pa.Array":
    """The ids of a chunk, of those of all."""
    pa = require("pyarrow", "data")
    own = offsets[chunk.start : chunk.end + 1]
    first, last = int(own[0]), int(own[-1])
    buffers = [_validity(read, chunk), pa.py_buffer(own - first if first else own)]
    children = [values.slice(first, last - first)]
    kind = pa.large_list(pa.int32())
    return pa.Array.from_buffers(kind, len(own) - 1, buffers, children=children)


def _numbers(read: Column, chunk: Chunk, counts: npt.NDArray[np.int64]) -> "pa.Array":
    """The counts of a chunk."""
    pa = require("pyarrow", "data")
    own = counts[chunk.start : chunk.end]
    return pa.Array.from_buffers(pa.int64(), len(own), [_validity(read, chunk), pa.py_buffer(own)])


def _validity(read: Column, chunk: Chunk) -> "pa.Buffer | None":
    """Which rows of a chunk are not null, as bits; None if all are."""
    is_valid: npt.NDArray[np.bool_] = read.texts.starts[chunk.start : chunk.end] >= 0
    if is_valid.all():
        return None
    return require("pyarrow", "data").py_buffer(np.packbits(is_valid, bitorder="little"))


def _as_given(
    read: Column, results: "list[pa.Array]", kind: "pa.DataType"
) -> "pa.Array | pa.ChunkedArray":
    """The results of the chunks for each of their rows, in the form that the column has."""
    pairs = zip(results, read.chunks, strict=True)
    rows = [own if chunk.taken is None else own.take(chunk.taken) for own, chunk in pairs]
    return require("pyarrow", "data").chunked_array(rows, type=kind) if read.is_chunked else rows[0]
