"""Rows of one length, made of documents that come in chunks."""

import numpy as np

from llama3_tok.data.packing import Packed, Strategy, pack
from llama3_tok.data.sinks import Rows
from llama3_tok.text.ragged import Ragged

__all__ = ["Packer"]


class Packer:
    """Packs documents, and keeps what fills no row for those that follow.

    With "best-fit" only the end of a document that goes on is kept: of rows that are not full there
    are few in a chunk.
    """

    def __init__(self, length: int, strategy: Strategy) -> None:
        self._length, self._strategy = length, strategy
        self._kept: Rows | None = None

    def add(self, rows: Rows) -> Rows:
        """The rows that are complete."""
        if self._kept is not None:
            rows = _joined(self._kept, rows)
            self._kept = None
        packed = self._packed(rows)
        count = len(packed)
        if not count:
            return _rows(packed, 0)
        last = int(packed.ids.offsets[-1] - packed.ids.offsets[-2])
        is_open = self._strategy == "concatenate" and last < self._length
        if is_open or not rows.ends:
            count -= 1
            self._kept = _sequences(packed, count)
            self._kept.ends = rows.ends
        return _rows(packed, count)

    def rest(self) -> Rows:
        """What was kept, as the last rows."""
        kept, self._kept = self._kept, None
        if kept is None:
            return Rows(np.empty(0, np.uint32), np.zeros(1, np.int64))
        packed = self._packed(kept)
        return _rows(packed, len(packed))

    def _packed(self, rows: Rows) -> Packed:
        given = Ragged(rows.ids, rows.offsets)
        # The last row must be the one with the document that goes on.
        strategy = self._strategy if rows.ends else "concatenate"
        return pack(given, self._length, strategy=strategy, mask=rows.mask)


def _rows(packed: Packed, count: int) -> Rows:
    """The first rows, as sinks take them."""
    offsets = packed.ids.offsets[: count + 1]
    parts = packed.seq_offsets[: count + 1]
    return Rows(
        packed.ids.ids[: offsets[-1]],
        offsets,
        None if packed.mask is None else packed.mask[: offsets[-1]],
        lengths=packed.seq_lengths[: parts[-1]],
        length_offsets=parts,
    )


def _sequences(packed: Packed, row: int) -> Rows:
    """The sequences of a row."""
    begin, end = packed.ids.offsets[row], packed.ids.offsets[row + 1]
    lengths = packed.seq_lengths[packed.seq_offsets[row] : packed.seq_offsets[row + 1]]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    mask = None if packed.mask is None else packed.mask[begin:end]
    return Rows(packed.ids.ids[begin:end], offsets, mask)


def _joined(kept: Rows, rows: Rows) -> Rows:
    """Sequences that were kept and what follows them; a document that goes on is one of both."""
    offsets = np.concatenate([kept.offsets, rows.offsets[1:] + kept.offsets[-1]])
    if not rows.begins:
        offsets = np.delete(offsets, len(kept.offsets) - 1)
    mask = None
    if kept.mask is not None and rows.mask is not None:
        mask = np.concatenate([kept.mask, rows.mask])
    joined = Rows(np.concatenate([kept.ids, rows.ids]), offsets, mask)
    joined.ends = rows.ends
    return joined
