"""`llama3-tok chat` of many conversations: JSONL, lists of them, and one row."""

import gzip
import json

import pytest

from cli import fails, on_terminal, output, run
from llama3_tok import Tokenizer

CHATS = [
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
    [{"role": "user", "content": "Two"}],
    [{"role": "user", "content": "日本"}, {"role": "assistant", "content": "x\n\ny"}],
]
# The second line is blank.
LINES = [json.dumps(CHATS[0]), "", json.dumps({"messages": CHATS[1]}), json.dumps(CHATS[2])]
NUMBERS = [1, 3, 4]


def ids(chat):
    return " ".join(map(str, Tokenizer().encode_chat(chat)))


@pytest.fixture
def folder(tmp_path):
    data = "\r\n".join(LINES).encode()
    (tmp_path / "chats.jsonl").write_bytes(b"\xef\xbb\xbf" + data)
    (tmp_path / "chats.ndjson.gz").write_bytes(gzip.compress(data))
    (tmp_path / "chats.json").write_text(json.dumps([CHATS[0], {"messages": CHATS[1]}, CHATS[2]]))
    return tmp_path


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.ndjson.gz", "chats.json", "-"])
def test_all_rows_are_shown(folder, name):
    stdin = "\n".join(LINES).encode() if name == "-" else b""
    printed = output("chat", "--ids", name, cwd=folder, stdin=stdin).decode()
    assert printed.splitlines() == list(map(ids, CHATS))
    shown = output("chat", name, cwd=folder, stdin=stdin).decode()
    unit, numbers = ("row", [1, 2, 3]) if name == "chats.json" else ("line", NUMBERS)
    assert shown == "".join(
        f"── {unit} {number} ──\n{Tokenizer().render_chat(chat)}\n"
        for number, chat in zip(numbers, CHATS, strict=True)
    )
    objects = map(json.loads, output("chat", "--json", name, cwd=folder, stdin=stdin).splitlines())
    assert [one[unit] for one in objects] == numbers


@pytest.mark.parametrize(("name", "numbers"), [("chats.jsonl", NUMBERS), ("chats.json", [1, 2, 3])])
def test_one_row_is_shown_alone(folder, name, numbers):
    for number, chat in zip(numbers, CHATS, strict=True):
        shown = output("chat", "--row", str(number), name, cwd=folder)
        assert shown.decode() == Tokenizer().render_chat(chat) + "\n"


def test_a_row_that_is_not_there_is_said(folder):
    for number in ("2", "5"):
        message = fails("chat", "--row", number, "chats.jsonl", cwd=folder)
        assert message.endswith(f"chats.jsonl: there is no conversation on line {number}\n")
    assert "there is no row 4" in fails("chat", "--row", "4", "chats.json", cwd=folder)
    for word in ("0", "-1", "x"):
        assert "is not the number of a row" in fails("chat", f"--row={word}", "chats.jsonl")


def test_a_file_that_is_one_conversation_is_its_first_row(folder):
    (folder / "one.json").write_text(json.dumps(CHATS[0]))
    expected = output("chat", "one.json", cwd=folder)
    assert "──" not in expected.decode()
    assert output("chat", "--row", "1", "one.json", cwd=folder) == expected
    assert "there is no row 2" in fails("chat", "--row", "2", "one.json", cwd=folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no", "bad.jsonl, line 2: this is not valid JSON: "),
        ('{"a": 1}', "bad.jsonl, line 2: must be a list of messages, or an object with messages"),
        ('[{"role": "user"}]', "bad.jsonl, line 2: messages[0].content: is missing"),
    ],
)
def test_a_bad_row_is_named_after_those_before_it(folder, line, message):
    (folder / "bad.jsonl").write_text(f"{LINES[0]}\n{line}\n{LINES[0]}\n")
    done = run("chat", "--ids", "bad.jsonl", cwd=folder)
    assert (done.returncode, done.stdout.decode()) == (2, ids(CHATS[0]) + "\n")
    assert message in done.stderr.decode()
    assert output("chat", "--ids", "--row", "3", "bad.jsonl", cwd=folder)


def test_tools_of_an_option_are_for_all_rows(folder):
    tools = [{"type": "function", "function": {"name": "f"}}]
    (folder / "tools.json").write_text(json.dumps(tools))
    printed = output("chat", "--ids", "--tools", "tools.json", "chats.jsonl", cwd=folder).decode()
    expected = [Tokenizer().encode_chat(chat, tools=tools) for chat in CHATS]
    assert [list(map(int, line.split())) for line in printed.splitlines()] == expected


def test_a_terminal_has_a_heading_for_each(folder):
    _, shown, _ = on_terminal("chat", "chats.jsonl", cwd=folder)
    assert shown.count(b"\x1b[1m\xe2\x94\x80\xe2\x94\x80 line ") == 3
