"""Work on files as it runs: iterators, threads, forks, pipes, signals, memory."""

import gc
import gzip
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from random import Random

import pytest

from interpreter import run_python, seconds_after_control_c
from text_files import TEXT, jsonl, write_many


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.txt"


@pytest.fixture
def many(tmp_path):
    return write_many(tmp_path)


# Iterators, threads and processes


def open_files():
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208


def test_an_iterator_that_is_given_up_releases_its_files(many, tokenizer):
    paths, _ = many
    before = open_files()
    for _ in range(20):
        encoded = tokenizer.encode_files(paths)
        next(encoded)
        parts = tokenizer.stream_file(max(paths, key=lambda path: path.stat().st_size))
        next(parts)
        del encoded, parts
    gc.collect()
    deadline = time.monotonic() + 10
    while open_files() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert open_files() <= before


def test_work_between_the_files_is_not_held_up(many, tokenizer):
    paths, texts = many
    for text, _ in zip(texts, tokenizer.encode_files(paths), strict=True):
        assert (
            tokenizer.count_batch([text] * 3).tolist()
            == tokenizer.count_files([paths[texts.index(text)]] * 3).tolist()
        )


def test_threads_may_share_an_iterator(many, tokenizer):
    paths, texts = many
    encoded = tokenizer.encode_files(paths)
    lengths = []

    def work():
        for ids in encoded:
            lengths.append(len(ids))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lengths) == sorted(map(tokenizer.count, texts))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_begins_anew_and_its_parent_goes_on(many, tokenizer):
    paths, texts = many
    encoded = tokenizer.encode_files(paths)
    next(encoded)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            next(encoded)
        except RuntimeError:
            del encoded
            same = tokenizer.count_files(paths).tolist() == list(map(tokenizer.count, texts))
            status = 0 if same else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert [len(ids) for ids in encoded] == [tokenizer.count(text) for text in texts[1:]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
@pytest.mark.parametrize("threads", [1, None])
def test_pipes_are_read_as_files_and_keep_nobody_else_waiting(tmp_path, tokenizer, threads):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = TEXT * 20_000

    def write():
        # Which needs the threads that the reader would otherwise wait on.
        tokenizer.count_batch([text] * 4)
        pipe.write_text(text)

    writer = threading.Thread(target=write)
    writer.start()
    assert tokenizer.count_files([pipe, __file__], threads=threads).tolist() == [
        tokenizer.count(text),
        tokenizer.count(Path(__file__).read_bytes()),
    ]
    writer.join()


@pytest.mark.long
@pytest.mark.parametrize(
    "work",
    [
        "tokenizer.count_file('large.gz')",
        "tokenizer.count_file('large.gz', threads=1)",
        "tokenizer.encode_file('large.gz')",
        "list(tokenizer.encode_files(['large.gz'] * 3))",
        "sum(map(len, tokenizer.stream_file('large.gz')))",
        "tokenizer.count_file('large.jsonl.gz', field='text')",
        "tokenizer.count_file('pipe')",
        "tokenizer.count_file('word.txt')",
        "tokenizer.count_file('empty-members.gz', threads=1)",
    ],
)
def test_control_c_ends_work_on_files_at_once(tmp_path, work):
    block = gzip.compress((TEXT * 12_000).encode(), 1)
    (tmp_path / "large.gz").write_bytes(block * 3000)
    (tmp_path / "large.jsonl.gz").write_bytes(gzip.compress(jsonl([TEXT] * 12_000), 1) * 3000)
    # One word, of letters in no order: those of a run would be counted before the signal comes.
    letters = bytes(Random(0).choices(b"abcdefghijklmnopqrstuvwxyz", k=1_000_000))
    (tmp_path / "word.txt").write_bytes(letters * 60)
    (tmp_path / "empty-members.gz").write_bytes(gzip.compress(b"") * 20_000_000)
    os.mkfifo(tmp_path / "pipe")
    # The promise is 0.2 s, on a machine that has nothing else to do.
    assert seconds_after_control_c(work, cwd=tmp_path) < 2


PEAK = """
    import pathlib, re, llama3_tok
    import numpy
    tokenizer = llama3_tok.Tokenizer()
    print({work})
    print(*re.findall("VmHWM:(.*) kB", pathlib.Path("/proc/self/status").read_text()))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory in use")
@pytest.mark.parametrize(
    "work",
    [
        "tokenizer.count_file('large.txt')",
        "tokenizer.count_file('large.gz')",
        "sum(map(len, tokenizer.stream_file('large.txt')))",
        "sum(map(len, tokenizer.stream_file('large.gz')))",
        "sum(len(part.ids) for part in tokenizer.stream_file('large.jsonl.gz', field='text'))",
        "tokenizer.count_file('large.jsonl.gz', field='text')",
        "sum(tokenizer.count_files(['large.txt', 'large.gz']).tolist()) // 2",
        "sum(map(len, tokenizer.encode_files(['small.txt'] * 300)))",
    ],
)
def test_memory_is_bounded_whatever_the_size(tmp_path, tokenizer, work):
    block = (TEXT * 12_000).encode()
    with (tmp_path / "large.txt").open("wb") as file:
        for _ in range(300):
            file.write(block)
    (tmp_path / "small.txt").write_bytes(block)
    (tmp_path / "large.gz").write_bytes(gzip.compress(block, 1) * 300)
    (tmp_path / "large.jsonl.gz").write_bytes(gzip.compress(jsonl([TEXT] * 12_000), 1) * 300)
    done = run_python(PEAK.format(work=work), cwd=tmp_path)
    assert done.stderr == ""
    count, peak = map(int, done.stdout.split())
    assert count == 300 * 12_000 * tokenizer.count(TEXT)
    assert peak >> 10 < 128


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory in use")
@pytest.mark.parametrize(
    ("call", "unit", "times"),
    [
        ("tokenizer.encode_file('words.txt')", b"a b c d ", 10_000_000),
        ("tokenizer.encode_file('words.jsonl', field='text')", jsonl(["a b c d " * 100]), 100_000),
        ("tokenizer.count_file('word.txt')", b"z", 100_000_000),
        ("list(tokenizer.stream_file('word.txt'))", b"z", 100_000_000),
    ],
)
def test_memory_that_is_refused_is_a_memory_error(tmp_path, call, unit, times):
    (tmp_path / call.split("'")[1]).write_bytes(unit * times)
    code = f"""
        import resource, llama3_tok
        import numpy as np
        tokenizer = llama3_tok.Tokenizer()
        tokenizer.encode_batch(["warm up " * 20_000] * 4)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (96 << 20),) * 2)
        try:
            {call}
        except MemoryError:
            print("MemoryError")
    """
    done = run_python(code, cwd=tmp_path)
    assert done.stdout.split() == ["MemoryError"], done.stderr


def test_of_a_file_that_memory_is_refused_for_nothing_is_given(tmp_path):
    """Not its end either, as if that were the next file; those after it are whole."""
    (tmp_path / "big.txt").write_bytes(b"a b c d " * 4_000_000)
    (tmp_path / "one.txt").write_bytes(b"one")
    (tmp_path / "two.txt").write_bytes(b"two words")
    code = """
        import resource, llama3_tok
        import numpy as np
        tokenizer = llama3_tok.Tokenizer()
        whole = [len(ids) for ids in tokenizer.encode_files(["one.txt", "two.txt"], bos=True)]
        tokenizer.encode_batch(["warm up " * 20_000] * 4)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (MEGABYTES << 20),) * 2)
        files = tokenizer.encode_files(["big.txt", "one.txt", "two.txt"], threads=1, bos=True)
        results = []
        while True:
            try:
                results.append(len(next(files)))
            except StopIteration:
                break
            except MemoryError:
                results.append(None)
        print(results == [None, *whole], results)
    """
    outcomes = []
    for megabytes in (40, 48, 56, 64):
        done = run_python(code.replace("MEGABYTES", str(megabytes)), cwd=tmp_path)
        outcomes.append(done.stdout)
        # Where there is least, memory may be refused for all of them.
        assert done.stdout.startswith("True") or "None, None, None" in done.stdout, done
    assert any(outcome.startswith("True") for outcome in outcomes), outcomes


@pytest.mark.parametrize("work", ["count_file", "encode_file"])
def test_other_threads_run_while_files_are_read(path, tokenizer, work):
    path.write_text(TEXT * 300_000)
    thread = threading.Thread(target=getattr(tokenizer, work), args=(path,))
    turns = 0
    thread.start()
    while thread.is_alive():
        turns += 1
    assert turns > 1000


def test_counting_a_file_imports_no_numpy(path):
    path.write_text("Hello world")
    code = f"""
        import sys, llama3_tok
        assert llama3_tok.Tokenizer().count_file({str(path)!r}) == 2
        print("numpy" in sys.modules)
    """
    assert run_python(code).stdout == "False\n"


# The command


def test_the_command_counts_on_as_many_threads_as_asked_for(many):
    from cli import fails, output

    paths, _ = many
    printed = output("count", *map(str, paths))
    for threads in ("1", "2", "99999999999999999999999"):
        assert output("count", "--threads", threads, *map(str, paths)) == printed
    assert "at least one" in fails("count", "--threads", "0", str(paths[0]))
    assert "not a whole number" in fails("count", "--threads", "x", str(paths[0]))
