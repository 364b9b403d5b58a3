"""Columns of ids in `datasets.map`: the same ids, in every form of a batch and in every process."""

import os
import pickle
import sys

import pytest

import llama3_tok
from interpreter import run_python
from llama3_tok import Llama3TokError, MissingExtra, Tokenizer

pa = pytest.importorskip("pyarrow", reason="pyarrow, of the extra `data`, is not installed")

from llama3_tok.data.huggingface import Encode, encode  # noqa: E402

TEXTS = ["Hello world", None, "", "Việt Nam<|eot_id|>", "a" * 40]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """The library, which keeps what it computes in a folder of the tests."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("huggingface")))
    patch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("datasets", reason="datasets is not installed")
    library.disable_progress_bars()
    yield library
    patch.undo()


@pytest.fixture
def dataset(datasets):
    return datasets.Dataset.from_dict({"text": TEXTS * 50, "n": list(range(5 * 50))})


def expected(**options):
    tokenizer = Tokenizer()
    return [None if text is None else tokenizer.encode(text, **options) for text in TEXTS] * 50


@pytest.mark.parametrize("processes", [None, 2])
@pytest.mark.parametrize("form", [None, "arrow"])
def test_map_adds_the_ids(datasets, dataset, form, processes):
    # In the forked processes too, after this one has encoded on several threads.
    Tokenizer().count_batch(["Hello world " * 20_000] * 8)
    mapped = dataset.with_format(form).map(encode, batched=True, batch_size=60, num_proc=processes)
    assert mapped.features["input_ids"] == datasets.List(datasets.Value("int32"))
    mapped = mapped.with_format(None)
    assert mapped.column_names == ["text", "n", "input_ids"]
    assert mapped["input_ids"][:] == expected()
    assert (mapped["text"][:], mapped["n"][:]) == (dataset["text"][:], dataset["n"][:])


@pytest.mark.parametrize("form", [None, "arrow"])
def test_options_are_those_of_encode(datasets, dataset, form):
    options = {"bos": True, "eos": True, "allowed_special": {"<|eot_id|>"}}
    function = Encode(column="t", output="ids", attention_mask=True, **options)
    renamed = dataset.rename_column("text", "t").with_format(form)
    mapped = renamed.map(function, batched=True, batch_size=60)
    assert mapped.features["attention_mask"] == datasets.List(datasets.Value("int8"))
    mapped = mapped.with_format(None)
    assert mapped["ids"][:] == expected(**options)
    ones = [None if ids is None else [1] * len(ids) for ids in expected(**options)]
    assert mapped["attention_mask"][:] == ones


def test_columns_can_be_removed_and_replaced(dataset):
    mapped = dataset.map(encode, batched=True, remove_columns=["text"])
    assert mapped.column_names == ["n", "input_ids"]
    over = Encode(output="text")
    for form in (None, "arrow"):
        mapped = dataset.with_format(form).map(over, batched=True).with_format(None)
        assert mapped.column_names == ["text", "n"]
        assert mapped["text"][:] == expected()


@pytest.mark.parametrize("form", ["numpy", None])
def test_dictionaries_of_other_forms(dataset, form):
    texts = dataset.filter(lambda row: row["text"] is not None).with_format(form)
    mapped = texts.map(Encode(bos=True), batched=True).with_format(None)
    assert mapped["input_ids"][:] == [ids for ids in expected(bos=True) if ids is not None]


def test_a_stream_is_mapped(datasets, dataset):
    stream = dataset.to_iterable_dataset().map(encode, batched=True, batch_size=60)
    assert [row["input_ids"] for row in stream] == expected()


def test_texts_with_surrogates_are_what_encode_takes_them_for(datasets):
    texts = ["a\ud83d\ude00b", "\udc00", None, b"\xff\xfe", "x"]
    ids = [None if text is None else llama3_tok.encode(text) for text in texts]
    assert encode({"text": texts}) == {"input_ids": ids}

    def rows():
        yield from ({"text": text} for text in texts if not isinstance(text, bytes))

    stream = datasets.IterableDataset.from_generator(rows).map(encode, batched=True, batch_size=2)
    assert [row["input_ids"] for row in stream] == [*ids[:3], ids[4]]


def test_a_column_that_was_changed_before_is_taken_as_it_is_now(dataset):
    def upper(batch):
        batch["text"] = [text and text.upper() for text in batch["text"]]
        return encode(batch)

    def read(batch):
        assert isinstance(batch["text"], list)
        return encode(batch)

    large = [None if text is None else llama3_tok.encode(text.upper()) for text in TEXTS] * 50
    assert dataset.map(upper, batched=True)["input_ids"][:] == large
    assert dataset.map(read, batched=True)["input_ids"][:] == expected()


def test_no_text_becomes_an_object(datasets, dataset):
    """Neither the texts of the batch nor those of a table are made objects of Python."""
    asked = []

    def spy(batch):
        result = encode(batch)
        asked.append("text" in batch.keys_to_format)
        return result

    dataset.map(spy, batched=True, batch_size=60, new_fingerprint="spy")
    assert asked == [True] * 5


# One thread in each worker


def test_a_worker_has_one_thread_and_others_have_all(datasets, dataset):
    assert Encode().threads_here() is None
    assert Encode(threads=2).threads_here() == 2

    def count(batch):
        return {"threads": [encode.threads_here() or 0] * len(batch["text"])}

    alone = dataset.map(count, batched=True, new_fingerprint="alone")
    assert set(alone["threads"]) == {0}
    shared = dataset.map(count, batched=True, num_proc=2, new_fingerprint="shared")
    assert set(shared["threads"]) == {1}
    code = """
        import multiprocessing
        from llama3_tok.data.huggingface import Encode
        if __name__ == "__main__":
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    for function in (Encode(), Encode(threads=2)):
                        print(method, pool.apply(function.threads_here))
    """
    done = run_python(code)
    assert done.stdout == "fork 1\nfork 2\nspawn 1\nspawn 2\n", done.stderr


# Pickles and fingerprints


FINGERPRINT = """
    import os, sys
    os.environ["HF_HUB_OFFLINE"] = "1"
    import llama3_tok
    from datasets.fingerprint import Hasher
    from llama3_tok.data.huggingface import Encode, encode
    names = {"<|eot_id|>", "<|eom_id|>", "<|python_tag|>", "<|start_header_id|>", "<|image|>"[:0]}
    names.discard("")
    folder = llama3_tok.Tokenizer().with_special_tokens({"<a>": 128256, "<b>": 128257})
    functions = [encode, Encode(allowed_special=names, bos=True), Encode(tokenizer=folder)]
    print(*map(Hasher.hash, functions))
    for function in functions:
        function({"text": ["Hello world", None] * 5000})
    print(*map(Hasher.hash, functions))
"""


@pytest.mark.long
def test_fingerprints_are_the_same_in_each_process_and_after_use(datasets):
    printed = []
    for seed in ("1", "2"):
        done = run_python(FINGERPRINT, env={**os.environ, "PYTHONHASHSEED": seed})
        printed += done.stdout.splitlines()
        assert len(printed) % 2 == 0, done.stderr
    assert len(set(printed)) == 1
    assert len(set(printed[0].split())) == 3


def test_what_changes_the_ids_changes_the_fingerprint(datasets):
    from datasets.fingerprint import Hasher

    tokenizer = Tokenizer()
    names = {"allowed_special": {"<|eot_id|>"}}
    functions = [
        encode,
        Encode(bos=True),
        Encode(eos=True),
        Encode(column="t"),
        Encode(output="ids"),
        Encode(attention_mask=True),
        Encode(**names),
        Encode(allowed_special="all"),
        Encode(disallowed_special="all"),
        Encode(tokenizer=Tokenizer(profile="llama3")),
        Encode(tokenizer=tokenizer.with_special_tokens({"<a>": 128256})),
        Encode(tokenizer=tokenizer.with_special_tokens({"<a>": 128257})),
    ]
    assert len(set(map(Hasher.hash, functions))) == len(functions)
    same = [Encode(), Encode(tokenizer=tokenizer), pickle.loads(pickle.dumps(encode))]
    assert {*map(Hasher.hash, same)} == {Hasher.hash(encode)}
    lists = Encode(allowed_special=["<|eot_id|>"])
    assert Hasher.hash(lists) == Hasher.hash(Encode(**names))


def test_what_was_computed_is_found_again(dataset):
    first = dataset.map(Encode(bos=True), batched=True)
    again = dataset.map(Encode(bos=True), batched=True)
    assert first._fingerprint == again._fingerprint
    assert first._fingerprint != dataset.map(encode, batched=True)._fingerprint


def test_a_pickle_has_the_tokenizer_of_its_maker(tokenizer):
    function = Encode(
        column="t",
        output="ids",
        attention_mask=True,
        threads=2,
        bos=True,
        allowed_special={"<a>"},
        tokenizer=tokenizer.with_special_tokens({"<a>": 128256}),
    )
    again = pickle.loads(pickle.dumps(function))
    batch = {"t": ["x<a>"]}
    assert again(batch) == {"ids": [[128000, 87, 128256]], "attention_mask": [[1, 1, 1]]}
    assert again.tokenizer == function.tokenizer
    assert (again.threads, repr(again)) == (2, "llama3_tok.data.huggingface.Encode(column='t')")


# What is refused


def test_wrong_options_are_refused_where_they_are_given():
    for wrong, error, message in (
        ({"column": 1}, TypeError, "column must be a str, not int"),
        ({"output": None}, TypeError, "output must be a str, not NoneType"),
        ({"tokenizer": "llama3"}, TypeError, "tokenizer must be a Tokenizer or None, not str"),
        ({"threads": 0}, ValueError, "threads must be at least 1, not 0"),
        ({"threads": "1"}, TypeError, "threads must be an int or None, not str"),
        ({"attention_mask": 1}, TypeError, "attention_mask must be a bool, not int"),
        ({"bos": "yes"}, TypeError, "bos must be a bool, not str"),
        ({"allowed_special": "<a>"}, TypeError, 'allowed_special must be "all" or a set of names'),
        ({"add_bos": True}, TypeError, r"Encode\(\) has no option 'add_bos'; it is bos=True"),
        ({"field": "t"}, TypeError, "its options are bos, eos, .* column, output, tokenizer"),
    ):
        with pytest.raises(error, match=message):
            Encode(**wrong)


def test_wrong_batches_are_refused():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    for wrong, error, message in (
        ({"text": "Hello"}, TypeError, "must be several texts, not one; pass batched=True to map"),
        ({"text": [1]}, TypeError, r"batch\['text'\] must have texts, str or bytes or None"),
        (
            {"t": ["a"], "n": [1]},
            Llama3TokError,
            "no column 'text'; its columns are 't', 'n'; name",
        ),
        (pa.table({"t": ["a"]}), Llama3TokError, "no column 'text'; its columns are 't'; name"),
        (pa.table({"text": [1]}), TypeError, "column must have text, .* not int64"),
        (["a"], TypeError, "must be a dictionary or a pyarrow.Table, not list; with_format"),
        (pandas.DataFrame({"text": ["a"]}), TypeError, "not DataFrame; with_format"),
    ):
        with pytest.raises(error, match=message):
            encode(wrong)


def test_a_map_of_single_rows_is_told_what_to_do(dataset):
    with pytest.raises(TypeError, match="pass batched=True to map"):
        dataset.map(encode)


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'llama3_tok\[data\]'"):
        encode({"text": ["a"]})
