"""`Adapter`: what encodes one column of batches, as the engines for data want it.

It is made once and sent to workers: it is checked where it is made, and its pickle names the
vocabulary by path and hash, so that each worker has the ids of the process that made it.
"""

from collections.abc import Mapping
from typing import Any, Unpack

from llama3_tok import arguments
from llama3_tok.arguments import TextOptions
from llama3_tok.data.arrow import count_arrow, encode_arrow
from llama3_tok.errors import Llama3TokError
from llama3_tok.extras import require
from llama3_tok.shared import given
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Adapter", "arrays_of", "plain_lists"]


class Adapter:
    """Which column is encoded, how, and what the column of ids is called."""

    def __init__(
        self,
        *,
        column: str = "text",
        output: str = "input_ids",
        tokenizer: Tokenizer | None = None,
        threads: int | None = 1,
        **options: Unpack[TextOptions],
    ) -> None:
        for name, value in (("column", column), ("output", output)):
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a str, not {type(value).__name__}")
        if not isinstance(tokenizer, Tokenizer | None):
            given(tokenizer)
        arguments.threads(threads)
        known = ("column", "output", "tokenizer", "threads")
        arguments.chosen(options, type(self).__name__, *known)
        self.column, self.output, self.threads = column, output, threads
        self._tokenizer = tokenizer
        # A set has another order in each process, and the same options must have the same pickle.
        self.options: dict[str, Any] = dict(sorted(options.items()))
        for name in ("allowed_special", "disallowed_special"):
            if self.options.get(name, "all") != "all":
                self.options[name] = tuple(sorted(self.options[name]))

    @property
    def tokenizer(self) -> Tokenizer:
        """The one that was given, or that of `llama3_tok.encode`."""
        return given(self._tokenizer)

    def __repr__(self) -> str:
        """For people."""
        return f"{type(self).__module__}.{type(self).__name__}(column={self.column!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as what it was made of, with the tokenizer that it has here."""
        return _restore, (type(self), self._state())

    def _state(self) -> dict[str, Any]:
        """The arguments that make the same again."""
        names = ("column", "output", "tokenizer", "threads")
        return {**{name: getattr(self, name) for name in names}, **self.options}

    def ids_of(self, column: Any) -> Any:  # noqa: ANN401 - any column, and an array or several
        """The ids of a column."""
        threads = self.threads_here()
        return encode_arrow(column, tokenizer=self.tokenizer, threads=threads, **self.options)

    def counts_of(self, column: Any) -> Any:  # noqa: ANN401 - as `ids_of`
        """How many ids each text of a column has."""
        threads = self.threads_here()
        return count_arrow(column, tokenizer=self.tokenizer, threads=threads, **self.options)

    def threads_here(self) -> int | None:
        """How many threads encode in this process."""
        return self.threads

    def column_of(self, batch: Any) -> Any:  # noqa: ANN401 - any batch that has columns by name
        """The column of a batch that is to be encoded."""
        names = list(batch) if isinstance(batch, Mapping) else batch.schema.names
        if self.column not in names:
            shown = ", ".join(repr(name) for name in names[:20])
            raise Llama3TokError(
                f"the batch has no column {self.column!r}; its columns are {shown}; name the "
                "column with the text by the option column"
            )
        return batch[self.column]

    @staticmethod
    def with_column(batch: Any, name: str, column: Any) -> Any:  # noqa: ANN401 - any table
        """The batch with a column more, or in the place of the one with that name."""
        index = batch.schema.get_field_index(name)
        if index < 0:
            return batch.append_column(name, column)
        return batch.set_column(index, name, column)


def _restore(kind: type[Adapter], state: dict[str, Any]) -> Adapter:
    return kind(**state)


def plain_lists(ids: Any) -> Any:  # noqa: ANN401 - an array or several
    """Lists with offsets of 32 bits, which more readers take than those of 64."""
    pa = require("pyarrow", "data")
    return ids.cast(pa.list_(pa.int32()))


def arrays_of(lists: Any) -> list[Any]:  # noqa: ANN401 - an array of lists, or several
    """The rows of a column as arrays of NumPy, and None for null."""
    pa = require("pyarrow", "data")
    chunks = lists.chunks if isinstance(lists, pa.ChunkedArray) else [lists]
    return [row for chunk in chunks for row in chunk.to_numpy(zero_copy_only=False)]
