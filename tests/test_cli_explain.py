"""`llama3-tok explain`, and the pages of `explain`, `show` and `chat`."""

import gzip
import json
import re
import shlex
import subprocess

import pytest

from cli import COMMAND, environment, fails, on_terminal, output, run


def test_a_text_is_explained_as_trees():
    assert output("explain", " Việt 123").decode() == (
        "·Việt  alternative 2: letters, with one character before them\n"
        "├── ·Việt  101798: as a whole it is a token\n"
        "└── ·Việt  merging alone would give 3 tokens instead: 11655 26298 83\n"
        "    ├── ·Vi  = ·V + i  11655: step 3\n"
        "    │   └── ·V  = · + V  650: step 1\n"
        "    ├── ệ  = <E1><BB> + <87>  26298: step 4\n"
        "    │   └── <E1><BB>  = <E1> + <BB>  5080: step 2\n"
        "    └── t  83: a single byte\n"
        "·  alternative 7: one white space that the next piece does not take\n"
        "└── ·  220: as a whole it is a token\n"
        "123  alternative 3: up to three numbers\n"
        "└── 123  4513: as a whole it is a token\n"
        "3 tokens, 3 pieces\n"
    )


def test_names_of_special_tokens_say_what_would_make_them_special():
    printed = output("explain", "hi<|eot_id|>").decode()
    assert "<|eot_id|> at byte 2 is plain text; --allowed-special '<|eot_id|>' makes it 128009" in (
        printed
    )
    allowed = output("explain", "--allowed-special", "<|eot_id|>", "hi<|eot_id|>").decode()
    assert "<|eot_id|>  128009: a special or added token, found before the text is cut" in allowed
    assert "plain text" not in allowed


def test_json_has_everything():
    value = json.loads(output("explain", "--json", "--bos", "in Việtnam"))
    assert value["ids"] == [128000, 258, 11655, 26298, 1546, 309]
    assert [piece["kind"] for piece in value["pieces"]] == ["added", "pretoken", "pretoken"]
    assert [step["id"] for step in value["pieces"][2]["merges"]] == [
        309,
        650,
        1546,
        5080,
        11655,
        26298,
    ]


def test_colours_are_for_terminals_and_nothing_that_a_terminal_obeys_comes_through():
    _, shown, _ = on_terminal("explain", "\x1b[31mred\u202e")
    assert b"\x1b[1;36m" in shown
    assert b"\x1b[31m" not in shown
    assert "\u202e".encode() not in shown
    piped = output("explain", "\x1b[31mred")
    assert b"\x1b" not in piped


@pytest.mark.long
def test_names_of_a_folder_are_escaped_and_its_remedies_can_be_followed(tmp_path, tokenizer):
    names = {"\x1b]0;pwn\x07\u202e": 128002, "<a,b>": 128003, "it's<x>": 128005}
    tokenizer.with_special_tokens(names).save(tmp_path / "mine")
    (tmp_path / "text").write_text(" ".join(names))
    for allowed in ([], ["--allowed-special", "all"]):
        arguments = ("explain", "--vocabulary", "mine", *allowed, "-f", "text")
        for printed in (output(*arguments, cwd=tmp_path), on_terminal(*arguments, cwd=tmp_path)[1]):
            assert b"\x1b]" not in printed
            assert "\u202e".encode() not in printed
    printed = output("explain", "--vocabulary", "mine", "-f", "text", cwd=tmp_path).decode()
    remedies = re.findall(r"(--allowed-special \S+) makes it (\d+)", printed)
    assert [id for _, id in remedies] == ["128002", "128003", "128005"]
    for option, id in remedies:
        arguments = ("encode", "--vocabulary", "mine", *shlex.split(option), "-f", "text")
        assert id in output(*arguments, cwd=tmp_path).decode().split()


@pytest.mark.parametrize("verb", ["explain", "show"])
def test_packed_files_are_unpacked(tmp_path, verb):
    (tmp_path / "text").write_text("Hello world")
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"Hello world"))
    for form in ([], ["--html", "-"]):
        found = [output(verb, *form, "-f", name, cwd=tmp_path) for name in ("text", "text.gz")]
        assert found[0] == found[1]


def test_a_reader_that_goes_away_is_met_with_silence(tmp_path):
    (tmp_path / "text").write_text("one two three " * 30_000)
    with subprocess.Popen(
        [*COMMAND, "explain", "--all", "-f", "text"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (0, b"")


def test_many_pieces_are_cut_unless_all_are_asked_for(tmp_path):
    (tmp_path / "text").write_text("one " * 500)
    assert b"and 301 more pieces; --all shows them" in output("explain", "-f", "text", cwd=tmp_path)
    assert b"more pieces" not in output("explain", "--all", "-f", "text", cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["explain", " Việt<|eot_id|>"], "merging alone would give 3 tokens"),
        (["show", "Hello"], "data-id=9906"),
        (["chat", "chat.json"], "learned in training"),
    ],
)
def test_pages_are_files_of_their_own(tmp_path, arguments, expected):
    (tmp_path / "chat.json").write_text(
        '[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello"}]'
    )
    assert output(*arguments, "--html", "page.html", cwd=tmp_path) == b""
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert expected in page
    assert output(*arguments, "--html", "-", cwd=tmp_path).decode() == page
    assert "nosuch" in fails(*arguments, "--html", "nosuch/page.html", cwd=tmp_path)


def test_a_page_of_a_conversation_tells_structure_and_learned_apart(tmp_path):
    (tmp_path / "chat.json").write_text(
        '[{"role": "user", "content": "<|eot_id|>"}, {"role": "assistant", "content": "Hello"}]'
    )
    page = output("chat", "--no-prompt", "--html", "-", "chat.json", cwd=tmp_path).decode()
    assert 'k-special" data-id=128009' in page
    assert 'k-role" data-id=78191' in page
    assert 'k-learned" data-id=9906' in page
    # What the user wrote is content, whatever it looks like.
    assert page.count("data-id=128009") == 3
    assert "2 tokens" in page


def test_a_page_shows_one_conversation(tmp_path):
    row = '[{"role": "user", "content": "hi"}]\n'
    (tmp_path / "chats.jsonl").write_text(row * 2)
    told = fails("chat", "--html", "-", "chats.jsonl", cwd=tmp_path)
    assert "choose it with --row" in told
    assert b"data-id=6151" in output(
        "chat", "--html", "-", "--row", "2", "chats.jsonl", cwd=tmp_path
    )


def test_only_one_form_is_given():
    assert run("explain", "--json", "--html", "x", "a").returncode == 2
