"""Reading `.pth` files: the zip archive that `torch.save` writes.

It has a pickled table of tensors and a record for each storage, which is not packed, so that its
bytes are where the archive's table says.
"""

import json
import math
import os
import struct
import zipfile
import zlib
from typing import IO, Any, NamedTuple

import numpy as np

from llama3_tok.errors import CheckpointError
from llama3_tok.torch.checkpoint.pickled import NotATable, View, table
from llama3_tok.torch.checkpoint.stored import (
    WIDTH,
    Array,
    Info,
    check_pointer,
    odd_type,
    refuse,
    status,
    unsigned,
)


class TorchFile:
    """A `.pth` file as `torch.save` has written since torch 1.6.

    Its table is read as `torch.load(weights_only=True)` does, which makes nothing but tensors. The
    bytes are mapped here, and not by `torch.load(mmap=True)`: that maps them to be written to, for
    which Linux grants no more than there is memory and swap, so that it fails on a larger file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._map: np.memmap[Any, np.dtype[np.uint8]] | None = None
        self._records = self._directory()
        self._stem = next(iter(self._records), "").partition("/")[0]
        self._views: dict[str, View] = {}
        self._storages: dict[str, _Storage] = {}
        self._sound: set[str] = set()
        self.tensors: dict[str, Info] = {}
        try:
            with open(path, "rb") as file:
                self._read(file)
        except CheckpointError:
            raise
        # What a damaged directory or table leads to.
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            refuse(path, f"it is damaged ({error}); copy or download it again")

    def _read(self, file: IO[bytes]) -> None:
        """Takes the tensors in."""
        for name, view in self._table(file).items():
            if not isinstance(name, str) or not isinstance(view, View):
                refuse(self.path, f"{name!r} is a {type(view).__name__}, and no tensor")
            if view.key not in self._storages:
                self._storages[view.key] = self._storage(file, name, view)
            self.tensors[name] = self._info(name, view)
            self._views[name] = view

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        """The archive's records by their names."""
        size = os.path.getsize(self.path)
        with open(self.path, "rb") as file:
            head = file.read(len(_RECORD))
        if head != _RECORD:
            check_pointer(self.path)
            refuse(
                self.path,
                "it is not the zip archive that torch.save has written since torch 1.6, so it "
                "can't be mapped. If it is older, write it anew with torch.save(torch.load(file), "
                "new_file), and keep it until the new one is read; if it was downloaded, do that "
                f"again (it has {size:,} bytes and begins with {head!r})",
            )
        try:
            with zipfile.ZipFile(self.path) as archive:
                return {entry.filename: entry for entry in archive.infolist()}
        # What zipfile comes upon in a damaged directory.
        except _DAMAGE as e:
            refuse(
                self.path,
                f"it begins as a zip archive and does not end as one ({e}); it is cut or damaged, "
                f"{size:,} bytes are here: copy or download it again",
            )

    def _table(self, file: IO[bytes]) -> dict[object, object]:
        """The pickled table."""
        order = self._content(file, "byteorder", b"little")
        if order != b"little":
            refuse(self.path, f"its numbers are {order.decode(errors='replace')}-endian")
        pickled = self._content(file, "data.pkl", None)
        try:
            held = table(pickled)
        except NotATable as error:
            refuse(self.path, f"its table of tensors can't be read: {error}")
        if not isinstance(held, dict) or not held:
            refuse(self.path, f"it holds a {type(held).__name__}, and no table of tensors")
        return held

    def _content(self, file: IO[bytes], name: str, default: bytes | None) -> bytes:
        """A small record, checked; without a default it must be there."""
        entry = self._records.get(f"{self._stem}/{name}")
        if entry is None and default is not None:
            return default
        if entry is None or entry.file_size > _LARGEST_TABLE:
            refuse(self.path, f"it is a zip archive, and none of torch.save's: no {name} to read")
        base = self._base(file, entry)
        file.seek(base)
        data = file.read(entry.file_size)
        if entry.CRC not in (0, zlib.crc32(data)):
            refuse(self.path, f"its record {name} is damaged; copy or download the file again")
        return data

    def _base(self, file: IO[bytes], entry: zipfile.ZipInfo) -> int:
        """Where the bytes of a record begin in the file."""
        if not 0 <= entry.header_offset < os.path.getsize(self.path):
            refuse(self.path, f"the record {entry.filename} is not where its directory says")
        file.seek(entry.header_offset)
        header = file.read(30)
        name = file.read(int.from_bytes(header[26:28], "little"))
        if header[:4] != _RECORD or name != entry.filename.encode():
            refuse(self.path, f"the record {entry.filename} is not where its directory says")
        if entry.compress_type != zipfile.ZIP_STORED:
            refuse(self.path, f"the record {entry.filename} is packed, and torch packs none")
        base = file.tell() + int.from_bytes(header[28:], "little")
        if base + entry.file_size > os.path.getsize(self.path):
            refuse(self.path, f"the record {entry.filename} goes beyond the end of the file")
        return base

    def _storage(self, file: IO[bytes], name: str, view: "View") -> "_Storage":
        """The record of a storage."""
        entry = self._records.get(f"{self._stem}/data/{view.key}")
        needed = view.elements * WIDTH.get(view.dtype, 1)
        if entry is None or entry.file_size < needed:
            there = 0 if entry is None else entry.file_size
            refuse(self.path, f"it has {there:,} bytes, and {needed:,} are needed", name)
        return _Storage(self._base(file, entry), entry.file_size, entry.CRC)

    def _info(self, name: str, view: "View") -> Info:
        if view.dtype not in WIDTH:
            refuse(self.path, odd_type(view.dtype), name)
        last = view.offset + sum(
            (size - 1) * step for size, step in zip(view.shape, view.strides, strict=True)
        )
        if min(view.shape, default=1) < 1 or min(view.strides, default=0) < 0:
            refuse(self.path, f"its shape is {list(view.shape)}, step {list(view.strides)}", name)
        # A step of 0 would repeat elements without end; torch saves no such weights.
        if (count := math.prod(view.shape)) > view.elements:
            refuse(self.path, f"it has {count:,} elements, and its storage {view.elements:,}", name)
        if not 0 <= view.offset <= last < view.elements:
            refuse(self.path, f"it goes up to element {last:,} of {view.elements:,}", name)
        return Info(view.dtype, view.shape)

    def array(self, name: str) -> Array:
        """A tensor's elements."""
        view, width = self._views[name], WIDTH[self.tensors[name].dtype]
        steps = [step * width for step in view.strides]
        data = self._bytes(view)[view.offset * width :]
        return np.ndarray(view.shape, unsigned(view.dtype), data, strides=steps)

    def check(self, name: str) -> None:
        """Compares the bytes after a tensor with the checksum that the archive has of them.

        They have just been read, so that they are still in memory. torch can leave the checksum
        out: then it is 0, and nothing is known.
        """
        view = self._views[name]
        storage = self._storages[view.key]
        if view.key in self._sound or not storage.crc:
            return
        data, crc = self._bytes(view), 0
        for start in range(0, data.size, _CHUNK):
            crc = zlib.crc32(data[start : start + _CHUNK].data, crc)
        if crc != storage.crc:
            refuse(
                self.path,
                f"the CRC-32 of its {data.size:,} bytes is {crc:08x}, and the archive says "
                f"{storage.crc:08x}: they are damaged; copy or download the file again",
                name,
            )
        self._sound.add(view.key)

    def _bytes(self, view: "View") -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """Those of a storage."""
        if self._map is None:
            self._map = np.memmap(self.path, np.uint8, "r")
        storage = self._storages[view.key]
        return self._map[storage.base : storage.base + storage.bytes]

    def shares(self, one: str, other: str) -> bool:
        """Whether two tensors are the same bytes of the file."""
        return self._views[one] == self._views[other]

    def remap(self) -> None:
        """Drops the mapping; the next tensor makes a new one."""
        self._map = None

    @property
    def has_checksums(self) -> bool:
        """Unless torch left them out."""
        return all(storage.crc for storage in self._storages.values())

    def identity(self) -> dict[str, object]:
        """By size, and the archive's table, which has a checksum of every record."""
        table = [(i.filename, i.file_size, i.CRC, i.header_offset) for i in self._records.values()]
        return status(self.path, json.dumps(table).encode())


# What zipfile comes upon in a damaged archive. An OSError without a file's name is that of a place
# before the beginning.
_DAMAGE = (zipfile.BadZipFile, struct.error, EOFError, NotImplementedError, ValueError, OSError)

# What every record of an archive begins with.
_RECORD = b"PK\x03\x04"

# The pickled table of a model has some hundred bytes for each tensor.
_LARGEST_TABLE = 100 << 20

# Bytes whose checksum is taken at once, so that Ctrl-C is heard.
_CHUNK = 16 << 20


class _Storage(NamedTuple):
    """A record of the archive: where it begins in the file, and its CRC-32."""

    base: int
    bytes: int
    crc: int
