"""datatrove's tokenized files, which nanotron reads: `.ds` and what is beside it.

The layout is that of datatrove's `TokenizedFile` (src/datatrove/pipeline/tokens/tokenizer.py).
"""

import numpy as np
import numpy.typing as npt

from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink, little, memory

__all__ = ["DatatroveSink", "document", "tokens"]


class DatatroveSink(Sink):
    """`NAME.ds` is flat uint32, and `NAME.ds.index` has the ends of documents in tokens, uint64.

    A mask is `NAME.ds.loss`, a byte for each token; `NAME.ds.metadata` is text.
    """

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """See `Sink`."""
        self.file(".ds").write(little(rows.ids))
        self.file(".ds.index").write(little(ends, "<u8"))
        if rows.mask is not None:
            self.file(".ds.loss").write(rows.mask.data)

    def finish(self) -> None:
        """See `Sink`."""
        for ending in (".ds", ".ds.index", *([".ds.loss"] if self.is_masked else [])):
            self.file(ending)
        lines = f"{self._tokenizer}|4\n{self.tokens}\n{_readable(self.tokens)}"
        self.file(".ds.metadata").write(lines.encode())


def _readable(tokens: int) -> str:
    """A count for people, as `1.23 MT`."""
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if tokens >= 10**power:
            return f"{tokens / 10**power:.3g} {prefix}T"
    return f"{tokens} T"


def document(shard: Shard, number: int) -> Document:
    """A document of a shard."""
    ends = memory(shard.path(".ds.index"), "<u8")
    begin, end = int(ends[number - 1]) if number else 0, int(ends[number])
    mask = memory(shard.path(".ds.loss"), np.uint8)[begin:end] if shard.has_mask else None
    return memory(shard.path(".ds"), "<u4")[begin:end], mask


def tokens(shard: Shard) -> tuple[int, int]:
    """How many tokens and documents the files say that there are."""
    ends = memory(shard.path(".ds.index"), "<u8")
    return len(memory(shard.path(".ds"), "<u4")), len(ends)
