"""Training files: what is in them, whatever the input, the size of shards and the threads."""

import gzip
import hashlib
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpora_made as made
import oracle
from conftest import EXAMPLES
from llama3_tok import InputError, Llama3TokError, SpecialTokenError
from llama3_tok.data.corpora import ManifestError, corpus, inspect, read, verify
from llama3_tok.data.sinks import FORMATS
from text_files import written

TEXTS = made.documents()
BOS, EOS = 128000, 128001


def ids_of(texts, bos=False, eos=True):
    plain = (oracle.encoding().encode_ordinary(text) for text in texts)
    return [[BOS] * bos + ids + [EOS] * eos for ids in plain]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    path = folder / "texts.jsonl"
    path.write_bytes(made.records(TEXTS))
    return path


# What is read


@pytest.mark.long
@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
@pytest.mark.parametrize("shard_tokens", [1, 100, 1 << 20])
def test_records_lines_and_parts_are_documents(tmp_path, packed, shard_tokens):
    options = {"eos": True, "shard_tokens": shard_tokens}
    for name, data, asked in [
        ("a.jsonl", made.records(TEXTS), {"field": "text"}),
        ("b.txt", "\r\n".join(TEXTS).encode(), {"documents": "line"}),
        ("c.txt", "\n\n".join(TEXTS).encode() + b"\n\n", {"documents": "line"}),
        ("d.txt", "<|>\n".join(TEXTS).encode(), {"documents": "separator", "separator": "<|>\n"}),
        ("e.txt", "\0".join([*TEXTS, ""]).encode(), {"documents": "separator", "separator": "\0"}),
    ]:
        path = written(tmp_path / (name + packed), data)
        out = tmp_path / f"out-{name}"
        summary = corpus(path, out, **options, **asked)
        assert made.of_numpy(out) == ids_of(TEXTS), name
        assert (summary.documents, summary.bytes) == (
            len(TEXTS),
            sum(len(text.encode()) for text in TEXTS),
        )
        assert verify(out).tokens == summary.tokens == sum(map(len, ids_of(TEXTS)))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
@pytest.mark.parametrize("messages", [False, True], ids=["texts", "conversations"])
def test_what_dolma_notes_is_where_each_record_begins(tmp_path, mark, messages):
    rows = [{"messages": [{"role": "user", "content": text}]} for text in TEXTS]
    records = rows if messages else [{"text": text} for text in TEXTS]
    lines = [json.dumps(record).encode() for record in records]
    path = tmp_path / "a.jsonl"
    path.write_bytes(mark + b"\n \n".join(lines))
    asked = {"messages": True, "chats": {"learn": "all"}} if messages else {"field": "text"}
    corpus(path, tmp_path / "out", format="dolma", shard_tokens=100, **asked)
    found = []
    for table in sorted((tmp_path / "out").glob("*.csv.gz")):
        found += [
            row.split(",")[-1] for row in gzip.decompress(table.read_bytes()).decode().split()
        ]
    data = path.read_bytes()
    assert [data[int(place) :].split(b"\n")[0] for place in found] == lines


def test_files_are_documents_in_the_order_of_their_names(tmp_path):
    folder = tmp_path / "texts"
    folder.joinpath("sub").mkdir(parents=True)
    folder.joinpath(".hidden").mkdir()
    folder.joinpath(".hidden", "x.txt").write_text("hidden")
    folder.joinpath(".y.txt").write_text("hidden")
    folder.joinpath("empty.txt").write_text("")
    for number, text in enumerate(TEXTS):
        packed = random.Random(number).choice(["", ".gz", ".zst"])
        written(folder / ["sub", ""][number % 2] / f"{number:03}.txt{packed}", text.encode())
    expected = ids_of([*TEXTS[1::2], *TEXTS[0::2]])
    for number, inputs in enumerate(
        [folder, [folder], [folder / "*.*", folder / "sub"], f"{folder}/**/*.*"]
    ):
        out = tmp_path / f"out{number}"
        corpus(inputs, out, eos=True, shard_tokens=300)
        found = made.of_numpy(out)
        assert sorted(found) == sorted(expected), inputs
        if number < 3:
            assert found == expected
    with pytest.raises(Llama3TokError, match="no file has this name, is in this folder or matches"):
        corpus(tmp_path / "nothing*", tmp_path / "none")


def test_columns_of_parquet_are_documents(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [text if number % 7 else None for number, text in enumerate(TEXTS)]
    kept = [text for text in texts if text]
    for kind in (
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.dictionary(pa.int32(), pa.string()),
    ):
        column = pa.array(texts, pa.string()).cast(kind) if "dict" not in str(kind) else None
        column = pa.array(texts).dictionary_encode() if column is None else column
        table = pa.table({"other": list(range(len(texts))), "text": column})
        path, out = tmp_path / "t.parquet", tmp_path / f"out-{kind}"
        parquet.write_table(table, path, row_group_size=11)
        corpus(path, out, field="text", id_field="other", eos=True, shard_tokens=200)
        assert made.of_numpy(out) == ids_of(kept), kind
    with pytest.raises(InputError, match="there is no column 'txt'; there are other, text"):
        corpus(path, tmp_path / "a", field="txt")
    with pytest.raises(InputError, match="the column 'other' has int64, which is not text"):
        corpus(path, tmp_path / "b", field="other")
    with pytest.raises(Llama3TokError, match="give field=, the column that has the texts"):
        corpus(path, tmp_path / "c")
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="this is not a Parquet file"):
        corpus(path, tmp_path / "d", field="text")


def test_fields_may_be_inside_others(tmp_path, source):
    nested = tmp_path / "n.jsonl"
    nested.write_text("".join(json.dumps({"a": {"b": text}}) + "\n" for text in TEXTS))
    corpus(nested, tmp_path / "out", field="a.b", eos=True)
    assert made.of_numpy(tmp_path / "out") == ids_of(TEXTS)


def test_bos_eos_and_special_tokens_are_as_asked(tmp_path, source):
    corpus(source, tmp_path / "a", field="text", bos=True)
    assert made.of_numpy(tmp_path / "a") == ids_of(TEXTS, bos=True, eos=False)
    corpus(source, tmp_path / "b", field="text", allowed_special="all")
    allowed = oracle.encoding()
    found = made.of_numpy(tmp_path / "b")
    assert found == [allowed.encode(text, allowed_special="all") for text in TEXTS]
    assert any(128009 in ids for ids in found)
    with pytest.raises(SpecialTokenError):
        corpus(source, tmp_path / "c", field="text", allowed_special=["<|nothing|>"])


@pytest.mark.parametrize("documents", ["file", "line", "separator"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_long_document_in_pieces_has_the_ids_of_the_whole(
    tmp_path, monkeypatch, documents, packed
):
    monkeypatch.setattr(read, "CHUNK_BYTES", 1 << 12)
    monkeypatch.setattr(read, "_LONG_BYTES", 1 << 12)
    separator = {"file": "", "line": "\n", "separator": "-=-"}[documents]
    long = " ".join(made.documents(400, 2))
    texts = (
        [long] if documents == "file" else ["short", long, "", "also short", long + "x" * 9000, "y"]
    )
    path = written(tmp_path / f"long.txt{packed}", separator.join(texts).encode())
    options = {"documents": documents, "separator": "-=-" if documents == "separator" else ""}
    out = tmp_path / "out"
    summary = corpus(path, out, bos=True, eos=True, **options)
    texts = [text for text in texts if text]
    assert made.of_numpy(out) == ids_of(texts, bos=True)
    assert summary.documents == len(texts)
    assert sum(summary.lengths.values()) == len(texts)
    # Also where they are rows, and where parts of documents go to other folders.
    corpus(path, tmp_path / "rows", bos=True, eos=True, format="parquet", **options)
    for number, ids in enumerate(ids_of(texts, bos=True)):
        assert inspect(tmp_path / "rows", number).ids.tolist() == ids
    corpus(path, tmp_path / "split", bos=True, eos=True, splits={"valid": 0.5}, **options)
    both = made.of_numpy(tmp_path / "split"), made.of_numpy(tmp_path / "split", "valid")
    assert sorted(both[0] + both[1]) == sorted(ids_of(texts, bos=True))


# What is written


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_every_document(tmp_path, source, format):
    if format in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    summary = corpus(
        source,
        tmp_path / "out",
        format=format,
        field="text",
        id_field="id",
        eos=True,
        shard_tokens=900,
    )
    assert summary.shards > 3
    for number, ids in enumerate(ids_of(TEXTS)):
        found = inspect(tmp_path / "out", number)
        assert (found.ids.tolist(), found.mask) == (ids, None)
        assert found.ids.dtype == np.uint32
    with pytest.raises(IndexError, match=f"there is no document 120; train has {len(TEXTS)}"):
        inspect(tmp_path / "out", len(TEXTS))
    assert verify(tmp_path / "out").documents == len(TEXTS)


def test_parquet_is_compressed_as_one_likes(tmp_path, source):
    parquet = pytest.importorskip("pyarrow.parquet")
    sizes = {}
    for compression, name in {None: "ZSTD", "zstd": "ZSTD", "lz4": "LZ4", "none": None}.items():
        out = tmp_path / str(compression)
        corpus(source, out, format="parquet", field="text", eos=True, compression=compression)
        [file] = out.glob("*.parquet")
        column = parquet.ParquetFile(file).metadata.row_group(0).column(0)
        assert column.compression == (name or "UNCOMPRESSED")
        assert parquet.read_table(file)["input_ids"].to_pylist() == ids_of(TEXTS)
        assert verify(out).documents == len(TEXTS)
        sizes[compression] = file.stat().st_size
    assert sizes["zstd"] < sizes["lz4"] < sizes["none"]
    # It decides the bytes, so another one is another corpus.
    with pytest.raises(ManifestError, match="take another folder"):
        corpus(
            source, tmp_path / "zstd", format="parquet", field="text", eos=True, compression="lz4"
        )
    with pytest.raises(ValueError, match=r"compression must be one of 'zstd', 'lz4', 'none'"):
        corpus(source, tmp_path / "no", format="parquet", field="text", compression="gzip")
    for format in sorted(set(FORMATS) - {"parquet"}):
        with pytest.raises(ValueError, match=r'compression= is for format="parquet", not'):
            corpus(source, tmp_path / "no", format=format, field="text", compression="lz4")


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(
    texts=st.lists(st.text(max_size=60), max_size=12),
    shard_tokens=st.integers(1, 60),
    threads=st.integers(1, 3),
    seed=st.none() | st.integers(0, 3),
)
def test_any_texts_are_all_there_in_order_for_any_threads(
    tmp_path_factory, texts, shard_tokens, threads, seed
):
    folder = tmp_path_factory.mktemp("any")
    (folder / "t.jsonl").write_bytes(made.records(texts))
    options = {"field": "text", "eos": True, "shard_tokens": shard_tokens, "shuffle": seed}
    summary = corpus(folder / "t.jsonl", folder / "a", threads=1, **options)
    corpus(folder / "t.jsonl", folder / "b", threads=threads, **options)
    assert made.tree(folder / "a") == made.tree(folder / "b")
    expected = ids_of([text for text in texts if text])
    found = made.of_numpy(folder / "a")
    assert found == expected if seed is None else sorted(found) == sorted(expected)
    assert summary.documents == len(expected)
    assert verify(folder / "a").tokens == sum(map(len, expected))


def test_lengths_are_counted_by_powers_of_two(tmp_path, source):
    summary = corpus(source, tmp_path / "out", field="text", eos=True)
    expected = {}
    for ids in ids_of(TEXTS):
        least = 1 << len(ids).bit_length() - 1
        expected[least] = expected.get(least, 0) + 1
    assert summary.lengths == expected


def test_a_seed_gives_another_order_and_always_the_same(tmp_path, source):
    orders = {}
    for name, seed in (("none", None), ("a", 1), ("again", 1), ("other", 2)):
        out = tmp_path / name
        corpus(source, out, field="text", eos=True, shard_tokens=600, shuffle=seed)
        orders[name] = made.of_numpy(out)
    assert orders["a"] == orders["again"]
    assert orders["none"] == ids_of(TEXTS)
    assert len({str(order) for order in orders.values()}) == 3
    assert sorted(orders["a"]) == sorted(orders["other"]) == sorted(orders["none"])


def test_where_a_document_goes_is_decided_by_its_text(tmp_path):
    texts = [*TEXTS, *TEXTS]
    (tmp_path / "t.jsonl").write_bytes(made.records(texts))
    corpus(
        tmp_path / "t.jsonl",
        tmp_path / "out",
        field="text",
        eos=True,
        splits={"valid": 0.25, "test": 0.125},
        sample=0.5,
        shard_tokens=500,
    )

    def place(text):
        digest = hashlib.sha256(text.encode()).digest()
        split, sample = (int.from_bytes(digest[at : at + 4]) / (1 << 32) for at in (0, 4))
        if sample >= 0.5:
            return None
        return "valid" if split < 0.25 else "test" if split < 0.375 else "train"

    for split in ("train", "valid", "test"):
        expected = [text for text in texts if place(text) == split]
        assert expected
        assert made.of_numpy(tmp_path / "out", split) == ids_of(expected)
    assert verify(tmp_path / "out").counts["left_out"] == sum(place(text) is None for text in texts)
    (tmp_path / "out" / "valid" / "more").write_text("")
    with pytest.raises(ManifestError, match="the manifest has no such file"):
        verify(tmp_path / "out")


@pytest.mark.parametrize("strategy", ["concatenate", "best-fit"])
@pytest.mark.parametrize("format", ["npy", "parquet", "megatron"])
def test_packed_rows_have_every_token_once(tmp_path, monkeypatch, source, strategy, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(read, "CHUNK_BYTES", 1 << 12)
    monkeypatch.setattr(read, "SHUFFLED_BYTES", 1 << 12)
    out = tmp_path / "out"
    summary = corpus(source, out, format=format, field="text", eos=True, pack=64, strategy=strategy)
    rows, at = [], 0
    shard = made.shards(out)
    for number in range(sum(one["documents"] for one in shard)):
        rows.append(inspect(out, number).ids.tolist())
    flat = [id for ids in ids_of(TEXTS) for id in ids]
    assert sorted(id for row in rows for id in row) == sorted(flat)
    assert summary.documents == len(TEXTS)
    assert max(map(len, rows)) == 64
    if strategy == "concatenate":
        assert [id for row in rows for id in row] == flat
        assert all(len(row) == 64 for row in rows[:-1])
    else:
        # A document that fits into a row is in one piece.
        for ids in ids_of(TEXTS):
            if len(ids) <= 64:
                text = str(ids)[1:-1]
                assert any(text in str(row) for row in rows)
    if format == "npy" and strategy == "concatenate":
        lengths = np.load(out / "000000-0000.lengths.npy")
        assert lengths.sum() == len(flat)
        at = np.cumsum(lengths)
        ends = np.cumsum([len(ids) for ids in ids_of(TEXTS)])
        assert set(ends) <= set(at)


# What is refused


def test_faults_of_records_are_errors_with_their_line_or_are_skipped(tmp_path):
    lines = made.records(TEXTS).splitlines()
    lines[7], lines[50], lines[51] = b'{"text": 5}', b"{broken", b""
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\n".join(lines))
    for threads in (1, 2):
        with pytest.raises(InputError) as error:
            corpus(path, tmp_path / f"a{threads}", field="text", threads=threads)
        assert (error.value.path, error.value.line) == (str(path), 8)
    summary = corpus(path, tmp_path / "b", field="text", eos=True, on_error="skip", shard_tokens=99)
    kept = [text for number, text in enumerate(TEXTS) if number not in (7, 50, 51)]
    assert made.of_numpy(tmp_path / "b") == ids_of(kept)
    assert summary.counts["skipped"] == len(summary.faults) == 2
    assert summary.faults[0].startswith(f"{path}:8: ")
    assert ":51: this is not valid JSON" in summary.faults[1]
    assert (
        corpus(
            path, tmp_path / "b", field="text", eos=True, on_error="skip", shard_tokens=99
        ).faults
        == summary.faults
    )


def test_a_line_that_is_too_long_for_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MAX_RECORD_BYTES", 1 << 13)
    path = tmp_path / "t.jsonl"
    path.write_bytes(made.records(["a", "b " * 10_000]))
    with pytest.raises(InputError, match=r"t\.jsonl:2: the line has more than"):
        corpus(path, tmp_path / "out", field="text", shard_tokens=1 << 12)


def test_another_job_is_not_mixed_with_the_one_in_a_folder(tmp_path, source):
    out = tmp_path / "out"
    corpus(source, out, field="text", eos=True)
    before = made.tree(out)
    for changed in ({"eos": False}, {"format": "megatron"}, {"shard_tokens": 5}, {"shuffle": 1}):
        with pytest.raises(ManifestError, match="take another folder"):
            corpus(source, out, **({"field": "text", "eos": True} | changed))
    summary = corpus(source, out, field="text", eos=True)
    assert not summary.is_new
    assert made.tree(out) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("not to be lost")
    with pytest.raises(ManifestError, match=r"something else in this folder, as mine\.txt"):
        corpus(source, other, field="text")


def test_options_that_make_no_sense_are_refused(tmp_path, source):
    for options, message in [
        ({"format": "csv"}, "format must be one of"),
        ({"documents": "page"}, "documents must be one of"),
        ({"documents": "separator"}, "go together"),
        ({"separator": "x"}, "go together"),
        ({"field": "text", "messages": True}, "exclude each other"),
        ({"documents": "line", "field": "text"}, "documents is for text"),
        ({"documents": "line", "messages": True}, "documents is for text"),
        ({"documents": "line", "id_field": "id"}, "id_field= is for the records of field="),
        ({"messages": True, "eos": True}, "are for text; a conversation has its own"),
        ({"messages": True, "allowed_special": "all"}, "are for text"),
        ({"chats": {"learn": "all"}}, "chats= is for messages=True"),
        ({"sample": 1.5}, "sample must be more than 0 and at most 1"),
        ({"sample": -0.5}, "sample must be"),
        ({"splits": {"valid": 0.0}}, "valid must be"),
        ({"splits": {"a": 0.5, "b": 0.5}}, "nothing is left for train"),
        ({"splits": {"train": 0.5}}, "can't be the name of a split"),
        ({"splits": {"../x": 0.5}}, "can't be the name of a split"),
        ({"on_error": "ignore"}, "on_error must be one of"),
        ({"engine": "dask"}, "engine must be one of"),
        ({"shard_tokens": 0}, "shard_tokens must be at least 1"),
        ({"pack": 0}, "pack must be at least 1"),
        ({"format": "mds", "shard_tokens": 1 << 31}, "at most 536,870,912 tokens"),
    ]:
        given = options if "messages" in options or "documents" in options else {"field": "text"}
        with pytest.raises(ValueError, match=message):
            corpus(source, tmp_path / "out", **(given | options))
    with pytest.raises(Llama3TokError, match="give field=, the name of the text in each record"):
        corpus(source, tmp_path / "out")


def test_what_was_damaged_is_found(tmp_path):
    folder = tmp_path
    (folder / "t.jsonl").write_bytes(made.records(TEXTS))
    out = folder / "out"
    corpus(folder / "t.jsonl", out, format="megatron", field="text", eos=True, shard_tokens=800)
    names = sorted(path for path in out.iterdir())
    for path in names:
        whole = path.read_bytes()
        for data in (whole[:-1], whole + b"\0", bytes([whole[0] ^ 1]) + whole[1:], b""):
            path.write_bytes(data)
            with pytest.raises(ManifestError):
                verify(out)
        path.unlink()
        with pytest.raises(ManifestError):
            verify(out)
        path.write_bytes(whole)
    lines = (out / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (out / "manifest.jsonl").write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(ManifestError):
        verify(out)
    (out / "manifest.jsonl").write_bytes(b"".join(lines))
    assert verify(out).shards == len(lines) - 2
