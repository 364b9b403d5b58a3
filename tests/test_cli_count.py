"""`llama3-tok count`: what it prints, and its exit codes."""

import subprocess
import sys

import pytest

from cli import (
    count_of,
    fails,
    keyboard_only,
    objects,
    on_terminal,
    output,
    run,
)
from counted import OTHER, RECORDS, TEXT, jsonl, rows, write_texts


@pytest.fixture
def folder(tmp_path):
    return write_texts(tmp_path)


# The forms of the output


def test_one_file_in_a_pipe_is_a_bare_number(folder):
    assert output("count", str(folder / "a.txt")) == b"%d\n" % count_of(TEXT)


def test_one_file_on_a_terminal_has_its_path(folder):
    status, shown, stderr = on_terminal("count", "a.txt", cwd=folder)
    assert (status, stderr) == (0, b"")
    assert shown == b"%d  a.txt\n" % count_of(TEXT)


def test_several_files_have_a_line_each_and_a_total(folder):
    a, b = count_of(TEXT), count_of(OTHER)
    printed = output("count", "a.txt", "b.txt", cwd=folder).decode()
    assert printed == f"{a}  a.txt\n{b:>2}  b.txt\n{a + b}  total\n"
    assert b < 10 <= a, "the alignment is not tested"


def test_dash_is_standard_input(folder):
    stdin = TEXT.encode()
    assert output("count", "-", stdin=stdin) == b"%d\n" % count_of(TEXT)
    printed = output("count", "-", "b.txt", stdin=stdin, cwd=folder).decode()
    total = count_of(TEXT) + count_of(OTHER)
    assert rows(printed) == {"-": count_of(TEXT), "b.txt": count_of(OTHER), "total": total}


def test_without_a_path_standard_input_is_counted():
    assert output("count", stdin=TEXT.encode()) == b"%d\n" % count_of(TEXT)


def test_without_a_path_a_terminal_is_not_waited_for():
    done = keyboard_only("count")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"give PATH, or - to count standard input" in done.stderr


def test_empty_input_has_no_tokens():
    assert output("count") == b"0\n"


def test_line_ends_are_counted_as_they_are():
    text = "a\r\nb\r\n\r\n\r c"
    assert int(output("count", stdin=text.encode())) == count_of(text)


def test_long_adds_bytes_characters_and_bytes_per_token(folder):
    tokens, size = count_of(TEXT), len(TEXT.encode())
    printed = output("count", "--long", "a.txt", cwd=folder).decode()
    assert printed.split() == [str(tokens), str(size), str(len(TEXT)), f"{size / tokens:.2f}"]
    printed = output("count", "--long", "a.txt", "b.txt", cwd=folder).decode()
    assert [line.split()[-1] for line in printed.splitlines()] == ["a.txt", "b.txt", "total"]
    assert len({len(line[: line.rindex(" ")]) for line in printed.splitlines()}) == 1
    assert printed.splitlines()[2].split()[1] == str(size + len(OTHER))


def test_long_has_a_header_on_a_terminal_alone(folder):
    _, shown, _ = on_terminal("count", "--long", "a.txt", cwd=folder)
    header, row = shown.decode().splitlines()
    assert header.split() == ["tokens", "bytes", "characters", "bytes/token", "path"]
    assert row.split()[0] == str(count_of(TEXT))
    assert header.index("path") == row.index("a.txt")
    assert output("count", "--long", stdin=b"").split() == [b"0", b"0", b"0", b"-"]


def test_json_is_one_object_a_line(folder):
    (only,) = objects(output("count", "--json", "a.txt", cwd=folder))
    tokens, size = count_of(TEXT), len(TEXT.encode())
    assert only == {
        "path": "a.txt",
        "tokens": tokens,
        "bytes": size,
        "characters": len(TEXT),
        "bytes_per_token": size / tokens,
        "invalid_utf8": False,
        "texts": 1,
    }


def test_json_of_several_files_ends_with_the_total(folder):
    first, second, total = objects(output("count", "--json", "a.txt", "b.txt", cwd=folder))
    assert (first["path"], second["path"]) == ("a.txt", "b.txt")
    assert (total["total"], total["files"], total["total_texts"]) == (True, 2, 2)
    for number in ("tokens", "bytes", "characters", "texts"):
        assert total[f"total_{number}"] == first[number] + second[number]
        # Adding up the lines is right.
        assert number not in total
    assert len(objects(output("count", "--json", "--no-total", "a.txt", "b.txt", cwd=folder))) == 2
    printed = output("count", "--no-total", "a.txt", "b.txt", cwd=folder).decode()
    assert set(rows(printed)) == {"a.txt", "b.txt"}


def test_json_has_null_where_nothing_can_be_divided():
    (only,) = objects(output("count", "--json"))
    assert (only["tokens"], only["bytes_per_token"]) == (0, None)


# BOS and budgets


def test_bos_is_counted_only_if_asked_for_once_a_file(folder):
    plain = count_of(TEXT) + count_of(OTHER)
    assert rows(output("count", "a.txt", "b.txt", cwd=folder).decode())["total"] == plain
    counted = rows(output("count", "--bos", "a.txt", "b.txt", cwd=folder).decode())
    expected = {"a.txt": count_of(TEXT) + 1, "b.txt": count_of(OTHER) + 1, "total": plain + 2}
    assert counted == expected


def test_bos_is_counted_once_a_record(tmp_path):
    (tmp_path / "data.jsonl").write_bytes(jsonl(RECORDS[:3]))
    expected = sum(count_of(record["text"]) for record in RECORDS[:3]) + 3
    assert int(output("count", "--bos", "--field", "text", "data.jsonl", cwd=tmp_path)) == expected


def test_special_tokens_in_files_are_plain_text():
    text = "<|begin_of_text|>hi<|eot_id|>"
    assert int(output("count", stdin=text.encode())) == count_of(text)


def test_budget_exceeded_is_exit_code_1(folder):
    total = count_of(TEXT) + count_of(OTHER)
    fits = run("count", "--budget", str(total), "a.txt", "b.txt", cwd=folder)
    assert (fits.returncode, fits.stderr) == (0, b"")
    over = run("count", "--budget", str(total - 1), "a.txt", "b.txt", cwd=folder)
    assert over.returncode == 1
    assert over.stdout == fits.stdout
    message = f"llama3-tok: {total} tokens, 1 more than the budget of {total - 1}"
    largest = f"the largest is a.txt, with {count_of(TEXT)} tokens"
    assert over.stderr.decode() == f"{message}; {largest}\n"
    one = run("count", "--budget", "1", "a.txt", cwd=folder)
    assert one.stderr.decode().endswith("more than the budget of 1\n")


def test_budget_includes_bos():
    count = count_of(TEXT)
    done = run("count", "--budget", str(count), "--bos", stdin=TEXT.encode())
    assert done.returncode == 1


@pytest.mark.parametrize("budget", ["-1", "many", "1.5", "", "１２"])
def test_a_budget_is_a_whole_number(budget):
    assert "not a whole number" in fails("count", f"--budget={budget}")


# Starting


def test_counting_in_a_pipe_imports_neither_rich_nor_numpy(folder):
    script = (
        "import sys; from llama3_tok.cli import main; main(['count', 'a.txt']); "
        "print([name for name in ('rich', 'numpy', 'json', 'dataclasses') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=folder, check=True
    )
    assert done.stdout.split(b"\n")[1] == b"[]"


def test_the_module_runs_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "llama3_tok", "count", "--help"], capture_output=True, check=True
    )
    assert done.stdout.startswith(b"usage: llama3-tok count ")


@pytest.mark.parametrize("verb", ["count", "encode", "decode", "show", "truncate", "doctor"])
def test_help_has_an_example(verb):
    assert f"examples:\n  llama3-tok {verb}" in output(verb, "--help").decode()


def test_version_is_printed():
    from llama3_tok import __version__

    assert output("--version").decode() == f"llama3-tok {__version__}\n"
