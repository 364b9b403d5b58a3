"""MosaicML's streaming dataset (MDS): a sample for each document.

The layout is that of `MDSWriter` (streaming/base/format/mds/writer.py), version 2.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink, little, memory

__all__ = ["MdsSink", "document", "index", "tokens"]

_SIZE_LIMIT = 1 << 26


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

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """See `Sink`: what comes first in the file is known last."""
        self._kept("ids").write(little(rows.ids))
        if rows.mask is not None:
            self._kept("mask").write(rows.mask.data)

    def finish(self) -> None:
        """See `Sink`."""
        file, config = (
            self.file(".mds"),
            json.dumps(_config(self.is_masked), sort_keys=True).encode(),
        )
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
        kept = {
            name: self._kept(name) for name in (("mask", "ids") if self.is_masked else ("ids",))
        }
        for stream in kept.values():
            stream.seek(0)
        for lengths in self.lengths():
            for length in lengths.tolist():
                shape = _shape(length)
                columns = []
                if self.is_masked:
                    columns.append(shape + kept["mask"].read(length))
                columns.append(shape + kept["ids"].read(4 * length))
                sizes = struct.pack(f"<{len(columns)}I", *map(len, columns))
                file.write(b"".join((sizes, *columns)))

    def close(self) -> list[str]:
        """See `Sink`: what was kept goes."""
        names = super().close()
        return [name for name in names if name.endswith(".mds")]

    def _kept(self, what: str) -> Any:  # noqa: ANN401 - a file
        return self.file(f".{what}.scratch")


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
