"""Sequences of ids as rows of one length, with the boundaries kept: `pack`.

"concatenate" writes all sequences end to end and cuts the whole every `length` tokens, as
pretraining does. "best-fit" is best-fit decreasing: the longest sequence first, each into the row
that it fills best, so that a sequence is cut only if it is longer than a row (Ding et al., "Fewer
Truncations Improve Language Modeling", 2024). They find the row by a tree over the room that is
left. Here sequences of one length are placed together: of the rows with the same room, as many as
are needed are taken at once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import index as integer
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from llama3_tok import arguments
from llama3_tok.arguments import Ids
from llama3_tok.lazy import np, npt
from llama3_tok.text.ragged import Ragged

__all__ = ["IGNORED", "Packed", "PackedRow", "Strategy", "pack"]

Strategy: TypeAlias = Literal["concatenate", "best-fit"]

# The label of what is not learned, which the losses of torch and transformers leave out.
IGNORED = -100
# `cu_seqlens` is int32.
_MAX_LENGTH = (1 << 31) - 1
# Parts that are copied at a time, and tokens that separators are put between.
_AT_ONCE = 1 << 14
_TOKENS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class PackedRow:
    """One row, under the names that TRL and flash attention have for its parts.

    `input_ids` is `uint32[n]`. `seq_lengths`, `int32[k]`, are the lengths of the sequences in it,
    and `cu_seqlens`, `int32[k + 1]`, where each begins and ends. `position_ids`, `int64[n]`, begin
    with 0 in each. `labels`, `int32[n]`, and `mask`, `uint8[n]`, are None unless they were packed
    as well.
    """

    input_ids: "npt.NDArray[np.uint32]"
    seq_lengths: "npt.NDArray[np.int32]"
    cu_seqlens: "npt.NDArray[np.int32]"
    position_ids: "npt.NDArray[np.int64]"
    labels: "npt.NDArray[np.int32] | None"
    mask: "npt.NDArray[np.uint8] | None"


@dataclass(frozen=True, eq=False)
class Packed:
    """What `pack` gives: rows of at most `length` ids, and which sequences are in them.

    `ids` has the rows, end to end. Row `i` is `packed[i]`, a `PackedRow`. A sequence that was cut
    is several parts. The arrays over parts are in the order in which the parts stand in the rows:

    - `seq_lengths`, `int32[parts]`: how long each is, its separator included
    - `seq_offsets`, `int64[rows + 1]`: which parts are those of a row
    - `documents`, `int64[parts]`: the sequence it is of, by its index in what was given
    - `starts`, `int64[parts]`: where in that sequence it begins

    `cut` is how many sequences were cut, `padding` how many tokens the rows have less than if each
    had `length`, and `separators` how many separators were added.
    """

    ids: Ragged
    length: int
    seq_lengths: "npt.NDArray[np.int32]"
    seq_offsets: "npt.NDArray[np.int64]"
    documents: "npt.NDArray[np.int64]"
    starts: "npt.NDArray[np.int64]"
    labels: "npt.NDArray[np.int32] | None"
    mask: "npt.NDArray[np.uint8] | None"
    cut: int
    separators: int

    @property
    def padding(self) -> int:
        """How many tokens are missing to rows that all have `length`."""
        return len(self) * self.length - len(self.ids.ids)

    def __repr__(self) -> str:
        """For people."""
        return (
            f"Packed({len(self):,} rows of up to {self.length:,} tokens, {len(self.ids.ids):,} "
            f"tokens in {len(self.seq_lengths):,} parts, {self.cut:,} sequences cut, "
            f"{self.padding:,} tokens of padding)"
        )

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.ids)

    def __getitem__(self, index: int) -> PackedRow:
        """One row; negative indices count from the end."""
        import numpy as np

        count, index = len(self), integer(index)
        if not -count <= index < count:
            raise IndexError(f"index {index} is out of range for {count} rows")
        row = index % count
        here = slice(self.ids.offsets[row], self.ids.offsets[row + 1])
        lengths = self.seq_lengths[self.seq_offsets[row] : self.seq_offsets[row + 1]]
        ends = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum(lengths, out=ends[1:])
        return PackedRow(
            input_ids=self.ids.ids[here],
            seq_lengths=lengths,
            cu_seqlens=ends,
            position_ids=_counting(lengths),
            labels=None if self.labels is None else self.labels[here],
            mask=None if self.mask is None else self.mask[here],
        )

    def __iter__(self) -> Iterator[PackedRow]:
        """The rows."""
        return (self[row] for row in range(len(self)))

    def columns(self) -> dict[str, list[Any]]:
        """The rows as columns of lists: what `datasets.Dataset.from_dict` and Parquet take.

        `input_ids`, `seq_lengths`, and `labels` where there are some: with them TRL's collator
        needs no padding.
        """
        rows = list(self)
        columns = {
            "input_ids": [row.input_ids.tolist() for row in rows],
            "seq_lengths": [row.seq_lengths.tolist() for row in rows],
        }
        if self.labels is not None:
            columns["labels"] = [cast(Any, row.labels).tolist() for row in rows]
        return columns

    def padded(self, pad_id: int) -> "npt.NDArray[np.uint32]":
        """The rows as one array, `uint32[rows, length]`, filled with `pad_id` on the right."""
        import numpy as np

        filling = arguments.count(pad_id, "pad_id", 0, (1 << 32) - 1)
        # Row by row, also what fills them: Ctrl-C is heard between them.
        array = np.empty((len(self), self.length), np.uint32)
        for row, ids in enumerate(self.ids):
            array[row, : len(ids)] = ids
            array[row, len(ids) :] = filling
        return array


def pack(
    ids: "Ragged | Iterable[Ids]",
    length: int,
    *,
    strategy: Strategy = "concatenate",
    separator: int | None = None,
    labels: "npt.NDArray[np.integer[Any]] | Iterable[Ids] | None" = None,
    mask: "npt.NDArray[np.integer[Any]] | Iterable[Ids] | None" = None,
) -> Packed:
    """Packs sequences into rows of at most `length` tokens; no token is lost or comes twice.

    `ids` is a `Ragged`, or a list of sequences. `separator` is an id that is added to the end of
    each sequence, as `tokenizer.eos_id`; by default there is none, as conversations end by
    themselves. `labels` and `mask` are packed beside the ids: a flat array with one number for each
    id, or a list of sequences. A separator is not learned: its label is -100 and its mask 0.

    With `strategy="concatenate"` all rows but the last are full, and sequences are cut where a row
    ends. With "best-fit" a sequence is cut only if it is longer than `length`, into parts of
    `length` and a rest; rows end where nothing fits any more. Sequences stand in a row in their
    order, and rows in the order of their first. A part that a cut begins has positions from 0 on,
    since it sees nothing of what is before the cut.

    The result depends on the arguments alone. Empty sequences without a separator are in no row.

    Raises ValueError for a `length` below 1, for `labels` or `mask` that are not as long as `ids`,
    and for numbers that are not ids; TypeError for what are not integers.

    >>> from llama3_tok.data import pack
    >>> packed = pack([[1, 2, 3], [4, 5, 6, 7], [8]], 4, strategy="best-fit")
    >>> [row.input_ids.tolist() for row in packed]
    [[1, 2, 3, 8], [4, 5, 6, 7]]
    >>> packed[0].seq_lengths.tolist(), packed[0].cu_seqlens.tolist()
    ([3, 1], [0, 3, 4])
    """
    import numpy as np

    length = arguments.count(length, "length", 1, _MAX_LENGTH)
    arguments.choice(strategy, "strategy", ("concatenate", "best-fit"))
    flat, offsets = _ragged(ids)
    beside = {
        name: _beside(value, name, offsets, dtype)
        for name, value, dtype in (("labels", labels, np.int32), ("mask", mask, np.uint8))
        if value is not None
    }
    separators = 0
    if separator is not None:
        id = arguments.count(separator, "separator", 0, (1 << 32) - 1)
        separators = len(offsets) - 1
        fillings = {"labels": IGNORED, "mask": 0}
        beside = {
            name: _with_separators(value, offsets, fillings[name]) for name, value in beside.items()
        }
        flat = _with_separators(flat, offsets, id)
        offsets = offsets + np.arange(len(offsets))
    place = _concatenated if strategy == "concatenate" else _best_fit
    documents, starts, lengths, row_of = place(offsets, length)
    order = np.lexsort((starts, documents, row_of)) if strategy == "best-fit" else None
    if order is not None:
        documents, starts, lengths, row_of = (
            array[order] for array in (documents, starts, lengths, row_of)
        )
    rows = int(row_of[-1]) + 1 if len(row_of) else 0
    seq_offsets = np.searchsorted(row_of, np.arange(rows + 1)).astype(np.int64)
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))
    if order is not None:
        begins = offsets[documents] + starts
        flat = _taken(flat, begins, begins + lengths)
        beside = {name: _taken(value, begins, begins + lengths) for name, value in beside.items()}
    return Packed(
        ids=Ragged(flat, ends[seq_offsets]),
        length=length,
        seq_lengths=lengths.astype(np.int32),
        seq_offsets=seq_offsets,
        documents=documents,
        starts=starts,
        labels=cast("npt.NDArray[np.int32] | None", beside.get("labels")),
        mask=cast("npt.NDArray[np.uint8] | None", beside.get("mask")),
        cut=int((np.bincount(documents) > 1).sum()),
        separators=separators,
    )


def _counting(lengths: "npt.NDArray[np.integer[Any]]") -> "npt.NDArray[np.int64]":
    """0, 1, 2 and so on for each length."""
    import numpy as np

    ends = np.cumsum(lengths, dtype=np.int64)
    counting = np.arange(int(ends[-1]) if len(ends) else 0)
    counting -= np.repeat(ends - lengths, lengths)
    return counting


# What is given


def _ragged(ids: "Ragged | Iterable[Ids]") -> "tuple[npt.NDArray[np.uint32], _Offsets]":
    """Sequences end to end, from the first on, and where they begin and end."""
    import numpy as np

    if isinstance(ids, Ragged):
        offsets = np.asarray(ids.offsets, np.int64)
        first = offsets[0]
        return ids.ids[first : offsets[-1]], offsets - first
    flat, offsets = _joined(ids, "ids", 0, (1 << 32) - 1, np.uint32)
    return cast("npt.NDArray[np.uint32]", flat), offsets


def _beside(
    value: "npt.NDArray[np.integer[Any]] | Iterable[Ids]",
    name: str,
    offsets: "_Offsets",
    dtype: Any,  # noqa: ANN401
) -> "_Array":
    """What is packed beside the ids, as a flat array of its type."""
    import numpy as np

    bounds = np.iinfo(dtype)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype != object:
        flat = _checked(value, name, int(bounds.min), int(bounds.max), dtype)
        if len(flat) != offsets[-1]:
            raise ValueError(
                f"{name} has {len(flat):,} numbers, and there are {offsets[-1]:,} ids; each id "
                "needs one"
            )
        return flat
    flat, others = _joined(value, name, int(bounds.min), int(bounds.max), dtype)
    if len(others) != len(offsets):
        raise ValueError(
            f"{name} has {len(others) - 1:,} sequences, and ids {len(offsets) - 1:,}; each "
            "sequence of ids needs one"
        )
    wrong = np.flatnonzero(np.diff(others) != np.diff(offsets))
    if len(wrong):
        at = int(wrong[0])
        has, needs = (int(array[at + 1] - array[at]) for array in (others, offsets))
        raise ValueError(f"{name}[{at}] has {has:,} numbers, and ids[{at}] has {needs:,} ids")
    return flat


def _joined(
    sequences: "Iterable[Ids]",
    name: str,
    least: int,
    most: int,
    dtype: Any,  # noqa: ANN401
) -> "tuple[_Array, _Offsets]":
    import numpy as np

    arguments.refuse_text(sequences, name)
    arrays = []
    for index, sequence in enumerate(sequences):
        where = f"{name}[{index}]"
        arrays.append(_checked(arguments.ids(sequence, where), where, least, most, dtype))
    offsets = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum([len(array) for array in arrays], out=offsets[1:])
    return np.concatenate(arrays) if arrays else np.empty(0, dtype), offsets


def _checked(
    values: Any,  # noqa: ANN401 - a list or an array
    where: str,
    least: int,
    most: int,
    dtype: Any,  # noqa: ANN401
) -> "_Array":
    """Integers as an array of `dtype`, which has them all."""
    import numpy as np

    array = np.asarray(values)
    if array.size == 0:
        return np.empty(0, dtype)
    if array.dtype == object or array.dtype.kind not in "iu":
        odd = next((value for value in array.tolist() if type(value) is not int), None)
        if odd is not None:
            raise TypeError(f"{where} must hold integers, not {arguments.kind_of(odd)}")
    lowest, highest = int(array.min()), int(array.max())
    if lowest < least or highest > most:
        wrong = lowest if lowest < least else highest
        raise ValueError(f"{where} has {wrong}, and its numbers are from {least} to {most}")
    return array.astype(dtype, copy=False)


def _with_separators(flat: "_Array", offsets: "_Offsets", value: int) -> Any:  # noqa: ANN401
    import numpy as np

    ends, filling = offsets[1:], flat.dtype.type(value)
    made = np.empty(len(flat) + len(ends), flat.dtype)
    # In parts, between which Ctrl-C is heard. The separators of a part are those up to its end.
    done = 0
    for begin in range(0, max(len(flat), 1), _TOKENS_AT_ONCE):
        part = flat[begin : begin + _TOKENS_AT_ONCE]
        end = begin + len(part)
        last = int(np.searchsorted(ends, end, "right"))
        made[begin + done : end + last] = np.insert(part, ends[done:last] - begin, filling)
        done = last
    return made


def _taken(flat: "_Array", begins: "_Offsets", ends: "_Offsets") -> Any:  # noqa: ANN401
    """Parts of an array, end to end. An array of where each number comes from would be larger."""
    import numpy as np

    taken, at = np.empty(int((ends - begins).sum()), flat.dtype), 0
    for first in range(0, len(begins), _AT_ONCE):
        several = slice(first, first + _AT_ONCE)
        bounds = zip(begins[several].tolist(), ends[several].tolist(), strict=True)
        parts = [flat[begin:end] for begin, end in bounds]
        size = sum(map(len, parts))
        np.concatenate(parts, out=taken[at : at + size])
        at += size
    return taken


# Where the parts go

if TYPE_CHECKING:
    _Array: TypeAlias = npt.NDArray[np.integer[Any]]
    _Offsets: TypeAlias = npt.NDArray[np.int64]
    # Of each part: its document, where in it the part begins, its length, and its row.
    _Parts: TypeAlias = tuple[_Offsets, _Offsets, _Offsets, _Offsets]


def _concatenated(offsets: "_Offsets", length: int) -> "_Parts":
    import numpy as np

    total = int(offsets[-1])
    # Sorted here: with the tables of `np.unique` it takes twenty times as long.
    places = np.concatenate((offsets, np.arange(0, total, length)))
    places.sort()
    places = places[np.flatnonzero(np.diff(places, prepend=-1))]
    begins, ends = places[:-1], places[1:]
    documents = np.searchsorted(offsets, begins, "right") - 1
    return documents, begins - offsets[documents], ends - begins, begins // length


def _best_fit(offsets: "_Offsets", length: int) -> "_Parts":
    import numpy as np

    sizes = np.diff(offsets)
    count = -(-sizes // length)
    documents = np.repeat(np.arange(len(sizes)), count)
    starts = _counting(count) * length
    lengths = np.minimum(sizes[documents] - starts, length)
    # The longest first, those of one length in their order.
    longest_first = np.argsort(-lengths, kind="stable")
    row_of = np.empty(len(lengths), np.int64)
    row_of[longest_first] = _best_rows(lengths[longest_first], length)
    # Rows in the order of their first parts.
    _, first, number = np.unique(row_of, return_index=True, return_inverse=True)
    return documents, starts, lengths, np.argsort(np.argsort(first))[number]


def _best_rows(lengths: "_Offsets", length: int) -> "_Offsets":
    """The row of each part; parts are given the longest first.

    Those of one length are placed together. Each goes into the row with the least room that it
    fits; what is then left there is less, so the same row takes the next one as well, as long as it
    fits.
    """
    import numpy as np

    rows = np.empty(len(lengths), np.int64)
    # By the room that is left: the rows that have it. The bits of `rooms` are the keys.
    with_room: dict[int, list[int]] = {}
    rooms, made, at = 0, 0, 0
    bounds = [*np.flatnonzero(np.diff(lengths, prepend=-1)).tolist(), len(lengths)]
    for begin, end in pairwise(bounds):
        size, at = int(lengths[begin]), begin
        while at < end:
            above = rooms >> size
            if above:
                room = size + (above & -above).bit_length() - 1
                found = with_room[room]
                each = room // size
                taken = min(len(found), -(-(end - at) // each))
                chosen = found[len(found) - taken :]
                del found[len(found) - taken :]
                if not found:
                    rooms ^= 1 << room
            else:
                room, each = length, length // size
                taken = -(-(end - at) // each)
                chosen = list(range(made, made + taken))
                made += taken
            placed = min(taken * each, end - at)
            rows[at : at + placed] = np.repeat(chosen, each)[:placed] if each > 1 else chosen
            at += placed
            in_last = placed - (taken - 1) * each
            for left, several in (
                (room - each * size, chosen[:-1]),
                (room - in_last * size, chosen[-1:]),
            ):
                if left and several:
                    if not rooms >> left & 1:
                        rooms ^= 1 << left
                    with_room.setdefault(left, []).extend(several)
    return rows
