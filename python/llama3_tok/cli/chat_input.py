"""What `llama3-tok chat` reads: conversations, tools, documents, chat templates, variables."""

import argparse
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from llama3_tok.cli.terminal import UsageError, check_standard_input, standard_input, utf8
from llama3_tok.errors import InputError
from llama3_tok.text.files import JSONL, unpacked
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Conversation", "conversations", "documents", "name_of", "read", "template", "variable"]

_READ_BYTES = 1 << 18


class Conversation(NamedTuple):
    """One conversation, and where it is."""

    messages: Any
    tools: Any
    place: str
    """For messages."""
    number: int | None = None
    """Its line from 1, or its row in a list; None for a file that is one conversation."""
    unit: str = "line"


def name_of(path: str) -> str:
    """A file's name, for messages."""
    return "standard input" if path == "-" else path


def conversations(path: str, row: int | None) -> Iterator[Conversation]:
    """The conversations of a file: one, those of the lines of JSONL, or those of a list.

    With `row` only the one of that number; then the file is JSONL, unless it is a list of them.
    Lines are read one after the other, so the file may be of any size. Raises InputError.
    """
    if path.lower().endswith(JSONL):
        yield from _of_lines(_lines(path), path, row)
        return
    data = _content(path)
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        # Standard input has no name that says what it is.
        if error.msg == "Extra data" and _is_json(data.split(b"\n", 1)[0]):
            yield from _of_lines(iter(data.split(b"\n")), path, row)
            return
    except (ValueError, RecursionError):
        pass  # what it is, the next one says
    value = _parsed(data, path, None)
    if isinstance(value, list) and value and _is_conversation(value[0]):
        yield from _of_list(value, path, row)
    elif row in (None, 1):
        yield _conversation(value, path, name_of(path))
    else:
        raise _no_such_row(path, "row", row)


def _of_lines(lines: Iterator[bytes], path: str, row: int | None) -> Iterator[Conversation]:
    for number, line in enumerate(lines, 1):
        if line.strip() and row in (None, number):
            place = f"{name_of(path)}, line {number}"
            found = _conversation(_parsed(line, path, number), path, place)
            yield found._replace(number=number)
            if row is not None:
                return
    if row is not None:
        raise _no_such_row(path, "line", row)


def _of_list(rows: list[Any], path: str, row: int | None) -> Iterator[Conversation]:
    if row is not None and row > len(rows):
        raise _no_such_row(path, "row", row)
    for number, value in enumerate(rows, 1):
        if row in (None, number):
            found = _conversation(value, path, f"{name_of(path)}, row {number}")
            yield found._replace(number=number, unit="row")


def _no_such_row(path: str, unit: str, row: int | None) -> InputError:
    reason = f"there is no conversation on {unit} {row}"
    if unit == "row":
        reason = f"there is no row {row}"
    return InputError(f"{name_of(path)}: {reason}", path, None, reason)


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and "messages" in value)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _conversation(given: object, path: str, place: str) -> Conversation:
    """The messages and the tools that a JSON value has."""
    if isinstance(given, list):
        return Conversation(given, None, place)
    if isinstance(given, dict) and "messages" in given:
        return Conversation(given["messages"], given.get("tools"), place)
    reason = "must be a list of messages, or an object with messages"
    raise InputError(f"{place}: {reason}", path, None, reason)


def _lines(path: str) -> Iterator[bytes]:
    """The lines of a file, unpacked."""
    file = unpacked(path)
    begun: list[bytes] = []  # parts of a line, which are joined once
    while data := file.read(_READ_BYTES):
        first, *others = data.split(b"\n")
        begun.append(first)
        if others:
            yield b"".join(begun)
            yield from others[:-1]
            begun = [others[-1]]
    yield b"".join(begun)


def _content(path: str) -> bytes:
    if path == "-":
        check_standard_input()
        return standard_input()
    with open(path, "rb") as file:
        return file.read()


def read(path: str) -> Any:  # noqa: ANN401 - any JSON
    """The JSON that is in a file."""
    return _parsed(_content(path), path, None)


def _parsed(data: bytes, path: str, line: int | None) -> Any:  # noqa: ANN401 - any JSON
    """The JSON value of a file, or of one line of it."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        line, what = line or error.lineno, error.msg[:1].lower() + error.msg[1:]
        reason = f"this is not valid JSON: {what} at column {error.colno}"
        message = f"{name_of(path)}, line {line}: {reason}"
        raise InputError(message, path, line, reason) from None
    # ValueError: no UTF-8, or an integer with more digits than Python reads.
    except (ValueError, RecursionError) as error:
        reason = f"this is not valid JSON: {error}"
        place = name_of(path) if line is None else f"{name_of(path)}, line {line}"
        raise InputError(f"{place}: {reason}", path, line, reason) from None


def documents(path: str | None) -> list[Any] | None:
    """The documents that a file has."""
    if path is None:
        return None
    given = read(path)
    if not isinstance(given, list):
        reason = "must be a list of documents"
        raise InputError(f"{name_of(path)}: {reason}", path, None, reason)
    return given


def template(encoder: Tokenizer, given: str | None) -> str | None:
    """The name of a chat template, if there is one of that name, or the text of a file."""
    if given is None or given in encoder.chat_templates:
        return given
    try:
        with open(given, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        known = ", ".join(encoder.chat_templates) or "none"
        raise UsageError(
            f"--template: {given} is neither a file nor the name of a chat template; this "
            f"tokenizer has {known}"
        ) from None
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8: {error.reason} at byte {error.start}"
        raise InputError(f"{given}: {reason}", given, None, reason) from None
    if "{" not in text:
        reason = "is not a chat template: it has no { in it"
        raise InputError(f"{given}: {reason}", given, None, reason)
    return text


def variable(word: str) -> tuple[str, Any]:
    """The type of `--set`: a name and its value."""
    name, equals, value = utf8(word).partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{word!r} is not NAME=JSON")
    try:
        return name, json.loads(value, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return name, value


def _no_json(word: str) -> NoReturn:
    """NaN and the infinities are words here, as they are in JSON's own grammar."""
    raise ValueError(word)
