"""Arrow columns of text as columns of ids: every type, every library, and what is refused."""

import sys
import tracemalloc

import pytest

import llama3_tok
from interpreter import run_python, seconds_after_control_c
from llama3_tok import Llama3TokError, MissingExtra, SpecialTokenError, Tokenizer
from llama3_tok.data import count_arrow, encode_arrow

pa = pytest.importorskip("pyarrow", reason="pyarrow, of the extra `data`, is not installed")

import numpy as np  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import columns  # noqa: E402
from conftest import EXAMPLES  # noqa: E402

LISTS = pa.large_list(pa.int32())
TEXTS = ["Hello world", None, "", "a longer text, of more than twelve bytes", "Hello world", "é"]
IDS = [
    [9906, 1917],
    None,
    [],
    [64, 5129, 1495, 11, 315, 810, 1109, 30335, 5943],
    [9906, 1917],
    [978],
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer()


def options():
    names = st.sampled_from([(), "all", {"<|eot_id|>"}, ["<|eom_id|>", "<|eot_id|>"]])
    given = {"bos": st.booleans(), "eos": st.booleans(), "allowed_special": names}
    return st.fixed_dictionaries({}, optional={**given, "threads": st.sampled_from([None, 1, 2])})


def compare(tokenizer, column, asked):
    """The ids and counts of a column with those of each of its texts."""
    of_one = {name: value for name, value in asked.items() if name != "threads"}
    expected = [
        None if text is None else tokenizer.encode(text, **of_one) for text in column.to_pylist()
    ]
    ids, counts = encode_arrow(column, **asked), count_arrow(column, **asked)
    ids.validate(full=True)
    counts.validate(full=True)
    assert (ids.type, counts.type) == (LISTS, pa.int64())
    assert ids.to_pylist() == expected
    assert counts.to_pylist() == [None if ids is None else len(ids) for ids in expected]
    return ids, counts


@pytest.mark.filterwarnings("ignore:the text begins with")
@settings(max_examples=max(EXAMPLES // 5, 1))
@given(columns.arrays(), options())
def test_an_array_has_the_ids_of_its_texts(tokenizer, column, asked):
    ids, counts = compare(tokenizer, column, asked)
    assert type(ids) is pa.LargeListArray
    assert type(counts) is pa.Int64Array


@pytest.mark.filterwarnings("ignore:the text begins with")
@settings(max_examples=max(EXAMPLES // 5, 1))
@given(columns.chunked(), options())
def test_chunks_have_the_ids_of_their_texts(tokenizer, column, asked):
    for result in compare(tokenizer, column, asked):
        assert type(result) is pa.ChunkedArray
        assert list(map(len, result.chunks)) == list(map(len, column.chunks))


@pytest.mark.filterwarnings("ignore:the text begins with")
@settings(max_examples=max(EXAMPLES // 5, 1))
@given(st.lists(columns.arrays(kinds=[pa.string_view()]), min_size=2, max_size=4))
def test_chunks_with_several_buffers_each_are_kept_apart(tokenizer, chunks):
    texts = [[text and text * 3 for text in chunk.to_pylist()] for chunk in chunks]
    compare(tokenizer, pa.chunked_array(texts, type=pa.string_view()), {})


def test_many_rows_in_many_chunks(tokenizer):
    texts = [
        None if number % 7 == 3 else f"row {number} " * (number % 50) for number in range(5000)
    ]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        chunks = [pa.array(texts[at : at + 90], kind) for at in range(0, len(texts), 90)]
        compare(tokenizer, pa.chunked_array(chunks), {"bos": True})
    dictionaries = [chunk.cast(pa.string()).dictionary_encode() for chunk in chunks]
    compare(tokenizer, pa.chunked_array(dictionaries), {"bos": True})


def test_no_rows_and_nulls(tokenizer):
    for kind in (*columns.STRINGS, *columns.BINARIES, pa.binary(3), pa.null()):
        assert compare(tokenizer, pa.array([], kind), {})[0].to_pylist() == []
        compare(tokenizer, pa.array([None] * 3, kind), {"bos": True})
        assert compare(tokenizer, pa.chunked_array([], kind), {})[0].num_chunks == 0


def test_an_id_of_each_row_stands_where_arrow_expects_it():
    ids = encode_arrow(pa.array(TEXTS))
    assert ids.offsets.to_pylist() == [0, 2, 2, 2, 11, 13, 14]
    assert ids.values.to_pylist() == [id for row in IDS for id in row or ()]
    assert ids.null_count == 1
    # The ids of a chunk are its own, and not those of the whole column.
    second = encode_arrow(pa.chunked_array([TEXTS[:3], TEXTS[3:]])).chunk(1)
    assert second.offsets.to_pylist() == [0, 9, 11, 12]
    assert second.values.to_pylist() == [id for row in IDS[3:] for id in row]


def test_extension_types_and_single_columns_are_what_they_hold(tokenizer):
    kind = pa.json_(pa.string())
    column = pa.ExtensionArray.from_storage(kind, pa.array(['{"a": 1}', None, "[]"]))
    expected = [tokenizer.encode('{"a": 1}'), None, tokenizer.encode("[]")]
    assert encode_arrow(column).to_pylist() == expected
    assert encode_arrow(pa.chunked_array([column])).to_pylist() == expected
    for table in (pa.table({"t": TEXTS}), pa.record_batch({"t": TEXTS})):
        assert encode_arrow(table).to_pylist() == IDS
    struct = pa.StructArray.from_arrays([pa.array(["a", "b"])], ["t"], mask=pa.array([False, True]))
    assert encode_arrow(struct).to_pylist() == [[64], None]


# Other libraries


def polars_series(kind):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return polars.Series(TEXTS, dtype=getattr(polars, kind))


@pytest.mark.parametrize("kind", ["String", "Categorical"])
def test_a_series_of_polars(kind):
    series = polars_series(kind)
    assert encode_arrow(series).to_pylist() == IDS
    assert encode_arrow(series[1:4]).to_pylist() == IDS[1:4]
    assert encode_arrow(series.clone().append(series)).to_pylist() == IDS * 2
    assert count_arrow(series).to_pylist() == [None if ids is None else len(ids) for ids in IDS]
    assert encode_arrow(series.to_frame("t")).to_pylist() == IDS


def test_ids_go_back_to_polars():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame({"text": TEXTS}).with_columns(
        ids=polars.from_arrow(encode_arrow(polars_series("String"))),
        tokens=polars.from_arrow(count_arrow(polars_series("String"))),
    )
    assert frame.schema["ids"] == polars.List(polars.Int32)
    assert frame["ids"].to_list() == IDS
    assert frame["tokens"].to_list() == [None if ids is None else len(ids) for ids in IDS]


def test_a_column_of_duckdb():
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    texts = pa.table({"text": TEXTS, "number": range(len(TEXTS))})
    connection = duckdb.connect()
    connection.register("texts", texts)
    relation = connection.sql("SELECT text FROM texts ORDER BY number")
    assert encode_arrow(relation).to_pylist() == IDS
    many = connection.sql("SELECT 'row ' || range AS t FROM range(300000)")
    assert sum(count_arrow(many).to_pylist()) == sum(
        llama3_tok.Tokenizer().count_batch([f"row {number}" for number in range(300_000)]).tolist()
    )
    ids = pa.table({"ids": encode_arrow(relation)})
    connection.register("ids", ids)
    assert [row[0] for row in connection.sql("SELECT ids FROM ids").fetchall()] == IDS


@pytest.mark.parametrize(
    "kind",
    ["string[pyarrow]", "string[python]", "string", "object", "category", "arrow", "large", "view"],
)
def test_a_series_of_pandas(kind):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    arrow = {"arrow": pa.string(), "large": pa.large_string(), "view": pa.string_view()}
    dtype = pandas.ArrowDtype(arrow[kind]) if kind in arrow else kind
    series = pandas.Series(TEXTS, index=list("abcdef"), dtype=dtype)
    ids = encode_arrow(series)
    assert isinstance(ids, pa.ChunkedArray)
    assert ids.to_pylist() == IDS
    assert encode_arrow(series[1:4]).to_pylist() == IDS[1:4]
    assert count_arrow(series).to_pylist() == [None if ids is None else len(ids) for ids in IDS]


def test_an_array_of_nanoarrow():
    nanoarrow = pytest.importorskip("nanoarrow", reason="nanoarrow is not installed")
    array = nanoarrow.Array(TEXTS, nanoarrow.string())
    assert encode_arrow(array).to_pylist() == IDS
    assert encode_arrow(nanoarrow.c_array(TEXTS, nanoarrow.string())).to_pylist() == IDS


def test_what_only_speaks_the_interface():
    class Array:
        def __arrow_c_array__(self, requested_schema=None):
            return pa.array(TEXTS).__arrow_c_array__(requested_schema)

    class Stream:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.chunked_array([TEXTS, TEXTS]).__arrow_c_stream__(requested_schema)

    array, stream = encode_arrow(Array()), encode_arrow(Stream())
    assert isinstance(array, pa.LargeListArray)
    assert array.to_pylist() == IDS
    assert stream.num_chunks == 2
    assert stream.to_pylist() == IDS * 2


# What it costs


KINDS = {
    "string": "pa.array(texts)",
    "large_string": "pa.array(texts, pa.large_string())",
    "string_view": "pa.array(texts, pa.string_view())",
    "sliced": "pa.array(texts, pa.large_string())[2:-2]",
    "chunks": "pa.chunked_array([texts[:20], texts[20:]])",
}


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory in use")
@pytest.mark.parametrize("column", KINDS.values(), ids=KINDS.keys())
def test_the_text_is_not_copied(column):
    code = f"""
        import pyarrow as pa
        from llama3_tok.data import count_arrow
        def used(what):
            line = next(l for l in open("/proc/self/status") if l.startswith(what))
            return int(line.split()[1]) << 10
        texts = [f"{{number}} " + "a few words, " * 150_000 for number in range(40)]
        column, size = {column}, sum(map(len, texts))
        del texts
        count_arrow(column[:4], threads=1)
        open("/proc/self/clear_refs", "w").write("5")
        before = used("VmRSS")
        count_arrow(column, threads=1)
        print(size >> 20, used("VmHWM") - before >> 20)
    """
    result = run_python(code)
    size, more = map(int, result.stdout.split())
    assert size > 60, result.stderr
    assert more < 20


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_no_object_is_made_for_a_row(kind):
    rows = 300_000
    column = pa.array(["a word"] * rows, kind)
    tracemalloc.start()
    try:
        ids = encode_arrow(column)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(ids.values) == 2 * rows
    # NumPy's arrays are counted. An object is 40 bytes and more, and 8 for its place in a list.
    assert peak < 90 * rows


@pytest.mark.parametrize("call", ["encode_arrow", "count_arrow"])
def test_control_c_ends_long_work_at_once(call):
    before = """
        import pyarrow as pa
        from llama3_tok.data import encode_arrow, count_arrow
        column = pa.array(["a few words, " * 50] * 200_000)
        column = pa.chunked_array([column] * 40)
    """
    assert seconds_after_control_c(f"{call}(column, threads=1)", before=before) < 2


# What is refused


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["a"], "not list; pyarrow.array(column) makes one, and Tokenizer.encode_ragged takes"),
        (("a",), "not tuple; pyarrow.array(column) makes one"),
        ("a", "not str; one text goes to Tokenizer.encode"),
        (b"a", "not bytes; one text goes to"),
        (None, "not NoneType; "),
        (np.array(["a"]), "not ndarray; pyarrow.array(column) makes one"),
        (pa.array([1]), "not int64; cast it to string"),
        (pa.array([1.5]), "not double; "),
        (pa.chunked_array([[True]]), "not bool; "),
        (pa.array([["a"]]), "not list<item: string>; "),
        (pa.array([1, 2]).dictionary_encode(), "not dictionary<values=int64"),
        (pa.table({"a": ["x"], "b": [1]}), "it has the columns 'a', 'b'; give one of them"),
        (pa.table({"b": [1]}), "not int64; "),
        (pa.table({}), "it has no columns"),
        (
            pa.RunEndEncodedArray.from_arrays([2], ["a"]),
            "pyarrow.compute.run_end_decode(column) makes",
        ),
    ],
)
@pytest.mark.parametrize("call", [encode_arrow, count_arrow])
def test_what_is_not_a_column_of_text_is_refused(call, column, message):
    with pytest.raises(TypeError) as caught:
        call(column)
    assert str(caught.value).startswith("column must ")
    assert message in str(caught.value)


@pytest.mark.parametrize("call", [encode_arrow, count_arrow])
def test_wrong_options_are_refused(call):
    column = pa.array(["a"])
    for wrong, message in (
        ({"add_bos": True}, r"_arrow\(\) has no option 'add_bos'; it is bos=True"),
        ({"nothing": 1}, "'nothing'; its options are bos, eos, allowed_special"),
        ({"bos": 1}, "bos must be a bool, not int"),
        ({"threads": "2"}, "threads must be an int or None, not str"),
        ({"tokenizer": "llama3"}, "tokenizer must be a Tokenizer or None, not str"),
    ):
        with pytest.raises(TypeError, match=message):
            call(column, **wrong)
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        call(column, threads=0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", [encode_arrow, count_arrow])
def test_an_error_names_the_row_in_the_whole_column(call, threads):
    rows = ["a", None, "b", "a<|eot_id|>", "a<|eot_id|>"]
    for kind in (pa.string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        one, several = pa.array(rows, kind), pa.chunked_array([pa.array(["x", "y"], kind)] * 2)
        for column, row in ((one, 3), (pa.chunked_array([*several.chunks, one[1:]]), 6)):
            with pytest.raises(SpecialTokenError, match=rf"^column\[{row}\]: the text") as caught:
                call(column, disallowed_special="all", threads=threads)
            assert (caught.value.index, caught.value.offset) == (row, 1)


def test_values_of_a_dictionary_that_no_row_has_are_not_looked_at():
    values = pa.array(["a", "<|eot_id|>", "b"])
    column = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 2]), values)
    assert encode_arrow(column, disallowed_special="all").to_pylist() == [[65], [64], None, [65]]


def damaged(kind, rows, places, *others):
    """An array whose offsets or views are such as no sound one has.

    They are written after pyarrow has looked at the array; others may send it damaged.
    """
    memory = np.zeros_like(places)
    buffers = [None if other is None else pa.py_buffer(other) for other in others]
    given = [*buffers[:1], pa.py_buffer(memory), *buffers[1:]]
    array = pa.Array.from_buffers(kind, rows, given)
    memory[:] = places
    return array


def strings(offsets, valid=None):
    offsets = np.array(offsets, np.int32)
    bits = None if valid is None else np.array([valid], np.uint8)
    return damaged(pa.string(), len(offsets) - 1, offsets, bits, b"abcdef")


def views(*rows):
    array = np.array([[3, int.from_bytes(b"abc", sys.byteorder), 0, 0], *rows], np.int32)
    return damaged(pa.string_view(), len(array), array, None, b"0123456789" * 5)


def numbered(*indices):
    numbers = pa.array(indices, pa.int8())
    return pa.DictionaryArray.from_arrays(numbers, pa.array(["a", "b"]), safe=False)


@pytest.mark.parametrize(
    "column",
    [
        strings([0, 1, 7]),
        strings([0, 3, 2]),
        strings([0, -1, 2]),
        strings([-5, 1, 1]),
        strings([0, 2, 2**31 - 1]),
        views([20, 0, 0, 31]),
        views([20, 0, 1, 0]),
        views([20, 0, -1, 0]),
        views([20, 0, 0, -20]),
        views([-1, 0, 0, 0]),
        views([-(2**31), 0, 0, 0]),
        views([2**31 - 1, 0, 0, 2**31 - 1]),
        numbered(0, 2),
        numbered(0, -1),
        numbered(1, 127),
    ],
)
@pytest.mark.parametrize("call", [encode_arrow, count_arrow])
def test_a_damaged_column_is_refused(call, column):
    sound = pa.array(["x"] * 9).cast(column.type.value_type if column.type.num_fields else "string")
    sound = sound.dictionary_encode() if pa.types.is_dictionary(column.type) else sound
    several = pa.chunked_array([sound.cast(column.type), column])
    for given_, first in ((column, 0), (several, 9)):
        with pytest.raises(Llama3TokError, match="the column is damaged") as caught:
            call(given_)
        names = (f"column[{first}]", f"column[{first + 1}]", f"rows {first} to {first + 1} ")
        assert any(name in str(caught.value) for name in names)


def test_what_stands_in_a_null_row_does_not_matter():
    assert encode_arrow(strings([0, -7, 3], valid=0b00)).to_pylist() == [None, None]
    assert encode_arrow(strings([-4, 1, 3], valid=0b10)).to_pylist() == [
        None,
        llama3_tok.encode("bc"),
    ]


def test_a_second_bos_is_warned_of(tokenizer):
    begin = "<|begin_of_text|>"
    for kind in (pa.string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        column = pa.chunked_array(
            [pa.array(["<", None, begin[:-1]], kind), pa.array([begin], kind)]
        )
        for call in (encode_arrow, count_arrow):
            with pytest.warns(UserWarning, match="adds a second one") as caught:
                call(column, bos=True, allowed_special="all")
            assert [warning.filename for warning in caught] == [__file__]
            call(column, bos=True)
            call(column, allowed_special="all")
            chat = pa.array(["x", begin + "<|start_header_id|>user"], kind)
            with pytest.warns(UserWarning, match="encode_chat"):
                call(chat, bos=True)


def test_ids_that_int32_can_not_hold_are_refused(tokenizer):
    large = tokenizer.with_special_tokens({"<a>": 2**31})
    with pytest.raises(Llama3TokError, match="int32 can't hold; give its special tokens ids below"):
        encode_arrow(pa.array(["a"]), tokenizer=large)
    assert count_arrow(pa.array(["a"]), tokenizer=large).to_pylist() == [1]
    largest = tokenizer.with_special_tokens({"<a>": 2**31 - 1})
    ids = encode_arrow(pa.array(["<a>"]), tokenizer=largest, allowed_special="all")
    assert ids.to_pylist() == [[2**31 - 1]]


def test_a_missing_bos_is_an_error_of_the_tokenizer(tokenizer):
    ranks = tokenizer.rank_file()
    bare = Tokenizer.from_bytes(ranks, all_special_tokens={"<a>": 128000})
    for call in (encode_arrow, count_arrow):
        with pytest.raises(Llama3TokError, match="^this tokenizer has no bos token"):
            call(pa.array([None, "a"]), tokenizer=bare, bos=True)


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (encode_arrow, count_arrow):
        with pytest.raises(MissingExtra, match=r"pip install 'llama3_tok\[data\]'"):
            call(["a"])


def test_nothing_is_imported_before_it_is_used():
    code = """
        import sys, llama3_tok
        assert not [name for name in sys.modules if name.startswith("llama3_tok.data")]
        call = llama3_tok.data.encode_arrow
        assert "pyarrow" not in sys.modules
        from llama3_tok.data import ray, spark, huggingface
        assert not {"pyarrow", "ray", "pyspark", "datasets", "pandas"} & sys.modules.keys()
        print("done")
    """
    assert run_python(code).stdout == "done\n"
