"""`llama3-tok count` on files as they are: cut anywhere, odd, damaged, larger than memory."""

import gzip
import json
import subprocess
import sys

import pytest

from cli import COMMAND, count_of, environment, fails, objects, output, run
from llama3_tok import Tokenizer

PIECE = 1 << 20  # how much is read at a time

# What may stand across the end of what is read at a time.
ACROSS = {
    "letters": "internationalisation",
    "white space": " \t \n \n\n   \u3000 \n  ",
    "newlines after symbols": "!!!\r\n\r\n\n x",
    "contractions": " don't we'LL xſ'ſ 'tis",
    "numbers": "1234567890٣٤",
    "CJK": "漢字かな交じり文、テスト。",
    "emoji": "👩‍👩‍👧‍👦👍🏽🇩🇪",
    "marks": "e\u0301n\u0303o\u0308",
}


@pytest.mark.long
@pytest.mark.parametrize("across", ACROSS.values(), ids=ACROSS)
def test_reading_in_pieces_changes_no_count(across):
    words = "Some ordinary words, then more of them. "
    unit = across.encode()
    for before in (0, 1, 2, 3, len(unit) // 2, len(unit)):
        head = (words * (PIECE // len(words) + 1)).encode()[: PIECE - before]
        text = head + unit * 3 + words.encode()
        expected = count_of(text.decode())
        assert int(output("count", stdin=text)) == expected, before


def test_reading_bytes_that_are_not_utf8_in_pieces_changes_no_count():
    tokenizer = Tokenizer()
    for before in range(5):
        text = b"word, " * (PIECE // 6) + b"x" * (PIECE % 6 - before % 2)
        text = text[: len(text) - before] + b"\xf0\x9f\x98" + b"\xe6\xbc word\xff\xfe 'll \x80" * 9
        done = run("count", "--json", stdin=text)
        (counted,) = objects(done.stdout)
        assert counted["tokens"] == tokenizer.count(text)
        assert counted["bytes"] == len(text)
        assert counted["characters"] == len(text.decode("utf-8", "surrogateescape"))
        assert counted["invalid_utf8"]
        assert b"not all of it is UTF-8" in done.stderr


MEASURED = """
import resource, subprocess, sys
unit, count = sys.argv[1].encode() * 4096, int(sys.argv[2])
with subprocess.Popen(sys.argv[3:], stdin=subprocess.PIPE) as process:
    for _ in range(count):
        process.stdin.write(unit)
    process.stdin.close()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "line",
    ["|---|---|---|\n", "😀👍\n", "0123456789abcdef", "漢字、\n", "\n\n}\n", "x=1;"],
    ids=["table", "emoji", "hexadecimal", "CJK", "brackets", "code"],
)
def test_memory_stays_small_for_text_of_many_kinds(line):
    blocks = (200 << 20) // len(line.encode() * 4096)
    command = [sys.executable, "-c", MEASURED, line, str(blocks), *COMMAND, "count"]
    done = subprocess.run(command, capture_output=True, env=environment(), check=True)
    counted, peak = map(int, done.stdout.split())
    # tiktoken's count grows by the same for each line.
    first, second = count_of(line * 100), count_of(line * 200)
    each, rest = divmod(second - first, 100)
    assert rest == 0
    assert counted == first + each * (4096 * blocks - 100)
    assert peak < 128


def test_globs_bring_back_nothing_that_is_ignored_or_hidden(tmp_path):
    for name in ("a.py", "gen.py", ".hidden.py", "b.txt", "build/c.py", "src/d.py", "src/gen.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / ".gitignore").write_text("/gen.py\nbuild/\n")
    (tmp_path / "src" / ".gitignore").write_text("gen.py\n")

    def counted(*options):
        printed = output("count", "--json", *options, ".", cwd=tmp_path)
        return {row["path"] for row in objects(printed) if "path" in row}

    assert counted() == {"./a.py", "./b.txt", "./src/d.py"}
    assert counted("-g", "*.py") == {"./a.py", "./src/d.py"}
    assert counted("-g", "!src") == {"./a.py", "./b.txt"}
    assert counted("-g", "*.py", "--hidden") == {"./a.py", "./src/d.py", "./.hidden.py"}
    assert "./build/c.py" in counted("-g", "*.py", "--no-ignore")


def test_links_are_not_followed_in_folders_but_by_name(tmp_path):
    (tmp_path / "a.txt").write_text("one two")
    (tmp_path / "link.txt").symlink_to("a.txt")
    (tmp_path / "loop").symlink_to(".")
    printed = output("count", "--json", ".", cwd=tmp_path)
    assert [row.get("path") for row in objects(printed)] == ["./a.txt", None]
    assert int(output("count", "link.txt", cwd=tmp_path)) == 2


def test_packed_files_of_a_folder_are_read_through(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one two three"))
    (tmp_path / "b.bin.gz").write_bytes(gzip.compress(b"\x00binary"))
    done = run("count", "--json", str(tmp_path))
    assert done.returncode == 0
    (row, total) = objects(done.stdout)
    assert (row["tokens"], total["total_tokens"]) == (3, 3)
    assert total["skipped_files"]["binary"] == 1
    assert b"1 file was skipped: 1 binary" in done.stderr


def test_gzip_files_may_have_several_members_and_padding(tmp_path):
    path = tmp_path / "a.gz"
    members = gzip.compress(b"one two") + gzip.compress(b"") + gzip.compress(b" three")
    path.write_bytes(members + bytes(100_000))
    assert int(output("count", str(path))) == count_of("one two three")
    path.write_bytes(members + bytes(10) + b"garbage")
    assert "gzip" in fails("count", str(path))


def test_lone_surrogates_in_json_are_replacement_characters(tmp_path):
    path = tmp_path / "a.jsonl"
    texts = ["\ud800", "a\udc00b", "\ud83d\ude00 x", "ok"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    expected = sum(map(count_of, texts))
    done = run("count", "--json", "--field", "text", str(path))
    (counted,) = objects(done.stdout)
    assert counted["tokens"] == expected
    assert not counted["invalid_utf8"]
    assert done.stderr == b""


def test_bytes_in_json_that_are_not_utf8_are_counted_as_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    for raw in (b"caf\xe9", b"\xed\xa0\x80"):
        path.write_bytes(b'{"text": "' + raw + b'", "\xff": 1}\n')
        done = run("count", "--json", "--field", "text", str(path))
        (counted,) = objects(done.stdout)
        assert counted["tokens"] == Tokenizer().count(raw)
        assert counted["characters"] == len(raw.decode("utf-8", "surrogateescape"))
        assert b"not all of it is UTF-8" in done.stderr


def test_a_byte_order_mark_before_json_and_windows_line_ends_do_no_harm(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"\\ud800": 1, "text": "two"}')
    assert int(output("count", "--field", "text", str(path))) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"x": NaN, "text": "a"}', "JSON has no NaN"),
        ('{"text": "a"}'.encode("utf-16"), "UTF-16"),
        (b'{"text": null}', "a string in the field"),
    ],
)
def test_faults_of_json_are_named_for_what_they_are(tmp_path, line, reason):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' + line)
    message = fails("count", "--field", "text", str(path))
    assert "line 2" in message
    assert reason in message


def test_standard_input_is_counted_only_once():
    assert "only once" in fails("count", "-", "-")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads an endless device")
def test_a_file_that_exhausts_memory_is_named_and_the_others_counted(tmp_path):
    (tmp_path / "a.txt").write_text("one two")
    script = f'ulimit -v 1500000; exec "$@" count {{}} /dev/zero {tmp_path / "a.txt"}'
    for options in ("", "--field text"):
        command = ["bash", "-c", script.format(options), "bash", *COMMAND]
        if options:
            (tmp_path / "a.txt").write_text('{"text": "one two"}')
        done = subprocess.run(command, capture_output=True, env=environment(), check=False)
        assert done.returncode == 2
        assert b"llama3-tok: /dev/zero: out of memory" in done.stderr
        assert b"Traceback" not in done.stderr
        assert b"2  " in done.stdout.splitlines()[0]
