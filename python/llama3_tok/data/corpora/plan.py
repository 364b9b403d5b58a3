"""The plan of a corpus: its files, and the sections of them that are worked on one by one.

Sections are cut by position in the input alone, so they are the same for any number of workers, on
one machine or on many. Those of plain text and JSONL files end where a document does.
"""

from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from llama3_tok.data.corpora.job import Job, Kind
from llama3_tok.data.places import File, Place
from llama3_tok.errors import InputError, Llama3TokError
from llama3_tok.extras import require

__all__ = ["Part", "Section", "files_of", "sections"]

BYTES_PER_TOKEN = 4
"""Bytes of input that are taken for a token where sections are cut; English text has 4.5."""
_PACKED_RATIO = 3
"""How much longer packed text is taken to be than its file."""
_LOOK_BYTES = 1 << 20


class Part(NamedTuple):
    """A file, or a part of one.

    `begin` and `end` are bytes, or groups of rows of a Parquet file. A packed file is one part.
    """

    path: str
    size: int
    changed: int
    """When the file was last changed, in nanoseconds."""
    kind: Kind
    begin: int
    end: int
    is_packed: bool
    stored_bytes: int
    """How many bytes of the file it stands for."""

    @property
    def is_first(self) -> bool:
        """Whether its file begins with it."""
        return self.begin == 0


class Section(NamedTuple):
    """What one worker does at a time: parts of files in order."""

    number: int
    parts: tuple[Part, ...]

    @property
    def stored_bytes(self) -> int:
        """About how many bytes are read for it."""
        return sum(part.stored_bytes for part in self.parts)


def files_of(job: Job, inputs: Place) -> list[File]:
    """The files of a job in order: those named, of folders all that are not hidden, of globs all.

    Raises Llama3TokError for an input without files.
    """
    found: dict[str, File] = {}
    for name in job.inputs:
        files = list(inputs.files(name))
        if not files:
            raise Llama3TokError(
                f"{name}: no file has this name, is in this folder or matches this pattern"
            )
        for file in files:
            found.setdefault(file.path, file)
    return list(found.values())


def sections(job: Job, files: Iterable[File], inputs: Place) -> Iterator[Section]:
    """The sections of a job: each has about as many bytes as a shard has tokens, times four."""
    target = max(job.shard_tokens * BYTES_PER_TOKEN, 1)
    parts: list[Part] = []
    number, weight = 0, 0
    for file in files:
        for part, bytes_of_part in _parts(job, file, inputs, target):
            parts.append(part)
            weight += bytes_of_part
            if weight >= target:
                yield Section(number, tuple(parts))
                number, parts, weight = number + 1, [], 0
    if parts:
        yield Section(number, tuple(parts))


def _parts(job: Job, file: File, inputs: Place, target: int) -> Iterator[tuple[Part, int]]:
    """The parts of a file, with about how many bytes of text each has."""
    kind, is_packed = job.kind_of(file.path), file.path.endswith((".gz", ".zst"))
    described = (file.path, file.size, file.changed, kind)
    if kind == "parquet":
        groups = list(_row_groups(file, inputs, target))
        total = max(sum(size for _, _, size in groups), 1)
        for begin, end, size in groups:
            yield Part(*described, begin, end, False, file.size * size // total), size
        return
    if is_packed or kind == "file" or file.size < target + target // 2:
        weight = file.size * _PACKED_RATIO if is_packed else file.size
        yield Part(*described, 0, file.size, is_packed, file.size), weight
        return
    separator = b"\n" if kind != "separator" else job.separator.encode()
    begin = 0
    with inputs.open(file.path) as stream:
        while begin < file.size:
            end = _next_cut(stream, begin + target, file.size, separator)
            if file.size - end < target // 2:
                end = file.size
            yield Part(*described, begin, end, False, end - begin), end - begin
            begin = end


def _next_cut(stream: IO[bytes], at: int, size: int, separator: bytes) -> int:
    """Where the first document begins whose separator begins at `at` or after it."""
    while at < size:
        stream.seek(at)
        held = stream.read(_LOOK_BYTES)
        found = held.find(separator)
        if found >= 0:
            return at + found + len(separator)
        if len(held) < len(separator):
            break
        # A separator may begin in what was read and end after it.
        at += len(held) - len(separator) + 1
    return size


def _row_groups(file: File, inputs: Place, target: int) -> Iterator[tuple[int, int, int]]:
    parquet = require("pyarrow.parquet", "data")
    try:
        with inputs.open(file.path) as stream:
            metadata = parquet.ParquetFile(stream).metadata
    except Exception as error:
        if type(error).__module__.startswith("pyarrow"):
            reason = f"this is not a Parquet file: {error}"
            raise InputError(f"{file.path}: {reason}", file.path, None, reason) from error
        raise
    begin, weight = 0, 0
    for group in range(metadata.num_row_groups):
        weight += metadata.row_group(group).total_byte_size
        if weight >= target or group + 1 == metadata.num_row_groups:
            yield begin, group + 1, weight
            begin, weight = group + 1, 0
