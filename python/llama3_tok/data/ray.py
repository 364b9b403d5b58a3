"""For Ray Data: `dataset.map_batches(Encode, batch_format="pyarrow")`."""

from collections.abc import Mapping
from typing import Any

from llama3_tok.data.adapter import Adapter
from llama3_tok.extras import require

__all__ = ["Encode"]


class Encode(Adapter):
    """A class for `Dataset.map_batches` that adds a column of ids to each batch.

    It adds the column `output`, `large_list<int32>`, to the batch, or replaces it; the ids are
    those of `column`, and a null text has null. `drop_columns` removes the text. Each worker uses
    `threads` threads, one by default, since Ray counts on one processor for each.

    The options are those of `Tokenizer.encode`. Given to Ray as a class, by
    `fn_constructor_kwargs`, or as an object: both go to the workers. A tokenizer is found there by
    the path and hash of its vocabulary, so the path must exist on each machine. A class without
    `tokenizer` takes the one of `llama3_tok.encode` on the worker.

    >>> import pyarrow
    >>> from llama3_tok.data.ray import Encode
    >>> Encode(bos=True)(pyarrow.table({"text": ["Hello world"]}))["input_ids"].to_pylist()
    [[128000, 9906, 1917]]
    """

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 - a pyarrow.Table
        """The table with a column of ids."""
        pa = require("pyarrow", "data")
        if not isinstance(batch, pa.Table):
            kind = "a dictionary" if isinstance(batch, Mapping) else type(batch).__name__
            raise TypeError(
                f'the batch must be a pyarrow.Table, not {kind}; pass batch_format="pyarrow" to '
                "map_batches"
            )
        return self.with_column(batch, self.output, self.ids_of(self.column_of(batch)))
