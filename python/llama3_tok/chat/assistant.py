"""What a model answered: text, calls of tools, or code, from the ids or the text it generated.

The forms are those that Meta's prompts teach and `llama_models.llama3.tool_utils` writes, and the
one of the chat template published with Llama 3.1. They are read strictly, from the first character
to the last, and nothing is evaluated: what only nearly is a call is text, and `problem` says why.

What is generated is data. Given ids, only special ids are structure, and an answer that spells out
`<|python_tag|>` has these characters in its content.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from llama3_tok._core import Core
from llama3_tok.chat.literals import LiteralProblem, Reader
from llama3_tok.definition import Definition

if TYPE_CHECKING:
    from llama3_tok.arguments import Ids

__all__ = ["AssistantMessage", "ToolCall", "of_ids", "of_text"]

Kind: TypeAlias = Literal["builtin", "json", "function", "pythonic"]
StopReason: TypeAlias = Literal["end_of_turn", "end_of_message", "end_of_text"]

_PYTHON_TAG = "<|python_tag|>"
_PAD = "<|finetune_right_pad_id|>"
_STOPS: dict[str, StopReason] = {
    "<|eot_id|>": "end_of_turn",
    "<|eom_id|>": "end_of_message",
    "<|end_of_text|>": "end_of_text",
}
_IDENTIFIER = r"[^\W\d]\w*"
_BUILTIN = re.compile(rf"({_IDENTIFIER})\.call\(")
# A quotation mark that no bracket and no further argument follows is text: templates write it so.
_ARGUMENT = re.compile(
    rf'({_IDENTIFIER})="((?:[^"\\]|\\.|"(?!\s*\)|,\s*{_IDENTIFIER}="))*+)"', re.DOTALL
)
_FUNCTION = re.compile(r"<function=([^<>{}\s]+)>")
_DOTTED = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*")
_PYTHONIC = re.compile(rf"\[\s*{_DOTTED.pattern}\s*\(")
_ARGUMENT_KEYS = ("parameters", "arguments")
_JSON_NAME = re.compile(r"""["']name["']\s*:""")
_JSON_ARGUMENTS = re.compile(r"""["'](?:parameters|arguments)["']\s*:""")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool: its `name`, its `arguments` by name, and the form it was written in.

    `kind` is "builtin" for `name.call(query="...")`, "json" for `{"name": ..., "parameters": ...}`,
    "function" for `<function=name>{...}</function>` and "pythonic" for `[name(key=value)]`.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    kind: Kind = "json"


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """A model's answer.

    `content` is its text, empty if it is nothing but calls or code; `tool_calls` are its calls, in
    order; `code` is what it wants a Python interpreter to run, else None. `stop_reason` says how it
    ended: "end_of_turn" (`<|eot_id|>`), "end_of_message" (`<|eom_id|>`, to go on after a call's
    result), "end_of_text", or None if there is no such token, as where the tokens ran out.
    `problem` is None, or why what begins like a call is none, or what else is odd.
    """

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    code: str | None = None
    stop_reason: StopReason | None = None
    problem: str | None = None

    def to_message(self) -> dict[str, Any]:
        """The message of a conversation, with calls in OpenAI's shape.

        Code is a call of `code_interpreter` with the argument `code`, and an answer that ended with
        "end_of_message" says so, as Meta's package has them: with `dialect="meta"`, and the
        `tool_format` that the calls were written in, `encode_chat` gives the ids that were
        generated. The published templates, dialect "hf", have one call a message, always as they
        teach it, and no code.

        >>> llama3_tok.parse_assistant('{"name": "f", "parameters": {"a": 1}}').to_message()
        {'role': 'assistant', 'content': '', 'tool_calls': [{'type': 'function', 'function': \
{'name': 'f', 'arguments': {'a': 1}}}]}
        """
        calls = [(call.name, call.arguments) for call in self.tool_calls]
        if self.code is not None:
            calls.append(("code_interpreter", {"code": self.code}))
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.stop_reason == "end_of_message":
            message["stop_reason"] = self.stop_reason
        if calls:
            message["tool_calls"] = [
                {"type": "function", "function": {"name": name, "arguments": arguments}}
                for name, arguments in calls
            ]
        return message


def of_text(text: str) -> AssistantMessage:
    """An answer as text: see `llama3_tok.parse_assistant`."""
    stop_reason: StopReason | None = None
    end = len(text)
    while name := next((name for name in (*_STOPS, _PAD) if text.endswith(name, 0, end)), None):
        end -= len(name)
        stop_reason = _STOPS.get(name, stop_reason)
    text = text[:end]
    if text.startswith(_PYTHON_TAG):
        return _tagged("", text.removeprefix(_PYTHON_TAG), stop_reason)
    return _untagged(text, stop_reason)


def _text(core: Core, ids: list[int]) -> str:
    return core.decode(ids, False).decode("utf-8", "replace")


def of_ids(answer: "Ids", definition: Definition) -> AssistantMessage:
    """An answer as ids, which are those of `definition`: see `llama3_tok.parse_assistant`."""
    from llama3_tok import arguments

    given = arguments.ids(answer, "answer")
    core, roles = definition.core, definition.roles
    core.decode(given, False, "answer")  # raises for what is no id, with its position
    ids = [int(id) for id in given]
    specials = core.special_tokens
    stops = {specials[name]: reason for name, reason in _STOPS.items() if name in specials}
    for id in roles.stops:  # a folder may have others
        stops.setdefault(id, "end_of_turn")
    end = next((place for place, id in enumerate(ids) if id in stops), len(ids))
    stop_reason = stops[ids[end]] if end < len(ids) else None
    tag = next((place for place in range(end) if ids[place] == specials.get(_PYTHON_TAG)), None)

    filling = {*stops, roles.pad}
    known = {id: name for name, id in specials.items()}
    for place, id in enumerate(ids):
        if place < end and id in known and place != tag:
            odd = f"the special token {known[id]} at position {place} is not part of an answer"
            return AssistantMessage(_text(core, ids[:end]), (), None, stop_reason, odd)
    surplus = sum(id not in filling for id in ids[end + 1 :])
    problem = f"after the end at position {end} there are {surplus} more ids" if surplus else None
    if tag is None:
        return _untagged(_text(core, ids[:end]), stop_reason, problem)
    before, behind = _text(core, ids[:tag]), _text(core, ids[tag + 1 : end])
    return _tagged(before, behind, stop_reason, problem)


def _tagged(
    content: str, text: str, stop_reason: StopReason | None, problem: str | None = None
) -> AssistantMessage:
    """An answer with the tag: `text` is behind it."""
    calls, fault = _read(text)
    code = None if calls else text
    return AssistantMessage(content, calls, code, stop_reason, problem or fault)


def _untagged(
    text: str, stop_reason: StopReason | None, problem: str | None = None
) -> AssistantMessage:
    calls, fault = _read(text)
    return AssistantMessage("" if calls else text, calls, None, stop_reason, problem or fault)


def _read(text: str) -> tuple[tuple[ToolCall, ...], str | None]:
    """The calls that a text is; or none, and if it begins like one, why it is not."""
    reader = Reader(text)
    reader.skip_space()
    for beginning, calls in _FORMS:
        if beginning.match(text, reader.at):
            try:
                return tuple(calls(reader)), None
            except LiteralProblem as problem:
                return (), f"not a call: {problem}"
    if text[reader.at : reader.at + 1] in ("{", "["):
        try:
            return tuple(_json_calls(reader)), None
        except LiteralProblem as problem:
            # Most JSON is an answer, not a call that went wrong.
            if _JSON_NAME.search(text) and _JSON_ARGUMENTS.search(text):
                return (), f"not a call: {problem}"
    return (), None


def _ends(reader: Reader, separators: str) -> bool:
    """Whether the text ends here; else a separator has to come next."""
    before = reader.at
    while any(map(reader.take, separators)):
        pass
    reader.skip_space()
    if reader.at == len(reader.text):
        return True
    if reader.at == before:
        raise reader.problem("there is more after the call")
    return False


def _builtins(reader: Reader) -> Iterator[ToolCall]:
    while True:
        if not (match := _BUILTIN.match(reader.text, reader.at)):
            raise reader.problem("there is more after the call")
        name, reader.at = match[1], match.end()
        arguments: dict[str, Any] = {}
        for _ in reader.items(")"):
            reader.skip_space()
            if not (match := _ARGUMENT.match(reader.text, reader.at)):
                raise reader.problem('an argument of the form name="text" is missing')
            _add(reader, arguments, match[1], _unescaped(match[2]))
            reader.at = match.end()
        yield ToolCall(name, arguments, "builtin")
        if _ends(reader, ";"):
            return


def _unescaped(raw: str) -> str:
    return re.sub(r"\\(.)", lambda pair: '"' if pair[1] == '"' else pair[0], raw, flags=re.DOTALL)


def _functions(reader: Reader) -> Iterator[ToolCall]:
    while True:
        if not (match := _FUNCTION.match(reader.text, reader.at)):
            raise reader.problem("<function=name> is missing")
        reader.at = match.end()
        arguments = reader.object()
        reader.expect("</function>")
        yield ToolCall(match[1], arguments, "function")
        reader.skip_space()
        if reader.at == len(reader.text):
            return


def _pythonic(reader: Reader) -> Iterator[ToolCall]:
    reader.expect("[")
    for _ in reader.items("]"):
        reader.skip_space()
        if not (match := _DOTTED.match(reader.text, reader.at)):
            raise reader.problem("the name of a function is missing")
        reader.at = match.end()
        reader.expect("(")
        arguments: dict[str, Any] = {}
        for _ in reader.items(")"):
            key = reader.name()
            reader.expect("=")
            _add(reader, arguments, key, reader.value())
        yield ToolCall(match[0], arguments, "pythonic")
    if not _ends(reader, ""):
        raise reader.problem("there is more after the calls")


def _json_calls(reader: Reader) -> Iterator[ToolCall]:
    if reader.text.startswith("[", reader.at):
        objects = reader.value()
        if not _ends(reader, ""):
            raise reader.problem("there is more after the list")
    else:
        objects = [reader.object()]
        while not _ends(reader, ";"):
            objects.append(reader.object())
    if not objects:
        raise reader.problem("the list is empty")
    for value in objects:
        yield _json_call(reader, value)


def _json_call(reader: Reader, value: object) -> ToolCall:
    given = [key for key in _ARGUMENT_KEYS if isinstance(value, dict) and key in value]
    if isinstance(value, dict) and len(given) == 1:
        rest = {key: value[key] for key in value if key not in given}
        name, kind = rest.pop("name", None), rest.pop("type", "function")
        arguments = value[given[0]]
        if (
            isinstance(name, str)
            and isinstance(arguments, dict)
            and kind == "function"
            and not rest
        ):
            return ToolCall(name, arguments, "json")
    raise reader.problem(
        '{"name": ..., "parameters": {...}} is the form of a call, and was not found'
    )


def _add(reader: Reader, arguments: dict[str, Any], key: str, value: object) -> None:
    if key in arguments:
        raise reader.problem(f"the argument {key!r} occurs twice, before this place")
    arguments[key] = value


_FORMS: tuple[tuple[re.Pattern[str], Callable[[Reader], Iterator[ToolCall]]], ...] = (
    (re.compile("<function="), _functions),
    (_BUILTIN, _builtins),
    (_PYTHONIC, _pythonic),
)
