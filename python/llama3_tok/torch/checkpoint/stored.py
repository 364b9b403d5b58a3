"""Files of tensors that are there: what both kinds have in common, and `.safetensors`.

Both are a table of names and shapes and the plain bytes of the tensors after it, and both are read
through a mapping: pages of the file, never a copy of it. `remap` gives the mapping back, with the
page tables that grow as more of it is read.

The format is that of https://huggingface.co/docs/safetensors.
"""

import json
import math
import os
import re
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn, Protocol, TypeGuard

import numpy as np

from llama3_tok.errors import CheckpointError
from llama3_tok.regular_files import IrregularFile, parse_json, read_regular

# A tensor's elements, or some rows of them, as unsigned integers of their size.
Array = np.ndarray[Any, np.dtype[Any]]

# The types that weights may have, as torch and config.json call them: bytes, their names in
# safetensors, and the classes that stand for them in a pickle of torch's.
WIDTH = {"bfloat16": 2, "float16": 2, "float32": 4}
SAFE = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
STORAGES = {"bfloat16": "BFloat16Storage", "float16": "HalfStorage", "float32": "FloatStorage"}
DTYPES = tuple(WIDTH)
_FROM_SAFE = {safe: dtype for dtype, safe in SAFE.items()}


def refuse(file: str, reason: str, tensor: str = "") -> NoReturn:
    """Raises CheckpointError about a file, or a tensor in it."""
    raise CheckpointError(f"{file}: {f'{tensor}: ' if tensor else ''}{reason}", file, tensor)


def read_json(path: str) -> dict[str, Any]:
    """The object in a JSON file; CheckpointError says what is wrong with another file."""
    try:
        value = parse_json(read_regular(path).decode())
    except FileNotFoundError:
        refuse(path, "there is no such file")
    except IrregularFile as error:
        refuse(path, str(error))
    except ValueError as error:
        check_pointer(path)
        refuse(path, f"it is not valid JSON: {error}")
    if not isinstance(value, dict):
        refuse(path, "it must hold a JSON object")
    return value


# What a file begins with that Git LFS has put in place of a large one.
_POINTER = b"version https://git-lfs.github.com/spec/"


def check_pointer(path: str) -> None:
    """Refuses what Git LFS leaves in place of a file: lines with its hash and its size."""
    with open(path, "rb") as file:
        head = file.read(1024)
    if head.startswith(_POINTER):
        size = re.search(rb"^size ([0-9]{1,18})$", head, re.MULTILINE)
        has = f", which has {int(size[1]):,} bytes" if size else ""
        refuse(
            path,
            f"this is a Git LFS pointer, not the file itself{has}; run `git lfs pull` in its "
            "repository, or download the file",
        )


# Types that quantised weights have, by how their names in safetensors and torch begin.
_PACKED = (
    (("F8", "F6", "F4", "float8", "float4", "E8M0"), "they are quantised to 8 bits or fewer (FP8)"),
    (("I", "U", "int", "uint", "quint", "qint", "bits"), "integers, as in quantised weights"),
)


def odd_type(dtype: str) -> str:
    """Why a tensor of this type is refused."""
    reason = f"its type is {dtype}, none of {', '.join(DTYPES)}"
    for beginnings, what in _PACKED:
        if dtype.startswith(beginnings):
            reason += f": {what}; take the checkpoint that was quantised, in bfloat16"
            break
    return reason


class Info(NamedTuple):
    """What a tensor is."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of its elements."""
        return math.prod(self.shape) * WIDTH[self.dtype]


class Stored(Protocol):
    """A file of tensors that is there."""

    path: str
    tensors: dict[str, Info]

    def array(self, name: str) -> Array:
        """A tensor's elements, as unsigned integers of their size; not to be kept."""

    def check(self, name: str) -> None:
        """Compares bytes that were just read with the file's checksum of them, if it has one."""

    def remap(self) -> None:
        """Gives back what reading took."""

    @property
    def has_checksums(self) -> bool:
        """Whether the table has a checksum of all bytes, and so tells the content."""

    def identity(self) -> dict[str, object]:
        """What tells this file from others: its size and its table, and not when it was written."""


def equal(one: Array, other: Array) -> bool:
    """Whether arrays are the same, compared a thousand rows at a time, up to a difference."""
    return one.shape == other.shape and all(
        np.array_equal(one[start : start + 1024], other[start : start + 1024])
        for start in range(0, one.shape[0], 1024)
    )


def unsigned(dtype: str) -> "np.dtype[Any]":
    """The integers that stand for elements."""
    return np.dtype(f"<u{WIDTH[dtype]}")


def status(path: str, table: bytes) -> dict[str, object]:
    """A file's identity, with its table."""
    return {"bytes": os.path.getsize(path), "table_sha256": sha256(table).hexdigest()}


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    """Whether it is a list of numbers that can be sizes of a file's parts."""
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 63 for one in value)


class Safetensors:
    """A `.safetensors` file."""

    # A header has a few hundred bytes for each tensor; more is a file of another kind.
    _LARGEST_HEADER = 100 << 20

    def __init__(self, path: str) -> None:
        self.path = path
        check_pointer(path)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, self._LARGEST_HEADER):
                refuse(
                    self.path,
                    f"it is not a safetensors file, or it is cut: its header would have {length:,} "
                    f"bytes, and the file has {size:,}",
                )
            self._header = file.read(length)
        self._base = 8 + length
        self._offsets: dict[str, int] = {}
        self.tensors: dict[str, Info] = {}
        end = self._read_header()
        if self._base + end != size:
            refuse(
                self.path, f"it has {size:,} bytes, and its header speaks of {self._base + end:,}"
            )
        self._map: np.memmap[Any, np.dtype[np.uint8]] | None = None

    def _read_header(self) -> int:
        """Takes the tensors in, and gives the end of the last."""
        end = 0
        try:
            header = json.loads(self._header)
        except (ValueError, RecursionError) as error:
            refuse(self.path, f"its header can't be read ({error!r}); it is damaged")
        if not isinstance(header, dict):
            refuse(self.path, "its header is not a table of tensors; it is damaged")
        header.pop("__metadata__", None)
        for name, entry in header.items():
            dtype, shape, (begin, stop) = self._entry(name, entry)
            if dtype not in _FROM_SAFE:
                refuse(self.path, odd_type(dtype), name)
            info = Info(_FROM_SAFE[dtype], shape)
            if stop - begin != info.bytes:
                refuse(self.path, f"it has {stop - begin:,} bytes, and its shape is {shape}", name)
            self.tensors[name], self._offsets[name] = info, begin
            end = max(end, stop)
        return end

    def _entry(self, name: str, entry: object) -> tuple[str, tuple[int, ...], list[int]]:
        """Type, shape, and where the bytes begin and end."""
        if isinstance(entry, dict):
            dtype, shape, offsets = map(entry.get, ("dtype", "shape", "data_offsets"))
            if (
                isinstance(dtype, str)
                and _are_sizes(shape)
                and _are_sizes(offsets)
                and len(offsets) == 2
            ):
                return dtype, tuple(shape), offsets
        refuse(
            self.path,
            f"its header has {repr(entry)[:100]}, which does not describe a tensor; it is damaged",
            name,
        )

    def array(self, name: str) -> Array:
        """A tensor's elements."""
        if self._map is None:
            self._map = np.memmap(self.path, np.uint8, "r")
        info = self.tensors[name]
        start = self._base + self._offsets[name]
        # Not every writer aligns its header, so NumPy may have to read unaligned elements.
        data = self._map[start : start + info.bytes]
        return np.ndarray(info.shape, unsigned(info.dtype), data)

    def check(self, name: str) -> None:
        """Nothing: the format has no checksums."""

    @property
    def has_checksums(self) -> bool:
        """The format has none."""
        return False

    def remap(self) -> None:
        """Drops the mapping; the next tensor makes a new one."""
        self._map = None

    def identity(self) -> dict[str, object]:
        """By size and header."""
        return status(self.path, self._header)
