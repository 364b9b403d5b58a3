"""What `encode_chats` and `count_chats` give."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import index as integer
from typing import TYPE_CHECKING, Any, NamedTuple

from llama3_tok.data.packing import IGNORED
from llama3_tok.errors import ChatFormatError
from llama3_tok.lazy import np, npt
from llama3_tok.text.ragged import Ragged

if TYPE_CHECKING:
    pass

__all__ = ["CountedChats", "EncodedChat", "EncodedChats", "Skipped"]


class Skipped(NamedTuple):
    """A row that was left out since something is wrong with it.

    `row` is its index, from 0, `line` the line of its file, from 1, or None; `reason` says what is
    wrong and where in the row. `error` is the same as an exception.
    """

    row: int
    line: int | None
    reason: str
    error: ChatFormatError


@dataclass(frozen=True)
class EncodedChat:
    """One conversation: its row, ids, mask and labels; the last two are None without masks."""

    row: int
    ids: "npt.NDArray[np.uint32]"
    mask: "npt.NDArray[np.uint8] | None"
    labels: "npt.NDArray[np.int32] | None"


@dataclass(frozen=True, eq=False)
class EncodedChats:
    """What `encode_chats` gives: the ids of conversations end to end, and what is learned of them.

    `ids` has them; conversation `i` is `chats[i]`, an `EncodedChat`. `mask` is `uint8[n]`, one
    number for each id: 1 for what is learned. It is None with `return_mask=False`. `rows`,
    `int64[len]`, says which row each conversation is. `columns` has the columns that `carry` names,
    with one value for each conversation.

    The others are rows by their index: `skipped` could not be encoded; `dropped`, `cut` and
    `fitted` were longer than `max_tokens`; in `unlearned` nothing is learned.
    """

    ids: Ragged
    mask: "npt.NDArray[np.uint8] | None"
    rows: "npt.NDArray[np.int64]"
    columns: dict[str, list[Any]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    fitted: list[int] = field(default_factory=list)
    unlearned: list[int] = field(default_factory=list)

    @property
    def labels(self) -> "npt.NDArray[np.int32]":
        """The ids that are learned, and -100 for the others: `int32[n]`.

        Raises ValueError if there is no mask.
        """
        if self.mask is None:
            raise ValueError("there are no labels: encode_chats was called with return_mask=False")
        return _labels(self.ids.ids, self.mask)

    @property
    def learned_tokens(self) -> int:
        """How many tokens are learned; 0 without a mask."""
        return 0 if self.mask is None else int(self.mask.sum())

    @property
    def counts(self) -> dict[str, int]:
        """How many conversations and tokens there are, and how many rows went another way."""
        return {
            "conversations": len(self),
            "tokens": len(self.ids.ids),
            "learned_tokens": self.learned_tokens,
            "unlearned": len(self.unlearned),
            "skipped": len(self.skipped),
            "dropped": len(self.dropped),
            "cut": len(self.cut),
            "fitted": len(self.fitted),
        }

    def __repr__(self) -> str:
        """For people: all counts that are not 0."""
        counts = (f"{count:,} {name}" for name, count in self.counts.items() if count)
        return f"EncodedChats({', '.join(counts).replace('_', ' ') or 'nothing'})"

    def __len__(self) -> int:
        """How many conversations there are."""
        return len(self.ids)

    def __getitem__(self, index: int) -> EncodedChat:
        """One conversation; negative indices count from the end."""
        count, index = len(self), integer(index)
        if not -count <= index < count:
            raise IndexError(f"index {index} is out of range for {count} conversations")
        at = index % count
        here = slice(self.ids.offsets[at], self.ids.offsets[at + 1])
        ids = self.ids.ids[here]
        mask = None if self.mask is None else self.mask[here]
        labels = None if mask is None else _labels(ids, mask)
        return EncodedChat(int(self.rows[at]), ids, mask, labels)

    def __iter__(self) -> Iterator[EncodedChat]:
        """The conversations."""
        return (self[index] for index in range(len(self)))


def _labels(
    ids: "npt.NDArray[np.uint32]", mask: "npt.NDArray[np.uint8]"
) -> "npt.NDArray[np.int32]":
    import numpy as np

    labels = ids.astype(np.int32)
    labels[mask == 0] = IGNORED
    return labels


class CountedChats(NamedTuple):
    """How many tokens conversations have.

    `tokens` is `int64[n]`, and `rows`, `int64[n]`, says which row each conversation is. `lines` are
    their lines in a file, `int64[n]`, from 1; None for what is not a file. `skipped` could not be
    encoded.
    """

    tokens: "npt.NDArray[np.int64]"
    rows: "npt.NDArray[np.int64]"
    lines: "npt.NDArray[np.int64] | None"
    skipped: list[Skipped]
