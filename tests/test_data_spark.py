"""Columns of ids in Spark, on two processors of this machine."""

import os
import pickle
import shutil
import sys

import pytest

from llama3_tok import Llama3TokError, MissingExtra, Tokenizer

pa = pytest.importorskip("pyarrow", reason="pyarrow, of the extra `data`, is not installed")

from llama3_tok.data import spark as ours  # noqa: E402
from llama3_tok.data.spark import Encode, encode  # noqa: E402

TEXTS = ["Hello world", None, "", "Việt Nam<|eot_id|>", "a" * 40]
ROWS = list(zip(TEXTS * 40, range(5 * 40), strict=True))

# Spark says of any pandas that is newer than itself that it is not supported yet, and leaves
# sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:PySpark does not yet fully support pandas", "ignore:unclosed <socket:ResourceWarning"
)


def expected(tokenizer=None, **options):
    tokenizer = tokenizer or Tokenizer()
    return [None if text is None else tokenizer.encode(text, **options) for text in TEXTS] * 40


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    reason = "pyspark, of the extra `test-data`, is not installed"
    sql = pytest.importorskip("pyspark.sql", reason=reason)
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Spark needs Java, which is not installed")
    patch = pytest.MonkeyPatch()
    patch.setenv("PYSPARK_PYTHON", sys.executable)
    patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark")),
        "spark.sql.execution.arrow.maxRecordsPerBatch": "30",
    }
    builder = sql.SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
    patch.undo()


@pytest.fixture
def frame(spark):
    return spark.createDataFrame(ROWS, ["text", "n"]).repartition(3)


def ids(frame, name="input_ids"):
    """A column in the order of the column `n`."""
    return [row[name] for row in sorted(frame.collect(), key=lambda row: row["n"])]


def test_batches_get_the_ids(frame):
    from pyspark.sql.types import ArrayType, IntegerType, StructField

    schema = encode.schema(frame)
    assert schema.fields[:2] == frame.schema.fields
    assert schema.fields[2] == StructField("input_ids", ArrayType(IntegerType()))
    mapped = frame.mapInArrow(encode, schema)
    assert mapped.columns == ["text", "n", "input_ids"]
    assert ids(mapped) == expected()
    assert ids(mapped, "text") == TEXTS * 40


def test_options_are_those_of_encode_and_the_tokenizer_is_that_of_the_driver(frame, tokenizer):
    other = tokenizer.with_special_tokens({"<|a|>": 128002})
    function = Encode(output="text", tokenizer=other, bos=True, allowed_special={"<|eot_id|>"})
    schema = function.schema(frame.schema)
    assert schema.names == ["text", "n"]
    mapped = frame.mapInArrow(function, schema)
    assert ids(mapped, "text") == expected(other, bos=True, allowed_special={"<|eot_id|>"})


def test_sql_has_functions(spark, frame):
    ours.register(spark, bos=True, eos=True)
    frame.createOrReplaceTempView("texts")
    asked = "SELECT n, llama3_encode(text) AS ids, llama3_count(text) AS tokens FROM texts"
    answer = spark.sql(asked)
    assert [kind for _, kind in answer.dtypes] == ["bigint", "array<int>", "bigint"]
    wanted = expected(bos=True, eos=True)
    assert ids(answer, "ids") == wanted
    assert ids(answer, "tokens") == [None if row is None else len(row) for row in wanted]
    total = spark.sql("SELECT sum(llama3_count(text)) AS tokens FROM texts").collect()
    assert total[0]["tokens"] == sum(len(row) for row in wanted if row is not None)


def test_functions_for_columns(frame):
    chosen = {"allowed_special": {"<|eot_id|>"}}
    answer = frame.select(
        "n",
        ours.encode_udf(**chosen)("text").alias("ids"),
        ours.count_udf()("text").alias("tokens"),
    )
    assert ids(answer, "ids") == expected(**chosen)
    assert ids(answer, "tokens") == [None if row is None else len(row) for row in expected()]


# Without Spark


def test_record_batches_get_a_column_more():
    table = pa.table({"text": TEXTS * 40, "n": range(200)})
    batches = list(Encode(bos=True)(iter(table.to_batches(max_chunksize=30))))
    assert [len(batch) for batch in batches] == [30] * 6 + [20]
    assert batches[0].schema.field("input_ids").type == pa.list_(pa.int32())
    assert [row for batch in batches for row in batch["input_ids"].to_pylist()] == expected(
        bos=True
    )
    assert list(encode([])) == []


def test_there_is_one_thread_by_default():
    assert encode.threads_here() == 1
    assert Encode(threads=2).threads_here() == 2
    assert pickle.loads(pickle.dumps(Encode(threads=2))).threads_here() == 2


def test_wrong_columns_and_options_are_refused():
    batch = pa.record_batch({"t": ["a"]})
    with pytest.raises(Llama3TokError, match="no column 'text'; its columns are 't'; name the"):
        list(encode([batch]))
    with pytest.raises(TypeError, match="has no option 'add_bos'; it is bos=True"):
        Encode(add_bos=True)


def test_without_pyspark_the_extra_is_named(monkeypatch):
    class Missing:
        def find_spec(self, name, *others):
            if name.partition(".")[0] == "pyspark":
                raise ModuleNotFoundError(f"No module named {name!r}", name="pyspark")

    for module in [name for name in sys.modules if name.partition(".")[0] == "pyspark"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    for call in (ours.encode_udf, ours.count_udf, lambda: encode.schema(None)):
        with pytest.raises(MissingExtra, match=r"pip install 'llama3_tok\[spark\]'"):
            call()
