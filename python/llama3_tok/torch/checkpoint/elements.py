"""How the elements of a tensor in one layout become those of the other.

Meta's model-parallel ranks each hold a part of every matrix: rows of it, where the layer's outputs
are spread over the ranks, or columns, where its inputs are (the `ColumnParallelLinear`,
`RowParallelLinear` and `VocabParallelEmbedding` of llama-models' `model.py`); norms are whole in
each. A rank has at least one head for keys and values, so where ranks outnumber those heads,
neighbours hold copies.

Meta's rotary embedding turns neighbouring elements of a head, (0, 1), (2, 3) and so on; that of
transformers turns an element of the first half with its like in the second. So the rows of each
head of wq and wk change places, which is all that differs in a text model. `tiles` has what else
differs in one that reads images.

Elements are moved as integers of their size, so that every bit stays. They are moved in blocks of
bounded size, a few rows at a time: no tensor is ever whole in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from llama3_tok.torch.checkpoint.stored import Array
from llama3_tok.torch.checkpoint.tiles import to_grid, to_table

# Bytes of a block, at most; but at least one row, and in wq and wk one head.
BLOCK = 16 << 20


class Split(Enum):
    """What a rank holds of a tensor."""

    ROWS = 0
    COLUMNS = 1
    WHOLE = 2


class Tensor(NamedTuple):
    """A tensor by both its names."""

    meta: str
    hf: str
    shape: tuple[int, ...]
    """Of the whole, as Meta has it, but KV heads once."""
    split: Split
    rotary: bool = False
    """Whether the rows of its heads are permuted: wq, wk."""
    kv: bool = False
    """Whether ranks may hold copies of its heads: wk, wv."""
    tiles: bool = False
    """Whether it is a grid of tiles, of which transformers has a table."""
    gate: bool = False
    """Whether it is one number, which Meta's files may repeat."""
    hf_shape: tuple[int, ...] = ()
    """Of transformers' tensor, where that has another shape."""
    start: int = 0
    """The row of transformers' tensor at which it begins, where that has several of Meta's."""

    def part(self, ranks: int, copies: int) -> tuple[int, ...]:
        """The shape of what each of `ranks` ranks holds, each KV head being held by `copies`."""
        if self.split is Split.WHOLE:
            return self.shape
        axis = self.split.value
        shape = list(self.shape)
        shape[axis] = shape[axis] * (copies if self.kv else 1) // ranks
        return tuple(shape)

    @property
    def there(self) -> tuple[int, ...]:
        """The shape of transformers' tensor."""
        return self.hf_shape or self.shape


def joined(parts: Sequence[Array], tensor: Tensor, head_dim: int) -> Iterator[Array]:
    """The elements of a whole tensor in transformers' layout, from the parts of Meta's ranks.

    The arrays that come, one after the other and row by row, make the tensor.
    """
    if tensor.tiles:
        yield from to_table(parts[0])
    elif tensor.split is Split.COLUMNS:
        wide = sum(part.shape[1] for part in parts)
        for rows in _row_blocks(parts[0].shape[0], wide * parts[0].itemsize):
            yield np.concatenate([part[rows] for part in parts], axis=1)
    else:
        for part in parts:
            yield from _blocks(part, head_dim if tensor.rotary else 0, _to_halves)


def part(
    whole: Array, tensor: Tensor, rank: int, ranks: int, copies: int, head_dim: int
) -> Iterator[Array]:
    """The elements of what Meta's rank `rank` of `ranks` holds, from a whole tensor.

    Fewer rows come where the whole has fewer than the tensor: `resized` adds them.
    """
    if tensor.tiles:
        yield from to_grid(whole, tensor.shape[2])
        return
    if tensor.hf_shape:
        # Of several tensors some rows, and of a convolution's kernels those as a matrix.
        whole = whole[tensor.start : tensor.start + tensor.shape[0]].reshape(tensor.shape)
    if tensor.split is not Split.WHOLE:
        axis = tensor.split.value
        size = tensor.part(ranks, copies)[axis]
        start = (rank // copies if tensor.kv else rank) * size
        whole = whole[start : start + size] if axis == 0 else whole[:, start : start + size]
    if not len(whole):
        return
    yield from _blocks(whole, head_dim if tensor.rotary else 0, _to_pairs)


def resized(
    blocks: Iterator[Array], kept: int, rows: int, filler: Callable[[], Array]
) -> Iterator[Array]:
    """The first `kept` rows of blocks, and after them the row `filler()` until there are `rows`."""
    at = 0
    for block in blocks:  # to their end: what was read is checked there
        if at < kept:
            yield block[: kept - at]
        at += len(block)
    if (missing := rows - min(at, kept)) > 0:
        row = filler()
        for some in _row_blocks(missing, row.nbytes):
            yield np.repeat(row[None], some.stop - some.start, axis=0)


def _blocks(
    array: Array, head_dim: int, permuted: Callable[[Array, int], Array]
) -> Iterator[Array]:
    row = array[:1].nbytes
    for rows in _row_blocks(array.shape[0], row, head_dim or 1):
        yield permuted(array[rows], head_dim) if head_dim else np.ascontiguousarray(array[rows])


def _row_blocks(rows: int, row_bytes: int, multiple: int = 1) -> Iterator[slice]:
    """Consecutive rows, a block at a time, always a multiple of `multiple`."""
    step = max(BLOCK // row_bytes // multiple, 1) * multiple
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _to_halves(rows: Array, head_dim: int) -> Array:
    """Rows of whole heads, from neighbouring rotary pairs to halves."""
    heads = rows.reshape(-1, head_dim // 2, 2, rows.shape[1])
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(rows.shape)


def _to_pairs(rows: Array, head_dim: int) -> Array:
    """Rows of whole heads, from halves to neighbouring rotary pairs: undoes `_to_halves`."""
    heads = rows.reshape(-1, 2, head_dim // 2, rows.shape[1])
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(rows.shape)
