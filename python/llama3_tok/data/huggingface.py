"""For `datasets.map` of Hugging Face: `dataset.map(encode, batched=True, num_proc=8)`."""

import sys
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from llama3_tok import arguments
from llama3_tok.arguments import TextOptions, utf8
from llama3_tok.data.adapter import Adapter, arrays_of, plain_lists
from llama3_tok.extras import require
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Encode", "encode"]

MASK = "attention_mask"


class Encode(Adapter):
    """A function for `Dataset.map` that encodes the column `column` of each batch.

    It gives the column `output`, lists of `int32`, and with `attention_mask=True` as many ones. A
    null text has null for ids. `tokenizer` is by default that of `llama3_tok.encode`, and the
    options are those of `Tokenizer.encode`.

    `threads` is how many threads encode a batch: by default all processors, and in a process that
    `num_proc` started, or any other worker, one. So no processor has more to do than another.

    The fingerprint, by which datasets finds what it computed before, is that of the vocabulary and
    the options. It is the same in each process, before and after use.

    `Dataset.map` has the text in Arrow, where it is read without a `str` for each row; the ids are
    arrays of NumPy, which datasets writes fast. With `dataset.with_format("arrow")` they stay in
    Arrow, which is faster still. The result is then the table with the new column, for which `map`
    has no `remove_columns`: `Dataset.remove_columns` has. For lists of texts, as streams have them,
    the ids are lists.

    Raises TypeError for what is not a batch of texts, Llama3TokError for a batch without the
    column, and what `encode_arrow` raises.

    >>> from llama3_tok.data.huggingface import Encode
    >>> encode = Encode(column="content", bos=True)
    >>> encode({"content": ["Hello world", "Hello"]})
    {'input_ids': [[128000, 9906, 1917], [128000, 9906]]}
    """

    def __init__(
        self,
        *,
        column: str = "text",
        output: str = "input_ids",
        attention_mask: bool = False,
        tokenizer: Tokenizer | None = None,
        threads: int | None = None,
        **options: Unpack[TextOptions],
    ) -> None:
        arguments.flag(attention_mask, "attention_mask")
        super().__init__(
            column=column, output=output, tokenizer=tokenizer, threads=threads, **options
        )
        self.attention_mask = attention_mask

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "attention_mask": self.attention_mask}

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 - a table for a table, or dictionaries
        """The columns that are new, or a table with them if the batch is a table."""
        pa = require("pyarrow", "data")
        if isinstance(batch, pa.Table):
            ids = plain_lists(self.ids_of(self.column_of(batch)))
            added = self.with_column(batch, self.output, ids)
            return self.with_column(added, MASK, _ones(ids)) if self.attention_mask else added
        if not isinstance(batch, Mapping):
            raise TypeError(
                f"the batch must be a dictionary or a pyarrow.Table, not {type(batch).__name__}; "
                'with_format(None) and with_format("arrow") give these'
            )
        texts = self.column_of(batch)
        ids = plain_lists(self.ids_of(_arrow(texts, self.column)))
        new = {self.output: ids, **({MASK: _ones(ids)} if self.attention_mask else {})}
        rows = {name: arrays_of(column) for name, column in new.items()}
        if not isinstance(texts, list):
            return rows
        return {name: [_listed(row) for row in column] for name, column in rows.items()}

    def threads_here(self) -> int | None:
        """One in a worker, unless a number was given."""
        return 1 if self.threads is None and _is_worker() else self.threads

    def column_of(self, batch: Any) -> Any:  # noqa: ANN401 - see Adapter
        """The column of a batch, in Arrow where the batch has it."""
        formatting = sys.modules.get("datasets.formatting.formatting")
        if (
            formatting is not None
            and isinstance(batch, formatting.LazyBatch)
            and self.column in batch.keys_to_format
        ):
            # Nobody asked for this column yet, so no `str` has been made of its texts.
            return batch.pa_table[self.column]
        return super().column_of(batch)


def _arrow(texts: Any, name: str) -> Any:  # noqa: ANN401 - whatever a batch has
    """Texts in Arrow; `name` is what their column is called."""
    if hasattr(texts, "__arrow_c_stream__") or hasattr(texts, "__arrow_c_array__"):
        return texts
    if isinstance(texts, str | bytes):
        raise TypeError(f"batch[{name!r}] must be several texts, not one; pass batched=True to map")
    pa = require("pyarrow", "data")
    texts, kind = list(texts), pa.large_binary()
    try:
        return pa.array(texts, kind)
    except UnicodeEncodeError:  # surrogates, which Arrow can't have
        texts = [utf8(text, name) if isinstance(text, str) else text for text in texts]
        return pa.array(texts, kind)
    except pa.ArrowException as error:
        raise TypeError(
            f"batch[{name!r}] must have texts, str or bytes or None: {error}"
        ) from error


def _ones(ids: Any) -> Any:  # noqa: ANN401 - an array of lists, or several
    """As many ones for each row as it has ids."""
    pa = require("pyarrow", "data")
    if isinstance(ids, pa.ChunkedArray):
        kind = pa.list_(pa.int8())
        return pa.chunked_array([_ones(chunk) for chunk in ids.chunks], type=kind)
    ones = pa.array(np.ones(len(ids.values), np.int8))
    return pa.ListArray.from_arrays(ids.offsets, ones, mask=ids.is_null())


def _listed(row: "npt.NDArray[Any] | None") -> list[int] | None:
    return None if row is None else row.tolist()


def _is_worker() -> bool:
    """Whether another process of Python started this one to work for it."""
    modules = (sys.modules.get(f"{name}.process") for name in ("multiprocess", "multiprocessing"))
    return any(module is not None and module.parent_process() is not None for module in modules)


encode = Encode()
"""The column "text" as "input_ids", as `llama3_tok.encode` gives them."""
