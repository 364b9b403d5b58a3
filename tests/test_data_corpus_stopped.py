"""Runs that end before their time: what is there then, and what comes of the next run."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

import cli
import corpora_made as made
from llama3_tok import InputError
from llama3_tok.data import places
from llama3_tok.data.corpora import ManifestError, corpus, verify
from llama3_tok.data.sinks import FORMATS
from llama3_tok.formats import whole_files

TEXTS = made.documents(200, 3)
OPTIONS = {"field": "text", "eos": True, "shard_tokens": 1500, "splits": {"valid": 0.2}}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_bytes(made.records(TEXTS))
    return path


class Watch:
    """Ends the process, so to say, before or after its n-th change of a folder.

    No thread changes anything after that.
    """

    def __init__(self, monkeypatch):
        self.calls, self.last, self.after = 0, None, False
        for owner, name in (
            (places.Local, "put"),
            (places.Local, "write"),
            (places.Local, "remove_folder"),
            (places.Local, "make_folder"),
            (places.Local, "drafts"),
            (os, "replace"),
        ):
            monkeypatch.setattr(owner, name, self._watched(getattr(owner, name)))

    def _watched(self, function):
        def watched(*arguments, **options):
            self.calls += 1
            ends = self.calls == self.last
            if (ends and not self.after) or (self.last is not None and self.calls > self.last):
                raise Killed
            result = function(*arguments, **options)
            if ends:
                raise Killed
            return result

        return watched


@pytest.mark.long
@pytest.mark.parametrize("format", ["npy", "mds"])
def test_a_run_that_ends_at_any_change_is_continued_to_the_same_bytes(
    tmp_path, monkeypatch, source, format
):
    # What is on the disk is not asked here, and waiting for it would take minutes.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    options = OPTIONS | {"shard_tokens": 4000}
    corpus(source, tmp_path / "whole", format=format, **options)
    expected = made.tree(tmp_path / "whole")
    watch = Watch(monkeypatch)
    corpus(source, tmp_path / "counted", format=format, threads=1, **options)
    changes = watch.calls
    assert changes > 30
    for number in range(1, changes + 1):
        # With one thread the changes come in one order; with two, in any.
        for after, threads in ((False, 1), (True, 1), (False, 2)):
            out = tmp_path / f"out-{number}-{after}-{threads}"
            watch.calls, watch.last, watch.after = 0, number, after
            with pytest.raises(Killed):
                corpus(source, out, format=format, threads=threads, **options)
            watch.last = None
            corpus(source, out, format=format, threads=3 - threads, **options)
            assert made.tree(out) == expected, (number, after, threads)


def test_what_is_finished_is_not_done_again(tmp_path, monkeypatch, source):
    watch = Watch(monkeypatch)
    watch.last = 25
    with pytest.raises(Killed):
        corpus(source, tmp_path / "out", threads=1, **OPTIONS)
    watch.last = None
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npy")}
    assert before
    corpus(source, tmp_path / "out", threads=1, **OPTIONS)
    for path, changed in before.items():
        if f"{path.name.split('.')[0]}" != max(one.name for one in before).split(".")[0]:
            assert path.stat().st_mtime_ns == changed, path


@pytest.mark.long
@pytest.mark.parametrize("format", FORMATS)
def test_a_killed_process_is_continued_to_the_same_bytes(tmp_path, format):
    """`kill -9` at random moments; bench/corpus_kills.py does it 200 times for each format."""
    if format in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    source = tmp_path / "t.jsonl"
    source.write_bytes(made.records(made.documents(6000, 4)))
    dice = random.Random(format)
    command = ["corpus", source, "--field", "text", "--eos", "--format", format]
    command += ["--shard-tokens", "4k", "--id-field", "id"]
    assert cli.run(*command, "--out", tmp_path / "whole").returncode == 0
    expected = made.tree(tmp_path / "whole")
    out, kills = tmp_path / "out", 0
    for _ in range(3):
        running = subprocess.Popen(
            [*cli.COMMAND, *map(str, command), "--out", str(out)],
            env=cli.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        begun = out / "_progress"
        while running.poll() is None and not begun.is_dir():
            time.sleep(0.001)
        time.sleep(dice.random() * 0.3)
        running.send_signal(signal.SIGKILL)
        kills += running.wait() == -signal.SIGKILL
    assert kills
    assert cli.run(*command, "--out", out).returncode == 0
    assert made.tree(out) == expected


def test_an_input_that_was_changed_is_refused(tmp_path, monkeypatch, source):
    watch = Watch(monkeypatch)
    watch.last = 25
    out = tmp_path / "out"
    with pytest.raises(Killed):
        corpus(source, out, threads=1, **OPTIONS)
    watch.last = None
    before = source.read_bytes()
    source.write_bytes(before + b"\n")
    with pytest.raises(ManifestError, match="was changed since this corpus was begun"):
        corpus(source, out, **OPTIONS)
    source.unlink()
    (tmp_path / "other.jsonl").write_bytes(before)
    with pytest.raises(ManifestError, match=r"inputs=.*take another folder"):
        corpus(tmp_path / "other.jsonl", out, **OPTIONS)


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path, source):
    def change(done, total, tokens, documents):
        os.utime(source, ns=(1, 1))

    with pytest.raises(InputError, match="the file was changed since the corpus was begun"):
        corpus(source, tmp_path / "out", threads=1, progress=change, **OPTIONS)


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_a_truncated_file_is_an_error_and_finished_shards_stay(tmp_path, packed):
    from text_files import written

    path = written(tmp_path / f"t.jsonl{packed}", made.records(TEXTS))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match="the end of the packed file is missing"):
        corpus(path, tmp_path / "out", **OPTIONS)
    done = list((tmp_path / "out" / "_progress").glob("0*.json"))
    for commit in done:
        for shard in json.loads(commit.read_bytes())["shards"]:
            for name, noted in shard["files"].items():
                at = tmp_path / "out" / shard["split"] / name
                assert whole_files_of(at) == noted


def whole_files_of(path):
    from llama3_tok.data.corpora.manifest import of_file

    return of_file(str(path))


def test_a_disk_that_is_full_is_an_error_and_the_run_goes_on_when_there_is_room(tmp_path):
    source = tmp_path / "t.jsonl"
    source.write_bytes(made.records(made.documents(3000, 5)))
    command = ["corpus", source, "--field", "text", "--eos", "--threads", "2"]
    assert cli.run(*command, "--out", tmp_path / "whole").returncode == 0

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    out = tmp_path / "out"
    result = subprocess.run(
        [*cli.COMMAND, *map(str, command), "--out", str(out)],
        env=cli.environment(),
        capture_output=True,
        preexec_fn=limit,
        check=False,
    )
    assert result.returncode == 2
    assert b"File too large" in result.stderr
    assert b"Traceback" not in result.stderr
    assert not list(out.glob("*.npy"))
    assert cli.run(*command, "--out", out).returncode == 0
    assert made.tree(out) == made.tree(tmp_path / "whole")


@pytest.mark.long
def test_ctrl_c_ends_a_run_at_once_and_leaves_no_drafts(tmp_path):
    source = tmp_path / "t.jsonl"
    source.write_bytes(made.records(made.documents(60_000, 8)))
    out = tmp_path / "out"
    command = ["corpus", str(source), "--field", "text", "--shard-tokens", "20k"]
    running = subprocess.Popen(
        [*cli.COMMAND, *command, "--out", str(out)],
        env=cli.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while running.poll() is None and not list((out / "_progress").glob("0*.json")):
        time.sleep(0.001)
    running.send_signal(signal.SIGINT)
    begin = time.monotonic()
    written, errors = running.communicate()
    assert (running.returncode, written, errors) == (130, b"", b"")
    assert time.monotonic() - begin < 5
    assert not list(out.glob(".drafts-*"))
    assert cli.run(*command, "--out", str(out)).returncode == 0


def test_a_corpus_may_be_in_the_folder_that_it_is_made_of(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    out = tmp_path / "out"
    for is_new in (True, False):
        summary = corpus(tmp_path, out)
        assert (summary.documents, summary.is_new) == (1, is_new)


def test_two_processes_do_not_write_one_corpus(tmp_path, source):
    out = tmp_path / "out"
    out.mkdir()
    with whole_files.locked(str(out)) as is_free:
        assert is_free
        with pytest.raises(ManifestError, match="another process is writing this corpus"):
            corpus(source, out, **OPTIONS)


def test_an_unfinished_corpus_says_how_to_finish_it(tmp_path, monkeypatch, source):
    watch = Watch(monkeypatch)
    watch.last = 20
    with pytest.raises(Killed):
        corpus(source, tmp_path / "out", threads=1, **OPTIONS)
    watch.last = None
    with pytest.raises(ManifestError, match="is not finished; run the same command again"):
        verify(tmp_path / "out")
    with pytest.raises(ManifestError, match="has no manifest"):
        verify(tmp_path)


def test_an_error_in_one_thread_ends_all(tmp_path):
    source = tmp_path / "t.jsonl"
    lines = made.records(made.documents(4000, 6)).splitlines(keepends=True)
    lines[1000] = b"{\n"
    source.write_bytes(b"".join(lines))
    for threads in (1, 2, 4):
        with pytest.raises(InputError) as error:
            corpus(source, tmp_path / "out", field="text", shard_tokens=2000, threads=threads)
        assert error.value.line == 1001


MEMORY = """
import re, sys
from llama3_tok.data.corpora import corpus
summary = corpus(sys.argv[1], sys.argv[2], eos=True, threads=2)
# Not ru_maxrss, which begins with the memory of the process that started this one.
print(summary.tokens, re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.long
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_memory_is_bounded_whatever_the_size_of_a_document(tmp_path, packed):
    from text_files import written

    text = " ".join(made.documents(2000, 7)).encode()
    path = written(tmp_path / f"endless.txt{packed}", text * (200_000_000 // len(text)))
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path), str(tmp_path / "out")],
        capture_output=True,
        check=True,
        env=cli.environment(),
    )
    tokens, kilobytes = map(int, result.stdout.split())
    assert tokens > 25_000_000
    assert kilobytes < 200 * 1024


@pytest.mark.parametrize("shuffle", [None, 5])
def test_sections_are_planned_a_few_at_a_time(tmp_path, monkeypatch, source, shuffle):
    from llama3_tok.data.corpora import engines, run

    options = OPTIONS | {"shuffle": shuffle}
    corpus(source, tmp_path / "whole", **options)
    monkeypatch.setattr(run, "WAVE", 3)
    waves = []

    def engine(target, tasks, threads, report):
        waves.append(len(tasks))
        if len(waves) == 4:
            raise Killed
        engines.in_threads(target, tasks, threads, report)

    with pytest.raises(Killed):
        corpus(source, tmp_path / "out", engine=engine, **options)
    assert waves == [3, 3, 3, 3]
    corpus(source, tmp_path / "out", engine=engine, **options)
    assert waves[4:7] == [0, 0, 0]
    assert max(waves) == 3
    assert made.tree(tmp_path / "out") == made.tree(tmp_path / "whole")


def test_what_was_done_is_looked_up_once_and_not_for_each_section(tmp_path, monkeypatch, source):
    listed = []
    names = places.Local.names

    def counted(self, folder):
        listed.append(folder)
        return names(self, folder)

    monkeypatch.setattr(places.Local, "names", counted)
    corpus(source, tmp_path / "a", field="text", shard_tokens=1 << 20)
    few = len(listed)
    listed.clear()
    summary = corpus(source, tmp_path / "b", field="text", shard_tokens=300)
    assert summary.shards > 20
    assert len(listed) == few
