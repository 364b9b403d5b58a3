"""`llama3-tok count --cache`: what is known is not counted again, and never wrong."""

import gzip
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from cli import count_of, output, run
from counted import OTHER, TEXT
from llama3_tok import Tokenizer
from llama3_tok.cli import count_cache
from llama3_tok.text import files
from llama3_tok.text.files import How, Source, Totals


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA3_TOK_CACHE", str(tmp_path / "cache" / "counts"))
    monkeypatch.setattr(count_cache, "SETTLED_SECONDS", 0)
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.fixture
def asked(monkeypatch):
    """The paths of the files that are counted in fact."""
    paths = []
    count = files.count

    def noting(tokenizer, sources, how, **options):
        paths.extend(source.path for source in sources)
        return count(tokenizer, sources, how, **options)

    monkeypatch.setattr(files, "count", noting)
    return paths


def tokens_of(*paths, how=None, tokenizer=None, walked=False):
    sources = [Source(str(path), walked) for path in paths]
    found = count_cache.counted(
        tokenizer or Tokenizer(), sources, how or How(), threads=1, progress=None
    )
    return [one.tokens if isinstance(one, Totals) else one for _, one in found]


def test_what_is_known_is_not_counted_again(cache, asked):
    for name, text in (("a", TEXT), ("b", OTHER)):
        (cache / name).write_text(text)
    paths = [cache / "a", cache / "b"]
    expected = [count_of(TEXT), count_of(OTHER)]
    assert tokens_of(*paths) == expected
    assert asked == list(map(str, paths))
    asked.clear()
    assert tokens_of(*paths) == expected
    assert asked == []
    (cache / "c").write_text("new")
    assert tokens_of(cache / "a", cache / "c", cache / "b") == [expected[0], 1, expected[1]]
    assert asked == [str(cache / "c")]


def test_a_change_of_the_same_size_at_the_same_time_is_seen(cache):
    path = cache / "a"
    path.write_text("a b c d")
    status = path.stat()
    assert tokens_of(path) == [4]
    path.write_text("abc def")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert path.stat().st_ino == status.st_ino
    assert tokens_of(path) == [count_of("abc def")] != [4]


def test_a_file_in_the_place_of_another_is_seen(cache):
    (cache / "a").write_text("a b c d")
    (cache / "b").write_text("abc def")
    assert tokens_of(cache / "a") == [4]
    (cache / "b").replace(cache / "a")
    assert tokens_of(cache / "a") == [count_of("abc def")]


def test_a_copy_and_a_touched_file_are_read_and_not_counted(cache, asked):
    (cache / "a").write_text(TEXT)
    tokens_of(cache / "a")
    asked.clear()
    (cache / "copy").write_text(TEXT)
    os.utime(cache / "a")
    assert tokens_of(cache / "a", cache / "copy") == [count_of(TEXT)] * 2
    assert asked == []


def test_what_has_just_changed_is_not_kept(cache, asked, monkeypatch):
    monkeypatch.setattr(count_cache, "SETTLED_SECONDS", 1000)
    (cache / "a").write_text(TEXT)
    for _ in range(2):
        assert tokens_of(cache / "a") == [count_of(TEXT)]
    assert asked == [str(cache / "a")] * 2


def test_what_changes_while_it_is_counted_is_not_kept(cache, monkeypatch):
    path = cache / "a"
    path.write_text("a b c d")
    count = files.count

    def changing(*arguments, **options):
        path.write_text("abc def")
        return count(*arguments, **options)

    monkeypatch.setattr(files, "count", changing)
    tokens_of(path)
    monkeypatch.undo()
    monkeypatch.setenv("LLAMA3_TOK_CACHE", str(cache.parent / "cache" / "counts"))
    path.write_text("a b c d")
    assert tokens_of(path) == [4]


def test_tokenizers_and_options_have_counts_of_their_own(cache):
    path = cache / "a.jsonl"
    path.write_text('{"text": "a b"}\n')
    plain = count_of('{"text": "a b"}\n')
    for _ in range(2):
        assert tokens_of(path) == [plain]
        assert tokens_of(path, how=How(bos=True)) == [plain + 1]
        assert tokens_of(path, how=How(field="text")) == [2]
        assert tokens_of(path, tokenizer=Tokenizer(profile="llama3")) == [plain]


def test_a_binary_file_is_left_out_where_it_was_found_and_counted_where_it_is_named(cache):
    path = cache / "a"
    path.write_bytes(b"a\0b")
    for _ in range(2):
        assert tokens_of(path, walked=True) == ["binary"]
        assert tokens_of(path) == [count_of("a\0b")]


def test_how_a_file_is_packed_belongs_to_its_content(cache):
    data = gzip.compress(TEXT.encode())
    (cache / "a.gz").write_bytes(data)
    (cache / "a.bin").write_bytes(data)
    packed, plain = tokens_of(cache / "a.gz", cache / "a.bin")
    assert packed == count_of(TEXT) != plain
    assert tokens_of(cache / "a.gz", cache / "a.bin") == [packed, plain]


def test_faults_are_told_each_time(cache):
    for _ in range(2):
        (fault,) = tokens_of(cache / "nosuch")
        assert "No such file" in str(fault)


def test_the_command_uses_a_cache(cache, tmp_path):
    (cache / "a").write_text(TEXT)
    os.environ["LLAMA3_TOK_CACHE"] = str(tmp_path / "own")
    for _ in range(2):
        assert output("count", "--cache", str(cache / "a")) == b"%d\n" % count_of(TEXT)
    assert (tmp_path / "own").is_file()


def test_a_cache_that_can_not_be_used_is_said(cache, tmp_path):
    (cache / "a").write_text(TEXT)
    bad = tmp_path / "bad"
    bad.write_bytes(b"this is no database" * 100)
    done = run("count", "--cache", str(cache / "a"), LLAMA3_TOK_CACHE=str(bad))
    assert (done.returncode, int(done.stdout)) == (0, count_of(TEXT))
    assert b"the cache of counts can't be used: " in done.stderr


def test_two_may_count_at_once(cache, tmp_path):
    (cache / "a").write_text(TEXT)
    tokens_of(cache / "a")
    with sqlite3.connect(tmp_path / "cache" / "counts") as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM counts").fetchall()
        assert tokens_of(cache / "a") == [count_of(TEXT)]
    other.close()


def test_names_that_begin_with_dots_are_packed_as_the_core_reads_them(cache, tmp_path):
    packed = gzip.compress(b"one two three four")
    names = [".gz", "..gz", "...gz", "x.GZ", "plain", "x.gz", "a.zst.gz.txt"]
    for name in names:
        (tmp_path / name).write_bytes(packed)
    paths = [str(tmp_path / name) for name in names]
    without = [files.count(Tokenizer(), [Source(path, walked=False)]) for path in paths]
    expected = [found.tokens for [(_, found)] in without]
    for _ in range(2):
        assert [tokens_of(path)[0] for path in paths] == expected
    assert [files.packing(path) for path in paths] == ["", ".gz", ".gz", ".gz", "", ".gz", ""]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_what_the_system_makes_up_is_not_kept(cache, asked):
    for _ in range(2):
        assert tokens_of("/proc/self/status")[0] > 0
    assert len(asked) == 2


@pytest.mark.parametrize(
    "row", ["x", "{}", "5", '"zzz"', "[1]", "null", '["a", 1, 1, 1, false, 0, 0, 0, 0, null]', 7]
)
def test_a_row_that_is_no_count_is_counted_again(cache, tmp_path, row):
    path = tmp_path / "a.txt"
    path.write_text("one two three")
    expected = tokens_of(path)
    with closing(sqlite3.connect(count_cache.cache_file())) as connection:
        assert connection.execute("UPDATE counts SET counted = ?", [row]).rowcount == 1
        connection.commit()
    assert tokens_of(path) == expected


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_with_a_name_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[b"abc\xff def"])
    writer.start()
    done = run("count", "pipe", cwd=tmp_path)
    writer.join()
    assert done.returncode == 0
    assert b"not all of it is UTF-8" in done.stderr
