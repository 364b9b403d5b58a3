"""`llama3-tok corpus` as people run it: in a pipe, on a terminal, right and wrong."""

import json

import pytest

import cli
import corpora_made as made
from llama3_tok import Tokenizer
from llama3_tok.data import inspect

TEXTS = made.documents(100, 12)
CHATS = [
    {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": text},
        ]
    }
    for text in TEXTS[:40]
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(made.records(TEXTS))
    lines = "".join(json.dumps(chat) + "\n" for chat in CHATS)
    (tmp_path / "c.jsonl").write_text(lines)
    return tmp_path


def run(folder, *words, status=0):
    result = cli.run("corpus", *words, cwd=folder)
    assert result.returncode == status, result.stderr.decode()
    assert b"Traceback" not in result.stderr
    return result


def test_a_corpus_is_written_checked_and_shown(folder):
    made_now = run(folder, "t.jsonl", "--field", "text", "--eos", "--out", "o").stdout.decode()
    ids = [[*cli.ids_of(text), 128001] for text in TEXTS]
    total = sum(map(len, ids))
    assert made_now.splitlines()[:2] == ["documents        100", f"tokens           {total:,}"]
    assert "documents by their tokens" in made_now
    assert made.of_numpy(folder / "o") == ids
    assert run(folder, "verify", "o").stdout.decode() == made_now
    again = run(folder, "t.jsonl", "--field", "text", "--eos", "--out", "o")
    assert b"o was finished before; nothing was done" in again.stderr
    assert again.stdout.decode() == made_now
    shown = run(folder, "inspect", "o", "--document", "7")
    assert shown.stdout.decode() == TEXTS[7] + "<|end_of_text|>\n"
    assert b"document 7: " in shown.stderr
    data = json.loads(run(folder, "inspect", "o", "--document", "7", "--json").stdout)
    assert (data["ids"], data["mask"], data["number"]) == (ids[7], None, 7)


def test_conversations_have_what_is_learned(folder):
    options = ["--messages", "--format", "parquet", "--out", "o"]
    pytest.importorskip("pyarrow")
    run(folder, "c.jsonl", *options)
    tokenizer = Tokenizer()
    for number, chat in enumerate(CHATS):
        asked = {"return_mask": True, "add_generation_prompt": False}
        ids, mask = tokenizer.encode_chat(chat["messages"], **asked)
        found = inspect(folder / "o", number)
        assert (found.ids.tolist(), found.mask.tolist()) == (list(ids), list(mask))
    shown = run(folder, "inspect", "o", "--document", "3").stdout.decode()
    assert f"[[{TEXTS[3]}<|eot_id|>]]" in shown.replace("⟦", "[[").replace("⟧", "]]")
    status, screen, _ = cli.on_terminal("corpus", "inspect", "o", "--document", "3", cwd=folder)
    assert status == 0
    assert b"\x1b[" in screen


def test_conversations_that_are_too_long_are_treated_as_asked(folder):
    tokenizer = Tokenizer()
    sizes = [
        len(tokenizer.encode_chat(chat["messages"], add_generation_prompt=False)) for chat in CHATS
    ]
    most = sorted(sizes)[20]
    long = sum(size > most for size in sizes)
    for overflow in ("drop", "cut"):
        options = ["--messages", "--max-tokens", str(most), "--overflow", overflow]
        result = run(folder, "c.jsonl", *options, "--json", "--out", f"o-{overflow}")
        summary = json.loads(result.stdout.splitlines()[-1])
        name = {"drop": "dropped", "cut": "cut"}[overflow]
        assert summary["counts"][name] == long
        assert summary["documents"] == len(CHATS) - long * (overflow == "drop")
    refused = run(folder, "c.jsonl", "--messages", "--max-tokens", "40", "--out", "e", status=2)
    assert b"c.jsonl:" in refused.stderr


def test_events_and_the_page(folder):
    options = ["--field", "text", "--out", "o", "--json", "--html", "page.html"]
    result = run(folder, "t.jsonl", *options)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events][-2:] == ["progress", "result"]
    assert events[-2]["bytes"] == events[-2]["of"]
    assert events[-2]["documents"] == events[-1]["documents"] == len(TEXTS)
    page = (folder / "page.html").read_text()
    assert "A corpus for Llama 3" in page
    assert "<svg" in page


@pytest.mark.long
def test_wrong_usage_says_what_is_right(folder):
    for words, message in [
        (["t.jsonl"], "give --out DIR"),
        (["t.jsonl", "--out", "o"], "give --field, the name of the text in each record"),
        (["t.jsonl", "--out", "o"], "or --messages for conversations; --lines takes each line"),
        (["c.jsonl", "--out", "o", "--id-field", "id"], "--id-field is for the records"),
        (
            ["t.jsonl", "--out", "o", "--compression", "lz4"],
            "--compression is for --format parquet",
        ),
        (["verify"], "give one folder: corpus verify DIR"),
        (["verify", "nothere"], "this corpus has no manifest"),
        (["t.jsonl", "--out", "o", "--best-fit"], "--best-fit is for --pack"),
        (["t.jsonl", "--out", "o", "--lines", "--separator", "x"], "exclude each other"),
        (["t.jsonl", "--out", "o", "--learn", "all"], "--learn is for conversations"),
        (["t.jsonl", "--out", "o", "--split", "valid"], "give its part as well"),
        (["t.jsonl", "--out", "o", "--sample", "0"], "is not a part"),
        (["t.jsonl", "--out", "o", "--shard-tokens", "many"], "is not a whole number"),
        (["t.jsonl", "--out", "o", "--field", "text", "--messages"], "--messages and --field ex"),
        (["nothere.txt", "--out", "o"], "no file has this name"),
        (["t.jsonl", "--field", "nothere", "--out", "o"], 't.jsonl:1: no field "nothere"'),
    ]:
        status = 1 if message.startswith("this corpus") else 2
        result = run(folder, *words, status=status)
        assert message in result.stderr.decode(), words
        assert not result.stdout
    run(folder, "t.jsonl", "--field", "text", "--out", "good")
    result = run(folder, "inspect", "good", "--document", "100", status=2)
    assert b"there is no document 100; train has 100, counted from 0" in result.stderr
    name = made.shards(folder / "good")[0]["name"]
    (folder / "good" / f"{name}.npy").write_bytes(b"damaged")
    result = run(folder, "verify", "good", status=1)
    assert b"and the manifest says" in result.stderr


def test_skipped_records_are_listed(folder):
    lines = made.records(TEXTS).splitlines()
    lines[5] = b"{}"
    (folder / "t.jsonl").write_bytes(b"\n".join(lines))
    options = ["--field", "text", "--on-error", "skip", "--out", "o"]
    result = run(folder, "t.jsonl", *options)
    assert b't.jsonl:6: no field "text"' in result.stderr
    assert b"records with a fault, skipped  1" in result.stdout
