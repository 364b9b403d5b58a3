"""`llama3-tok count`."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import oracle
from cli import (
    COMMAND,
    Terminal,
    count_of,
    environment,
    fails,
    keyboard_only,
    objects,
    on_terminal,
    output,
    run,
)
from packed import zstd

TEXT = "Count me: 12345 naïve cafés, 日本語 and 🦙.\n\n  Don't stop!\n"
OTHER = "Another text, a shorter one.\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "b.txt").write_text(OTHER, encoding="utf-8")
    return tmp_path


@pytest.fixture
def tree(tmp_path):
    files = {
        ".gitignore": "*.log\n",
        "one.txt": TEXT,
        "two.md": OTHER,
        "noise.log": TEXT * 2,
        ".hidden.txt": OTHER * 2,
        "deep/three.txt": OTHER * 3,
        "deep/.secret/four.txt": TEXT * 4,
        ".git/config": TEXT * 5,
    }
    for name, text in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "tree/image.bin").write_bytes(b"\x89PNG\0\0\xff")
    return tmp_path / "tree"


def rows(printed):
    """Path to count, in a table of counts and paths."""
    return {path: int(count) for count, path in (line.split() for line in printed.splitlines())}


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
    assert (total["total"], total["files"], total["texts"]) == (True, 2, 2)
    for number in ("tokens", "bytes", "characters"):
        assert total[number] == first[number] + second[number]


def test_json_has_null_where_nothing_can_be_divided():
    (only,) = objects(output("count", "--json"))
    assert (only["tokens"], only["bytes_per_token"]) == (0, None)


# Folders


def names(*arguments, cwd):
    printed = output("count", *arguments, cwd=cwd.parent).decode()
    counted = rows(printed)
    total = counted.pop("total")
    assert total == sum(counted.values())
    return {path.removeprefix("tree/"): count for path, count in counted.items()}


def test_folders_are_walked_without_ignored_hidden_and_binary_files(tree):
    expected = {"one.txt": TEXT, "two.md": OTHER, "deep/three.txt": OTHER * 3}
    assert names("tree", cwd=tree) == {name: count_of(text) for name, text in expected.items()}


def test_folders_are_walked_in_the_order_of_their_paths(tree):
    assert list(names("tree", cwd=tree)) == ["deep/three.txt", "one.txt", "two.md"]


def test_hidden_files_are_counted_if_asked_for(tree):
    more = {".gitignore", ".hidden.txt", "deep/.secret/four.txt"}
    assert set(names("tree", "--hidden", cwd=tree)) == more | set(names("tree", cwd=tree))


def test_ignored_files_are_counted_if_asked_for(tree):
    more = {"noise.log"}
    assert set(names("tree", "--no-ignore", cwd=tree)) == more | set(names("tree", cwd=tree))


def test_globs_narrow_the_walk(tree):
    assert set(names("tree", "-g", "*.md", cwd=tree)) == {"two.md"}
    assert set(names("tree", "-g", "!*.md", cwd=tree)) == {"one.txt", "deep/three.txt"}
    assert set(names("tree", "-g", "*.md", "-g", "one*", cwd=tree)) == {"two.md", "one.txt"}


def test_a_bad_glob_is_an_error(tree):
    done = run("count", "-g", "{a", str(tree))
    assert done.returncode == 2
    assert b"unclosed" in done.stderr


def test_named_files_are_counted_whatever_they_are(tree):
    for name in ("noise.log", ".hidden.txt"):
        text = (tree / name).read_text(encoding="utf-8")
        assert int(output("count", str(tree / name))) == count_of(text)
    done = run("count", str(tree / "image.bin"))
    assert done.returncode == 0
    assert int(done.stdout) > 0


def test_an_empty_folder_has_a_total_of_nothing(tmp_path):
    assert output("count", str(tmp_path)) == b"0  total\n"


# JSONL


RECORDS = [
    {"text": TEXT, "id": 1},
    {"id": 2, "text": OTHER, "meta": {"text": "not this one"}},
    {"text": ""},
    {"text": 'escaped \u2028 "quotes" \\ \ud83e\udd99 日本'},
]


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def test_field_counts_that_field_of_each_record(tmp_path):
    (tmp_path / "data.jsonl").write_bytes(jsonl(RECORDS))
    texts = [
        record["text"].encode("utf-16", "surrogatepass").decode("utf-16") for record in RECORDS
    ]
    expected = sum(map(count_of, texts))
    assert int(output("count", "--field", "text", "data.jsonl", cwd=tmp_path)) == expected
    (only,) = objects(output("count", "--field", "text", "--json", "data.jsonl", cwd=tmp_path))
    assert only["texts"] == len(RECORDS)
    assert only["bytes"] == sum(len(text.encode()) for text in texts)
    assert only["characters"] == sum(map(len, texts))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut off', "EOF"),
        (b'{"other": "x"}', 'no field "text"'),
        (b'{"text": 5}', 'a string in the field "text"'),
        (b'["text"]', "a JSON object"),
        (b"plain words", "expected"),
    ],
)
def test_a_bad_record_is_named_and_its_file_left_out(tmp_path, line, reason):
    (tmp_path / "bad.jsonl").write_bytes(jsonl(RECORDS[:1]) + b"\n" + line + b"\n")
    (tmp_path / "good.jsonl").write_bytes(jsonl(RECORDS[:1]))
    done = run("count", "--field", "text", "bad.jsonl", "good.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("llama3-tok: bad.jsonl, line 3: ")
    assert reason in done.stderr.decode()
    assert rows(done.stdout.decode()) == {"good.jsonl": count_of(TEXT), "total": count_of(TEXT)}


def test_field_takes_only_jsonl_files_from_folders(tmp_path):
    data = jsonl(RECORDS[:1])
    for name in ("a.jsonl", "b.ndjson", "c.txt", "d.json"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "f.JSONL.zst").write_bytes(zstd(data))
    printed = output("count", "--field", "text", ".", cwd=tmp_path).decode()
    assert set(rows(printed)) == {
        "./a.jsonl",
        "./b.ndjson",
        "./e.jsonl.gz",
        "./f.JSONL.zst",
        "total",
    }
    assert int(output("count", "--field", "text", "c.txt", cwd=tmp_path)) == count_of(TEXT)


# Packed files


def test_packed_files_are_read_through(tmp_path):
    data = TEXT.encode()
    (tmp_path / "one.txt.gz").write_bytes(gzip.compress(data))
    (tmp_path / "many.gz").write_bytes(gzip.compress(data) + gzip.compress(data))
    (tmp_path / "one.txt.zst").write_bytes(zstd(data))
    long = TEXT * 3000
    (tmp_path / "long.zst").write_bytes(zstd(long.encode()))
    printed = output("count", "one.txt.gz", "many.gz", "one.txt.zst", "long.zst", cwd=tmp_path)
    counted = rows(printed.decode())
    del counted["total"]
    assert counted == {
        "one.txt.gz": count_of(TEXT),
        "many.gz": count_of(TEXT * 2),
        "one.txt.zst": count_of(TEXT),
        "long.zst": count_of(long),
    }


def test_bytes_of_packed_files_are_those_of_the_text(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT.encode()))
    (only,) = objects(output("count", "--json", "a.gz", cwd=tmp_path))
    assert (only["bytes"], only["characters"]) == (len(TEXT.encode()), len(TEXT))


@pytest.mark.parametrize("name", ["cut.gz", "cut.zst", "text.gz", "text.zst"])
def test_a_damaged_archive_is_named(tmp_path, name):
    pack = gzip.compress if name.endswith("gz") else zstd
    damaged = pack(TEXT.encode())[:-12] if name.startswith("cut") else TEXT.encode()
    (tmp_path / name).write_bytes(damaged)
    assert fails("count", name, cwd=tmp_path).startswith(f"llama3-tok: {name}: ")


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
    message = f"llama3-tok: {total} tokens, 1 more than the budget of {total - 1}\n"
    assert over.stderr.decode() == message


def test_budget_includes_bos():
    count = count_of(TEXT)
    done = run("count", "--budget", str(count), "--bos", stdin=TEXT.encode())
    assert done.returncode == 1


@pytest.mark.parametrize("budget", ["-1", "many", "1.5", "", "１２"])
def test_a_budget_is_a_whole_number(budget):
    assert "not a whole number" in fails("count", f"--budget={budget}")


# What goes wrong


def test_a_missing_file_is_named_and_the_others_counted(folder):
    done = run("count", "a.txt", "nosuch.txt", "b.txt", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == b"llama3-tok: nosuch.txt: No such file or directory\n"
    total = count_of(TEXT) + count_of(OTHER)
    assert rows(done.stdout.decode()) == {
        "a.txt": count_of(TEXT),
        "b.txt": count_of(OTHER),
        "total": total,
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads a file that Linux refuses to read")
def test_a_file_that_the_system_will_not_read_is_named_and_the_others_counted(folder):
    done = run("count", "/proc/self/mem", "a.txt", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == b"llama3-tok: /proc/self/mem: Input/output error\n"
    assert rows(done.stdout.decode())["a.txt"] == count_of(TEXT)


def test_a_single_missing_file_prints_nothing(tmp_path):
    message = fails("count", "nosuch.txt", cwd=tmp_path)
    assert message == "llama3-tok: nosuch.txt: No such file or directory\n"


def test_a_missing_file_outweighs_the_budget(folder):
    assert run("count", "--budget", "0", "a.txt", "nosuch.txt", cwd=folder).returncode == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_files_and_folders_without_permission_are_named(folder):
    (folder / "a.txt").chmod(0)
    (folder / "locked").mkdir(mode=0)
    done = run("count", ".", cwd=folder)
    assert done.returncode == 2
    assert b"./a.txt: Permission denied" in done.stderr
    assert b"./locked: Permission denied" in done.stderr
    assert rows(done.stdout.decode()) == {"./b.txt": count_of(OTHER), "total": count_of(OTHER)}


def test_bytes_that_are_not_utf8_are_counted_with_a_warning(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    single = oracle.encoding().encode_single_token(b"\xe9")
    expected = [*oracle.encoding().encode_ordinary("caf"), single]
    done = run("count", "latin.txt", cwd=tmp_path)
    assert (done.returncode, int(done.stdout)) == (0, len(expected))
    assert done.stderr.decode().startswith("llama3-tok: latin.txt: warning: not all of it is UTF-8")
    (only,) = objects(run("count", "--json", "latin.txt", cwd=tmp_path).stdout)
    assert (only["invalid_utf8"], only["bytes"], only["characters"]) == (True, 4, 4)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has only UTF-8 names")
def test_paths_that_are_not_utf8_go_through(tmp_path):
    for name in (b"\xff.txt", b"\x1b[31m.txt"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_text(OTHER, encoding="utf-8")
    printed = output("count", ".", cwd=tmp_path)
    assert b"  ./\xff.txt\n" in printed
    assert b"  ./\x1b[31m.txt\n" in printed
    paths = {row.get("path") for row in objects(output("count", ".", "--json", cwd=tmp_path))}
    assert os.fsdecode(b"./\xff.txt") in paths


def test_a_terminal_gets_no_control_characters_of_paths(tmp_path):
    Path(tmp_path, "\x1b[31m.txt").write_text(OTHER, encoding="utf-8")
    _, shown, _ = on_terminal("count", ".", cwd=tmp_path)
    assert b"./\\x1b[31m.txt" in shown
    assert b"\x1b" not in shown
    assert "\x1b" not in fails("count", "\x1b[31m", cwd=tmp_path)


def test_wrong_usage_is_exit_code_2():
    assert "--nosuch" in fails("count", "--nosuch")
    assert "unknown" in fails("count", "--profile", "unknown")
    assert "is not UTF-8" in fails("count", "-g", os.fsdecode(b"\xff"), ".")
    assert run().returncode == 2
    assert b"count" in run().stderr


def shell(script, cwd):
    """Runs a shell script with the command as its arguments."""
    words = ["sh", "-c", script, "sh", *COMMAND]
    return subprocess.run(words, capture_output=True, cwd=cwd, timeout=60, check=False)


def test_closed_streams_are_no_crash(folder):
    done = shell('"$@" count <&-', folder)
    assert done.returncode == 2
    assert done.stderr.startswith(b"llama3-tok: standard input is closed\n")
    done = shell('"$@" count a.txt nosuch 2>&-', folder)
    assert (done.returncode, done.stderr) == (2, b"")
    assert shell('"$@" count a.txt >&-', folder).stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_messages_that_cannot_be_written_leave_the_exit_code(folder):
    done = shell('"$@" count a.txt nosuch b.txt 2>/dev/full', folder)
    assert done.returncode == 2
    assert rows(done.stdout.decode())["b.txt"] == count_of(OTHER)


def test_a_missing_vocabulary_says_how_to_give_one(tmp_path):
    message = fails("count", "--vocabulary", str(tmp_path / "nosuch"))
    assert "LLAMA3_TOK_VOCAB" in message


# Pipes, signals and time


def test_a_closed_pipe_is_met_with_silence(folder):
    for arguments in (["count", "--json", "a.txt"], ["--help"], ["count", "--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            cwd=folder,
            check=False,
            timeout=60,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_pipe_closed_half_way_is_met_with_silence(tmp_path):
    for index in range(3000):
        (tmp_path / f"{index:04}-with-a-rather-long-name.txt").write_text("x")
    with subprocess.Popen(
        [*COMMAND, "count", "--json", "."],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_said():
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "count"], input=b"hi", stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert done.stderr == b"llama3-tok: standard output: No space left on device\n"


@pytest.mark.parametrize("verb", ["count", "encode", "decode", "show"])
def test_ctrl_c_is_exit_code_130_even_while_waiting(verb):
    with subprocess.Popen(
        [*COMMAND, verb],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        process.stdin.write(b"a beginning")
        process.stdin.flush()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(10) == 130
        assert time.monotonic() - begun < 2
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def slow_count(seconds, *, terminal, **changes):
    """Counts standard input that takes its time; the exit code, and what standard error got."""
    with subprocess.Popen(
        [*COMMAND, "count"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs if terminal else subprocess.PIPE,
        env=environment(**changes),
    ) as process:
        process.stdin.write(TEXT.encode())
        process.stdin.flush()
        time.sleep(seconds)
        process.stdin.close()
        shown = terminal.read() if terminal else process.stderr.read()
        assert int(process.stdout.read()) == count_of(TEXT)
        return process.wait(60), shown


def test_a_progress_bar_appears_after_a_second_and_goes_away():
    status, shown = slow_count(2.5, terminal=Terminal())
    assert status == 0
    assert f"{len(TEXT.encode())}".encode() in shown
    assert b"\x1b[2K" in shown, "the bar is wiped away"


def test_quick_work_has_no_progress_bar():
    assert slow_count(0.2, terminal=Terminal()) == (0, b"")


def test_progress_is_for_terminals_alone():
    assert slow_count(2, terminal=None) == (0, b"")
    assert slow_count(2, terminal=Terminal(), TERM="dumb") == (0, b"")


def test_the_progress_bar_honours_no_color():
    _, shown = slow_count(2, terminal=Terminal(), NO_COLOR="1")
    assert shown
    assert not re.search(rb"\x1b\[[0-9;]*(3[0-9]|4[0-9])[0-9;]*m", shown)


BLOCK = (
    "The quick brown fox, aged 12, didn't jump over 3,141 lazy dogs; naïve, wasn't it?\n" * 12000
)

PEAK = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def counted_with_peak(*arguments):
    """The count, and the megabytes of memory that it took at most."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *COMMAND, "count", *arguments],
        capture_output=True,
        check=True,
        timeout=300,
    )
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return int(done.stdout), int(done.stderr) / unit


def test_memory_stays_below_128_mb_for_a_file_of_any_size(tmp_path):
    block = count_of(BLOCK)
    assert count_of(BLOCK * 2) == 2 * block, "the blocks touch"
    times = 400 * 2**20 // len(BLOCK.encode())
    path = tmp_path / "large.txt.gz"
    path.write_bytes(gzip.compress(BLOCK.encode()) * times)
    count, peak = counted_with_peak(str(path))
    assert count == times * block
    assert peak < 128


def test_memory_stays_below_128_mb_for_many_records(tmp_path):
    records = jsonl([{"text": line} for line in BLOCK.splitlines()])
    path = tmp_path / "large.jsonl.gz"
    path.write_bytes(gzip.compress(records) * 100)
    count, peak = counted_with_peak("--field", "text", str(path))
    assert count == 100 * sum(map(count_of, BLOCK.splitlines()))
    assert peak < 128


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
