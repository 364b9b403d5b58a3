"""LitData's chunks for its `TokensLoader`: the ids of documents end to end.

The layout is that of `BinaryWriter` (litdata/streaming/writer.py). `TokensLoader` gives blocks of a
length that the reader chooses, over the borders of documents, so there is no place for a mask.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink, little, memory

__all__ = ["LitdataSink", "document", "index", "tokens"]

# torch.int32, by its place in the library's list of types.
_DATA_FORMAT = "no_header_tensor:16"
_SPEC = [1, {"type": None, "context": None, "children_spec": []}]


class LitdataSink(Sink):
    """`NAME.bin`: how many documents, where each begins in bytes, and int32 ids."""

    has_mask = False
    max_tokens = 1 << 29

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """See `Sink`: what comes first in the file is known last."""
        self.file(".ids.scratch").write(little(rows.ids, "<i4"))

    def finish(self) -> None:
        """See `Sink`."""
        file, kept = self.file(".bin"), self.file(".ids.scratch")
        begin = 4 * (self.documents + 2)
        if begin + 4 * self.tokens >= 1 << 32:
            raise ValueError("a chunk of LitData has less than 4 GB")
        file.write(little(np.array([self.documents, begin]), "<u4"))
        for ends in self.ends():
            file.write(little(ends * 4 + begin, "<u4"))
        kept.seek(0)
        while data := kept.read(1 << 20):
            file.write(data)

    def close(self) -> list[str]:
        """See `Sink`."""
        return [name for name in super().close() if name.endswith(".bin")]


def index(shards: Sequence[Mapping[str, Any]], masked: bool) -> bytes:
    """`index.json`, of the lines of the manifest of all shards of a folder."""
    chunks = [
        {
            "chunk_bytes": file["bytes"],
            "chunk_size": shard["documents"],
            "dim": shard["tokens"],
            "filename": name,
        }
        for shard in shards
        for name, file in shard["files"].items()
    ]
    config = {
        "chunk_bytes": None,
        "chunk_size": max((shard["tokens"] for shard in shards), default=1),
        "compression": None,
        "compression_batch_size": None,
        "compression_level": None,
        "data_format": [_DATA_FORMAT],
        "data_spec": json.dumps(_SPEC),
        "encryption": None,
        "ipc_compression": None,
        "item_loader": "TokensLoader",
        "types": "tensor",
    }
    # The time would make the same corpus another file.
    described = {"chunks": chunks, "config": config, "updated_at": "0"}
    return json.dumps(described, sort_keys=True).encode()


def _offsets(shard: Shard) -> npt.NDArray[np.uint32]:
    numbers = memory(shard.path(".bin"), "<u4")
    offsets: npt.NDArray[np.uint32] = numbers[1 : int(numbers[0]) + 2]
    return offsets


def document(shard: Shard, number: int) -> Document:
    """A document of a shard."""
    begin, end = (_offsets(shard)[number : number + 2] // 4).tolist()
    return memory(shard.path(".bin"), "<u4")[begin:end], None


def tokens(shard: Shard) -> tuple[int, int]:
    """How many tokens and documents the files say that there are."""
    offsets, size = _offsets(shard), memory(shard.path(".bin"), np.uint8).size
    if int(offsets[-1]) != size:
        return -1, len(offsets) - 1
    return (int(offsets[-1]) - int(offsets[0])) // 4, len(offsets) - 1
