"""Where the texts of an Arrow column are: buffers, and where each text begins and ends in them.

That is what Arrow has already: the offsets of strings, and the views of string views. So no text is
copied, and no object is made for a row.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from llama3_tok.errors import Llama3TokError
from llama3_tok.extras import require
from llama3_tok.lazy import pa

__all__ = ["ArrowArray", "ArrowStream", "Column", "Texts", "beginning_with", "read"]


class ArrowArray(Protocol):
    """What gives itself as one array by the Arrow PyCapsule interface, as `pyarrow.Array` does."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]: ...  # noqa: ANN401


class ArrowStream(Protocol):
    """What gives itself as several arrays: `pyarrow.ChunkedArray`, a Series of Polars or pandas."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...  # noqa: ANN401


class Texts(NamedTuple):
    """Texts as the core takes them; `starts` is -1 for a null row."""

    buffers: list[npt.NDArray[np.uint8]]
    buffer_of: npt.NDArray[np.int32] | None
    """The buffer of each text, else the first is that of all."""
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


class Chunk(NamedTuple):
    """A chunk of a column, as a part of its rows."""

    start: int
    end: int
    taken: "pa.Array | None"
    """For a dictionary: of each row the row of the chunk that has its text, or null."""


class Column(NamedTuple):
    """A column: the texts of all chunks end to end."""

    texts: Texts
    chunks: list[Chunk]
    is_chunked: bool
    """Whether it may have several chunks, or none."""


def read(column: "ArrowArray | ArrowStream") -> Column:
    """Reads a column of text.

    Raises TypeError for what is not one, Llama3TokError for one that is damaged.
    """
    pa = require("pyarrow", "data")
    given = _text(_arrow(column))
    is_chunked = isinstance(given, pa.ChunkedArray)
    parts: list[Texts] = []
    chunks: list[Chunk] = []
    start = 0
    for array in given.chunks if is_chunked else [given]:
        texts, taken = (
            _distinct(array, start) if _is_dictionary(array) else (_texts(array, start), None)
        )
        parts.append(texts)
        chunks.append(Chunk(start, start + len(array), taken))
        start += len(array)
    return Column(_joined(parts), chunks, is_chunked)


def _arrow(column: Any) -> "pa.Array | pa.ChunkedArray":  # noqa: ANN401 - whatever a caller has
    pa = require("pyarrow", "data")
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    if hasattr(column, "__arrow_c_stream__"):
        return pa.chunked_array(column)
    if hasattr(column, "__arrow_c_array__"):
        return pa.array(column)
    kind = type(column)
    if kind.__module__.partition(".")[0] == "pandas" and hasattr(column, "dtype"):
        # Before pandas 3 a Series gives itself to pyarrow in another way.
        array = pa.array(column, from_pandas=True)
        return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    if isinstance(column, str | bytes):
        hint = "one text goes to Tokenizer.encode"
    elif isinstance(column, list | tuple):
        hint = "pyarrow.array(column) makes one, and Tokenizer.encode_ragged takes a list of texts"
    else:
        hint = "pyarrow.array(column) makes one of most sequences"
    raise TypeError(f"column must be an Arrow column of text, not {kind.__name__}; {hint}")


def _text(column: "pa.Array | pa.ChunkedArray") -> "pa.Array | pa.ChunkedArray":
    """The column itself, or the only one of a table; an error if it does not have text."""
    pa = require("pyarrow", "data")
    types, kind = pa.types, column.type
    if types.is_struct(kind) and kind.num_fields == 1:
        return _text(column.flatten()[0])
    if isinstance(kind, pa.BaseExtensionType):
        if isinstance(column, pa.Array):
            return _text(column.storage)
        storage = [chunk.storage for chunk in column.chunks]
        return _text(pa.chunked_array(storage, type=kind.storage_type))
    if types.is_struct(kind):
        names = ", ".join(repr(kind.field(index).name) for index in range(min(kind.num_fields, 20)))
        hint = f"it has the columns {names}; give one of them" if names else "it has no columns"
    elif types.is_run_end_encoded(kind):
        hint = "pyarrow.compute.run_end_decode(column) makes a column of text"
    elif _is_text(kind) or (types.is_dictionary(kind) and _is_text(kind.value_type)):
        return column
    else:
        hint = "cast it to string if its values are to be read as text, or give another column"
    raise TypeError(
        f"column must have text, which is string or binary in Arrow, not {str(kind)[:200]}; {hint}"
    )


def _is_text(kind: "pa.DataType") -> bool:
    types = require("pyarrow", "data").types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_null(kind)
    )


def _is_dictionary(array: "pa.Array") -> bool:
    return bool(require("pyarrow", "data").types.is_dictionary(array.type))


def _texts(array: "pa.Array", row: int) -> Texts:
    """The texts of an array that is not a dictionary; `row` is what its first row is called."""
    types, kind, rows, offset = (
        require("pyarrow", "data").types,
        array.type,
        len(array),
        array.offset,
    )
    if types.is_null(kind):
        return Texts([], None, np.full(rows, -1), np.zeros(rows, np.int64))
    buffers = array.buffers()
    buffer_of = None
    if types.is_string_view(kind) or types.is_binary_view(kind):
        # A view is the length, then the text if it has at most 12 bytes, else four bytes of it, the
        # number of its buffer and where it begins there. So the views are a buffer of texts, too.
        lengths, _, numbers, places = _array(buffers[1], np.int32).reshape(-1, 4)[offset:][:rows].T
        is_inside, count = lengths <= 12, len(buffers) - 2
        numbers = np.where((numbers < 0) | (numbers >= count), -1, numbers + 1)
        buffer_of = np.where(is_inside, 0, numbers).astype(np.int32)
        starts = np.where(is_inside, np.arange(offset, offset + rows) * 16 + 4, places)
        ends = starts + lengths
        data = [_array(buffer, np.uint8) for buffer in buffers[1:]]
    elif types.is_fixed_size_binary(kind):
        starts = np.arange(offset, offset + rows) * kind.byte_width
        ends = starts + kind.byte_width
        data = [_array(buffers[1], np.uint8)]
    else:
        is_large = types.is_large_string(kind) or types.is_large_binary(kind)
        places = _array(buffers[1], np.int64 if is_large else np.int32)[offset:][: rows + 1]
        # An array without rows may have no offset at all.
        places = places.astype(np.int64, copy=False) if rows else np.zeros(1, np.int64)
        starts, ends = places[:-1], places[1:]
        data = [_array(buffers[2], np.uint8)]
    is_valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    if rows and starts.min() < 0:
        damaged = np.flatnonzero(starts < 0 if is_valid is None else is_valid & (starts < 0))
        if damaged.size:
            raise Llama3TokError(
                f"column[{row + damaged[0]}] can't be read: its text begins at byte "
                f"{starts[damaged[0]]} of a buffer; the column is damaged, and its method "
                "validate(full=True) says more"
            )
    if is_valid is not None:
        starts = np.where(is_valid, starts, -1)
    return Texts(data, buffer_of, starts, ends)


def _array(buffer: "pa.Buffer | None", dtype: type) -> npt.NDArray[Any]:
    """A buffer of Arrow as an array, without a copy; whole items only."""
    size = 0 if buffer is None else buffer.size // np.dtype(dtype).itemsize
    return np.empty(0, dtype) if buffer is None else np.frombuffer(buffer, dtype, size)


def _distinct(array: "pa.Array", row: int) -> "tuple[Texts, pa.Array]":
    """Of an array with a dictionary each text in the first row that has it; the others are null.

    Also the first row that has the text of each row. Values that no row has are not looked at.
    """
    pa = require("pyarrow", "data")
    values = _texts(array.dictionary, row)
    rows, count = len(array), len(array.dictionary)
    indices = array.indices.cast(pa.int64(), safe=False).fill_null(-1).to_numpy()
    if np.count_nonzero((indices < 0) | (indices >= count)) != array.indices.null_count:
        raise Llama3TokError(
            f"column can't be read: an index of rows {row} to {row + rows - 1} is not in the "
            f"dictionary, which has {count} values; the column is damaged"
        )
    first = np.full(count, -1)
    there = np.flatnonzero(indices >= 0)[::-1]
    first[indices[there]] = there  # the last that is assigned stays, which is the first row
    used = np.flatnonzero(first >= 0)
    starts, ends = np.full(rows, -1), np.zeros(rows, np.int64)
    starts[first[used]], ends[first[used]] = values.starts[used], values.ends[used]
    buffer_of = None
    if values.buffer_of is not None:
        buffer_of = np.zeros(rows, np.int32)
        buffer_of[first[used]] = values.buffer_of[used]
    taken = np.full(rows, -1)
    taken[there] = first[indices[there]]
    return Texts(values.buffers, buffer_of, starts, ends), pa.array(taken, mask=indices < 0)


def _joined(parts: list[Texts]) -> Texts:
    if len(parts) == 1:
        return parts[0]
    buffers: list[npt.NDArray[np.uint8]] = []
    numbers = [np.empty(0, np.int32)]
    for part in parts:
        own = np.zeros(len(part.starts), np.int32) if part.buffer_of is None else part.buffer_of
        numbers.append(np.where(own < 0, own, own + np.int32(len(buffers))))
        buffers += part.buffers
    none = np.empty(0, np.int64)
    starts = np.concatenate([none, *(part.starts for part in parts)])
    return Texts(
        buffers,
        np.concatenate(numbers),
        starts,
        np.concatenate([none, *(part.ends for part in parts)]),
    )


def beginning_with(texts: Texts, opening: bytes) -> Iterator[bytes]:
    """The beginnings of those texts that begin with `opening`, at most 1,000 bytes of each."""
    rows = np.flatnonzero((texts.starts >= 0) & (texts.ends - texts.starts >= len(opening)))
    numbers = np.zeros(rows.size, np.int32) if texts.buffer_of is None else texts.buffer_of[rows]
    order = np.argsort(numbers, kind="stable")
    rows, numbers = rows[order], numbers[order]
    for number, buffer in enumerate(texts.buffers):
        own = rows[slice(*np.searchsorted(numbers, (number, number + 1)))]
        own = own[texts.ends[own] <= len(buffer)]
        for at, byte in enumerate(opening):
            own = own[buffer[texts.starts[own] + at] == byte]
        for row in own:
            start = texts.starts[row]
            yield buffer[start : min(start + 1000, texts.ends[row])].tobytes()
