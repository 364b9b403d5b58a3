"""What `llama3-tok count` counts: folders, records, packed files."""

import gzip

import pytest

from cli import (
    count_of,
    fails,
    objects,
    output,
    run,
)
from counted import OTHER, RECORDS, TEXT, jsonl, rows
from packed import zstd


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


# Folders


def names(*arguments, cwd):
    done = run("count", *arguments, cwd=cwd.parent)
    assert done.returncode == 0
    assert done.stderr in (b"", b"llama3-tok: 1 file was skipped: 1 binary\n")
    counted = rows(done.stdout.decode())
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
    for options in ([], ["--budget", "5"], ["-g", "*.none"]):
        done = run("count", *options, str(tmp_path))
        assert (done.returncode, done.stdout) == (0, b"0  total\n")
        assert done.stderr == b"llama3-tok: note: no file matches\n"


# JSONL


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
