"""A manifest that somebody made up: its checksums are right, and what it says is not."""

import copy

import pytest

from fuzz_checks.manifest import COMMIT, END, JOB, SHARD
from llama3_tok.data.corpora.manifest import MANIFEST, Commit, ManifestError, checked, line_of
from llama3_tok.data.corpora.written import inspect, verify


def write(folder, *contents):
    (folder / MANIFEST).write_bytes(b"".join(map(line_of, contents)))
    return folder


def changed(content, **values):
    return {**copy.deepcopy(content), **values}


def without(content, name):
    return {key: value for key, value in content.items() if key != name}


ODD = {
    "nothing": [],
    "no_job": [SHARD, END],
    "two_jobs": [JOB, JOB, END],
    "no_end": [JOB, SHARD],
    "after_the_end": [JOB, END, SHARD],
    "end_alone": [END],
    "another_kind": [JOB, {"kind": "x"}, END],
    "no_kind": [JOB, {"a": 1}, END],
    "unknown_format": [changed(JOB, job={"format": "x", "splits": []}), SHARD, END],
    "format_is_a_list": [changed(JOB, job={"format": [], "splits": []}), SHARD, END],
    "no_splits": [changed(JOB, job={"format": "npy"}), END],
    "job_is_a_list": [changed(JOB, job=[]), END],
    "no_files": [JOB, without(SHARD, "files"), END],
    "files_is_a_list": [JOB, changed(SHARD, files=[]), END],
    "file_is_a_text": [JOB, changed(SHARD, files={"a": "b"}), END],
    "file_without_bytes": [JOB, changed(SHARD, files={"a": {"sha256": ""}}), END],
    "tokens_is_true": [JOB, changed(SHARD, tokens=True), END],
    "documents_below_zero": [JOB, changed(SHARD, documents=-1), END],
    "files_are_not_there": [JOB, SHARD, END],
    "no_files_of_the_format": [JOB, changed(SHARD, files={}), END],
    "no_counts": [JOB, without(END, "counts")],
    "length_of_petabytes": [JOB, changed(END, counts={"length_99999999999": 1})],
    "length_of_no_number": [JOB, changed(END, counts={"length_x": 1})],
    "count_is_a_text": [JOB, changed(END, counts={"tokens": "1"})],
    "fault_is_a_number": [JOB, changed(END, faults=[1])],
    "index_elsewhere": [JOB, changed(END, index={"/etc/passwd": {"bytes": 1, "sha256": ""}})],
}


@pytest.mark.parametrize("name", ODD)
def test_what_no_manifest_has_is_a_manifest_error(tmp_path, name):
    with pytest.raises(ManifestError):
        verify(write(tmp_path, *ODD[name]))


@pytest.mark.parametrize("name", ["unknown_format", "no_files", "files_are_not_there"])
def test_a_document_of_it_is_a_manifest_error(tmp_path, name):
    with pytest.raises(ManifestError):
        inspect(write(tmp_path, *ODD[name]), 0)


@pytest.mark.parametrize("outside", ["../other", "a/../../other", "/other", "a//b", "a\0b", ""])
def test_no_file_outside_of_the_folder_is_read(tmp_path, outside):
    (tmp_path / "other").write_bytes(b"a")
    noted = {outside: {"bytes": 1, "sha256": "0"}}
    folder = tmp_path / "corpus"
    folder.mkdir()
    for contents in (
        [JOB, changed(SHARD, files=noted), END],
        [JOB, changed(SHARD, name=outside), END],
        [JOB, changed(SHARD, split=outside), END],
        [JOB, changed(END, index=noted)],
    ):
        with pytest.raises(ManifestError, match="not what a manifest has there"):
            verify(write(folder, *contents))


@pytest.mark.parametrize(
    "line", [b'["check"]', b"[1]", b'"check"', b"1", b"null", b"{}", b"[" * 100_000, b""]
)
def test_a_line_of_no_object_is_not_as_it_was_written(line):
    assert checked(line + b"\n") is None


def test_a_commit_is_one_if_it_has_all_that_commits_have():
    read = Commit.of(line_of(COMMIT))
    assert read is not None
    assert read.data() == line_of(COMMIT)
    for name in COMMIT:
        if name != "next":
            assert Commit.of(line_of(without(COMMIT, name))) is None
    for next in ([1, "a"], [True], {}, 5, [1, 2, 3, 4]):
        assert Commit.of(line_of(changed(COMMIT, next=next))) is None
    assert Commit.of(line_of(changed(COMMIT, shards=[{}]))) is None
    assert Commit.of(line_of(changed(COMMIT, next=None))).next is None
