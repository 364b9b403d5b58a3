"""`llama3-tok truncate`, run as people do."""

import re

import pytest

import llama3_tok
from cli import count_of, fails, keyboard_only, output, run

TEXT = "The quick brown fox\njumps over 12345 lazy dogs; 漢字 and 😀.\n" * 50


def kept(*arguments, **options):
    """What is printed, and the numbers on standard error."""
    done = run("truncate", *arguments, **options)
    assert done.returncode == 0
    said = re.fullmatch(r"llama3-tok: kept ([\d,]+) of ([\d,]+) tokens\n", done.stderr.decode())
    return done.stdout, *(int(number.replace(",", "")) for number in said.groups())


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode())
    return str(path)


@pytest.mark.parametrize("limit", [0, 1, 17, 100, 10**6, 10**50])
def test_the_longest_beginning_or_end_is_printed_and_counted(path, limit, tokenizer):
    for side in ("right", "left"):
        expected = tokenizer.truncate(TEXT, limit, side=side)
        for where, stdin in ((path, b""), ("-", TEXT.encode())):
            found = kept("-n", str(limit), "--side", side, where, stdin=stdin)
            assert found == (expected.encode(), count_of(expected), count_of(TEXT))


def test_the_right_side_is_cut_and_standard_input_read_unless_said_otherwise():
    assert kept("--max-tokens", "4", stdin=b"This is a test sentence.") == (b"This is a test", 4, 6)
    assert kept("-n", "5") == (b"", 0, 0)


def test_any_bytes_pass_through():
    data = bytes(range(256)) * 3
    assert kept("-n", "999", stdin=data)[0] == data
    cut, tokens, _ = kept("-n", "50", "--side", "left", stdin=data)
    assert data.endswith(cut)
    assert tokens == llama3_tok.count(cut) == 50


def test_special_tokens_are_text():
    assert kept("-n", "3", stdin=b"<|eot_id|>") == (b"<|eo", 3, 7)


def test_what_makes_no_sense_is_refused(path, tmp_path):
    assert "-n/--max-tokens" in fails("truncate", path)
    assert "'-1' is not a number of tokens" in fails("truncate", "-n=-1", path)
    assert "'x' is not a number of tokens" in fails("truncate", "-n", "x", path)
    assert "invalid choice: 'top'" in fails("truncate", "-n", "1", "--side", "top", path)
    missing = str(tmp_path / "none.txt")
    assert f"{missing}: No such file" in fails("truncate", "-n", "1", missing)
    done = keyboard_only("truncate", "-n", "1")
    assert done.returncode == 2
    assert b"give FILE, or - to read standard input" in done.stderr


def test_help_says_what_is_kept_and_that_memory_grows():
    shown = output("truncate", "--help").decode()
    assert "longest beginning" in shown
    assert "into memory" in shown
    assert "exit codes:" in shown
