"""What was written, and proof of it.

While a corpus is made, `_progress` has a small file for each commit. In the end `manifest.jsonl`
takes their place: a line for the job, one for each shard in order, and one for the whole. Each line
ends with a checksum of what is before it, and names the SHA-256 of each file. It is the same for
each run of a job, however often it was interrupted.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from llama3_tok.data.corpora.chunk import Position
from llama3_tok.data.places import Place
from llama3_tok.errors import Llama3TokError

__all__ = [
    "MANIFEST",
    "PROGRESS",
    "Commit",
    "ManifestError",
    "begun",
    "commit_path",
    "committed",
    "line_of",
    "lines_of",
    "of_file",
]

MANIFEST = "manifest.jsonl"
PROGRESS = "_progress"
_CHECK = "check"
_DIGITS = 9
_COMMIT = re.compile(r"\d{9}-\d{6}\.json")
# What lines have by their kind, and commits: a checksum says that a line is as somebody wrote it,
# and not who it was.
_SHAPES: dict[str, dict[str, type]] = {
    "job": {"version": int, "llama3_tok": str, "profile": str, "libraries": dict, "job": dict},
    "shard": {
        "name": str,
        "split": str,
        "documents": int,
        "tokens": int,
        "masked": bool,
        "files": dict,
    },
    "end": {"counts": dict, "faults": list, "index": dict},
    "commit": {"section": int, "group": int, "shards": list, "counts": dict, "faults": list},
}
_COUNT = re.compile(r"length_\d\d|(?!length_).+")


class ManifestError(Llama3TokError):
    """A corpus that is not what its manifest says; `path` is the file that it is about."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


@dataclass
class Commit:
    """The shards that one step wrote, and where in its section the next step begins."""

    section: int
    group: int
    next: Position | None
    """None if the section is done."""
    shards: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def data(self) -> bytes:
        """As it is written."""
        return line_of(
            {
                "section": self.section,
                "group": self.group,
                "next": None if self.next is None else list(self.next),
                "shards": self.shards,
                "counts": dict(sorted(self.counts.items())),
                "faults": self.faults,
            }
        )

    @classmethod
    def of(cls, data: bytes) -> "Commit | None":
        """What `data` gave; None for what was not written to its end."""
        given = checked(data)
        if given is None or not _has_shape(given, "commit"):
            return None
        next = given.get("next")
        if not all(isinstance(one, dict) and _has_shape(one, "shard") for one in given["shards"]):
            return None
        if next is not None and not _is_position(next):
            return None
        at = None if next is None else Position(*next)
        counts = Counter(given["counts"])
        return cls(given["section"], given["group"], at, given["shards"], counts, given["faults"])


def commit_path(folder: str, section: int, group: int) -> str:
    """Where a commit is written."""
    return os.path.join(folder, PROGRESS, f"{section:0{_DIGITS}d}-{group:06d}.json")


def committed(place: Place, folder: str, section: int) -> list[Commit]:
    """The commits of a section that follow each other from the first on."""
    commits: list[Commit] = []
    while not commits or commits[-1].next is not None:
        try:
            commit = Commit.of(place.read(commit_path(folder, section, len(commits))))
        except FileNotFoundError:
            break
        if commit is None:
            break
        commits.append(commit)
    return commits


def begun(place: Place, folder: str) -> npt.NDArray[np.int64]:
    """The numbers of the sections that have commits, ascending."""
    names = place.names(os.path.join(folder, PROGRESS))
    numbers = (int(name[:_DIGITS]) for name in names if _COMMIT.fullmatch(name))
    return np.unique(np.fromiter(numbers, np.int64))


def line_of(content: Mapping[str, Any]) -> bytes:
    """A line of JSON with a checksum: the first 16 digits of the SHA-256 of the line without it."""
    text = json.dumps(content, ensure_ascii=True, separators=(", ", ": "))
    check = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f'{text[:-1]}, "{_CHECK}": "{check}"}}\n'.encode()


def checked(line: bytes) -> dict[str, Any] | None:
    """The content of a line; None if it is not as it was written."""
    try:
        content = json.loads(line)
        if not isinstance(content, dict):
            return None
        del content[_CHECK]
        return content if line_of(content) == line else None
    except (ValueError, KeyError, RecursionError):
        return None


def _has_shape(content: Mapping[str, Any], kind: str) -> bool:
    """Whether a line, or a commit, has what its readers take, and names no file elsewhere."""
    if not all(type(content.get(name)) is kind for name, kind in _SHAPES[kind].items()):
        return False
    numbers = (content[name] for name, kind in _SHAPES[kind].items() if kind is int)
    if any(number < 0 for number in numbers):
        return False
    counts = content.get("counts", {}).items()
    if not all(_COUNT.fullmatch(name) and type(count) is int for name, count in counts):
        return False
    if kind == "job":
        splits = content["job"].get("splits")
        return isinstance(splits, list) and isinstance(content["job"].get("format"), str)
    if not all(isinstance(fault, str) for fault in content.get("faults", [])):
        return False
    files = {**content.get("files", {}), **content.get("index", {})}
    names = [*files, *(content[name] for name in ("name", "split") if name in content)]
    noted = all(
        isinstance(file, dict)
        and type(file.get("bytes")) is int
        and isinstance(file.get("sha256"), str)
        for file in files.values()
    )
    return noted and all(map(_is_inside, names))


def _is_inside(name: str) -> bool:
    """Whether a name is that of something in a folder, and not of something elsewhere."""
    parts = name.replace(os.sep, "/").split("/")
    return "\0" not in name and not os.path.isabs(name) and not {"", ".."} & set(parts)


def _is_position(given: object) -> bool:
    """Whether numbers are a `Position`, of which the last is true or false."""
    kinds = [int, int, int, bool]
    return isinstance(given, list) and [type(one) for one in given] == kinds[: len(given)]


def lines_of(place: Place, folder: str) -> Iterator[dict[str, Any]]:
    """The lines of a manifest.

    The first is the job's, the last says that it is the end, and those between are of shards.

    Raises FileNotFoundError if there is none, and ManifestError for a line that was changed or is
    not one of these, and for lines that are missing at the end.
    """
    path = os.path.join(folder, MANIFEST)
    kind, number = None, 0
    with place.open(path) as file:
        rest = b""
        while data := file.read(1 << 20):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                number += 1
                content = checked(line + b"\n")
                if content is None:
                    raise ManifestError(
                        f"{path}:{number}: this line is not as it was written", path
                    )
                before, kind = kind, content.get("kind")
                follows = kind == "job" if before is None else before != "end" and kind != "job"
                if not (follows and kind in ("job", "shard", "end") and _has_shape(content, kind)):
                    raise ManifestError(
                        f"{path}:{number}: this line is not what a manifest has there; write the "
                        "corpus again",
                        path,
                    )
                yield content
    if rest or kind != "end":
        raise ManifestError(f"{path}: the end of the manifest is missing", path)


def of_file(path: str) -> dict[str, Any]:
    """Size and SHA-256 of a local file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}
