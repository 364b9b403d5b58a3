"""Columns of ids in Ray Data, on a cluster of this machine with two processors."""

import pickle
import sys

import pytest

from llama3_tok import Llama3TokError, MissingExtra, Tokenizer

pa = pytest.importorskip("pyarrow", reason="pyarrow, of the extra `data`, is not installed")

from llama3_tok.data.ray import Encode  # noqa: E402

TEXTS = ["Hello world", None, "", "Việt Nam<|eot_id|>", "a" * 40]
TABLE = pa.table({"text": TEXTS * 40, "n": range(5 * 40)})

# Ray warns of its own defaults, which it deprecated, and leaves files and processes to the garbage
# collector.
pytestmark = pytest.mark.filterwarnings(
    r"ignore::DeprecationWarning:ray\.data\.", "ignore::ResourceWarning"
)


def expected(tokenizer=None, **options):
    tokenizer = tokenizer or Tokenizer()
    return [None if text is None else tokenizer.encode(text, **options) for text in TEXTS] * 40


@pytest.fixture(scope="module")
def ray():
    reason = "ray, of the extra `test-data`, is not installed"
    ray = pytest.importorskip("ray", reason=reason)
    pytest.importorskip("ray.data", reason=reason)
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # of which Ray warns otherwise
    ray.init(
        num_cpus=2, include_dashboard=False, logging_level="ERROR", object_store_memory=100 << 20
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()
    patch.undo()


@pytest.fixture
def dataset(ray):
    return ray.data.from_arrow([TABLE.slice(at, 50) for at in range(0, 200, 50)])


def rows(dataset):
    """The rows in the order of the column `n`."""
    return sorted(dataset.take_all(), key=lambda row: row["n"])


def test_actors_add_the_ids(ray, dataset):
    mapped = dataset.map_batches(
        Encode,
        fn_constructor_kwargs={"bos": True, "allowed_special": {"<|eot_id|>"}},
        batch_format="pyarrow",
        zero_copy_batch=True,
        batch_size=30,
        compute=ray.data.ActorPoolStrategy(size=2),
    ).materialize()
    kinds = dict(zip(mapped.schema().names, mapped.schema().types, strict=True))
    assert kinds == {"text": pa.string(), "n": pa.int64(), "input_ids": pa.large_list(pa.int32())}
    wanted = expected(bos=True, allowed_special={"<|eot_id|>"})
    given = [dict(row, input_ids=_list(row["input_ids"])) for row in rows(mapped)]
    assert given == [
        {"text": text, "n": n, "input_ids": ids}
        for n, (text, ids) in enumerate(zip(TEXTS * 40, wanted, strict=True))
    ]


def _list(ids):
    return None if ids is None else list(ids)


def test_tasks_add_the_ids_with_the_tokenizer_of_the_driver(dataset, tokenizer):
    other = tokenizer.with_special_tokens({"<|a|>": 128002})
    function = Encode(tokenizer=other, output="ids", eos=True)
    mapped = dataset.map_batches(function, batch_format="pyarrow").drop_columns(["text"])
    given = rows(mapped)
    assert [_list(row["ids"]) for row in given] == expected(other, eos=True)
    assert set(given[0]) == {"n", "ids"}


def test_another_form_of_batches_is_told_what_to_do(ray, dataset):
    with pytest.raises(ray.exceptions.RayTaskError, match='pass batch_format="pyarrow"'):
        dataset.map_batches(Encode(), batch_format="numpy").materialize()


# Without a cluster


def test_a_table_gets_a_column_more_or_another():
    table = Encode(bos=True)(TABLE)
    assert table.column_names == ["text", "n", "input_ids"]
    assert table["input_ids"].to_pylist() == expected(bos=True)
    assert table.drop_columns(["input_ids"]).equals(TABLE)
    over = Encode(output="text")(TABLE.replace_schema_metadata({"a": "b"}))
    assert over.column_names == ["text", "n"]
    assert over["text"].to_pylist() == expected()
    assert over.schema.metadata == {b"a": b"b"}


def test_there_is_one_thread_by_default():
    assert Encode().threads_here() == 1
    assert Encode(threads=2).threads_here() == 2
    assert pickle.loads(pickle.dumps(Encode(threads=2))).threads_here() == 2


def test_wrong_batches_and_options_are_refused():
    for wrong, error, message in (
        (
            {"text": ["a"]},
            TypeError,
            'not a dictionary; pass batch_format="pyarrow" to map_batches',
        ),
        (["a"], TypeError, "must be a pyarrow.Table, not list"),
        (pa.table({"t": ["a"]}), Llama3TokError, "no column 'text'; its columns are 't'; name the"),
    ):
        with pytest.raises(error, match=message):
            Encode()(wrong)
    with pytest.raises(TypeError, match="has no option 'add_bos'; it is bos=True"):
        Encode(add_bos=True)


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'llama3_tok\[data\]'"):
        Encode()({"text": ["a"]})
