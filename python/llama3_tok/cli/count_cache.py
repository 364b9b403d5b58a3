"""`llama3-tok count --cache`: counts of files that were counted before.

A count is found in two ways. A file that has its path, device, inode, size, and times of its last
change and of its status (in nanoseconds) has its count. For any other file its SHA-256 is asked
for, so a copy, or a file that was only touched, is read and not counted. The tokenizer, all options
that change a count, and the version of this package belong to both keys.

What could be wrong is not kept. A file has to be as it was before and after it was read, and its
last change must be older than the ticks of any file system. Setting a file's time back changes that
of its status. What a system makes up when it is read, as in /proc, is never kept. Windows has no
time of the status, so there the content is always asked. One change has no time at all until the
system writes it to the disk: that of a file through a mapping of its memory.
"""

import hashlib
import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from llama3_tok import __version__
from llama3_tok.cli.terminal import complain
from llama3_tok.text import files
from llama3_tok.text.files import Counted, Fault, How, Progress, Source, Totals
from llama3_tok.tokenizer import Tokenizer

__all__ = ["CountCache", "cache_file", "counted"]

SETTLED_SECONDS = 5
"""How long ago the last change of a file must be: FAT, the coarsest, has ticks of two seconds."""

_MOST_COUNTS = 1_000_000
_WRITTEN_TOGETHER = 1000
_HAS_STATUS_TIME = os.name != "nt"
_TABLES = """
CREATE TABLE IF NOT EXISTS places (key BLOB PRIMARY KEY, identity TEXT, content BLOB);
CREATE TABLE IF NOT EXISTS counts (key BLOB PRIMARY KEY, counted TEXT);
"""


def cache_file() -> Path:
    """Where counts are kept: LLAMA3_TOK_CACHE, else the user's folder of caches."""
    if given := os.environ.get("LLAMA3_TOK_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "llama3_tok" / "counts.sqlite"


def counted(
    tokenizer: Tokenizer,
    sources: Sequence[Source | Fault],
    how: How,
    *,
    threads: int | None,
    progress: Progress | None,
) -> Iterator[tuple[str, Counted]]:
    """What `files.count` gives, of which files that are known are not counted.

    A cache that can't be used is said on standard error, and all files are counted.
    """
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        cache = CountCache(path, tokenizer, how)
        looked_up = [cache.look_up(source) for source in sources]
    except (sqlite3.Error, OSError) as error:
        complain(f"{path}: the cache of counts can't be used: {error}; all files are counted")
        yield from files.count(tokenizer, sources, how, threads=threads, progress=progress)
        return
    known = [one.source for one in looked_up if one.counted is not None]
    known_bytes = files.stored_bytes(known) or 0
    results = files.count(
        tokenizer,
        [one.source for one in looked_up if one.counted is None],
        how,
        threads=threads,
        progress=progress and (lambda read: progress(known_bytes + read)),
    )
    with closing(cache):
        for one in looked_up:
            if one.counted is not None:
                yield one.source.path, one.counted
                continue
            _, found = next(results)
            cache.keep(one, found)
            yield one.source.path, found


class _Looked(NamedTuple):
    """A file, and what is known of it."""

    source: Source | Fault
    counted: Counted | None
    identity: str | None
    """As it was before it was read; None for what is not kept."""
    content: bytes


class CountCache:
    """The counts of one tokenizer and one way to count, in a database."""

    def __init__(self, path: Path, tokenizer: Tokenizer, how: How) -> None:
        self._path = path
        # Each statement by itself is a transaction: nobody waits while this one counts.
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._connection.executescript(_TABLES)
        self._places: list[tuple[bytes, str, bytes]] = []
        self._counts: list[tuple[bytes, str]] = []
        """What is to be written."""
        setup = [__version__, files.identity(tokenizer), how]
        self._setup = hashlib.sha256(_json(setup).encode()).digest()

    def look_up(self, source: Source | Fault) -> _Looked:
        """What is known of a file; its content is read if its identity is not known."""
        nothing = _Looked(source, None, None, b"")
        if isinstance(source, Fault) or source.path == files.STANDARD_INPUT:
            return nothing
        try:
            identity = _identity(source.path)
            if identity is None:
                return nothing
            if _HAS_STATUS_TIME:
                content = self._content_at(source, identity)
                if content and (counted := self._count_of(source, content)) is not None:
                    return _Looked(source, counted, identity, content)
            with open(source.path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
                if file.tell() != os.fstat(file.fileno()).st_size:
                    return nothing  # what a system makes up when it is read
        except OSError:  # counting says what is wrong
            return nothing
        looked = _Looked(source, self._count_of(source, content), identity, content)
        if looked.counted is not None:
            self._keep_place(looked)
        return looked

    def keep(self, looked: _Looked, counted: Counted) -> None:
        """Takes a count in, if it can't be wrong."""
        if isinstance(counted, Fault) or not self._keep_place(looked):
            return
        value = counted if isinstance(counted, str) else counted.as_tuple()
        key = self._key("content", _kind(looked.source), looked.content.hex())
        self._counts.append((key, _json(value)))
        if len(self._counts) >= _WRITTEN_TOGETHER:
            self._write()

    def _keep_place(self, looked: _Looked) -> bool:
        """Whether a file is as it was when it was looked up, and will differ when it changes."""
        try:
            if looked.identity is None or _identity(looked.source.path) != looked.identity:
                return False
        except OSError:
            return False
        *_, changed, status_changed = json.loads(looked.identity)
        if max(changed, status_changed) > time.time_ns() - SETTLED_SECONDS * 1_000_000_000:
            return False
        key = self._key("place", _kind(looked.source), os.path.abspath(looked.source.path))
        self._places.append((key, looked.identity, looked.content))
        return True

    def close(self) -> None:
        """Writes what was taken in."""
        self._write()
        self._connection.close()

    def _write(self) -> None:
        """Writes, and forgets the oldest of very many."""
        if not self._places:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT OR REPLACE INTO places VALUES (?, ?, ?)", self._places
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO counts VALUES (?, ?)", self._counts
            )
            for table in ("counts", "places"):
                self._connection.execute(
                    f"DELETE FROM {table} WHERE rowid <= (SELECT max(rowid) FROM {table}) - ?",
                    [_MOST_COUNTS],
                )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            complain(f"{self._path}: warning: counts were not put into the cache: {error}")
        self._places, self._counts = [], []

    def _content_at(self, source: Source, identity: str) -> bytes | None:
        key = self._key("place", _kind(source), os.path.abspath(source.path))
        row = self._connection.execute(
            "SELECT content FROM places WHERE key = ? AND identity = ?", [key, identity]
        ).fetchone()
        return None if row is None else bytes(row[0])

    def _count_of(self, source: Source, content: bytes) -> Counted | None:
        key = self._key("content", _kind(source), content.hex())
        row = self._connection.execute("SELECT counted FROM counts WHERE key = ?", [key]).fetchone()
        if row is None:
            return None
        return _counted(row[0])

    def _key(self, *parts: object) -> bytes:
        return hashlib.sha256(self._setup + _json(parts).encode()).digest()


def _counted(row: object) -> Counted | None:
    """A row of the database as a count; None for what is none, and is counted again."""
    try:
        value: Any = json.loads(row) if isinstance(row, str) else None
    except (ValueError, RecursionError):
        return None
    if value in ("binary", "utf-16"):
        return "binary" if value == "binary" else "utf-16"
    sums = value[:5] if isinstance(value, list) and len(value) == len(Totals.__slots__) else []
    return Totals(*value) if sums and all(isinstance(sum, int) for sum in sums) else None


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON
    # A path that is not UTF-8 has surrogates, which JSON writes as escapes.
    return json.dumps(value)


def _kind(source: Source | Fault) -> list[Any]:
    """What counting depends on besides the content: whether it was named, and how it is packed."""
    is_walked = isinstance(source, Source) and source.walked
    return [is_walked, files.packing(source.path)]


def _identity(path: str) -> str | None:
    """What changes when a file does; None for what is not a file on a disk, as a pipe."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return None
    changed, status_changed = status.st_mtime_ns, status.st_ctime_ns
    return _json([status.st_dev, status.st_ino, status.st_size, changed, status_changed])
