"""`llama3-tok count` where things go wrong: files, streams, signals, time and memory."""

import fcntl
import gzip
import os
import re
import signal
import subprocess
import sys
import termios
import time
from array import array
from pathlib import Path

import pytest

import oracle
from cli import (
    COMMAND,
    Terminal,
    count_of,
    environment,
    fails,
    objects,
    on_terminal,
    output,
    run,
)
from counted import OTHER, TEXT, jsonl, rows, write_texts


@pytest.fixture
def folder(tmp_path):
    return write_texts(tmp_path)


# What goes wrong


def test_a_missing_file_is_named_and_the_others_counted(folder):
    done = run("count", "a.txt", "nosuch.txt", "b.txt", cwd=folder)
    assert done.returncode == 2
    assert (
        done.stderr
        == b"llama3-tok: nosuch.txt: No such file or directory; to count a text, give -t TEXT\n"
    )
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
    assert message == (
        "llama3-tok: nosuch.txt: No such file or directory; to count a text, give -t TEXT\n"
    )


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


def test_a_vocabulary_in_the_environment_that_does_not_exist_is_named_with_it(folder):
    message = fails("count", "a.txt", cwd=folder, LLAMA3_TOK_VOCAB="nosuch")
    assert message.startswith("llama3-tok: the environment variable LLAMA3_TOK_VOCAB names the ")


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
        # A word that may go on, as text and as an id: nothing can be printed of it yet.
        process.stdin.write(b"12")
        process.stdin.flush()
        # It has begun once it has read what the pipe held.
        deadline, unread = time.monotonic() + 60, array("i", [1])
        while unread[0] and time.monotonic() < deadline:
            time.sleep(0.05)
            fcntl.ioctl(process.stdin, termios.FIONREAD, unread)
        time.sleep(0.5)  # and it waits for more: CPython loses a signal just before a read
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(10) == 130
        assert time.monotonic() - begun < 2
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def slow_count(seconds, *, terminal, **changes):
    """Counts standard input that takes its time; the exit code, and what standard error got.

    It takes so many seconds; with None it ends when the terminal is sent something.
    """
    with subprocess.Popen(
        [*COMMAND, "count"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs if terminal else subprocess.PIPE,
        env=environment(**changes),
    ) as process:
        process.stdin.write(TEXT.encode())
        process.stdin.flush()
        if seconds is None:
            assert terminal.wait()
        else:
            time.sleep(seconds)
        process.stdin.close()
        shown = terminal.read() if terminal else process.stderr.read()
        assert int(process.stdout.read()) == count_of(TEXT)
        return process.wait(60), shown


def test_a_progress_bar_appears_after_a_second_and_goes_away():
    status, shown = slow_count(None, terminal=Terminal())
    assert status == 0
    assert f"{len(TEXT.encode())}".encode() in shown
    assert b"\x1b[2K" in shown, "the bar is wiped away"


def test_quick_work_has_no_progress_bar():
    assert slow_count(0.2, terminal=Terminal()) == (0, b"")


def test_progress_is_for_terminals_alone():
    assert slow_count(1.5, terminal=None) == (0, b"")
    assert slow_count(1.5, terminal=Terminal(), TERM="dumb") == (0, b"")


def test_the_progress_bar_honours_no_color():
    _, shown = slow_count(None, terminal=Terminal(), NO_COLOR="1")
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
