"""`Ragged`: the ids of several texts in one array."""

from collections.abc import Iterator
from operator import index as integer

from llama3_tok.lazy import np, npt

__all__ = ["Ragged"]


class Ragged:
    """The ids of several texts, end to end.

    `ids` is `uint32[n]`; `offsets` is `int64[len + 1]`. Text `i` is
    `ids[offsets[i]:offsets[i + 1]]`, which `ragged[i]` gives without a copy.

    >>> ragged = llama3_tok.Tokenizer().encode_ragged(["Hello", "Hello world"])
    >>> ragged[1]
    array([9906, 1917], dtype=uint32)
    """

    __slots__ = ("ids", "offsets")

    def __init__(self, ids: "npt.NDArray[np.uint32]", offsets: "npt.NDArray[np.int64]") -> None:
        self.ids, self.offsets = ids, offsets

    def __repr__(self) -> str:
        """For people."""
        return f"Ragged({len(self):,} texts, {len(self.ids):,} ids)"

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> "npt.NDArray[np.uint32]":
        """The ids of one text, `uint32[m]`; negative indices count from the end."""
        count, index = len(self), integer(index)
        if not -count <= index < count:
            raise IndexError(f"index {index} is out of range for {count} texts")
        start = index % count
        return self.ids[self.offsets[start] : self.offsets[start + 1]]

    def __iter__(self) -> "Iterator[npt.NDArray[np.uint32]]":
        """The ids of each text."""
        return (self[index] for index in range(len(self)))
