"""The files of corpora as those who train read them: with the readers of each format.

Each is a package of its own; a test is skipped where it is missing.
"""

import csv
import gzip
from itertools import pairwise

import numpy as np
import pytest

import corpora_made as made
import oracle
from llama3_tok import Tokenizer
from llama3_tok.data.corpora import corpus

TEXTS = made.documents(150, 9)
EOS = 128001
USER = {"role": "user", "content": "What is 2 + 2?"}


def chats():
    """Conversations of one and two turns."""
    rows = []
    for number, text in enumerate(made.documents(60, 10)):
        messages = [USER, {"role": "assistant", "content": text}]
        if number % 3 == 0:
            messages += [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "4"}]
        rows.append({"messages": messages})
    return rows


@pytest.fixture(scope="module")
def expected():
    return [[*oracle.encoding().encode_ordinary(text), EOS] for text in TEXTS]


@pytest.fixture(scope="module")
def labelled():
    tokenizer = Tokenizer()
    asked = {"add_generation_prompt": False, "return_mask": True}
    both = [tokenizer.encode_chat(row["messages"], **asked) for row in chats()]
    return [(list(ids), list(mask)) for ids, mask in both]


@pytest.fixture
def written(tmp_path):
    """Writes a corpus of the texts, or of conversations, and gives its folder."""
    import json

    def write(format, *, conversations=False, **options):
        path = tmp_path / "in.jsonl"
        if conversations:
            path.write_text("".join(json.dumps(row) + "\n" for row in chats()))
            options = {"messages": True} | options
        else:
            path.write_bytes(made.records(TEXTS))
            options = {"field": "text", "id_field": "id", "eos": True} | options
        out = tmp_path / f"{format}-{conversations}"
        corpus(path, out, format=format, **({"shard_tokens": 1000} | options))
        return out

    return write


def test_numpy_reads_npy(written, expected, labelled):
    assert made.of_numpy(written("npy")) == expected
    out = written("npy", conversations=True)
    masks = []
    for shard in made.shards(out):
        mask = np.load(out / f"{shard['name']}.mask.npy", mmap_mode="r")
        offsets = np.load(out / f"{shard['name']}.offsets.npy")
        masks += [mask[a:b].tolist() for a, b in pairwise(offsets)]
    assert list(zip(made.of_numpy(out), masks, strict=True)) == labelled


def test_megatron_core_reads_megatron(written, expected, labelled):
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset")

    def read(out, suffix=""):
        found = []
        for shard in made.shards(out):
            dataset = indexed.IndexedDataset(str(out / (shard["name"] + suffix)), mmap=True)
            assert len(dataset) == shard["documents"]
            assert dataset.document_indices.tolist() == list(range(len(dataset) + 1))
            found += [dataset[number].tolist() for number in range(len(dataset))]
        return found

    assert read(written("megatron")) == expected
    out = written("megatron", conversations=True)
    assert list(zip(read(out), read(out, "_mask"), strict=True)) == labelled


def test_datatrove_reads_datatrove(written, expected, labelled):
    pytest.importorskip("torch")
    pytest.importorskip("datatrove")
    from datatrove.utils.dataset import DatatroveFileDataset

    out = written("datatrove")
    # A row is a window of one token more, so that each has the next one to be predicted.
    window, whole, at = 32, [id for ids in expected for id in ids], 0
    for shard in made.shards(out):
        path = str(out / f"{shard['name']}.ds")
        dataset = DatatroveFileDataset(path, window - 1, token_size=4)
        rows = [dataset[row]["input_ids"].tolist() for row in range(len(dataset))]
        assert len(rows) == shard["tokens"] // window
        assert [id for row in rows for id in row] == whole[at : at + window * len(rows)]
        at += shard["tokens"]
    assert at == len(whole)
    # The ends of documents and the losses, as the library's own reader of documents takes them.
    out = written("datatrove", conversations=True)
    found = []
    for shard in made.shards(out):
        base = out / f"{shard['name']}.ds"
        ids, loss = np.fromfile(base, np.uint32), np.fromfile(f"{base}.loss", np.bool_)
        ends = np.fromfile(f"{base}.index", np.uint64).astype(int).tolist()
        begin = 0
        for end in ends:
            found.append((ids[begin:end].tolist(), loss[begin:end].astype(int).tolist()))
            begin = end
        first = (out / f"{shard['name']}.ds.metadata").read_text().splitlines()
        assert first[0].endswith("|4")
        assert int(first[1]) == len(ids)
    assert found == labelled


def test_a_memory_map_reads_dolma(written, expected, labelled):
    """As OLMo-core does: flat ids, documents by their EOS, masks in a file as long."""
    found, rows = [], []
    out = written("dolma")
    for shard in made.shards(out):
        ids = np.memmap(out / f"{shard['name']}.npy", mode="r", dtype=np.uint32)
        ends = (np.flatnonzero(ids == EOS) + 1).tolist()
        assert ends[-1] == len(ids)
        found += [ids[a:b].tolist() for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        with gzip.open(out / f"{shard['name']}.csv.gz", "rt") as file:
            table = list(csv.reader(file))
        assert [int(row[1]) for row in table] == ends
        rows += table
    assert found == expected
    assert [row[2] for row in rows] == [f"doc-{number}" for number in range(len(TEXTS))]
    source = out.parent / "in.jsonl"
    data = source.read_bytes()
    for number, row in enumerate(rows):
        assert row[3] == str(source)
        assert data[int(row[4]) :].startswith(f'{{"id": "doc-{number}"'.encode())
    out = written("dolma", conversations=True)
    flat = [np.fromfile(out / f"{shard['name']}.npy", np.uint32) for shard in made.shards(out)]
    masks = [
        np.fromfile(out / f"{shard['name']}_label_mask.npy", np.bool_) for shard in made.shards(out)
    ]
    assert np.concatenate(flat).tolist() == [id for ids, _ in labelled for id in ids]
    assert np.concatenate(masks).astype(int).tolist() == [
        bit for _, mask in labelled for bit in mask
    ]


# The library leaves `index.json` open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_mosaicml_streaming_reads_mds(written, expected, labelled):
    streaming = pytest.importorskip("streaming")
    out = written("mds")
    dataset = streaming.LocalDataset(str(out))
    assert [sample["tokens"].tolist() for sample in dataset] == expected
    out = written("mds", conversations=True)
    dataset = streaming.LocalDataset(str(out))
    found = [(one["tokens"].tolist(), one["loss_mask"].tolist()) for one in dataset]
    assert found == labelled


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_litdata_reads_litdata(written, expected):
    litdata = pytest.importorskip("litdata")
    from litdata.streaming.item_loader import TokensLoader

    block = 64
    out = written("litdata", shard_tokens=100_000)
    dataset = litdata.StreamingDataset(
        str(out), item_loader=TokensLoader(block_size=block), shuffle=False, drop_last=False
    )
    flat = [id for ids in expected for id in ids]
    found = [dataset[number].tolist() for number in range(len(flat) // block)]
    assert [id for row in found for id in row] == flat[: len(flat) // block * block]


def test_what_is_learned_has_no_place_in_litdata(written):
    with pytest.raises(ValueError, match="the format litdata has no place for what is learned"):
        written("litdata", conversations=True)


def test_pyarrow_and_datasets_read_parquet_and_arrow(written, expected, labelled):
    parquet = pytest.importorskip("pyarrow.parquet")
    ipc = pytest.importorskip("pyarrow.ipc")
    out = written("parquet")
    files = [str(out / f"{shard['name']}.parquet") for shard in made.shards(out)]
    tables = [parquet.read_table(file) for file in files]
    assert [row for table in tables for row in table["input_ids"].to_pylist()] == expected
    assert [row for table in tables for row in table["id"].to_pylist()][:2] == ["doc-0", "doc-1"]
    assert str(tables[0].schema.field("input_ids").type).startswith("large_list<")
    out = written("arrow", conversations=True)
    found = []
    for shard in made.shards(out):
        with ipc.open_stream(out / f"{shard['name']}.arrow") as stream:
            found += stream.read_all().to_pylist()
    labels = [[id if bit else -100 for id, bit in zip(*both, strict=True)] for both in labelled]
    assert [row["input_ids"] for row in found] == [ids for ids, _ in labelled]
    assert [row["labels"] for row in found] == labels

    datasets = pytest.importorskip("datasets")
    cache = str(out.parent / "cache")
    dataset = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    assert dataset["input_ids"][:] == expected
    first = out / f"{made.shards(out)[0]['name']}.arrow"
    assert datasets.Dataset.from_file(str(first))["labels"][0] == labels[0]


def test_trl_collates_packed_rows_without_padding(written, labelled):
    """With `seq_lengths` TRL's collator makes position ids that begin again with each document."""
    pytest.importorskip("torch")
    pytest.importorskip("trl")
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    parquet = pytest.importorskip("pyarrow.parquet")
    out = written("parquet", conversations=True, pack=256, strategy="best-fit", shard_tokens=10**6)
    rows = parquet.read_table(out / "000000-0000.parquet").to_pylist()
    collator = DataCollatorForLanguageModeling(pad_token_id=128004, padding_free=True)
    batch = collator(rows[:3])
    ids = [id for row in rows[:3] for id in row["input_ids"]]
    assert batch["input_ids"].tolist() == [ids]
    positions = [at for row in rows[:3] for length in row["seq_lengths"] for at in range(length)]
    assert batch["position_ids"].tolist() == [positions]
    labels = [label for row in rows[:3] for label in row["labels"]]
    # The first token of a document is predicted from nothing.
    found = batch["labels"].tolist()[0]
    assert all(a in (b, -100) for a, b in zip(found, labels, strict=True))
