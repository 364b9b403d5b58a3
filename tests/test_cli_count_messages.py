"""`llama3-tok count --messages`, `count_chat` and `count_chats`: the tokens of conversations."""

import gzip
import json

import numpy as np
import pytest

import cli
from llama3_tok import ChatFormatError, InputError, Tokenizer
from llama3_tok.data import count_chats

ROWS = [
    [
        {"role": "user", "content": f"Question {number} " + "word " * number},
        {"role": "assistant", "content": "Answer."},
    ]
    for number in (1, 300, 20)
]


def counts(rows):
    return [len(Tokenizer().encode_chat(row, add_generation_prompt=False)) for row in rows]


@pytest.fixture
def folder(tmp_path):
    lines = [json.dumps({"messages": row, "id": at}) for at, row in enumerate(ROWS)]
    (tmp_path / "a.jsonl").write_text("\n\n".join(lines))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "one.json").write_text(json.dumps(ROWS[0]))
    (tmp_path / "row.json").write_text("\ufeff" + json.dumps({"messages": ROWS[1]}))
    shared = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}
    (tmp_path / "s.jsonl").write_text(json.dumps(shared))
    (tmp_path / "bad.jsonl").write_text(lines[0] + '\n{"x": 1}\n{\n')
    return tmp_path


def run(folder, *words):
    return cli.run("count", *words, cwd=folder)


def table(result):
    return [line.split() for line in result.stdout.decode().splitlines()]


def test_each_file_has_a_line(folder):
    names = ["a.jsonl", "a.jsonl.gz", "rows.json", "one.json", "row.json"]
    result = run(folder, "--messages", *names)
    assert (result.returncode, result.stderr) == (0, b"")
    many, whole = counts(ROWS), sum(counts(ROWS))
    mean = f"{whole / 3:.1f}"
    assert table(result) == [
        [str(whole), "3", mean, str(max(many)), "3", "a.jsonl"],
        [str(whole), "3", mean, str(max(many)), "2", "a.jsonl.gz"],
        [str(whole), "3", mean, str(max(many)), "2", "rows.json"],
        [str(many[0]), "1", f"{many[0]:.1f}", str(many[0]), "1", "one.json"],
        [str(many[1]), "1", f"{many[1]:.1f}", str(many[1]), "1", "row.json"],
        [str(3 * whole + many[0] + many[1]), "11", *table(result)[-1][2:4], "-", "total"],
    ]


def test_what_is_too_long_is_counted_listed_and_an_exit_code(folder):
    result = run(folder, "--messages", "a.jsonl", "--max", "200")
    assert result.returncode == 1
    assert table(result)[0][-2:] == ["1", "a.jsonl"]
    assert result.stderr == b"llama3-tok: 1 conversation has more than 200 tokens\n"
    result = run(folder, "--messages", "a.jsonl", "--max", "50", "--list")
    many = counts(ROWS)
    assert result.returncode == 1
    assert table(result) == [[str(many[1]), "a.jsonl:3"], [str(many[2]), "a.jsonl:5"]]
    assert b"2 conversations have more than 50 tokens" in result.stderr
    assert run(folder, "--messages", "a.jsonl", "--max", str(max(many))).returncode == 0
    assert len(table(run(folder, "--messages", "a.jsonl", "--list"))) == 3
    result = run(folder, "--messages", "a.jsonl", "--budget", "10")
    assert result.returncode == 1
    assert b"more than the budget of 10" in result.stderr


def test_json_has_each_row_and_a_total_under_another_name(folder):
    result = run(folder, "--messages", "a.jsonl", "one.json", "--json", "--max", "200")
    *rows, total = map(json.loads, result.stdout.splitlines())
    many = counts(ROWS)
    assert [row["tokens"] for row in rows] == [*many, many[0]]
    assert [row["line"] for row in rows[:-1]] == [1, 3, 5]
    assert rows[-1]["row"] == 1
    whole = sum(many) + many[0]
    assert total == {
        "total": True,
        "files": 2,
        "rows": 4,
        "total_tokens": whole,
        "longest": max(many),
        "max": 200,
        "above": 1,
    }
    # Adding up the lines is right.
    assert sum(line.get("tokens", 0) for line in [*rows, total]) == whole


def test_rows_that_are_no_conversations_stop_or_are_skipped(folder):
    result = run(folder, "--messages", "bad.jsonl")
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"bad.jsonl, line 2: messages: the row does not have it" in result.stderr
    result = run(folder, "--messages", "bad.jsonl", "--on-error", "skip")
    assert result.returncode == 2
    assert table(result)[0][1] == "1"
    assert b"bad.jsonl:2: messages" in result.stderr
    assert b"bad.jsonl:3: the line is not valid JSON" in result.stderr
    assert result.stderr.endswith(b"2 rows were skipped\n")


def test_sharegpt(folder):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert table(run(folder, "--sharegpt", "s.jsonl"))[0][0] == str(counts([messages])[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--messages", "-", "-"], "standard input can be counted only once"),
        (
            ["--messages", "a.jsonl", "--field", "x"],
            "--field does not go with --messages: it picks one text",
        ),
        (
            ["--messages", "a.jsonl", "--long"],
            "--long does not go with --messages: there are other",
        ),
        (
            ["--messages", "a.jsonl", "--by", "language"],
            "--by does not go with --messages: conversations have",
        ),
        (
            ["--messages", "a.jsonl", "-t", "x"],
            "--text does not go with --messages: it counts a text",
        ),
        (
            ["--messages", "a.jsonl", "--top", "1"],
            "--top does not go with --messages: --max N --list",
        ),
        (["--messages", "a.jsonl", "--cache"], "messages: counts of conversations are not rem"),
        (["--messages", "a.jsonl", "--each"], "--each does not go with --messages: --budget is"),
        (["--messages", "a.jsonl", "--sort", "path"], "--messages: files stay as they are named"),
        (["--max", "5", "a.jsonl"], "--max is for conversations"),
        (["--messages", "none.jsonl"], "none.jsonl: No such file or directory"),
        (["--messages", "broken.json"], "broken.json: this is not JSON"),
    ],
)
def test_wrong_usage_says_what_is_right(folder, words, message):
    (folder / "broken.json").write_text("{")
    result = run(folder, *words)
    assert (result.returncode, result.stdout) == (2, b"")
    assert message in result.stderr.decode()


def test_standard_input_is_a_file_of_conversations(folder):
    data, whole = (folder / "a.jsonl").read_bytes(), sum(counts(ROWS))
    for words in ([], ["-"]):
        for given in (data, gzip.compress(data), (folder / "rows.json").read_bytes()):
            result = cli.run("count", "--messages", *words, stdin=given)
            assert (result.returncode, result.stderr) == (0, b"")
            assert table(result)[0][:2] == [str(whole), "3"]
    result = cli.run("count", "--messages", stdin=(folder / "bad.jsonl").read_bytes())
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"llama3-tok: standard input, line 2: messages: the row does not" in result.stderr
    assert b"PATH" in cli.keyboard_only("count", "--messages").stderr
    # One line that is an empty list is a conversation without messages, not a list of none.
    result = cli.run("count", "--messages", stdin=b"[]")
    assert b"standard input, line 1: messages: there are no messages" in result.stderr


def test_a_folder_has_its_files_of_conversations(folder):
    for name in ("bad.jsonl", "s.jsonl"):
        (folder / name).unlink()
    (folder / "notes.txt").write_text("none")
    result = run(folder, "--messages", ".")
    assert (result.returncode, result.stderr) == (0, b"")
    names = ["./a.jsonl", "./a.jsonl.gz", "./one.json", "./row.json", "./rows.json", "total"]
    assert [row[-1] for row in table(result)] == names
    result = run(folder, "--messages", ".", "-g", "*.gz")
    assert [row[-1] for row in table(result)] == ["./a.jsonl.gz"]


def test_a_folder_without_any_is_noted(tmp_path):
    result = run(tmp_path, "--messages", ".", "--budget", "5")
    assert (result.returncode, result.stderr) == (0, b"llama3-tok: note: no file matches\n")


def test_what_a_file_is_its_content_tells(folder):
    many = counts(ROWS)
    (folder / "lines.json").write_bytes((folder / "a.jsonl").read_bytes())
    for name in ("pretty.jsonl", "pretty.txt", "pretty.json"):
        (folder / name).write_text("\n" + json.dumps(ROWS, indent=2))
    (folder / "line.jsonl").write_text(json.dumps(ROWS))
    (folder / "pretty.jsonl.gz").write_bytes(gzip.compress(json.dumps(ROWS, indent=1).encode()))
    for name in ("pretty.jsonl", "pretty.txt", "pretty.json", "line.jsonl", "pretty.jsonl.gz"):
        *rows, _ = cli.objects(run(folder, "--messages", name, "--json").stdout)
        assert [row["tokens"] for row in rows] == many
        assert [row["row"] for row in rows] == [1, 2, 3]
        assert not any("line" in row for row in rows)
    *rows, _ = cli.objects(run(folder, "--messages", "lines.json", "--json").stdout)
    assert [(row["line"], row["tokens"]) for row in rows] == list(zip([1, 3, 5], many, strict=True))
    listed = run(folder, "--messages", "pretty.json", "--list").stdout.decode().split("\n")
    assert listed[2] == f"{many[2]}  pretty.json[3]"


def test_a_row_of_a_list_is_named_as_such(folder):
    (folder / "rows.json").write_text(json.dumps([ROWS[0], {"x": 1}]))
    result = run(folder, "--messages", "rows.json")
    assert b"llama3-tok: rows.json, row 2: messages: the row does not have it" in result.stderr
    result = run(folder, "--messages", "rows.json", "--on-error", "skip", "--json")
    assert b"llama3-tok: rows.json[2]: messages: the row does not have it" in result.stderr
    assert cli.objects(result.stdout)[-1]["skipped_rows"] == 1


def test_a_broken_first_line_is_that_of_json_lines(folder):
    (folder / "broken.jsonl").write_text('{\n{"messages": []}\n')
    result = run(folder, "--messages", "broken.jsonl")
    assert b"broken.jsonl, line 1: the line is not valid JSON" in result.stderr


def test_json_has_only_what_is_listed(folder):
    result = run(folder, "--messages", "a.jsonl", "--max", "50", "--list", "--json")
    *rows, total = cli.objects(result.stdout)
    assert [row["line"] for row in rows] == [3, 5]
    assert (total["rows"], total["above"]) == (3, 2)


def test_the_other_form_is_named_as_an_option(folder):
    assert b"; --sharegpt reads 'conversations'" in run(folder, "--messages", "s.jsonl").stderr
    assert b"; --messages reads 'messages'" in run(folder, "--sharegpt", "a.jsonl").stderr
    result = run(folder, "--sharegpt", "one.json")
    assert b"; --messages reads role and content" in result.stderr


# In Python


def test_a_conversation_is_counted_as_it_is_encoded(tokenizer):
    for row in ROWS:
        assert tokenizer.count_chat(row) == len(tokenizer.encode_chat(row))
        options = {"add_generation_prompt": True, "date": "26 Jul 2024"}
        assert tokenizer.count_chat(row, **options) == len(tokenizer.encode_chat(row, **options))
    with pytest.raises(ChatFormatError):
        tokenizer.count_chat([{"role": "user"}])
    with pytest.raises(TypeError, match=r"count_chat\(\) has no option 'wrong'"):
        tokenizer.count_chat([], wrong=1)


@pytest.mark.parametrize("threads", [1, 2, None])
def test_many_conversations_are_counted_as_they_are_encoded(folder, threads):
    many, seen = ROWS * 1000, []
    found = count_chats(many, threads=threads, progress=seen.append)
    assert found.tokens.dtype == np.int64
    assert found.tokens.tolist() == counts(ROWS) * 1000
    assert found.rows.tolist() == list(range(3000))
    assert found.lines is None
    assert seen[-1] == 3000
    assert len(seen) > 1
    of_file = count_chats(folder / "a.jsonl")
    assert (of_file.tokens.tolist(), of_file.lines.tolist()) == (counts(ROWS), [1, 3, 5])
    skipped = count_chats(folder / "bad.jsonl", on_error="skip")
    assert (skipped.rows.tolist(), [one.line for one in skipped.skipped]) == ([0], [2, 3])
    with pytest.raises(InputError, match="line 2"):
        count_chats(folder / "bad.jsonl")
    assert count_chats([]).tokens.tolist() == []


def test_a_template_that_is_run_is_counted_too(tmp_path):
    import folders

    folders.SHAPES["chatml"](tmp_path)
    ours = Tokenizer(tmp_path)
    found = count_chats(ROWS, tokenizer=ours)
    expected = [len(ours.encode_chat(row, add_generation_prompt=False)) for row in ROWS]
    assert found.tokens.tolist() == expected
