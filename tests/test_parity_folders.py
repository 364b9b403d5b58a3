"""Parity reports of model folders: what `AutoTokenizer` makes of them is compared."""

import json

import pytest

import folders
from cli import run
from llama3_tok import Tokenizer
from llama3_tok.report import parity
from llama3_tok.report.battery import battery

pytest.importorskip("transformers")

ALONE = "added tokens that it has no place for"


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes a folder of a shape, once."""
    parent = tmp_path_factory.mktemp("shapes")

    def made(name):
        if not (parent / name).exists():
            folders.SHAPES[name](parent / name)
        return parent / name

    return made


def causes_of(one):
    return {cause.name: count for cause, count in one.causes.items()}


@pytest.mark.large
@pytest.mark.parametrize(
    ("shape", "conversations"), [("chatml", 7), ("reasoning", 7), ("added", 0), ("published", 0)]
)
def test_the_battery_of_a_folder_is_equal_or_explained(make, shape, conversations):
    report = parity(tokenizer=Tokenizer(make(shape)), references=["tiktoken", "transformers"])
    tiktoken, transformers = report.references
    assert report.mismatches == 0
    assert report.ok
    # transformers knows all that a folder says, so nothing has to be excused but bytes and chats.
    assert set(causes_of(transformers)) <= {"invalid UTF-8", "rendered as text"}
    for group in ("special tokens", "names as text", "random", "vocab-first"):
        assert transformers.groups[group].equal == transformers.groups[group].items > 250
    found = transformers.groups.get("conversations")
    assert (found.items if found else 0) == conversations
    if found:
        # The one whose content has the name of a special token.
        assert (found.equal, found.explained) == (conversations - 1, 1)
    assert (ALONE in causes_of(tiktoken)) == (shape in ("reasoning", "added"))


def test_the_battery_has_the_names_of_the_folder(make):
    items = list(battery(Tokenizer(make("reasoning")), 0))
    special = {item.text.decode() for item in items if item.special}
    plain = {item.text.decode() for item in items if item.group == "names as text"}
    for name in ("<think>", "<｜User｜>", "<｜end▁of▁sentence｜>"):
        for text in (f"a {name}b", name * 3):
            assert text in special & plain
    assert any("Is <｜end▁of▁sentence｜> special?" in str(item.chat) for item in items)
    # Those of a release are as they were.
    names = [item.name for item in battery(Tokenizer(), 0) if item.group == "special tokens"]
    assert len(names) == len(Tokenizer().special_tokens) + 6


def test_tiktoken_is_excused_for_what_it_has_no_place_for_and_for_nothing_else(make):
    tokenizer = Tokenizer(make("added"))
    texts = ["Sonderwort", "a [MASK]", "a <pad>", "Hello"]
    report = parity(texts=texts, tokenizer=tokenizer, references=["tiktoken", "meta"])
    for one in report.references:
        assert [mismatch.item for mismatch in one.mismatches] == ["texts[0]"]
        assert causes_of(one) == {ALONE: 1}
    assert report.ok


def test_a_tokenizer_json_that_lacks_a_token_is_not_excused(make):
    tokenizer, other = Tokenizer(make("added")), make("alone") / "tokenizer.json"
    texts = ["a Sonderwort b", "Hello"]
    report = parity(texts=texts, tokenizer=tokenizer, against=[other], references=[])
    (one,) = report.references
    assert (one.total.equal, one.total.mismatches) == (1, 1)
    assert not report.ok
    witness = one.mismatches[0].witness
    assert witness.text.decode() == "Sonderwort"
    assert [token.id for token in witness.rows[0].tokens] == [128258]


def test_rows_of_names_that_are_not_ascii_stand_where_they_are(make):
    """A token's length is that of its name in bytes."""
    tokenizer, other = Tokenizer(make("reasoning")), make("alone") / "tokenizer.json"
    texts = ["<｜User｜>a<think>"]
    report = parity(texts=texts, tokenizer=tokenizer, against=[other], references=[])
    (mismatch,) = report.references[0].mismatches
    ours, _ = mismatch.witness.rows
    ends = [len(part.encode()) for part in ("<｜User｜>", "<｜User｜>a", texts[0])]
    if mismatch.witness.text.decode() == texts[0]:
        assert [token.end for token in ours.tokens] == ends
    else:
        assert ours.tokens[-1].end == len(mismatch.witness.text)


@pytest.mark.long
def test_tokens_that_were_given_are_compared_too():
    names = {"<|im_start|>": 128002, "<|im_end|>": 128003, "<pad>": 128256}
    tokenizer = Tokenizer().with_special_tokens(names, eos="<|im_end|>", pad="<pad>")
    texts = ["".join(names), "a <|im_end|> b <pad>"]
    report = parity(texts=texts, tokenizer=tokenizer, references=["transformers", "tiktoken"])
    assert report.mismatches == 0
    assert report.references[0].total.equal == 2
    report = parity(tokenizer=tokenizer, references=["transformers"])
    assert report.mismatches == 0
    assert report.references[0].groups["special tokens"].equal > 256


@pytest.mark.long
def test_the_command_takes_a_folder(make, tmp_path):
    hi = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes <think>"}]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": hi}), encoding="utf-8")
    given = ("parity", "--reference", "transformers", "--json", "--chat", "chats.jsonl")
    done = run(*given, "--vocabulary", str(make("chatml")), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    report = json.loads(done.stdout)
    assert report["references"][0]["total"]["equal"] == 1
    assert report["facts"]["profile"] == "folder"
    # A folder without a template has no conversations.
    done = run(*given, "--vocabulary", str(make("added")), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"transformers: nothing to compare, it is for text" in done.stderr
