"""For Spark: `frame.mapInArrow(encode, encode.schema(frame))`, and functions for SQL."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Unpack

from llama3_tok.arguments import TextOptions
from llama3_tok.data.adapter import Adapter, arrays_of, plain_lists
from llama3_tok.extras import require
from llama3_tok.lazy import LazyModule
from llama3_tok.tokenizer import Tokenizer

if TYPE_CHECKING:
    from pyspark import sql
else:
    sql = LazyModule("pyspark.sql")

__all__ = ["Encode", "count_udf", "encode", "encode_udf", "register"]


class Encode(Adapter):
    """A function for `DataFrame.mapInArrow` that adds a column of ids to each batch.

    It adds the column `output`, an array of integers, or replaces it; the ids are those of
    `column`, and a null text has null. `schema` says what `mapInArrow` has to be told of the
    result. Each task uses `threads` threads, one by default, since Spark counts on one processor
    for each.

    The options are those of `Tokenizer.encode`. The tokenizer is found on the workers by the path
    and hash of its vocabulary, so the path must exist on each machine.

    >>> import pyarrow
    >>> from llama3_tok.data.spark import encode
    >>> batches = encode([pyarrow.record_batch({"text": ["Hello world", None]})])
    >>> [batch["input_ids"].to_pylist() for batch in batches]
    [[[9906, 1917], None]]
    """

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The record batches with a column of ids."""
        for batch in batches:
            ids = self.ids_of(self.column_of(batch))
            yield self.with_column(batch, self.output, plain_lists(ids))

    def schema(self, frame: "sql.DataFrame | sql.types.StructType") -> "sql.types.StructType":
        """The schema of the result for a DataFrame, or for its schema."""
        types = require("pyspark.sql.types", "spark")
        given = frame if isinstance(frame, types.StructType) else frame.schema
        added = types.StructField(self.output, types.ArrayType(types.IntegerType()))
        names = [field.name for field in given.fields]
        if self.output in names:
            return types.StructType([added if f.name == self.output else f for f in given.fields])
        return types.StructType([*given.fields, added])


encode = Encode()
"""The column "text" as "input_ids", as `llama3_tok.encode` gives them."""


def encode_udf(*, tokenizer: Tokenizer | None = None, **options: Unpack[TextOptions]) -> Any:  # noqa: ANN401 - a function of pyspark
    """A `pandas_udf` from texts to arrays of ids, for columns and for SQL.

    The parameters are those of `Encode`. Spark copies the texts and ids of such a function one by
    one, so `mapInArrow` is faster.
    """
    functions, pandas = require("pyspark.sql.functions", "spark"), require("pandas", "spark")
    encoder = Encode(tokenizer=tokenizer, **options)

    def ids(texts: Any) -> Any:  # noqa: ANN401 - a Series of pandas
        return pandas.Series(arrays_of(encoder.ids_of(texts)), dtype=object)

    return functions.pandas_udf(_hinted(ids), "array<int>")


def count_udf(*, tokenizer: Tokenizer | None = None, **options: Unpack[TextOptions]) -> Any:  # noqa: ANN401 - a function of pyspark
    """A `pandas_udf` from texts to how many ids each has; otherwise as `encode_udf`."""
    functions = require("pyspark.sql.functions", "spark")
    encoder = Encode(tokenizer=tokenizer, **options)

    def count(texts: Any) -> Any:  # noqa: ANN401 - a Series of pandas
        return encoder.counts_of(texts).to_pandas()

    return functions.pandas_udf(_hinted(count), "bigint")


def register(
    session: "sql.SparkSession",
    *,
    tokenizer: Tokenizer | None = None,
    **options: Unpack[TextOptions],
) -> None:
    """Makes `llama3_encode(text)` and `llama3_count(text)` functions of the session's SQL.

    They are `encode_udf` and `count_udf` with these options.
    """
    session.udf.register("llama3_encode", encode_udf(tokenizer=tokenizer, **options))
    session.udf.register("llama3_count", count_udf(tokenizer=tokenizer, **options))


def _hinted(function: Any) -> Any:  # noqa: ANN401 - a function
    """The function with the types of pandas, by which Spark tells what kind of function it is."""
    series = require("pandas", "spark").Series
    function.__annotations__ = {"texts": series, "return": series}
    return function
