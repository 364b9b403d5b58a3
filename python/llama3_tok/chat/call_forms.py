"""The forms of one call: of a built-in tool, as JSON, in a function tag, as a list of Python."""

import re
from typing import Any

from llama3_tok.arguments import quoted
from llama3_tok.chat.call_reader import CallReader, ToolCall
from llama3_tok.chat.literals import LONGEST_NAME, LiteralProblem, Reading, joined, json_string

__all__ = ["builtin_call", "builtin_name", "function_call", "json_call", "list_of_calls"]

_FORM = '{"name": ..., "parameters": {...}} is the form of a call, and was not found'
_ARGUMENT_KEYS = ("parameters", "arguments")
_KEYS = ("name", "type", *_ARGUMENT_KEYS)
_NO_ARGUMENT = 'an argument of the form name="text" is missing'

# The name of a built-in tool, which may be the first word of any text, is short.
_LONGEST_BUILTIN = 64
_BUILTIN_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*)?")
_IDENTIFIER = re.compile(r"(?:[^\W\d]\w*)?")
# Names of tools have hyphens and dots, too, though Python's have not.
_DOTTED = re.compile(r"[^\W\d]\w*(?:[.-]\w+)*")
_DOTTED_BEGINNING = re.compile(rf"(?:{_DOTTED.pattern}[.-]?)?")
_FUNCTION_NAME = re.compile(r"[^<>{}\s]*")

_UNQUOTED = re.compile(r'[^"\\]*')
# A quotation mark that no bracket and no further argument follows is text: templates write it so.
_CLOSES = re.compile(rf'\s{{0,1000}}\)|,\s{{0,1000}}[^\W\d]\w{{0,{LONGEST_NAME}}}="')
_MAY_CLOSE = re.compile(rf"\s{{0,1000}}|,\s{{0,1000}}(?:[^\W\d]\w{{0,{LONGEST_NAME}}}=?)?")


def builtin_name(reader: CallReader) -> Reading[str]:
    """The name of the built-in tool that is called here; "" if none is."""
    name = yield from reader.run(_BUILTIN_NAME, _LONGEST_BUILTIN)
    if not name or len(name) > _LONGEST_BUILTIN:
        return ""
    return name if (yield from reader.starts(".call(", len(name))) else ""


def builtin_call(reader: CallReader, name: str) -> Reading[None]:
    """`name.call(key="text")`, whose beginning comes next."""
    reader.beginning = "call"
    reader.at += len(f"{name}.call(")
    arguments: dict[str, Any] = {}
    while (yield from reader.next_item(")", not arguments)):
        yield from reader.skip_space()
        start = reader.position
        key = yield from reader.run(_IDENTIFIER, LONGEST_NAME)
        is_long = len(key) > LONGEST_NAME
        if not key or is_long or not (yield from reader.starts('="', len(key))):
            rest = reader.text[reader.at + len(key) : reader.at + len(key) + 2]
            is_begun = not is_long and '="'.startswith(rest)
            raise reader.problem(_NO_ARGUMENT, ahead=len(key) + len(rest) if is_begun else -1)
        _check_new(reader, arguments, key)
        if not arguments:
            reader.start(name, "builtin")
            reader.write("{")
        reader.at += len(key) + 2
        reader.write(f'"{json_string(key)}": "')
        arguments[key] = yield from _unescaped(reader, start)
        reader.write('"')
    if not arguments:
        reader.start(name, "builtin")
        reader.write("{")
    reader.write("}")
    reader.done(ToolCall(name, arguments, "builtin"))


def _unescaped(reader: CallReader, start: int) -> Reading[str]:
    """A text up to the quotation mark that ends it; the argument began at `start`."""
    parts: list[str] = []
    while True:
        match = _UNQUOTED.match(reader.text, reader.at)
        part = match[0] if match else ""
        if part:
            reader.at += len(part)
        elif not (yield from reader.ready()):
            raise reader.problem(_NO_ARGUMENT, position=start)
        elif reader.text.startswith("\\", reader.at):
            if not (yield from reader.ready(2)):
                raise reader.problem(_NO_ARGUMENT, ahead=1, position=start)
            part = reader.text[reader.at : reader.at + 2].replace('\\"', '"')
            reader.at += 2
        elif reader.text.startswith('"', reader.at):
            is_end = yield from _closes(reader)
            reader.at += 1
            if is_end:
                return joined(parts)
            part = '"'
        else:
            continue
        parts.append(part)
        reader.write(json_string(part))


def _closes(reader: CallReader) -> Reading[bool]:
    """Whether the quotation mark that comes next ends a text."""
    while True:
        if _CLOSES.match(reader.text, reader.at + 1):
            return True
        if reader.is_whole or not _MAY_CLOSE.fullmatch(reader.text, reader.at + 1):
            return False
        yield


def function_call(reader: CallReader) -> Reading[None]:
    """`<function=name>{...}</function>`."""
    reader.beginning = "call"
    mark = "<function="
    if not (yield from reader.starts(mark)):
        raise reader.problem("<function=name> is missing")
    name = yield from reader.run(_FUNCTION_NAME, LONGEST_NAME, len(mark))
    is_closed = yield from reader.starts(">", len(mark) + len(name))
    if not name or len(name) > LONGEST_NAME or not is_closed:
        is_long = len(name) > LONGEST_NAME
        raise reader.problem(
            "<function=name> is missing", ahead=-1 if is_long else len(mark) + len(name)
        )
    reader.at += len(mark) + len(name) + 1
    yield from reader.skip_space()
    if (yield from reader.peek()) == "{":
        reader.start(name, "function")
    arguments = yield from reader.object()
    reader.arguments_end()
    yield from reader.expect("</function>")
    reader.done(ToolCall(name, arguments, "function"))


def list_of_calls(reader: CallReader) -> Reading[str]:
    """A list of calls, and what it is called in a message."""
    yield from reader.expect("[")
    yield from reader.skip_space()
    first = yield from reader.peek()
    if first and _DOTTED.match(first):
        is_first = True
        while (yield from reader.next_item("]", is_first)):
            yield from _pythonic_call(reader)
            is_first = False
        return "calls"
    reader.beginning = "json"
    is_first = True
    while (yield from reader.next_item("]", is_first)):
        yield from json_call(reader, 1)
        is_first = False
    if is_first:
        raise reader.problem("the list is empty")
    return "list"


def _pythonic_call(reader: CallReader) -> Reading[None]:
    """`name(key=value)`."""
    name = yield from _dotted_name(reader, "the name of a function is missing")
    yield from reader.expect("(")
    reader.beginning = "call"
    arguments: dict[str, Any] = {}
    while (yield from reader.next_item(")", not arguments)):
        key = yield from _dotted_name(reader, "a name is missing")
        yield from reader.expect("=")
        _check_new(reader, arguments, key)
        if not arguments:
            reader.start(name, "pythonic")
            reader.write("{")
        reader.write(f'"{json_string(key)}": ')
        arguments[key] = yield from reader.value()
    if not arguments:
        reader.start(name, "pythonic")
        reader.write("{")
    reader.write("}")
    reader.done(ToolCall(name, arguments, "pythonic"))


def _dotted_name(reader: CallReader, otherwise: str) -> Reading[str]:
    """The name that has to come next."""
    yield from reader.skip_space()
    run = yield from reader.run(_DOTTED_BEGINNING, LONGEST_NAME)
    match = _DOTTED.match(run)
    if not match or len(run) > LONGEST_NAME:
        raise reader.problem(otherwise)
    reader.at += match.end()
    return match[0]


def json_call(reader: CallReader, depth: int = 0) -> Reading[None]:
    """`{"name": ..., "parameters": {...}}`."""
    yield from reader.skip_space()
    if depth and (yield from reader.peek()) not in ("{", ""):
        raise reader.problem(_FORM)
    yield from reader.expect("{")
    name: str | None = None
    arguments: dict[str, Any] | None = None
    keys: set[str] = set()
    while (yield from reader.next_item("}", not keys)):
        key = yield from reader.key(_KEYS, _FORM)
        if key in keys:
            raise reader.problem(f"the key {quoted(key)} occurs twice, before this place")
        keys.add(key)
        yield from reader.expect(":")
        reader.has_key = True
        yield from reader.skip_space()
        first = yield from reader.peek()
        if key in _ARGUMENT_KEYS:
            if arguments is not None:
                raise reader.problem(_FORM)
            if first != "{":
                raise _no_arguments(reader, key, first)
            reader.wait()
            if name is not None:
                reader.start(name, "json")
            arguments = yield from reader.object(depth + 1)
            reader.arguments_end()
        elif first and first not in "\"'":
            raise reader.problem(_FORM)
        elif key == "type":
            yield from reader.key(("function",), _FORM)
        else:
            name = yield from reader.key()
            if arguments is not None:
                reader.start(name, "json")
    if name is None or arguments is None:
        raise reader.problem(_FORM)
    reader.done(ToolCall(name, arguments, "json"))


def _no_arguments(reader: CallReader, key: str, first: str) -> LiteralProblem:
    """Why what comes next are not the arguments of a call, by its first character."""
    if not first:
        return reader.problem("a value is missing")
    # No other literal begins with these.
    what = {'"': "a string", "'": "a string", "n": "null", "N": "null"}.get(first)
    return reader.problem(f'"{key}" is {what}, and has to be an object; {_FORM}' if what else _FORM)


def _check_new(reader: CallReader, arguments: dict[str, Any], key: str) -> None:
    if key in arguments:
        raise reader.problem(f"the argument {quoted(key)} occurs twice, before this place")
