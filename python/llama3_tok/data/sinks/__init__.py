"""The formats of training files: one table of what writes and reads each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from llama3_tok.data.sinks import arrow, datatrove, dolma, litdata, mds, megatron, numpy_files
from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink

__all__ = ["FORMATS", "Document", "Format", "Rows", "Shard", "Sink"]


class Format(NamedTuple):
    """How shards are written, and read back."""

    sink: type[Sink]
    document: Callable[[Shard, int], Document]
    tokens: Callable[[Shard], tuple[int, int]]
    """How many tokens and documents a shard's files say that they have."""
    listed: Callable[[Sequence[Mapping[str, Any]], bool], bytes] | None = None
    """What `index.json` has, which readers of some formats need."""
    prefix: str = ""
    """What the names of shards begin with."""


FORMATS: Mapping[str, Format] = {
    "npy": Format(numpy_files.NumpySink, numpy_files.document, numpy_files.tokens),
    "megatron": Format(megatron.MegatronSink, megatron.document, megatron.tokens),
    "datatrove": Format(datatrove.DatatroveSink, datatrove.document, datatrove.tokens),
    "dolma": Format(dolma.DolmaSink, dolma.document, dolma.tokens),
    "mds": Format(mds.MdsSink, mds.document, mds.tokens, mds.index),
    "litdata": Format(
        litdata.LitdataSink, litdata.document, litdata.tokens, litdata.index, "chunk-"
    ),
    "parquet": Format(arrow.ParquetSink, arrow.documents_of_parquet, arrow.tokens_of_parquet),
    "arrow": Format(arrow.ArrowSink, arrow.document, arrow.tokens),
}
