"""What is compared: texts out of files, and conversations.

A file that is at most `item_bytes` long is one item, uncut. A longer one is cut where the pattern
always cuts, so the ids of its items, one after the other, are those of the file for every
tokenizer that has the pattern; where it can't be cut an item is longer. A JSONL record is one item.
Files are read piece by piece. Standard input and pipes go to a temporary file first, which is then
read like any other.
"""

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

from llama3_tok.errors import InputError
from llama3_tok.text import files
from llama3_tok.tokenizer import Tokenizer

__all__ = ["ITEM_BYTES", "Chat", "Input", "Inputs", "Item"]

ITEM_BYTES = 8 << 20
_LINES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Chat:
    """A conversation, and the options of `Tokenizer.encode_chat` that go with it."""

    messages: list[dict[str, Any]]
    options: dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One thing that is encoded by everybody."""

    name: str
    """For people, as `corpus.jsonl, line 7`."""
    group: str
    """The file that it is from, or the part of the battery."""
    text: bytes = b""
    special: bool = False
    """Whether special tokens are allowed in the text."""
    chat: Chat | None = None

    @property
    def kind(self) -> str:
        """What a reference must be able to take: "text" or "chat"."""
        return "text" if self.chat is None else "chat"


@dataclass
class Input:
    """A file that was read."""

    name: str
    bytes: int
    """As stored."""
    sha256: str
    """Of what is stored."""
    items: int = 0
    cut: bool = False
    """Whether it is longer than one item."""


class Inputs:
    """The items of files and folders; `inputs` are the files, as far as they were read.

    `field` reads JSONL, and that field of each record: a text, or with `chat` a list of messages.

    Iterating raises what is wrong with a file: OSError, or InputError with path and line.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        paths: Iterable[str],
        *,
        field: str | None = None,
        chat: bool = False,
        item_bytes: int = ITEM_BYTES,
    ) -> None:
        self.inputs: list[Input] = []
        self.read = 0
        """Bytes of files so far, as stored."""
        self.is_read = False
        """Whether all items of all files were given."""
        self._tokenizer, self._chat, self._item_bytes = tokenizer, chat, item_bytes
        self._field = "messages" if chat and field is None else field
        paths = list(paths)
        self._given = bool(paths)
        for path in paths:
            if path != files.STANDARD_INPUT:
                os.stat(path)  # better now than when the references are loaded
        self._sources = list(files.find(paths, field=self._field))

    def __bool__(self) -> bool:
        """Whether any path was given."""
        return self._given

    @property
    def size(self) -> int | None:
        """Bytes of all files; None if one has no size beforehand."""
        return files.stored_bytes(self._sources)

    def __iter__(self) -> Iterator[Item]:
        """The items, in the order of the files."""
        for source in self._sources:
            if isinstance(source, files.Fault):
                raise InputError(str(source), source.path, source.line, source.reason)
            yield from self._file(source)
        self.is_read = True

    def _file(self, source: files.Source) -> Iterator[Item]:
        name = "standard input" if source.path == files.STANDARD_INPUT else source.path
        with ExitStack() as stack:
            path = source.path
            if not _is_regular(path):
                path = stack.enter_context(_spooled(path)).name
            with open(path, "rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
            entry = Input(name, size, sha256)
            # One byte more, so that a file of exactly that length is seen to end.
            length = self._item_bytes + 1 if self._field is None else _LINES
            chunks = files.chunks(
                self._tokenizer,
                path,
                lines=self._field is not None,
                size=length,
                refuses_binary=source.walked,
            )
            before = self.read
            for offset, line, text in chunks:
                if not entry.items:
                    self.inputs.append(entry)
                for item in self._items(entry, offset, line, text):
                    entry.items += 1
                    yield item
                # What is unpacked may be longer than what is stored.
                self.read = min(self.read + len(text), before + size)
            self.read = before + size

    def _items(self, entry: Input, offset: int, line: int, text: bytes) -> Iterator[Item]:
        name = entry.name
        if self._field is None:
            entry.cut |= offset > 0
            yield Item(f"{name}, byte {offset:,}" if offset else name, name, text)
            return
        text = text.removeprefix(_BYTE_ORDER_MARK) if not offset else text
        for number, record in enumerate(text.split(b"\n"), line + 1):
            if record.strip():
                yield self._record(name, number, record)

    def _record(self, name: str, number: int, record: bytes) -> Item:
        assert self._field is not None
        place = f"{name}, line {number}"
        try:
            if self._chat:
                return Item(place, name, chat=_conversation(record, self._field))
            return Item(place, name, files.record_text(record, self._field))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: {error}", name, number, str(error)) from None


def _conversation(record: bytes, field: str) -> Chat:
    given = json.loads(record)
    messages = given.get(field) if isinstance(given, dict) else None
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise ValueError(f"no list of messages in the field {field!r}")
    tools = given.get("tools")
    return Chat(messages, {} if tools is None else {"tools": tools})


def _is_regular(path: str) -> bool:
    return path != files.STANDARD_INPUT and stat.S_ISREG(os.stat(path).st_mode)


def _spooled(path: str) -> "tempfile._TemporaryFileWrapper[bytes]":
    """All that comes out of a pipe, in a file that goes away when it is closed."""
    suffix = "".join(end for end in (".gz", ".zst") if path.endswith(end))
    spool = tempfile.NamedTemporaryFile(suffix=suffix)  # noqa: SIM115 - the caller closes it
    stream: IO[bytes]
    if path == files.STANDARD_INPUT:
        shutil.copyfileobj(sys.stdin.buffer, spool)
    else:
        with open(path, "rb") as stream:
            shutil.copyfileobj(stream, spool)
    spool.flush()
    return spool
