"""Counting files: which ones, what each holds, and what is wrong with the others.

`find` turns the paths of a command line into files, walking folders; `count` counts them. Counts
are exact and of the text alone: BOS is added only if asked for, one per text. A file that can't be
read is a `Fault` that names it, so that one bad file never hides the counts of the others.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from llama3_tok import _core, arguments
from llama3_tok._core import walk
from llama3_tok.errors import InputError
from llama3_tok.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llama3_tok._core import CoreTotals, Files

STANDARD_INPUT = "-"

# What a folder's files must be named to be read as JSONL.
JSONL = tuple(name + packed for name in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst"))


class Source(NamedTuple):
    """A file to count."""

    path: str
    walked: bool
    """Found in a folder, not named: it is left out if it is binary."""


class Fault(Exception):
    """What is wrong with one file: `path`, `line` (from 1, or None) and `reason`."""

    def __init__(self, path: str, reason: str, line: int | None = None) -> None:
        super().__init__(path, reason, line)
        self.path, self.reason, self.line = path, reason, line

    def __str__(self) -> str:
        """As in `data.jsonl, line 3: no field "text"`."""
        name = "standard input" if self.path == STANDARD_INPUT else self.path
        place = name if self.line is None else f"{name}, line {self.line}"
        return f"{place}: {self.reason}"


class Totals:
    """What one file holds, or several together.

    `texts` is 1 for a text file and the number of records for JSONL; `bytes` and `characters` are
    those of the text, unpacked; `invalid_utf8` says that some bytes were not UTF-8, each of which
    is one character.
    """

    __slots__ = ("bytes", "characters", "invalid_utf8", "texts", "tokens")

    def __init__(
        self,
        texts: int = 0,
        tokens: int = 0,
        bytes: int = 0,
        characters: int = 0,
        invalid_utf8: bool = False,
    ) -> None:
        self.texts, self.tokens, self.bytes, self.characters = texts, tokens, bytes, characters
        self.invalid_utf8 = invalid_utf8

    def add(self, other: "Totals") -> None:
        """Takes another file's totals in."""
        self.texts += other.texts
        self.tokens += other.tokens
        self.bytes += other.bytes
        self.characters += other.characters
        self.invalid_utf8 |= other.invalid_utf8

    @property
    def bytes_per_token(self) -> float | None:
        """None where there are no tokens."""
        return self.bytes / self.tokens if self.tokens else None


def find(
    paths: Iterable[str],
    *,
    hidden: bool = False,
    no_ignore: bool = False,
    globs: Iterable[str] = (),
    field: str | None = None,
) -> Iterator[Source | Fault]:
    """The files that paths name, in order, those of a folder in the order of their paths.

    Folders are walked as `git` sees them: what `.gitignore` leaves out is left out (`no_ignore`),
    and so are hidden files (`hidden`). `globs` narrow the walk, or with `!` in front exclude. With
    `field` a folder gives its JSONL files alone. Named files are always given.
    """
    for path in paths:
        if is_folder(path):
            yield from _walked(path, hidden, no_ignore, list(globs), field)
        else:
            yield Source(path, walked=False)


def is_folder(path: str) -> bool:
    """Whether `find` walks it."""
    return path != STANDARD_INPUT and os.path.isdir(path)


def stored_size(path: str) -> int | None:
    """Bytes on the disk; None for what has no size beforehand, as a pipe. Missing files have 0."""
    try:
        status = os.fstat(0) if path == STANDARD_INPUT else os.stat(path)
    except OSError:  # what it is, reading the file says
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def stored_bytes(sources: Iterable[Source | Fault]) -> int | None:
    """Those of all files together, as `stored_size`; None if one has no size beforehand."""
    sizes = [stored_size(source.path) for source in sources]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _walked(
    root: str, hidden: bool, no_ignore: bool, globs: list[str], field: str | None
) -> Iterator[Source | Fault]:
    try:
        found = walk(root, hidden, no_ignore, globs)
    except InputError as error:
        yield _fault(error, root)
        return
    for path in found:
        if isinstance(path, Exception):
            yield _fault(path, root)
        elif field is None or path.lower().endswith(JSONL):
            yield Source(path, walked=True)


def count(
    tokenizer: Tokenizer,
    sources: Sequence[Source | Fault],
    *,
    field: str | None = None,
    bos: bool = False,
    threads: int | None = None,
    limits: Mapping[str, int | None] = MappingProxyType({}),
    progress: Callable[[int], object] | None = None,
) -> Iterator[tuple[str, Totals | Fault | None]]:
    """The path of each source, with what it holds, or what is wrong; None for a walked binary file.

    `field` counts that field of each line's JSON object. `bos` counts BOS for each text. The files
    are counted on up to `threads` threads (default: all processors), and given in their order.
    `limits` has `max_bytes` and `max_ratio` for packed files, as `Tokenizer.count_file` has them.
    `progress` gets the bytes read so far of all files, as stored.
    """
    given = [
        (None if source.path == STANDARD_INPUT else source.path, source.walked)
        for source in sources
        if isinstance(source, Source)
    ]
    options = arguments.chosen({"bos": bos}, "count")
    counts = tokenizer.definition.core.totals(
        given,
        field,
        arguments.threads(threads),
        options,
        arguments.packed_limits(limits),
        progress,
    )
    for source in sources:
        yield source.path, source if isinstance(source, Fault) else _next(counts, source.path)
        if progress:
            progress(counts.read)


def chunks(
    tokenizer: Tokenizer, path: str, *, lines: bool, size: int, refuses_binary: bool
) -> Iterator[tuple[int, int, bytes]]:
    """A file, unpacked, in chunks of about `size` bytes: where each begins, lines before it, text.

    They end where the pattern always cuts and no added token reaches over, or with `lines` behind a
    line break; where there is no such place one is longer. With `refuses_binary` a binary file has
    no chunks. Raises OSError, and InputError for a damaged archive.
    """
    return _core.FileChunks(tokenizer.definition.core, path, lines, size, refuses_binary)


def record_text(record: bytes, field: str) -> bytes:
    """The text in a field of a line of JSONL. Raises ValueError for a line without it."""
    return _core.record_text(record, field)


def _next(counts: "Files[CoreTotals | None]", path: str) -> Totals | Fault | None:
    try:
        counted = next(counts)
    except (OSError, InputError) as error:
        return _fault(error, path)
    except MemoryError:
        reason = "out of memory: it has too long a part without a place where it may be cut"
        return Fault(path, reason)
    if counted is None:
        return None
    return Totals(**counted)


def _fault(error: Exception, path: str) -> Fault:
    if isinstance(error, InputError):
        return Fault(error.path or path, error.reason, error.line)
    if isinstance(error, OSError):
        return Fault(os.fsdecode(error.filename or path), error.strerror or str(error))
    raise error
