"""The calls of tools that an answer has, in each form that Llama 3 is taught.

The forms are those that Meta's prompts teach and `llama_models.llama3.tool_utils` writes, and the
one of the chat template published with Llama 3.1. `strictly` reads an answer that is nothing but
calls, `leniently` also calls with text around them. Both are generators, as everything that reads
(`literals.py`), and tell a `Listener` what they find as soon as it is known.

What only begins like a call is told as a call that has started, and later as dropped. So nothing
is evaluated, and nothing is a call before its last character was read.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from llama3_tok.arguments import quoted
from llama3_tok.chat.literals import (
    LONGEST_NAME,
    LiteralProblem,
    Reader,
    Reading,
    joined,
    json_string,
)

__all__ = [
    "PYTHON_TAG",
    "Beginning",
    "CallReader",
    "Kind",
    "Listener",
    "Suspicion",
    "ToolCall",
    "leniently",
    "strictly",
]

Kind: TypeAlias = Literal["builtin", "json", "function", "pythonic"]
# What a text begins like: like nothing but a call, like JSON, which may be anything, or like text.
Beginning: TypeAlias = Literal["call", "json", "text"]

PYTHON_TAG = "<|python_tag|>"

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
_SEPARATORS = re.compile(r"[ \t\r\n;]*")
_UNQUOTED = re.compile(r'[^"\\]*')
# A quotation mark that no bracket and no further argument follows is text: templates write it so.
_CLOSES = re.compile(rf'\s{{0,1000}}\)|,\s{{0,1000}}[^\W\d]\w{{0,{LONGEST_NAME}}}="')
_MAY_CLOSE = re.compile(rf"\s{{0,1000}}|,\s{{0,1000}}(?:[^\W\d]\w{{0,{LONGEST_NAME}}}=?)?")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool: its `name`, its `arguments` by name, and the form it was written in.

    `kind` is "builtin" for `name.call(query="...")`, "json" for `{"name": ..., "parameters": ...}`,
    "function" for `<function=name>{...}</function>` and "pythonic" for `[name(key=value)]`.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    kind: Kind = "json"


class Listener(Protocol):
    """Who is told what an answer has."""

    def text(self, text: str) -> None:
        """Text that is not of a call."""

    def start(self, name: str, kind: Kind) -> None:
        """A call has begun, and its arguments come."""

    def arguments(self, text: str) -> None:
        """A part of the arguments of the call that began last, as JSON."""

    def call(self, call: ToolCall) -> None:
        """The call that began last, when it was read to its end."""

    def certain(self) -> None:
        """The calls that were read are calls, whatever follows."""

    def dropped(self, problem: LiteralProblem, beginning: Beginning) -> None:
        """The calls that were read since the last that are certain are text, which comes now."""


class CallReader(Reader):
    """A reader that tells a listener of the calls that it reads.

    `is_open` is whether what is read now may be a call or not; `beginning` what it is like, and
    `has_key` whether it has a key that calls as JSON have.
    """

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.listener = listener
        self.is_open = True
        self.beginning: Beginning = "text"
        self.has_key = False
        self._is_writing = False
        self._waiting: list[str] | None = None

    def write(self, text: str) -> None:
        """Arguments are told as soon as it is known whose they are."""
        if not self._is_writing:
            return
        if self._waiting is None:
            self.listener.arguments(text)
        else:
            self._waiting.append(text)

    def start(self, name: str, kind: Kind) -> None:
        """A call has begun; its arguments come now, or have come."""
        self.listener.start(name, kind)
        if self._waiting is None:
            self._is_writing = True
        else:
            self.listener.arguments("".join(self._waiting))
            self._waiting = None

    def wait(self) -> None:
        """Arguments come now, and the name of the call is not known."""
        self._is_writing, self._waiting = True, []

    def done(self, call: ToolCall) -> None:
        """A call was read to its end."""
        self._is_writing = False
        self.listener.call(call)

    def arguments_end(self) -> None:
        """What comes now is not of arguments."""
        self._is_writing = False

    def succeed(self) -> None:
        """What was read since the mark are calls."""
        self.since_mark()
        self.is_open, self.beginning, self.has_key = False, "text", False
        self.listener.certain()

    def fail(self, problem: LiteralProblem) -> str:
        """What was read since the mark, which is text."""
        # What ends after a key of a call as JSON was to be one; what goes on may be other JSON.
        is_call = self.has_key and problem.is_cut
        self.listener.dropped(problem, "call" if is_call else self.beginning)
        self._is_writing, self._waiting = False, None
        self.is_open, self.beginning, self.has_key = False, "text", False
        return self.since_mark()


# An answer


def strictly(reader: CallReader) -> Reading[None]:
    """Reads a text that is nothing but calls of one form, or else nothing but text."""
    reader.mark()
    try:
        yield from _calls(reader)
    except LiteralProblem as problem:
        reader.listener.text(reader.fail(problem))
        yield from _pass_on(reader)
    else:
        reader.succeed()


def _pass_on(reader: CallReader) -> Reading[None]:
    """All that follows is text."""
    while (yield from reader.ready()):
        text, reader.at = reader.text[reader.at :], len(reader.text)
        reader.listener.text(text)


def _calls(reader: CallReader) -> Reading[None]:
    """Calls, up to the end of the text."""
    # Some models write a semicolon before the first call as well.
    yield from _separators(reader)
    first = yield from reader.peek()
    if first == "[":
        what = yield from _list(reader)
        if not (yield from _ends(reader)):
            raise reader.problem(f"there is more after the {what}")
        return
    if first == "{":
        reader.beginning = "json"
        yield from _json_call(reader)
        while not (yield from _ends(reader)):
            yield from _json_call(reader)
        return
    if first == "<" and (yield from reader.starts("<function=")):
        while True:
            yield from _function_call(reader)
            yield from _separators(reader)
            if not (yield from reader.ready()):
                return
    if name := (yield from _builtin_name(reader)):
        yield from _builtin_call(reader, name)
        while not (yield from _ends(reader)):
            if not (name := (yield from _builtin_name(reader))):
                raise reader.problem("there is more after the call")
            yield from _builtin_call(reader, name)
        return
    raise reader.problem("this is not how a call begins")


def _separators(reader: CallReader) -> Reading[str]:
    """Goes to what comes after white space and semicolons, which are given."""
    found = ""
    while True:
        if match := _SEPARATORS.match(reader.text, reader.at):
            found += match[0]
            reader.at = match.end()
        if reader.at < len(reader.text) or reader.is_whole:
            return found
        yield


def _ends(reader: CallReader) -> Reading[bool]:
    """Whether the text ends here; else white space or a semicolon has to come next."""
    separators = yield from _separators(reader)
    if not (yield from reader.ready()):
        return True
    if not separators:
        raise reader.problem("there is more after the call")
    return False


# Calls with text around them

_FENCE = "```"
_LANGUAGE = re.compile(r"\w*")
_LONGEST_LANGUAGE = 32
_BLANK = re.compile(r"[ \t\r\n]*")
_NOTABLE = re.compile(r"[`{\[<\n]")


def leniently(
    reader: CallReader, *, is_tagged: bool = False, after_call: bool = False
) -> Reading[None]:
    """Reads all calls that can be read in a text, and the text around them.

    What separates calls is left out: white space and semicolons between them, and the marks of a
    Markdown fence, or a spelled-out `<|python_tag|>`, right before one and the fence's end after
    it. A call that can't be read is text, up to where that was seen; one that the end of the text
    cuts is text up to there. Calls of built-in tools are looked for where a line begins.

    A text that `is_tagged` has to begin with a call, and is code otherwise.
    """
    if is_tagged:
        reader.mark()
        yield from _separators(reader)
        try:
            yield from _call(reader, True)
        except LiteralProblem as problem:
            reader.listener.text(reader.fail(problem))
            yield from _pass_on(reader)
            return
        reader.succeed()
        after_call = True

    # Since the beginning or the last call there was nothing but `gap`, if `is_gap`, and `opening`,
    # which is left out if a call comes next.
    is_gap, gap, opening = True, "", ""
    begins_line, is_fenced = True, False
    while True:
        if is_gap and not opening:
            gap += yield from _separators(reader)
        first = yield from reader.peek()
        if not first:
            if not (after_call and is_gap) or opening:
                reader.listener.text(gap + opening)
            return
        if mark := (yield from _opening(reader, first)):
            if mark == _FENCE and is_fenced and is_gap and not opening:
                reader.at += len(mark)
                is_fenced = False
                continue
            reader.at += len(mark)
            opening += mark + (yield from _separators(reader))
            continue
        if not is_gap and (first == "\n" or (begins_line and first in " \t\r")):
            if match := _BLANK.match(reader.text, reader.at):
                reader.at = match.end()
                reader.listener.text(match[0])
            begins_line = True
            continue
        reader.mark()
        try:
            yield from _call(reader, begins_line or is_gap or bool(opening))
        except LiteralProblem as problem:
            if problem.is_cut:
                reader.at = len(reader.text)
            text = reader.fail(problem)
            if not text:  # No call begins here, so none does before the next notable character.
                notable = _NOTABLE.search(reader.text, reader.at + 1)
                end = notable.start() if notable else len(reader.text)
                text, reader.at = reader.text[reader.at : end], end
            reader.listener.text(gap + opening + text)
            is_gap, gap, opening, begins_line = False, "", "", False
        else:
            reader.succeed()
            is_fenced = _FENCE in opening
            is_gap, gap, opening, after_call = True, "", "", True


def _opening(reader: CallReader, first: str) -> Reading[str]:
    """What may stand right before a call and is not of the text around it; "" for nothing."""
    if first == "`" and (yield from reader.starts(_FENCE)):
        language = yield from reader.run(_LANGUAGE, _LONGEST_LANGUAGE, len(_FENCE))
        return _FENCE + language if len(language) <= _LONGEST_LANGUAGE else ""
    if first == "<" and (yield from reader.starts(PYTHON_TAG)):
        return PYTHON_TAG
    return ""


def _call(reader: CallReader, may_be_builtin: bool) -> Reading[None]:
    """One call, or one list of calls."""
    first = yield from reader.peek()
    if first == "[":
        yield from _list(reader)
    elif first == "{":
        reader.beginning = "json"
        yield from _json_call(reader)
    elif first == "<" and (yield from reader.starts("<function=")):
        yield from _function_call(reader)
    else:
        name = (yield from _builtin_name(reader)) if may_be_builtin else ""
        if not name:
            raise reader.problem("this is not how a call begins")
        yield from _builtin_call(reader, name)


# The forms


def _builtin_name(reader: CallReader) -> Reading[str]:
    """The name of the built-in tool that is called here; "" if none is."""
    name = yield from reader.run(_BUILTIN_NAME, _LONGEST_BUILTIN)
    if not name or len(name) > _LONGEST_BUILTIN:
        return ""
    return name if (yield from reader.starts(".call(", len(name))) else ""


def _builtin_call(reader: CallReader, name: str) -> Reading[None]:
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


def _function_call(reader: CallReader) -> Reading[None]:
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


def _list(reader: CallReader) -> Reading[str]:
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
        yield from _json_call(reader, 1)
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


def _json_call(reader: CallReader, depth: int = 0) -> Reading[None]:
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


# What looks like a call


class Suspicion:
    """Looks for what looks like a call in a text that comes in parts.

    `position` is where that is, None as long as nothing was found. Whether the keys of a call as
    JSON occur is in `has_keys`.
    """

    # More characters than any of the patterns matches.
    _LONGEST = 400
    _NAME = r"[^\W\d][\w.-]{0,127}"
    _CALLS = (
        re.compile(r"<function=[^<>{}\s]{1,256}>\s{0,8}\{"),
        re.compile(r'\.call\(\s{0,8}\w{1,128}="'),
        re.compile(rf"\[\s{{0,8}}{_NAME}\s{{0,8}}\(\s{{0,8}}(?:{_NAME}\s{{0,8}}=|\)\s{{0,8}}[],])"),
    )
    _NAME_BEFORE = re.compile(r"[A-Za-z0-9_]{1,64}$")
    _TAG = re.compile(re.escape(PYTHON_TAG) + ".", re.DOTALL)
    _NAME_KEY = re.compile(r"""["']name["']\s{0,16}:""")
    _ARGUMENTS_KEY = re.compile(r"""["'](?:parameters|arguments)["']\s{0,16}:""")
    _BRACKET = re.compile(r"[{\[]")

    def __init__(self, has_tag: bool) -> None:
        """`has_tag` is whether the name of the tag is suspicious."""
        self._patterns = (*self._CALLS, self._TAG) if has_tag else self._CALLS
        self._tail, self._position = "", 0
        self._bracket: int | None = None
        self._keys: dict[str, int] = {}
        self.position: int | None = None

    @property
    def has_keys(self) -> bool:
        """Whether the keys of a call occur."""
        return len(self._keys) == 2

    def add(self, text: str) -> None:
        """More of the text."""
        if self.position is not None and self.has_keys:
            return
        seen = self._tail + text
        before = self._position - len(self._tail)
        found: list[tuple[int, int]] = []
        if self.position is None:
            for pattern in self._patterns:
                if match := pattern.search(seen):
                    start = match.start()
                    if seen[start] == ".":  # The call begins with the name before that.
                        name = self._NAME_BEFORE.search(seen, max(start - 64, 0), start)
                        start = name.start() if name else start
                    found.append((before + match.end(), before + start))
        if self._bracket is None and (bracket := self._BRACKET.search(text)):
            self._bracket = self._position + bracket.start()
        if self._bracket is not None and not self.has_keys:
            start = max(self._bracket - before, 0)
            for key, pattern in (("name", self._NAME_KEY), ("arguments", self._ARGUMENTS_KEY)):
                if key not in self._keys and (match := pattern.search(seen, start)):
                    self._keys[key] = before + match.end()
            if self.has_keys and self.position is None:
                found.append((max(self._keys.values()), self._bracket))
        if found:
            self.position = min(found)[1]
        self._position += len(text)
        self._tail = seen[-self._LONGEST :]
