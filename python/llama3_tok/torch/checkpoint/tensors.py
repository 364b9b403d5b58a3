"""Which tensors there are, in both layouts, and how the elements of one become those of the other.

Meta's model-parallel ranks each hold a part of every matrix: rows of it, where the layer's outputs
are spread over the ranks, or columns, where its inputs are (the `ColumnParallelLinear`,
`RowParallelLinear` and `VocabParallelEmbedding` of llama-models' `model.py`); norms are whole in
each. A rank has at least one head for keys and values, so where ranks outnumber those heads,
neighbours hold copies.

Meta's rotary embedding turns neighbouring elements of a head, (0, 1), (2, 3) and so on; that of
transformers turns an element of the first half with its like in the second. So the rows of each
head of wq and wk change places, which is all that differs.

Elements are moved as integers of their size, so that every bit stays. They are moved in blocks of
bounded size, a few rows at a time: no tensor is ever whole in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from llama3_tok.torch.checkpoint.sizes import Sizes
from llama3_tok.torch.checkpoint.stored import Array

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
    """Of the whole, as transformers has it: KV heads once."""
    split: Split
    rotary: bool = False
    """Whether the rows of its heads are permuted: wq, wk."""
    kv: bool = False
    """Whether ranks may hold copies of its heads: wk, wv."""

    def part(self, ranks: int, copies: int) -> tuple[int, ...]:
        """The shape of what each of `ranks` ranks holds, each KV head being held by `copies`."""
        if self.split is Split.WHOLE:
            return self.shape
        axis = self.split.value
        shape = list(self.shape)
        shape[axis] = shape[axis] * (copies if self.kv else 1) // ranks
        return tuple(shape)


def tensors(sizes: Sizes) -> Iterator[Tensor]:
    """All tensors of a model, in the order in which they are used.

    The output layer is among them also if it is tied to the embedding.
    """
    dim, wide, kv = sizes.dim, sizes.intermediate, sizes.kv_heads * sizes.head_dim
    yield Tensor(EMBEDDING, "model.embed_tokens.weight", (sizes.vocabulary, dim), Split.ROWS)
    for index in range(sizes.layers):
        meta, hf = f"layers.{index}", f"model.layers.{index}"
        for name, theirs, shape, split, rotary in (
            ("attention_norm", "input_layernorm", (dim,), Split.WHOLE, False),
            ("attention.wq", "self_attn.q_proj", (dim, dim), Split.ROWS, True),
            ("attention.wk", "self_attn.k_proj", (kv, dim), Split.ROWS, True),
            ("attention.wv", "self_attn.v_proj", (kv, dim), Split.ROWS, False),
            ("attention.wo", "self_attn.o_proj", (dim, dim), Split.COLUMNS, False),
            ("ffn_norm", "post_attention_layernorm", (dim,), Split.WHOLE, False),
            ("feed_forward.w1", "mlp.gate_proj", (wide, dim), Split.ROWS, False),
            ("feed_forward.w3", "mlp.up_proj", (wide, dim), Split.ROWS, False),
            ("feed_forward.w2", "mlp.down_proj", (dim, wide), Split.COLUMNS, False),
        ):
            is_kv = name in ("attention.wk", "attention.wv")
            yield Tensor(
                f"{meta}.{name}.weight", f"{hf}.{theirs}.weight", shape, split, rotary, is_kv
            )
    yield Tensor("norm.weight", "model.norm.weight", (dim,), Split.WHOLE)
    yield Tensor(OUTPUT, "lm_head.weight", (sizes.vocabulary, dim), Split.ROWS)


EMBEDDING, OUTPUT = "tok_embeddings.weight", "output.weight"


def joined(parts: Sequence[Array], tensor: Tensor, head_dim: int) -> Iterator[Array]:
    """The elements of a whole tensor in transformers' layout, from the parts of Meta's ranks.

    The arrays that come, one after the other and row by row, make the tensor.
    """
    if tensor.split is Split.COLUMNS:
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
