"""Reading the fields of a GGUF file, the format of llama.cpp, by its specification (versions 2, 3).

A file begins with `GGUF`, the version, the numbers of tensors and of fields, and then has the
fields: a name, a type, a value. Only that is read, however large the tensors after it are.
"""

import mmap
import struct
from collections.abc import Iterator
from typing import TypeAlias, cast

from llama3_tok.regular_files import IrregularFile, open_regular

Value: TypeAlias = "bool | int | float | str | list[Value]"

MAGIC = b"GGUF"

# More than any model has: a file that says so is damaged, and would take minutes and gigabytes.
_MAX_FIELDS = 1 << 16
_MAX_ITEMS = 1 << 22
_MAX_TEXT_BYTES = 64 << 20

# The types of values by number: as `struct` has them, then strings and lists.
_NUMBERS = ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", None, None, "<Q", "<q", "<d")
_STRING = 8
_LIST = 9


def fields(path: str) -> Iterator[tuple[str, Value]]:
    """Each field of the file: its name and its value.

    Raises ValueError for what is not a GGUF file, or a damaged one, and OSError.
    """
    try:
        opened = open_regular(path)
    except IrregularFile as error:
        raise ValueError(str(error)) from None
    with (
        opened as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        try:
            yield from _Fields(data)
        except (struct.error, IndexError):
            raise ValueError("it ends in the middle of its fields") from None


class _Fields:
    """The place in the file up to which it was read."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, len(MAGIC)

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        version = self._count("<I")
        if self._data[: len(MAGIC)] != MAGIC or version not in (2, 3):
            raise ValueError(f"its version is {version}; 2 and 3 are known, in little-endian order")
        self._count("<Q")  # of tensors
        count = self._count("<Q")
        if count > _MAX_FIELDS:
            raise ValueError(f"it has {count:,} fields; at most {_MAX_FIELDS:,} are read")
        for _ in range(count):
            yield self._string(), self._value(self._count("<I"))

    def _value(self, type: int) -> Value:
        if type == _STRING:
            return self._string()
        if type == _LIST:
            inner, count = self._count("<I"), self._count("<Q")
            if inner == _LIST or count > len(self._data):
                raise ValueError(f"it has a list of {count} values of type {inner}")
            if count > _MAX_ITEMS:
                raise ValueError(
                    f"it has a list of {count:,} values; at most {_MAX_ITEMS:,} are read"
                )
            return [self._value(inner) for _ in range(count)]
        number = _NUMBERS[type] if type < len(_NUMBERS) else None
        if number is None:
            raise ValueError(f"it has a value of the unknown type {type}")
        return self._number(number)

    def _number(self, form: str) -> bool | int | float:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return cast(bool | int | float, value)

    def _count(self, form: str) -> int:
        return cast(int, self._number(form))

    def _string(self) -> str:
        length = self._count("<Q")
        if length > _MAX_TEXT_BYTES:
            raise ValueError(
                f"it has a text of {length:,} bytes; at most {_MAX_TEXT_BYTES:,} are read"
            )
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise IndexError(self._at)
        return self._data[start : self._at].decode()
