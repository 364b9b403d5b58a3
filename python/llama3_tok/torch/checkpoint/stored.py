"""Files of tensors, as both layouts have them: reading a few rows at a time, writing in a stream.

Both kinds are a table of names and shapes and the plain bytes of the tensors behind it, and both
are read through a mapping: pages of the file, never a copy of it. `remap` gives the mapping back,
with the page tables that grow as more of it is read. They are written from front to back.

https://huggingface.co/docs/safetensors has the one format; the other is the zip archive that
`torch.save` writes, of a pickled table and one stored record for each tensor.
"""

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

import numpy as np

from llama3_tok.errors import CheckpointError
from llama3_tok.extras import need

if TYPE_CHECKING:
    from llama3_tok.torch.checkpoint.tensors import Array

# The types that weights may have: the name that torch and config.json give them, that of
# safetensors, and bytes.
_TYPES = (("bfloat16", "BF16", 2), ("float16", "F16", 2), ("float32", "F32", 4))
DTYPES = tuple(name for name, _, _ in _TYPES)
WIDTH = {name: width for name, _, width in _TYPES}
_SAFE = {name: safe for name, safe, _ in _TYPES}
_FROM_SAFE = {safe: name for name, safe, _ in _TYPES}


def refuse(file: str, reason: str, tensor: str = "") -> NoReturn:
    """Raises CheckpointError about a file, or a tensor in it."""
    raise CheckpointError(f"{file}: {f'{tensor}: ' if tensor else ''}{reason}", file, tensor)


class Info(NamedTuple):
    """What a tensor is."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of its elements."""
        return int(np.prod(self.shape, dtype=np.int64)) * WIDTH[self.dtype]


class Stored(Protocol):
    """A file of tensors that is there."""

    path: str
    tensors: dict[str, Info]

    def array(self, name: str) -> "Array":
        """A tensor's elements, as unsigned integers of their size; not to be kept."""

    def remap(self) -> None:
        """Gives back what reading took."""

    def identity(self) -> dict[str, object]:
        """What tells this file from another, also from itself with another content."""


def _unsigned(dtype: str) -> "np.dtype[Any]":
    return np.dtype(f"<u{WIDTH[dtype]}")


def _status(path: str, table: bytes) -> dict[str, object]:
    status = os.stat(path)
    return {
        "bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "table_sha256": sha256(table).hexdigest(),
    }


class Safetensors:
    """A `.safetensors` file."""

    # A header has a few hundred bytes for each tensor; more is a file of another kind.
    _LARGEST_HEADER = 100 << 20

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, self._LARGEST_HEADER):
                refuse(
                    self.path,
                    f"it is no safetensors file, or cut: its header would have {length:,} bytes, "
                    f"and the file has {size:,}",
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
            header.pop("__metadata__", None)
            for name, entry in header.items():
                dtype, shape = entry["dtype"], tuple(map(int, entry["shape"]))
                begin, stop = map(int, entry["data_offsets"])
                if dtype not in _FROM_SAFE:
                    refuse(self.path, f"its type is {dtype}, none of {', '.join(_FROM_SAFE)}", name)
                info = Info(_FROM_SAFE[dtype], shape)
                if stop - begin != info.bytes or begin < 0 or min(shape, default=1) < 0:
                    refuse(
                        self.path, f"it has {stop - begin:,} bytes, and its shape is {shape}", name
                    )
                self.tensors[name], self._offsets[name] = info, begin
                end = max(end, stop)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, CheckpointError):
                raise
            refuse(self.path, f"its header can't be read ({error!r}); it is damaged")
        return end

    def array(self, name: str) -> "Array":
        """A tensor's elements."""
        if self._map is None:
            self._map = np.memmap(self.path, np.uint8, "r")
        info = self.tensors[name]
        start = self._base + self._offsets[name]
        # Not every writer aligns its header, so NumPy may have to read unaligned elements.
        data = self._map[start : start + info.bytes]
        return np.ndarray(info.shape, _unsigned(info.dtype), data)

    def remap(self) -> None:
        """Drops the mapping; the next tensor makes a new one."""
        self._map = None

    def identity(self) -> dict[str, object]:
        """By size, time and header."""
        return _status(self.path, self._header)


class TorchFile:
    """A `.pth` file as `torch.save` has written since torch 1.6."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._loaded: dict[str, Any] | None = None
        self._check_kind()
        self.tensors = {name: self._info(name, value) for name, value in self._state().items()}

    def _check_kind(self) -> None:
        size = os.path.getsize(self.path)
        with open(self.path, "rb") as file:
            head = file.read(4)
        if head != b"PK\x03\x04":
            refuse(
                self.path,
                "it is not the zip archive that torch.save has written since torch 1.6, so it "
                "can't be mapped; write it anew with torch.save(torch.load(file), file), or if it "
                f"was downloaded, do that again (it has {size:,} bytes and begins with {head!r})",
            )
        if not zipfile.is_zipfile(self.path):
            refuse(
                self.path,
                f"it begins as a zip archive and does not end as one: of its bytes only {size:,} "
                "are here; copy or download it again",
            )

    def _state(self) -> dict[str, Any]:
        if self._loaded is None:
            torch = need("torch", "torch")
            try:
                loaded = torch.load(self.path, map_location="cpu", mmap=True, weights_only=True)
            except (RuntimeError, pickle.UnpicklingError, ValueError, EOFError, KeyError) as error:
                reason = str(error).splitlines()[0] if str(error) else repr(error)
                refuse(self.path, f"torch can't load it as weights: {reason}")
            if not isinstance(loaded, dict) or not loaded:
                refuse(self.path, f"it holds a {type(loaded).__name__}, and no table of tensors")
            self._loaded = loaded
        return self._loaded

    def _info(self, name: object, value: object) -> Info:
        torch = need("torch", "torch")
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            refuse(self.path, f"{name!r} is a {type(value).__name__}, and no tensor")
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in WIDTH or value.layout != torch.strided:
            kind = dtype if value.layout == torch.strided else f"{dtype}, {value.layout}"
            refuse(self.path, f"its type is {kind}, none of {', '.join(WIDTH)}", str(name))
        return Info(dtype, tuple(value.shape))

    def array(self, name: str) -> "Array":
        """A tensor's elements."""
        torch = need("torch", "torch")
        width = WIDTH[self.tensors[name].dtype]
        array: Array = self._state()[name].detach().view(getattr(torch, f"int{width * 8}")).numpy()
        return array.view(_unsigned(self.tensors[name].dtype))

    def shares(self, one: str, other: str) -> bool:
        """Whether two tensors are the same bytes of the file."""
        state = self._state()
        return bool(state[one].data_ptr() == state[other].data_ptr())

    def remap(self) -> None:
        """Drops the tensors, and with them the mapping; the next one asked for maps anew."""
        self._loaded = None

    def identity(self) -> dict[str, object]:
        """By size, time, and the archive's table, which has a checksum of every record."""
        with zipfile.ZipFile(self.path) as archive:
            table = [(i.filename, i.file_size, i.CRC, i.header_offset) for i in archive.infolist()]
        return _status(self.path, json.dumps(table).encode())


class Out(NamedTuple):
    """A tensor to be written."""

    name: str
    info: Info
    blocks: "Callable[[], Iterator[Array]]"
    """Gives its elements, row by row; they are made when they are asked for."""
    alias: str | None = None
    """The tensor before it whose bytes it has too; there are no blocks then."""


def raw(block: "Array") -> memoryview:
    """The bytes of an array that is in one piece."""
    return block.reshape(-1).view(np.uint8).data


def write_safetensors(file: IO[bytes], outs: Sequence[Out]) -> None:
    """Writes tensors as a `.safetensors` file; their bytes follow in the order given."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for out in outs:
        begin, end = end, end + out.info.bytes
        header[out.name] = {
            "dtype": _SAFE[out.info.dtype],
            "shape": out.info.shape,
            "data_offsets": (begin, end),
        }
    table = json.dumps(header, separators=(",", ":")).encode()
    table += b" " * (-len(table) % 8)
    file.write(struct.pack("<Q", len(table)) + table)
    for out in outs:
        for block in out.blocks():
            file.write(raw(block))


# Where torch puts the bytes of a record: it fills the header up to a multiple of this, with an
# extra field of this number.
_ALIGNMENT, _FILLER = 64, 0x4246


def write_torch(file: IO[bytes], outs: Sequence[Out], stem: str) -> None:
    """Writes tensors as a `.pth` file that `torch.load(mmap=True, weights_only=True)` reads.

    `file` must allow to seek: sizes and checksums are put in after each record.
    """
    keys: dict[str, str] = {}
    for out in outs:
        keys[out.name] = keys[out.alias] if out.alias else str(len(set(keys.values())))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _record(archive, f"{stem}/data.pkl", [_pickled(outs, keys)])
        for name, text in _MARKS:
            _record(archive, f"{stem}/{name}", [text])
        for out in outs:
            if out.alias is None:
                _record(archive, f"{stem}/data/{keys[out.name]}", map(raw, out.blocks()))


_MARKS = (
    (".format_version", b"1"),
    (".storage_alignment", b"%d" % _ALIGNMENT),
    ("byteorder", b"little"),
    ("version", b"3\n"),
)


def _record(archive: zipfile.ZipFile, name: str, blocks: Iterable[bytes | memoryview]) -> None:
    entry = zipfile.ZipInfo(name)
    fixed = 30 + len(name) + 4 + 20  # header, name, head of the filler, sizes in 64 bits
    filler = -(archive.start_dir + fixed) % _ALIGNMENT
    entry.extra = struct.pack("<HH", _FILLER, filler) + b"Z" * filler
    with archive.open(entry, "w", force_zip64=True) as record:
        for block in blocks:
            record.write(block)


def _pickled(outs: Sequence[Out], keys: dict[str, str]) -> bytes:
    """The table of tensors as torch pickles it, made without the tensors."""
    torch = need("torch", "torch")
    classes = {
        "bfloat16": torch.BFloat16Storage,
        "float16": torch.HalfStorage,
        "float32": torch.FloatStorage,
    }

    class Storage(NamedTuple):
        key: str
        info: Info

    class Rebuilt:
        def __init__(self, storage: Storage) -> None:
            self.storage = storage

        def __reduce__(self) -> tuple[Any, ...]:
            shape = self.storage.info.shape
            strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
            arguments = (self.storage, 0, shape, strides, False, OrderedDict[str, Any]())
            return torch._utils._rebuild_tensor_v2, arguments

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> tuple[Any, ...] | None:
            if not isinstance(value, Storage):
                return None
            info = value.info
            elements = info.bytes // WIDTH[info.dtype]
            return "storage", classes[info.dtype], value.key, "cpu", elements

    stream = io.BytesIO()
    table = {out.name: Rebuilt(Storage(keys[out.name], out.info)) for out in outs}
    Pickler(stream, protocol=2).dump(table)
    return stream.getvalue()
