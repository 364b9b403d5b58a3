"""`.npy`: all ids of a shard in one array, and where its documents end."""

from typing import Any

import numpy as np
import numpy.typing as npt

from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink, little

__all__ = ["NumpySink", "document", "tokens"]

_HEADER_BYTES = 128


class NumpySink(Sink):
    """`NAME.npy` is uint32[tokens], `NAME.offsets.npy` int64[documents + 1].

    With a mask `NAME.mask.npy` is uint8[tokens]; packed rows have the lengths of what is in them,
    end to end, in `NAME.lengths.npy`, int32.
    """

    _packed = 0

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """See `Sink`."""
        self._begun(".npy").write(little(rows.ids))
        if rows.mask is not None:
            self._begun(".mask.npy").write(rows.mask.data)
        if rows.lengths is not None:
            self._begun(".lengths.npy").write(little(rows.lengths, "<i4"))
            self._packed += len(rows.lengths)

    def finish(self) -> None:
        """See `Sink`: the headers have the lengths."""
        self._begun(".npy")
        offsets = self._begun(".offsets.npy")
        offsets.write(little(np.zeros(1, np.int64), "<i8"))
        for ends in self.ends():
            offsets.write(little(ends, "<i8"))
        shapes = {
            ".npy": (self.tokens, "<u4"),
            ".mask.npy": (self.tokens, "|u1"),
            ".offsets.npy": (self.documents + 1, "<i8"),
            ".lengths.npy": (self._packed, "<i4"),
        }
        for ending, file in self._files.items():
            length, kind = shapes[ending]
            described = {"descr": kind, "fortran_order": False, "shape": (length,)}
            file.seek(0)
            np.lib.format.write_array_header_1_0(file, described)
            if file.tell() != _HEADER_BYTES:
                raise AssertionError("NumPy writes another header than it did")

    def _begun(self, ending: str) -> Any:  # noqa: ANN401 - a file
        file = self.file(ending)
        if file.tell() == 0:
            file.write(bytes(_HEADER_BYTES))
        return file


def document(shard: Shard, number: int) -> Document:
    """A document of a shard."""
    begin, end = np.load(shard.path(".offsets.npy"), mmap_mode="r")[number : number + 2]
    ids = np.load(shard.path(".npy"), mmap_mode="r")[begin:end]
    mask = np.load(shard.path(".mask.npy"), mmap_mode="r")[begin:end] if shard.has_mask else None
    return ids, mask


def tokens(shard: Shard) -> tuple[int, int]:
    """How many tokens and documents the files say that there are."""
    offsets = np.load(shard.path(".offsets.npy"), mmap_mode="r")
    return int(offsets[-1]), len(offsets) - 1
