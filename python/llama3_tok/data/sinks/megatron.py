"""Megatron's indexed dataset: `.bin` has the ids, `.idx` the lengths and places of documents.

The layout is that of megatron-core's `IndexedDataset` (megatron/core/datasets/indexed_dataset.py).
"""

import os
import struct

import numpy as np
import numpy.typing as npt

from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink, little, memory

__all__ = ["MegatronSink", "document", "tokens"]

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")
_INT32, _UINT8 = 4, 1


class MegatronSink(Sink):
    """`NAME.bin` and `NAME.idx`; a mask is a dataset of its own, `NAME_mask`, of uint8.

    Each document is one sequence. Megatron adds no token between documents, so give `eos`.
    """

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """See `Sink`."""
        self.file(".bin").write(little(rows.ids, "<i4"))
        if rows.mask is not None:
            self.file("_mask.bin").write(rows.mask.data)

    def finish(self) -> None:
        """See `Sink`."""
        self.file(".bin")
        self._index(".idx", _INT32, 4)
        if self.is_masked:
            self.file("_mask.bin")
            self._index("_mask.idx", _UINT8, 1)

    def _index(self, ending: str, code: int, width: int) -> None:
        file = self.file(ending)
        file.write(_HEADER.pack(_MAGIC, 1, code, self.documents, self.documents + 1))
        for lengths in self.lengths():
            file.write(little(lengths, "<i4"))
        last = 0
        for ends in self.ends():
            # Where each begins: the end of the one before.
            file.write(little(np.concatenate([[last], ends[:-1]]) * width, "<i8"))
            last = int(ends[-1])
        step = 1 << 20
        for begin in range(0, self.documents + 1, step):
            numbers = np.arange(begin, min(begin + step, self.documents + 1))
            file.write(little(numbers, "<i8"))


def document(shard: Shard, number: int) -> Document:
    """A document of a shard."""
    path = shard.path(".idx")
    count = _count(path)
    length = int(memory(path, "<i4", _HEADER.size)[number])
    begin = int(memory(path, "<i8", _HEADER.size + 4 * count)[number]) // 4
    ids = memory(shard.path(".bin"), "<i4")[begin : begin + length].view(np.uint32)
    mask = memory(shard.path("_mask.bin"), np.uint8) if shard.has_mask else None
    return ids, None if mask is None else mask[begin : begin + length]


def tokens(shard: Shard) -> tuple[int, int]:
    """How many tokens and documents the files say that there are."""
    path = shard.path(".idx")
    count = _count(path)
    lengths = memory(path, "<i4", _HEADER.size)[:count]
    total = int(lengths.sum(dtype=np.int64))
    if os.path.getsize(shard.path(".bin")) != 4 * total:
        return -1, count
    return total, count


def _count(path: str) -> int:
    with open(path, "rb") as file:
        magic, _, _, count, _ = _HEADER.unpack(file.read(_HEADER.size))
    if magic != _MAGIC:
        raise ValueError("this is not an index of Megatron's")
    return int(count)
