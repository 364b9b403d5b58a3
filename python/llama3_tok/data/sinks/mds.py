"""MosaicML's streaming dataset (MDS): a sample for each document.

The layout is that of `MDSWriter` (streaming/base/format/mds/writer.py), version 2.
"""

import json
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink, little, memory

__all__ = ["MdsSink", "document", "index", "tokens"]

_SIZE_LIMIT = 1 << 26
_COPIED_BYTES = 1 << 20


def _columns(masked: bool) -> dict[str, str]:
    mask = {"loss_mask": "ndarray:uint8"} if masked else {}
    return mask | {"tokens": "ndarray:uint32"}


def _config(masked: bool) -> dict[str, Any]:
    columns = _columns(masked)
    return {
        "column_encodings": list(columns.values()),
        "column_names": list(columns),
        "column_sizes": [None] * len(columns),
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": _SIZE_LIMIT,
        "version": 2,
    }


class MdsSink(Sink):
    """`NAME.mds`, with the column `tokens`, and `loss_mask` where there is one."""

    # Places have 32 bits, in bytes; a sample's mask and sizes come to the ids.
    max_tokens = 1 << 29
    _is_open = False
    """Whether a document has begun that has not ended."""

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """See `Sink`: the samples are kept, since what comes first in the file is known last."""
        bounds = rows.offsets.tolist()
        first, last = int(not rows.begins), len(rows) - (not rows.ends)
        if not rows.begins:
            self._keep_piece(rows, *bounds[:2])
            if last > 0:
                self._end_pieces()
        self._kept("samples").writelines(_samples(rows, bounds[first : last + 1]))
        if not rows.ends and last >= first:
            self._keep_piece(rows, *bounds[-2:])

    def _keep_piece(self, rows: Rows, begin: int, end: int) -> None:
        """Keeps a piece of a document, whose length is known only when it ends."""
        self._is_open = True
        self._kept("ids").write(little(rows.ids[begin:end]))
        if rows.mask is not None:
            self._kept("mask").write(rows.mask[begin:end].data)

    def _end_pieces(self) -> None:
        """Makes a sample of the pieces that are kept."""
        names = ("mask", "ids") if self.is_masked else ("ids",)
        columns = [self._kept(name) for name in names]
        length = columns[-1].tell() // 4
        shape, samples = _shape(length), self._kept("samples")
        sizes = [len(shape) + column.tell() for column in columns]
        samples.write(struct.pack(f"<{len(columns)}I", *sizes))
        for column in columns:
            samples.write(shape)
            _copy(column, samples)
            column.seek(0)
            column.truncate()
        self._is_open = False

    def finish(self) -> None:
        """See `Sink`."""
        if self._is_open:
            self._end_pieces()
        file = self.file(".mds")
        config = json.dumps(_config(self.is_masked), sort_keys=True).encode()
        file.write(struct.pack("<I", self.documents))
        at = 4 + 4 * (self.documents + 1) + len(config)
        file.write(struct.pack("<I", at))
        for lengths in self.lengths():
            ends = at + np.cumsum(_sample_bytes(lengths, self.is_masked))
            if int(ends[-1]) >= 1 << 32:
                raise ValueError("a shard of MDS has less than 4 GB")
            file.write(little(ends))
            at = int(ends[-1])
        file.write(config)
        _copy(self._kept("samples"), file)

    def close(self) -> list[str]:
        """See `Sink`: what was kept goes."""
        names = super().close()
        return [name for name in names if name.endswith(".mds")]

    def _kept(self, what: str) -> IO[bytes]:
        return self.file(f".{what}.scratch")


def _samples(rows: Rows, bounds: Sequence[int]) -> Iterator[bytes | memoryview]:
    """The samples of whole documents: the sizes of the columns, then each with its shape."""
    ids, mask = memoryview(little(rows.ids)), None if rows.mask is None else rows.mask.data
    for begin, end in pairwise(bounds):
        length = end - begin
        shape = _shape(length)
        if mask is None:
            yield struct.pack("<I", len(shape) + 4 * length) + shape
        else:
            yield struct.pack("<II", len(shape) + length, len(shape) + 4 * length) + shape
            yield mask[begin:end]
            yield shape
        yield ids[4 * begin : 4 * end]


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    """Writes all of a file to the end of another."""
    source.seek(0)
    shutil.copyfileobj(source, target, _COPIED_BYTES)


def _shape(length: int) -> bytes:
    """An array's number of dimensions and shape: in as few bytes as it fits."""
    for code, form, limit in ((0, "<BB", 1 << 8), (1, "<BH", 1 << 16), (2, "<BI", 1 << 32)):
        if length < limit:
            return struct.pack(form, 1 << 2 | code, length)
    raise ValueError(f"a sample of {length} tokens is too long")


def _sample_bytes(lengths: npt.NDArray[np.int64], masked: bool) -> npt.NDArray[np.int64]:
    shapes = 2 + (lengths >= 1 << 8) + 2 * (lengths >= 1 << 16)
    columns = shapes + 4 * lengths + 4
    return columns + (shapes + lengths + 4) if masked else columns


def index(shards: Sequence[Mapping[str, Any]], masked: bool) -> bytes:
    """`index.json`, of the lines of the manifest of all shards of a folder."""
    listed = [
        _config(masked)
        | {
            "raw_data": {"basename": name, "bytes": file["bytes"], "hashes": {}},
            "samples": shard["documents"],
            "zip_data": None,
        }
        for shard in shards
        for name, file in shard["files"].items()
    ]
    return json.dumps({"shards": listed, "version": 2}, sort_keys=True).encode()


def document(shard: Shard, number: int) -> Document:
    """A document of a shard."""
    data = memory(shard.path(".mds"), np.uint8)
    begin, end = data[4 + 4 * number : 12 + 4 * number].view("<u4").tolist()
    sample = data[begin:end].tobytes()
    columns = _columns(shard.has_mask)
    sizes = struct.unpack_from(f"<{len(columns)}I", sample)
    at = 4 * len(columns)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, size in zip(columns, sizes, strict=True):
        skipped = 1 + (1 << (sample[at] & 3))
        kind = np.uint8 if name == "loss_mask" else np.dtype("<u4")
        arrays[name] = np.frombuffer(sample[at + skipped : at + size], kind)
        at += size
    return arrays["tokens"], arrays.get("loss_mask")


def tokens(shard: Shard) -> tuple[int, int]:
    """How many tokens and documents the files say that there are."""
    data = memory(shard.path(".mds"), np.uint8)
    count = int(data[:4].view("<u4")[0])
    offsets = data[4 : 8 + 4 * count].view("<u4")
    total = 0
    for number in range(count):
        total += len(document(shard, number)[0])
    return total if int(offsets[-1]) == len(data) else -1, count
