"""Reading `.pth` files: the zip archive that `torch.save` writes.

It has a pickled table of tensors and a record for each storage, which is not packed, so that its
bytes are where the archive's table says.
"""

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import IO, Any, NamedTuple

import numpy as np

from llama3_tok.torch.checkpoint.stored import WIDTH, Info, refuse, status, unsigned
from llama3_tok.torch.checkpoint.tensors import Array


class TorchFile:
    """A `.pth` file as `torch.save` has written since torch 1.6.

    Its table is read as `torch.load(weights_only=True)` does, which makes nothing but tensors. The
    bytes are mapped here, and not by `torch.load(mmap=True)`: that maps them to be written to, for
    which Linux grants no more than there is memory and swap, so that it fails on a larger file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._map: np.memmap[Any, np.dtype[np.uint8]] | None = None
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(4)
        if head != b"PK\x03\x04":
            refuse(
                path,
                "it is not the zip archive that torch.save has written since torch 1.6, so it "
                "can't be mapped; write it anew with torch.save(torch.load(file), file), or if it "
                f"was downloaded, do that again (it has {size:,} bytes and begins with {head!r})",
            )
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
                self._records = {entry.filename: entry for entry in entries}
                stem = entries[0].filename.partition("/")[0] if entries else ""
                table = self._unpickled(archive, stem)
        except (zipfile.BadZipFile, struct.error, EOFError, NotImplementedError) as error:
            refuse(
                path,
                f"it begins as a zip archive and does not go on as one ({error}); if of its bytes "
                f"only {size:,} are here, copy or download it again",
            )
        if not isinstance(table, dict) or not table:
            refuse(path, f"it holds a {type(table).__name__}, and no table of tensors")
        self._views: dict[str, _View] = {}
        self.tensors: dict[str, Info] = {}
        bases: dict[str, int] = {}
        with open(path, "rb") as file:
            for name, view in table.items():
                if not isinstance(name, str) or not isinstance(view, _View):
                    refuse(path, f"{name!r} is a {type(view).__name__}, and no tensor")
                if view.key not in bases:
                    bases[view.key] = self._base(file, f"{stem}/data/{view.key}", name, view)
                self.tensors[name] = self._info(name, view)
                self._views[name] = view._replace(base=bases[view.key])

    def _unpickled(self, archive: zipfile.ZipFile, stem: str) -> object:
        marks = {"byteorder": b"little"}
        for mark, needed in marks.items():
            name = f"{stem}/{mark}"
            if name in self._records and (value := archive.read(name)) != needed:
                refuse(self.path, f"its {mark} is {value.decode(errors='replace')!r}")
        entry = self._records.get(f"{stem}/data.pkl")
        if entry is None or entry.file_size > _LARGEST_TABLE:
            refuse(self.path, "it is a zip archive, and none that torch.save has written")
        try:
            return _Unpickler(io.BytesIO(archive.read(entry))).load()
        except zipfile.BadZipFile:
            raise
        except Exception as error:  # damaged pickles raise whatever they come upon
            refuse(self.path, f"its table of tensors can't be read: {error}")

    def _info(self, name: str, view: "_View") -> Info:
        if view.dtype not in WIDTH:
            refuse(self.path, f"its type is {view.dtype}, none of {', '.join(WIDTH)}", name)
        last = view.offset + sum(
            (size - 1) * step for size, step in zip(view.shape, view.strides, strict=True)
        )
        if min(view.shape, default=1) < 1 or min(view.strides, default=0) < 0:
            refuse(self.path, f"its shape is {list(view.shape)}, step {list(view.strides)}", name)
        if not 0 <= view.offset <= last < view.elements:
            refuse(self.path, f"it goes up to element {last:,} of {view.elements:,}", name)
        return Info(view.dtype, view.shape)

    def _base(self, file: IO[bytes], record: str, name: str, view: "_View") -> int:
        """Where the bytes of a storage begin in the file."""
        entry = self._records.get(record)
        needed = view.elements * WIDTH.get(view.dtype, 1)
        if entry is None or entry.compress_type != zipfile.ZIP_STORED or entry.file_size < needed:
            there = "missing" if entry is None else f"{entry.file_size:,} bytes, packed or not"
            refuse(self.path, f"its bytes are {there}; {needed:,} plain ones are needed", name)
        file.seek(entry.header_offset)
        header = file.read(30)
        if header[:4] != b"PK\x03\x04":
            refuse(self.path, f"the record {record} is not where the archive's table says", name)
        return (
            entry.header_offset
            + 30
            + int.from_bytes(header[26:28], "little")
            + int.from_bytes(header[28:], "little")
        )

    def array(self, name: str) -> Array:
        """A tensor's elements."""
        if self._map is None:
            self._map = np.memmap(self.path, np.uint8, "r")
        view, width = self._views[name], WIDTH[self.tensors[name].dtype]
        start = view.base + view.offset * width
        steps = [step * width for step in view.strides]
        return np.ndarray(view.shape, unsigned(view.dtype), self._map[start:], strides=steps)

    def shares(self, one: str, other: str) -> bool:
        """Whether two tensors are the same bytes of the file."""
        return self._views[one] == self._views[other]

    def remap(self) -> None:
        """Drops the mapping; the next tensor makes a new one."""
        self._map = None

    def identity(self) -> dict[str, object]:
        """By size, time, and the archive's table, which has a checksum of every record."""
        table = [(i.filename, i.file_size, i.CRC, i.header_offset) for i in self._records.values()]
        return status(self.path, json.dumps(table).encode())


# The pickled table of a model has some hundred bytes for each tensor.
_LARGEST_TABLE = 100 << 20


class _View(NamedTuple):
    """A tensor as the table has it: elements of a storage, which is a record of the archive."""

    dtype: str
    key: str
    elements: int
    """Of the storage."""
    offset: int
    """Of the first element."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    base: int = 0
    """Where the storage begins in the file, in bytes."""


class _Kind(str):
    """A storage's class, by the name of its elements' type."""


_KINDS = {"BFloat16Storage": "bfloat16", "HalfStorage": "float16", "FloatStorage": "float32"}


class _Unpickler(pickle.Unpickler):
    """Makes tables of tensors and nothing else: no other name in the pickle is looked up."""

    def find_class(self, module: str, name: str) -> object:
        """What may be called."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _view
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda view, *_: view
        if module == "torch" and name.endswith("Storage"):
            return _Kind(_KINDS.get(name, name))
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a table of tensors")

    def persistent_load(self, identity: object) -> _View:
        """A storage, as a view of all of it."""
        match identity:
            case ("storage", _Kind() as kind, str(key), str(), int(elements)):
                return _View(str(kind), key, elements, 0, (elements,), (1,))
        raise pickle.UnpicklingError(f"{identity!r} is no storage")


def _view(
    storage: _View, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _View:
    if not isinstance(storage, _View) or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor is not made of a storage, a shape and steps")
    numbers = (int(offset), tuple(map(int, shape)), tuple(map(int, strides)))
    return _View(storage.dtype, storage.key, storage.elements, *numbers)
