"""Rows in batches: from an iterator, from Arrow, or from the lines of a file."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, NoReturn, TypeAlias

from llama3_tok import _core, arguments
from llama3_tok._core import Core
from llama3_tok.errors import ChatFormatError
from llama3_tok.extras import require

__all__ = ["Batch", "Line", "batches", "parsed"]

# Rows of a batch: some milliseconds of work, so that threads are not idle between batches, and not
# so many that reading and encoding can't take turns.
_ROWS = 1024
# Bytes of a file that are read at a time.
_CHUNK = 1 << 20


class Line(NamedTuple):
    """A line of a file with JSON on each; `number` counts from 1."""

    number: int
    data: bytes


class _Slice:
    """Rows of Arrow, which become lists and dictionaries when they are gone through."""

    def __init__(self, array: Any, pyarrow: Any) -> None:  # noqa: ANN401
        self._array, self._pyarrow = array, pyarrow

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return iter(_values(self._array, self._pyarrow))


Batch: TypeAlias = list[Any] | _Slice


def batches(given: object, core: Core, path: str | None) -> Iterator[Batch]:
    """Rows in batches: `Line`s of a file, else lists and dictionaries."""
    rows: Iterator[Any]
    if path is not None:
        rows = _lines(core, path)
    elif hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__"):
        yield from _of_arrow(given)
        return
    else:
        arguments.refuse_text(given, "conversations")
        if not isinstance(given, Iterable):
            raise TypeError(f"conversations must be rows, not {type(given).__name__}")
        rows = iter(given)
    while several := list(islice(rows, _ROWS)):
        yield several


# Files


def _lines(core: Core, path: str) -> Iterator[Line]:
    for _, before, chunk in _core.FileChunks(core, path, True, _CHUNK, False):
        for number, line in enumerate(chunk.split(b"\n"), before + 1):
            if line.strip():
                yield Line(number, line)


def parsed(line: Line) -> Any:  # noqa: ANN401
    """The value that a line has as JSON; raises ChatFormatError if it has none."""
    try:
        return json.loads(line.data.decode("utf-8-sig"), parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            why = f"{error.msg.lower()} at column {error.colno}"
        elif isinstance(error, UnicodeDecodeError):
            why = "it is not UTF-8"
        else:
            why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ChatFormatError(f"the line is not valid JSON: {why}") from None


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"JSON has no {word}")


# Arrow


def _of_arrow(given: Any) -> Iterator[_Slice]:  # noqa: ANN401
    pyarrow = require("pyarrow", "data")
    if hasattr(given, "__arrow_c_stream__"):
        chunks = pyarrow.chunked_array(given).chunks
    else:
        chunks = [pyarrow.array(given)]
    for chunk in chunks:
        for first in range(0, len(chunk), _ROWS):
            yield _Slice(chunk.slice(first, _ROWS), pyarrow)


def _values(array: Any, pyarrow: Any) -> list[Any]:  # noqa: ANN401 - of any type of Arrow
    """The values of an array; a field of a struct that is null is left out.

    `to_pylist` makes each value by itself, which takes several times as long.
    """
    types, kind = pyarrow.types, array.type
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _values(array.storage, pyarrow)
    if types.is_dictionary(kind):
        return _values(array.dictionary_decode(), pyarrow)
    if types.is_struct(kind):
        return _structs(array, pyarrow)
    if types.is_list(kind) or types.is_large_list(kind):
        flat, lists, at = _values(array.flatten(), pyarrow), [], 0
        for length in array.value_lengths().to_pylist():
            lists.append(None if length is None else flat[at : at + length])
            at += length or 0
        return lists
    if types.is_map(kind):
        return [None if pairs is None else dict(pairs) for pairs in array.to_pylist()]
    if types.is_string_view(kind):
        array = array.cast(pyarrow.large_string())
    if types.is_string(array.type) or types.is_large_string(array.type):
        texts: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
        return texts
    values: list[Any] = array.to_pylist()
    return values


def _structs(array: Any, pyarrow: Any) -> list[Any]:  # noqa: ANN401
    names = [array.type.field(number).name for number in range(array.type.num_fields)]
    fields = array.flatten()  # null where the struct is
    columns = [_values(field, pyarrow) for field in fields]
    rows: list[Any]
    if not names:
        rows = [{} for _ in range(len(array))]
    elif any(field.null_count for field in fields):
        rows = [
            {name: value for name, value in zip(names, values, strict=True) if value is not None}
            for values in zip(*columns, strict=True)
        ]
    else:
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    if array.null_count:
        valid = array.is_valid().to_pylist()
        rows = [row if is_valid else None for row, is_valid in zip(rows, valid, strict=True)]
    return rows
