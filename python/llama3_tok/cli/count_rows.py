"""The conversations that `llama3-tok count --messages` counts: JSON Lines or one JSON value.

Which of them a file is its content tells, not its name. JSON Lines are read line by line, a JSON
value as a whole.
"""

import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from llama3_tok.cli.terminal import check_standard_input
from llama3_tok.errors import ChatFormatError
from llama3_tok.text import files

__all__ = ["JSON", "Given", "opened"]

JSON = (*files.JSONL, ".json", ".json.gz", ".json.zst")
"""How the files of a folder end that may have conversations."""

_PACKED = ((b"\x1f\x8b", ".gz"), (b"\x28\xb5\x2f\xfd", ".zst"))
_READ_BYTES = 1 << 18
# What is read of a file that only seems to be one value: JSON Lines may begin with a broken line.
_SEEMING_BYTES = 1 << 28


class Given(NamedTuple):
    """What `count_chats` takes, and whether its rows are lines."""

    chats: str | list[Any]
    unit: str
    """"line" for JSON Lines, "row" for one value."""


@contextmanager
def opened(path: str) -> Iterator[Given]:
    """The conversations of a file, or of standard input.

    Raises ChatFormatError for a `.json` file that is neither, and OSError.
    """
    if path != files.STANDARD_INPUT:
        if stat.S_ISREG(os.stat(path).st_mode):
            yield _given(path, path)
            return
        with open(path, "rb") as pipe, _copied(pipe) as copy:
            yield _given(copy, path)
        return
    check_standard_input()
    with _copied(sys.stdin.buffer) as copy:
        yield _given(copy, path)


@contextmanager
def _copied(pipe: IO[bytes]) -> Iterator[str]:
    """A file of what comes through a pipe, which can be read once, and this is read twice.

    A pipe has no name that says how it is packed: its first bytes do.
    """
    head = pipe.read(4)
    packed = next((end for magic, end in _PACKED if head.startswith(magic)), "")
    # In a folder of its own, since Windows opens no temporary file twice.
    with tempfile.TemporaryDirectory(prefix="llama3-tok-") as folder:
        path = os.path.join(folder, f"copy.jsonl{packed}")
        with open(path, "wb") as copy:
            copy.write(head)
            shutil.copyfileobj(pipe, copy, _READ_BYTES)
        yield path


def _given(file: str, name: str) -> Given:
    value = _one_value(file, is_json=name.lower().endswith(JSON[len(files.JSONL) :]))
    return Given(file, "line") if value is None else Given(value, "row")


def _one_value(path: str, *, is_json: bool) -> list[Any] | None:
    """The rows of a file that is one JSON value: several rows, or one; None for JSON Lines."""
    first, follows = _first_line(path)
    try:
        value = _loads(first)
    except (ValueError, RecursionError) as error:
        if not _is_beginning(first, error):
            if is_json and first:
                raise _no_json(error) from None
            return None
    else:
        # A line by itself is a line, unless it is a list of conversations, or its name says JSON.
        if follows or not (is_json or (value and _is_rows(value))):
            return None
        return value if _is_rows(value) else [value]
    data = _content(path, None if is_json else _SEEMING_BYTES)
    try:
        value = _loads(data)
    except (ValueError, RecursionError) as error:
        if is_json:
            raise _no_json(error) from None
        return None
    return value if _is_rows(value) else [value]


def _no_json(error: Exception) -> ChatFormatError:
    return ChatFormatError(f"this is not JSON, nor JSON Lines: {error}")


def _loads(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(data.decode("utf-8-sig"))


def _is_beginning(line: bytes, error: Exception) -> bool:
    """Whether a line, which is not JSON by itself, is the first line of a longer value."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.doc.lstrip()[:1] in ("[", "{") and error.pos >= len(error.doc.rstrip())


def _is_rows(value: object) -> bool:
    """Whether a list has conversations, not messages."""
    return isinstance(value, list) and not any(
        isinstance(one, dict) and ("role" in one or "from" in one) for one in value[:1]
    )


def _first_line(path: str) -> tuple[bytes, bool]:
    """The first line that is not empty, and whether anything follows it."""
    file, parts = files.unpacked(path), [b""]
    while data := file.read(_READ_BYTES):
        if not any(parts):
            data = data.lstrip()
        line, newline, rest = data.partition(b"\n")
        parts.append(line)
        if newline:
            while not rest.strip() and (rest := file.read(_READ_BYTES)):
                pass
            return b"".join(parts).rstrip(), bool(rest.strip())
    return b"".join(parts).rstrip(), False


def _content(path: str, most: int | None) -> bytes:
    """All of a file, or its first `most` bytes."""
    file, parts, size = files.unpacked(path), [], 0
    while (most is None or size < most) and (data := file.read(_READ_BYTES)):
        parts.append(data)
        size += len(data)
    return b"".join(parts)
