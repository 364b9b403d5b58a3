"""What all formats share: rows of ids that come in, files that come out, documents read back."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["Document", "Rows", "Shard", "Sink"]

Document = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8] | None]
"""The ids of a document, and its mask where there is one: 1 for ids that are learned."""

_COPIED = 1 << 20


@dataclass
class Rows:
    """Documents to be written: `ids[offsets[i]:offsets[i + 1]]` are those of one.

    A long document comes in pieces: `begins` and `ends` say whether the first one begins here, and
    whether the last one ends here.
    """

    ids: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]
    mask: npt.NDArray[np.uint8] | None = None
    begins: bool = True
    ends: bool = True
    keys: Sequence[str] | None = None
    """What documents are called in their file."""
    paths: Sequence[str] | None = None
    """The file of each."""
    places: npt.NDArray[np.int64] | None = None
    """Where each begins in its file: in bytes, unpacked, or in rows of Parquet."""
    lengths: npt.NDArray[np.int32] | None = None
    """Of packed rows: the lengths of the documents, or parts of them, that are in them."""
    length_offsets: npt.NDArray[np.int64] | None = None
    """Which of these are in which row: `lengths[length_offsets[i]:length_offsets[i + 1]]`."""

    def __len__(self) -> int:
        """How many documents there are, or pieces of one."""
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Shard:
    """The files of a shard, as a reader gets them: by what they end with."""

    folder: str
    name: str
    has_mask: bool

    def path(self, ending: str) -> str:
        """The path of one of them."""
        return os.path.join(self.folder, self.name + ending)


class Sink:
    """Writes one shard, as drafts in a folder: they have their names, but not yet their place.

    A sink holds no more of a shard than what it is given at a time.
    """

    has_mask: ClassVar[bool] = True
    """Whether the format has a place for masks."""
    max_tokens: ClassVar[int] = 1 << 40
    """The most tokens of a shard, by the width of the format's numbers."""
    compressions: ClassVar[tuple[str, ...]] = ()
    """How its files may be compressed, if that is a choice; the first is the default."""

    def __init__(
        self,
        folder: str,
        name: str,
        tokenizer: str,
        masked: bool,
        compression: str | None = None,
    ) -> None:
        self.tokens = 0
        self.documents = 0
        self.is_masked = masked
        self.compression = compression or next(iter(self.compressions), None)
        self._tokenizer = tokenizer
        self._shard = Shard(folder, name, masked)
        self._files: dict[str, IO[bytes]] = {}
        self._scratch = os.path.join(folder, name + ".scratch")
        self._ends: IO[bytes] | None = None
        self.begin()

    def begin(self) -> None:
        """Prepares what the format has besides."""

    @classmethod
    def libraries(cls) -> dict[str, str]:
        """The versions of what else decides the bytes of a file."""
        return {}

    def write(self, rows: Rows) -> None:
        """Takes more documents."""
        ends = rows.offsets[1:] + self.tokens
        if not rows.ends:
            ends = ends[:-1]
        self._scratch_file().write(little(ends, "<i8"))
        self.add(rows, ends)
        self.tokens += len(rows.ids)
        self.documents += len(ends)

    def add(self, rows: Rows, ends: npt.NDArray[np.int64]) -> None:
        """Writes them; `ends` are the ends of those that end, in ids of the shard."""
        raise NotImplementedError

    def finish(self) -> None:
        """Writes what can be written only when all is known."""

    def close(self) -> list[str]:
        """Ends the shard, and gives the names of its files."""
        try:
            self._scratch_file()
            self.finish()
        finally:
            self.discard()
        return [self._shard.name + ending for ending in self._files]

    def discard(self) -> None:
        """Closes all files."""
        for file in self._files.values():
            file.close()
        if self._ends is not None:
            self._ends.close()
            self._ends = None
            os.remove(self._scratch)

    # For the formats

    def file(self, ending: str) -> IO[bytes]:
        """The file that ends with this, made when it is first asked for."""
        file = self._files.get(ending)
        if file is None:
            file = self._files[ending] = open(self._shard.path(ending), "wb+")  # noqa: SIM115 - until `close`
        return file

    def ends(self, at_a_time: int = _COPIED) -> Iterator[npt.NDArray[np.int64]]:
        """The ends of all documents, in several arrays."""
        file = self._scratch_file()
        file.seek(0)
        while data := file.read(8 * at_a_time):
            yield np.frombuffer(data, np.int64)

    def lengths(self) -> Iterator[npt.NDArray[np.int64]]:
        """The lengths of all documents, in several arrays."""
        last = 0
        for ends in self.ends():
            yield np.diff(ends, prepend=last)
            last = int(ends[-1])

    def _scratch_file(self) -> IO[bytes]:
        if self._ends is None:
            self._ends = open(self._scratch, "wb+")  # noqa: SIM115 - until `close`
        return self._ends


def little(ids: npt.NDArray[Any], kind: str = "<u4") -> bytes | memoryview:
    """An array's bytes, little-endian."""
    return np.ascontiguousarray(ids, np.dtype(kind)).data.cast("B")


def memory(path: str, kind: Any, offset: int = 0) -> npt.NDArray[Any]:  # noqa: ANN401 - a dtype
    """A file as an array that is read when it is looked at."""
    if os.path.getsize(path) <= offset:
        return np.empty(0, kind)
    return np.memmap(path, kind, "r", offset)
