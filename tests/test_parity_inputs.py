"""What a parity report reads: files, folders, records, pipes, and texts larger than an item."""

import gzip
import hashlib
import json
import os
import threading
import time
from itertools import chain
from pathlib import Path

import pytest

import oracle
from llama3_tok import InputError, Tokenizer
from llama3_tok._core import FileChunks
from llama3_tok.report import parity
from llama3_tok.report.items import Inputs

MIXED = "Some words, 'tis 1234567 of them.\n\n  漢字かな交じり文 👩‍👩‍👧‍👦 don't\r\n\t" * 40


def items_of(*paths, **options):
    inputs = Inputs(Tokenizer(), [os.fspath(path) for path in paths], **options)
    return inputs, list(inputs)


def test_a_file_is_one_item_uncut_if_it_is_not_longer_than_one(tmp_path):
    data = MIXED.encode()
    (tmp_path / "text").write_bytes(data)
    inputs, items = items_of(tmp_path / "text", item_bytes=len(data))
    assert [item.text for item in items] == [data]
    (entry,) = inputs.inputs
    assert (entry.bytes, entry.items, entry.cut) == (len(data), 1, False)
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert inputs.read == inputs.size == len(data)


@pytest.mark.parametrize("size", [1, 10, 100, 1000])
def test_a_longer_file_is_cut_where_tiktoken_gives_the_same_ids(tmp_path, size):
    (tmp_path / "text").write_text(MIXED, newline="")
    inputs, items = items_of(tmp_path / "text", item_bytes=size)
    assert len(items) > 1
    assert inputs.inputs[0].cut
    assert b"".join(item.text for item in items) == MIXED.encode()
    ids = [oracle.encoding().encode_ordinary(item.text.decode()) for item in items]
    assert list(chain.from_iterable(ids)) == oracle.encoding().encode_ordinary(MIXED)
    assert len({item.name for item in items}) == len(items)


def test_a_text_that_cannot_be_cut_is_one_item(tmp_path):
    (tmp_path / "text").write_text("a" * 5000)
    _, items = items_of(tmp_path / "text", item_bytes=100)
    assert [len(item.text) for item in items] == [5000]


def test_any_bytes_are_read_as_they_are(tmp_path):
    data = b"\xef\xbb\xbfBOM \xff\xfe\x00 \r\n end"
    (tmp_path / "bytes").write_bytes(data)
    (tmp_path / "empty").write_bytes(b"")
    _, items = items_of(tmp_path / "bytes", tmp_path / "empty")
    assert [item.text for item in items] == [data, b""]


def test_packed_files_and_folders_are_read(tmp_path):
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "a.txt").write_bytes(b"plain")
    (tmp_path / "binary").write_bytes(b"\x00\x01")
    (tmp_path / ".hidden").write_bytes(b"no")
    inputs, items = items_of(tmp_path)
    assert [item.text for item in items] == [b"plain", b"packed"]
    assert [Path(entry.name).name for entry in inputs.inputs] == ["a.txt", "b.txt.gz"]
    assert inputs.inputs[1].sha256 == hashlib.sha256(gzip.compress(b"packed")).hexdigest()


def test_each_record_is_an_item(tmp_path):
    records = [{"text": "one"}, {"text": "zwei \U0001f600", "other": 1}, {"text": ""}]
    lines = [json.dumps(record) for record in records]
    path = tmp_path / "data.jsonl"
    path.write_text("\ufeff" + "\n\n".join(lines) + "\n")
    inputs, items = items_of(path, field="text")
    assert [item.text.decode() for item in items] == [record["text"] for record in records]
    assert [item.name.rpartition(" ")[2] for item in items] == ["1", "3", "5"]
    assert inputs.inputs[0].items == 3


@pytest.mark.parametrize(
    ("line", "options", "reason"),
    [
        ("{", {"field": "text"}, "EOF"),
        ('{"text": 1}', {"field": "text"}, "string in the field"),
        ('{"other": "x"}', {"field": "text"}, "no field"),
        ('{"text": "x"}', {"chat": True}, "no list of messages"),
        ('{"messages": "x"}', {"chat": True}, "no list of messages"),
        ("nonsense", {"chat": True}, "Expecting value"),
        ("[" * 100_000, {"chat": True}, "recursion"),
    ],
)
def test_a_bad_record_is_named_with_its_line(tmp_path, line, options, reason):
    path = tmp_path / "data.jsonl"
    good = '{"text": "x", "messages": [{"role": "user", "content": "x"}]}\n'
    path.write_text(good + "\n" + line + "\n")
    with pytest.raises(InputError, match=reason) as caught:
        items_of(path, **options)
    assert (caught.value.path, caught.value.line) == (str(path), 3)


def test_a_named_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"out of a pipe",))
    writer.start()
    report = parity([path], references=["tiktoken"])
    writer.join()
    assert report.references[0].total.equal == 1
    assert report.inputs[0].sha256 == hashlib.sha256(b"out of a pipe").hexdigest()


def test_a_file_that_another_thread_reads_does_not_end_early(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    go_on, results = threading.Event(), []

    def write():
        with path.open("wb") as pipe:
            go_on.wait()
            pipe.write(b"some words")

    def read():
        try:
            results.append(next(chunks))
        except RuntimeError as error:
            results.append(str(error))

    writer = threading.Thread(target=write)
    writer.start()
    chunks = FileChunks(Tokenizer()._core, str(path), False, 1 << 16, False)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    # One of them waits for the pipe, and the other one is told.
    while not results:
        time.sleep(0.01)
    go_on.set()
    for thread in (writer, *readers):
        thread.join()
    assert "by another thread" in results[0]
    assert results[1:] == [(0, 0, b"some words")]
    assert list(chunks) == []


def test_a_missing_file_is_said_before_anything_is_loaded(tmp_path):
    with pytest.raises(FileNotFoundError):
        parity([tmp_path / "nothing"], references=["no_such_module:loaded"])


def test_texts_may_be_bytes_and_may_have_surrogates():
    texts = ["pair \ud83d\ude00 lone \ud83d", b"bytes", "text"]
    report = parity(texts=texts, references=["tiktoken", "tokenizers"])
    assert [one.total.equal for one in report.references] == [3, 3]


@pytest.mark.long
def test_a_corpus_is_equal_but_for_metas_cuts():
    folder = os.environ.get("LLAMA3_TOK_CORPORA")
    if not folder:
        pytest.skip("LLAMA3_TOK_CORPORA does not name the folder of the corpora")
    path = Path(folder, "multilingual.txt")
    report = parity([path], references=["tiktoken", "tokenizers", "meta"])
    tiktoken, tokenizers, meta = report.references
    assert (tiktoken.total.equal, tokenizers.total.equal) == (1, 1)
    assert tiktoken.total.tokens == tokenizers.total.tokens == report.ours.total.tokens
    assert [cause.name for cause in meta.causes] == ["Meta's cuts"] * meta.total.explained
    assert report.ok


def test_progress_goes_up_to_the_size(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * 1000)
    seen = []
    parity(
        [tmp_path / name for name in "abc"],
        references=["tiktoken"],
        progress=lambda done, total: seen.append((done, total)),
    )
    # Once before the first, so that a bar has its total, and once for each.
    assert [total for _, total in seen] == [3000] * 4
    done = [done for done, _ in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] >= 2000
