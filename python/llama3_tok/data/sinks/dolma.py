"""Dolma's way, which OLMo-core reads: ids without a header, and a table of documents."""

import csv
import gzip
import io
import zlib

import numpy as np
import numpy.typing as npt

from llama3_tok.data.sinks.base import Document, Rows, Shard, Sink, little, memory

__all__ = ["DolmaSink", "document", "tokens"]


class DolmaSink(Sink):
    """Ids without a header in `NAME.npy`, whatever the name says, and a table in `NAME.csv.gz`.

    The table has a line for each document: where it begins and ends, its id, its file, and where it
    begins there, in bytes or in rows of Parquet. A mask is `NAME_label_mask.npy`, one byte a token:
    `label_mask_paths` of OLMo-core.

    Readers find the documents by their EOS, so give `eos`.
    """

    _begin = 0

    def begin(self) -> None:
        """See `Sink`."""
        # Without a time and a name in it, so that the same documents give the same bytes.
        self._table = gzip.GzipFile("", "wb", 6, self.file(".csv.gz"), 0)

    @classmethod
    def libraries(cls) -> dict[str, str]:
        """See `Sink`: the same text may be packed in other ways."""
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """See `Sink`."""
        self.file(".npy").write(little(rows.ids))
        if rows.mask is not None:
            self.file("_label_mask.npy").write(rows.mask.data)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        for index, end in enumerate(ends.tolist()):
            key = rows.keys[index] if rows.keys is not None else ""
            path = rows.paths[index] if rows.paths is not None else ""
            place = int(rows.places[index]) if rows.places is not None else 0
            table.writerow((self._begin, end, key, path, place))
            self._begin = end
        self._table.write(text.getvalue().encode("utf-8", "surrogateescape"))

    def finish(self) -> None:
        """See `Sink`."""
        self.file(".npy")
        if self.is_masked:
            self.file("_label_mask.npy")
        self._table.close()


def document(shard: Shard, number: int) -> Document:
    """A document of a shard."""
    with gzip.open(shard.path(".csv.gz"), "rt", errors="surrogateescape") as file:
        for index, row in enumerate(csv.reader(file)):
            if index == number:
                begin, end = int(row[0]), int(row[1])
                break
        else:
            raise IndexError(number)
    ids = memory(shard.path(".npy"), "<u4")[begin:end]
    if not shard.has_mask:
        return ids, None
    return ids, memory(shard.path("_label_mask.npy"), np.uint8)[begin:end]


def tokens(shard: Shard) -> tuple[int, int]:
    """How many tokens and documents the files say that there are."""
    with gzip.open(shard.path(".csv.gz"), "rb") as file:
        count = sum(1 for _ in csv.reader(io.TextIOWrapper(file, errors="surrogateescape")))
    return len(memory(shard.path(".npy"), "<u4")), count
