"""Counting files: which ones, what each holds, and what is wrong with the others.

`find` turns the paths of a command line into files, walking folders; `count` counts them. Counts
are exact and of the text alone: BOS is added only if asked for, one per text. A file that can't be
read is a `Fault` that names it, so that one bad file never hides the counts of the others.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from llama3_tok import _core, arguments
from llama3_tok._core import Options, UnpackedFile, walk
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
    """Found in a folder, not named: it is left out if it is binary or UTF-16."""


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


Refusal: TypeAlias = Literal["binary", "utf-16"]
"""Why a file is left out that was found in a folder."""


class How(NamedTuple):
    """What is counted of each file."""

    field: str | None = None
    """The files are JSONL: count this field of each line's JSON object."""
    bos: bool = False
    """Count BOS for each text."""
    decodes_utf16: bool = False
    """Decode files that begin with the byte order mark of UTF-16."""
    skips: bool = False
    """Skip lines that have no text in `field`; otherwise the first one is the file's fault."""
    limit: int | None = None
    """Count how many records have more tokens."""
    max_bytes: int | None = None
    """How many bytes a packed file may unpack to."""
    max_ratio: int | None = arguments.MAX_RATIO
    """How many times as many bytes as it is stored with."""


WHOLE_TEXT = How()


class Totals:
    """What one file holds, or several together.

    `texts` is 1 for a text file and the number of records for JSONL; `bytes` and `characters` are
    those of the text, unpacked; `invalid_utf8` says that some bytes were not UTF-8, each of which
    is one character. Of records, `longest` is the most tokens that one has and `longest_line` its
    line, `above` how many have more than the limit, `skipped` how many lines were skipped, and
    `first_skipped` the first one and why.
    """

    __slots__ = (
        "above",
        "bytes",
        "characters",
        "first_skipped",
        "invalid_utf8",
        "longest",
        "longest_line",
        "skipped",
        "texts",
        "tokens",
    )

    def __init__(
        self,
        texts: int = 0,
        tokens: int = 0,
        bytes: int = 0,
        characters: int = 0,
        invalid_utf8: bool = False,
        longest: int = 0,
        longest_line: int = 0,
        above: int = 0,
        skipped: int = 0,
        first_skipped: tuple[int, str] | None = None,
    ) -> None:
        self.texts, self.tokens, self.bytes, self.characters = texts, tokens, bytes, characters
        self.invalid_utf8 = invalid_utf8
        self.longest, self.longest_line, self.above = longest, longest_line, above
        self.skipped, self.first_skipped = skipped, first_skipped

    def add(self, other: "Totals") -> None:
        """Takes another file's totals in; which record is the longest is only known of a file."""
        self.texts += other.texts
        self.tokens += other.tokens
        self.bytes += other.bytes
        self.characters += other.characters
        self.invalid_utf8 |= other.invalid_utf8
        self.above += other.above
        self.skipped += other.skipped

    def as_tuple(self) -> tuple[Any, ...]:
        """What `Totals(*...)` makes the same of."""
        return (
            self.texts,
            self.tokens,
            self.bytes,
            self.characters,
            self.invalid_utf8,
            self.longest,
            self.longest_line,
            self.above,
            self.skipped,
            self.first_skipped,
        )

    @property
    def bytes_per_token(self) -> float | None:
        """None where there are no tokens."""
        return self.bytes / self.tokens if self.tokens else None


Counted: TypeAlias = Totals | Fault | Refusal
"""What becomes of a file."""

Progress: TypeAlias = Callable[[int], object]
"""Gets the bytes read so far of all files, as stored."""


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


def is_utf16(path: str) -> bool:
    """Whether a file begins with the byte order mark of UTF-16; a pipe is not asked."""
    try:
        if path == STANDARD_INPUT or not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError:  # it was counted, and is gone
        return False
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) and head != b"\xff\xfe\0\0"


def packing(path: str) -> str:
    """How a file is packed, by its name as the core reads it: ".gz", ".zst" or "".

    Whatever is before the last dot is a name, also another dot.
    """
    before, _, end = os.path.basename(path).rpartition(".")
    packed = f".{end.lower()}"
    return packed if before and packed in (".gz", ".zst") else ""


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
    how: How = WHOLE_TEXT,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, Counted]]:
    """The path of each source, with what it holds, what is wrong, or why it was left out.

    The files are counted on up to `threads` threads (default: all processors), and given in their
    order. `progress` gets the bytes read so far of all files, as stored.
    """
    given = [
        (None if source.path == STANDARD_INPUT else source.path, source.walked)
        for source in sources
        if isinstance(source, Source)
    ]
    counts = tokenizer.definition.core.totals(
        given,
        how.field,
        arguments.threads(threads),
        arguments.chosen({"bos": how.bos}, "count"),
        arguments.packed_limits({"max_bytes": how.max_bytes, "max_ratio": how.max_ratio}),
        progress,
        how.decodes_utf16,
        how.skips,
        how.limit,
    )
    for source in sources:
        yield source.path, source if isinstance(source, Fault) else _next(counts, source.path)
        if progress:
            progress(counts.read)


def chunks(
    tokenizer: Tokenizer, path: str, *, lines: bool, size: int, refuses_binary: bool
) -> Iterator[tuple[int, int, bytes]]:
    """A file, unpacked, in chunks of about `size` bytes: where each begins, lines before it, text.

    They end where the pattern always cuts and no added token reaches over, or with `lines` after a
    line break; where there is no such place one is longer. With `refuses_binary` a binary file has
    no chunks. Raises OSError, and InputError for a damaged archive.
    """
    return _core.FileChunks(tokenizer.definition.core, path, lines, size, refuses_binary)


def unpacked(path: str, max_ratio: int | None = arguments.MAX_RATIO) -> "UnpackedFile":
    """A file whose bytes are read one after the other; `.gz` and `.zst` are unpacked."""
    return _core.UnpackedFile(path, arguments.packed_limits({"max_ratio": max_ratio}))


def last_cut(tokenizer: Tokenizer, text: bytes, options: "Options | None") -> int | None:
    """The last position where a text may be cut whatever follows it; None if there is none."""
    return _core.last_cut(tokenizer.definition.core, text, options or _core.Options(False, False))


def identity(tokenizer: Tokenizer) -> list[Any]:
    """What the counts of a tokenizer depend on, as JSON has it."""
    definition = tokenizer.definition
    core = definition.core
    return [definition.sha256, definition.profile, core.added_tokens, core.roles]


def record_text(record: bytes, field: str) -> bytes:
    """The text in a field of a line of JSONL. Raises ValueError for a line without it."""
    return _core.record_text(record, field)


def _next(counts: "Files[CoreTotals | Refusal]", path: str) -> Counted:
    try:
        counted = next(counts)
    except (OSError, InputError) as error:
        return _fault(error, path)
    except MemoryError:
        reason = "out of memory: it has too long a part without a place where it may be cut"
        return Fault(path, reason)
    return counted if isinstance(counted, str) else Totals(**counted)


def _fault(error: Exception, path: str) -> Fault:
    if isinstance(error, InputError):
        return Fault(error.path or path, error.reason, error.line)
    if isinstance(error, OSError):
        return Fault(os.fsdecode(error.filename or path), error.strerror or str(error))
    raise error
