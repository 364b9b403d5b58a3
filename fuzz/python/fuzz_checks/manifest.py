"""A corpus whose manifest, and what a run left of its progress, have any content."""

import json
import shutil
from pathlib import Path

from fuzz_checks.given import text_of
from fuzz_checks.small import place
from llama3_tok.data.corpora.manifest import (
    MANIFEST,
    PROGRESS,
    Commit,
    ManifestError,
    begun,
    checked,
    commit_path,
    committed,
    line_of,
    lines_of,
)
from llama3_tok.data.corpora.written import inspect, verify
from llama3_tok.data.places import Local

JOB = {
    "kind": "job",
    "version": 1,
    "llama3_tok": "0",
    "profile": "llama3.1",
    "libraries": {},
    "job": {"format": "npy", "splits": []},
}
SHARD = {
    "kind": "shard",
    "name": "00000",
    "split": "train",
    "tokens": 2,
    "documents": 1,
    "masked": False,
    "files": {"00000.npy": {"bytes": 1, "sha256": "00"}},
}
END = {"kind": "end", "counts": {"tokens": 2, "length_01": 1}, "index": {}, "faults": []}
COMMIT = {
    "section": 0,
    "group": 0,
    "next": [0, 1, 2, False],
    "shards": [],
    "counts": {},
    "faults": [],
}


def check(data: bytes) -> None:
    """The input is a manifest. After `+` its lines are contents, which are signed as runs do it."""
    if data[:1] == b"+":
        data = b"".join(map(_signed, data[1:].split(b"\n")))
    folder = place() / "corpus"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / PROGRESS).mkdir(parents=True)
    (folder / MANIFEST).write_bytes(data)
    for line in data.splitlines(keepends=True):
        content = checked(line)
        assert content is None or line_of(content) == line
    # Lines as commits, as far as they are commits.
    first, _, rest = data.partition(b"\n")
    for number, part in enumerate((first + b"\n", rest)):
        commit = Commit.of(part)
        assert commit is None or Commit.of(commit.data()) == commit
        Path(commit_path(str(folder), 0, number)).write_bytes(part)
    committed(Local(), str(folder), 0)
    assert begun(Local(), str(folder)).tolist() == [0]
    for read in (
        lambda: list(lines_of(Local(), str(folder))),
        lambda: verify(folder),
        lambda: inspect(folder, 0),
        lambda: inspect(folder, 3, split="a"),
    ):
        try:
            read()
        except ManifestError as error:
            assert len(str(error)) <= 1000
        except IndexError as error:
            assert "there is no document" in str(error)


def _signed(line: bytes) -> bytes:
    """A line with its checksum; as it is if it is not an object."""
    try:
        content = json.loads(line)
        return line_of(content) if isinstance(content, dict) else line + b"\n"
    except (ValueError, RecursionError):
        return line + b"\n"


def seeds() -> dict[str, bytes]:
    """A manifest as it is written, its contents, and what is of another kind."""
    contents = [JOB, SHARD, END]
    lines = [json.dumps(content).encode() for content in contents]
    return {
        "whole": b"".join(map(line_of, contents)),
        "contents": b"+" + b"\n".join(lines),
        "without_shards": b"+" + lines[0] + b"\n" + lines[2],
        "commit": b"+" + json.dumps(COMMIT).encode() + b"\n" + lines[2],
        "list": b'["check"]\n' + text_of(b"{}").encode(),
    }
