"""Writing files of tensors in a stream, from front to back: `.safetensors` and `.pth`."""

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np

from llama3_tok.torch.checkpoint.stored import SAFE, STORAGES, Array, Info


class Out(NamedTuple):
    """A tensor to be written."""

    name: str
    info: Info
    blocks: Callable[[], Iterator[Array]]
    """Gives its elements, row by row; they are made when they are asked for."""
    alias: str | None = None
    """The tensor before it whose bytes it has too; there are no blocks then."""


def raw(block: Array) -> memoryview:
    """The bytes of an array that is in one piece."""
    return block.reshape(-1).view(np.uint8).data


def write_safetensors(file: IO[bytes], outs: Sequence[Out]) -> None:
    """Writes tensors as a `.safetensors` file; their bytes follow in the order given."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for out in outs:
        begin, end = end, end + out.info.bytes
        header[out.name] = {
            "dtype": SAFE[out.info.dtype],
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


# Those that every release knows. With the later `.format_version` torch may compute where records
# are, from how its own writer lays them out, and not look.
_MARKS = (("byteorder", b"little"), ("version", b"3\n"))


def _record(archive: zipfile.ZipFile, name: str, blocks: Iterable[bytes | memoryview]) -> None:
    entry = zipfile.ZipInfo(name)
    fixed = 30 + len(name) + 4 + 20  # header, name, head of the filler, sizes in 64 bits
    filler = -(archive.start_dir + fixed) % _ALIGNMENT
    entry.extra = struct.pack("<HH", _FILLER, filler) + b"Z" * filler
    with archive.open(entry, "w", force_zip64=True) as record:
        for block in blocks:
            record.write(block)


def _pickled(outs: Sequence[Out], keys: dict[str, str]) -> bytes:
    """The table of tensors as torch pickles it, spelled out, so that no torch is needed."""
    table = pickle.PROTO + b"\2" + pickle.EMPTY_DICT + pickle.MARK
    for out in outs:
        table += _value(out.name) + _tensor(out.info, keys[out.name])
    return table + pickle.SETITEMS + pickle.STOP


def _tensor(info: Info, key: str) -> bytes:
    """A call: rebuild a tensor from (storage, offset, shape, steps, requires_grad, hooks)."""
    shape = info.shape
    steps = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    storage = [_value("storage"), _global("torch", STORAGES[info.dtype])]
    storage += map(_value, (key, "cpu", math.prod(shape)))
    hooks = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    arguments = [_tuple(storage) + pickle.BINPERSID, *map(_value, (0, shape, steps, False)), hooks]
    return _global("torch._utils", "_rebuild_tensor_v2") + _tuple(arguments) + pickle.REDUCE


def _value(value: object) -> bytes:
    """A plain value, without the beginning and the end of a pickle."""
    return pickle.dumps(value, protocol=2)[2:-1]


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(parts: Iterable[bytes]) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE
