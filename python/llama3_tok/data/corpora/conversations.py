"""Conversations of a chunk to ids and masks, as `encode_chats` gives them."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from llama3_tok.data.chats import encode_chats
from llama3_tok.data.corpora.chunk import Chunk
from llama3_tok.data.corpora.job import Job
from llama3_tok.data.sinks import Rows
from llama3_tok.tokenizer import Tokenizer

__all__ = ["encoded"]

_COUNTED = ("dropped", "cut", "fitted", "unlearned")


def encoded(
    job: Job, tokenizer: Tokenizer, chunk: Chunk, order: npt.NDArray[np.int64], threads: int
) -> tuple[Rows, Counter[str], list[tuple[int, str]]]:
    """The ids and masks of conversations in an order, what was counted, and the faulty ones.

    Of Parquet the number of a faulty one is that of its row, from 1.
    """
    chats = encode_chats(
        _taken(chunk.rows, order),
        tokenizer=tokenizer,
        on_error="skip",
        threads=threads,
        **job.chats,
    )
    numbers = chunk.places + 1 if chunk.lines is None else chunk.lines
    faults = [(int(numbers[order[one.row]]), one.reason) for one in chats.skipped]
    given = order[chats.rows]
    counts = Counter({name: len(getattr(chats, name)) for name in _COUNTED})
    rows = Rows(
        chats.ids.ids,
        chats.ids.offsets,
        chats.mask,
        paths=[chunk.path] * len(chats),
        places=chunk.places[given],
    )
    return rows, counts, faults


def _taken(rows: Any, order: npt.NDArray[np.int64]) -> Any:  # noqa: ANN401 - a list, or of Arrow
    if isinstance(rows, list):
        return [rows[at] for at in order.tolist()]
    return rows.take(order)
