"""Conversations as the core takes them: dictionaries checked and taken apart, values as JSON.

The formats themselves are Rust's (`rust/chat/`). What is decided here follows the templates that
were published with the models, as transformers' `apply_chat_template` renders them, and Meta's
`ChatFormat`: JSON is `json.dumps` with the options that each of them uses.
"""

import keyword
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, cast

from llama3_tok import _core, arguments
from llama3_tok.arguments import quoted
from llama3_tok.errors import ChatFormatError
from llama3_tok.lazy import datetime
from llama3_tok.profiles import find

if TYPE_CHECKING:
    from llama3_tok._core import (
        CoreArgument,
        CoreCall,
        CoreChat,
        CoreMessage,
        CoreMessages,
        CoreParts,
        Parts,
    )

__all__ = [
    "DIALECTS",
    "TOOL_FORMATS",
    "ChatOptions",
    "Date",
    "Dialect",
    "Format",
    "Message",
    "ToolFormat",
    "several",
    "variables",
]

Message: TypeAlias = Mapping[str, Any]
Dialect: TypeAlias = Literal["hf", "meta"]
ToolFormat: TypeAlias = Literal["json", "function_tag", "python_list"]
Date: TypeAlias = "str | datetime.date | None"

DIALECTS = ("hf", "meta")
TOOL_FORMATS = ("json", "function_tag", "python_list")
_RESULTS = ("tool", "ipython")
# The third, of a message that is cut off, ends as the first does in Meta's class.
_STOP_REASONS = ("end_of_turn", "end_of_message", "out_of_tokens")
# `strftime("%b")` would follow the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class ChatOptions(TypedDict, total=False):
    """The options of `encode_chat`, `render_chat` and `fit_chat`; the first says what they mean."""

    tools: Iterable[Mapping[str, Any]] | None
    builtin_tools: Iterable[str] | None
    documents: Iterable[Mapping[str, Any]] | None
    add_generation_prompt: bool | None
    continue_final_message: bool
    date: Date
    dialect: Dialect | None
    tools_in: Literal["user", "system"]
    tool_format: ToolFormat
    chat_template: str | None
    template_variables: Mapping[str, Any] | None


class Format:
    """How conversations are written: the options of `Tokenizer.encode_chat`, checked.

    Many conversations that are written alike have one format.
    """

    def __init__(
        self,
        profile: str,
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool | None = None,
        date: Date = None,
        dialect: Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: ToolFormat = "json",
    ) -> None:
        if dialect is None:
            dialect = cast(Dialect, find(profile).dialect)
        arguments.choice(dialect, "dialect", DIALECTS)
        arguments.choice(tool_format, "tool_format", TOOL_FORMATS)
        arguments.choice(tools_in, "tools_in", ("user", "system"))
        if dialect == "hf" and tool_format != "json":
            raise ValueError(
                'tool_format is for dialect="meta"; the published templates have one format'
            )
        _prompts(add_generation_prompt, continue_final_message, None)
        self._dialect, self._tool_format = dialect, tool_format
        self._add_generation_prompt = add_generation_prompt
        self._written: CoreChat = {
            "dialect": dialect,
            "tool_format": tool_format,
            "messages": [],
            "tools": None if tools is None else _tools(tools),
            "builtin_tools": None if builtin_tools is None else _builtin_tools(builtin_tools),
            "tools_in_user": tools_in == "user",
            "date": _date(date),
            "add_generation_prompt": False,
            "continue_final_message": continue_final_message,
        }

    @property
    def written(self) -> "CoreChat":
        """A conversation without messages, which has all else."""
        return self._written

    def parts(
        self,
        messages: Iterable[Message],
        tools: Iterable[Mapping[str, Any]] | None = None,
    ) -> "CoreParts":
        """What a conversation has of its own: messages, tools if there are some, how it ends."""
        dialect, tool_format = self._dialect, self._tool_format
        given = messages if type(messages) is list else list(several(messages, "messages"))
        # Nearly all messages have a role and a text alone, and are taken as they are.
        taken: CoreMessages = given
        if not _core.are_plain(given):
            taken = [
                _message(index, message, dialect, tool_format)
                for index, message in enumerate(given)
            ]
        last: str | None = taken[-1]["role"] if taken else None
        goes_on = self._written["continue_final_message"]
        prompts = _prompts(self._add_generation_prompt, goes_on, last)
        return taken, None if tools is None else _tools(tools), prompts

    def conversation(self, messages: Iterable[Message]) -> "CoreChat":
        """A conversation as the core takes it."""
        taken, _, prompts = self.parts(messages)
        return {**self._written, "messages": taken, "add_generation_prompt": prompts}


def _prompts(given: bool | None, goes_on: bool, last: object) -> bool:
    """Whether the header of an answer follows the last message, whose role is `last`.

    By default not after an answer, and never where the last message goes on.
    """
    arguments.flag(goes_on, "continue_final_message")
    if given is None:
        return not goes_on and last != "assistant"
    arguments.flag(given, "add_generation_prompt")
    if given and goes_on:
        raise ValueError(
            "add_generation_prompt=True begins an answer and continue_final_message=True goes on "
            "with the last message; give one of the two"
        )
    return given


def variables(
    last: object,
    *,
    tools: Iterable[Mapping[str, Any]] | None = None,
    builtin_tools: Iterable[str] | None = None,
    documents: Iterable[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool | None = None,
    date: Date = None,
    dialect: Dialect | None = None,
    tools_in: Literal["user", "system"] = "user",
    continue_final_message: bool = False,
    tool_format: ToolFormat = "json",
    template_variables: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a chat template is given: the arguments of `Tokenizer.encode_chat` by its names.

    `last` is the role of the last message. The names are those that the published templates know,
    and most others do.
    """
    if dialect not in (None, "hf") or tool_format != "json":
        raise ValueError(
            "dialect and tool_format are for the formats of the releases; this chat template is "
            "another"
        )
    arguments.choice(tools_in, "tools_in", ("user", "system"))
    given: dict[str, Any] = {
        "tools": None if tools is None else list(several(tools, "tools")),
        "documents": None if documents is None else list(several(documents, "documents")),
        "add_generation_prompt": _prompts(add_generation_prompt, continue_final_message, last),
    }
    if builtin_tools is not None:
        given["builtin_tools"] = _builtin_tools(builtin_tools)
    if tools_in == "system":
        given["tools_in_user_message"] = False
    if date is not None:
        given["date_string"] = _date(date)
    if not isinstance(template_variables, Mapping | None):
        kind = type(template_variables).__name__
        raise TypeError(f"template_variables must be a dictionary or None, not {kind}")
    for name in template_variables or ():
        if not isinstance(name, str):
            raise TypeError(f"template_variables must have names (str), not {type(name).__name__}")
    return given | dict(template_variables or {})


def _fault(index: int | None, field: str, reason: str) -> ChatFormatError:
    return ChatFormatError(reason, index, field)


# Messages


def _message(
    index: int, message: Message, dialect: str, tool_format: str
) -> "CoreMessage | Mapping[str, Any]":
    """A message as the core takes it."""
    if _core.are_plain([message]):
        return message
    if not isinstance(message, dict | Mapping):
        raise _fault(index, "", f"must be a dictionary, not {type(message).__name__}")
    role, content = message.get("role"), message.get("content")
    calls = message.get("tool_calls")
    if not isinstance(role, str):
        what = "is missing" if role is None else f"must be a str, not {type(role).__name__}"
        raise _fault(index, "role", what)
    context: Parts | None = None
    if dialect == "hf":
        if role in _RESULTS and calls is None:
            if "content" not in message:
                raise _fault(index, "content", "is missing")
            text = _result(index, content)
            return {
                "role": role,
                "content": [text],
                "calls": None,
                "context": None,
                "turn_goes_on": False,
            }
        turn_goes_on = False
    else:
        if message.get("context") is not None:
            context = _parts(index, "context", message["context"])
        turn_goes_on = _turn_goes_on(index, message.get("stop_reason"))
    parts: Parts = []
    if type(content) is str:
        parts = [content]
    elif content is not None:
        parts = _parts(index, "content", content)
    elif calls is None:
        raise _fault(index, "content", "is missing")
    taken = None if calls is None else _calls(index, calls, dialect, tool_format)
    return {
        "role": role,
        "content": parts,
        "calls": taken,
        "context": context,
        "turn_goes_on": turn_goes_on,
    }


def _parts(index: int, field: str, content: object) -> "Parts":
    """Texts, and None for an image."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list | tuple):
        given = type(content).__name__
        raise _fault(index, field, f"must be a str or a list of parts, not {given}")
    parts: Parts = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("text") if kind == "text" else None
        if kind != "image" and not isinstance(text, str):
            reason = 'must be {"type": "text", "text": a str} or {"type": "image"}'
            raise _fault(index, f"{field}[{number}]", reason)
        parts.append(text)
    return parts


def _result(index: int, content: object) -> str:
    """What a tool gave, as the templates write it: JSON, but `str` of what has no items."""
    if content is not None and not isinstance(content, bool | int | float):
        return _json(content, index, "content")
    try:
        return str(content)
    except ValueError as error:  # an integer with more digits than Python writes
        raise _fault(index, "content", str(error)) from error


def _turn_goes_on(index: int, reason: object) -> bool:
    if reason is not None and reason not in _STOP_REASONS:
        known = ", ".join(_STOP_REASONS)
        raise _fault(index, "stop_reason", f"must be one of {known}, not {quoted(reason)}")
    return reason == "end_of_message"


def _calls(index: int, calls: object, dialect: str, tool_format: str) -> "list[CoreCall]":
    if not isinstance(calls, list | tuple):
        raise _fault(index, "tool_calls", f"must be a list, not {type(calls).__name__}")
    if dialect == "meta" and tool_format == "json" and len(calls) > 1:
        # Meta's class writes them side by side, which nobody can read; its prompts show one.
        reason = (
            "Meta's format has one call a message in this form, not several; "
            'tool_format="python_list" writes them as one list'
        )
        raise _fault(index, "tool_calls", reason)
    return [
        _call(index, f"tool_calls[{number}]", call, dialect, tool_format)
        for number, call in enumerate(calls)
    ]


def _call(index: int, field: str, call: object, dialect: str, tool_format: str) -> "CoreCall":
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        reason = (
            'must be {"type": "function", "function": {"name": a str, "arguments": a dictionary}}'
        )
        raise _fault(index, field, reason)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str):
        reason = f"must be a str, not {type(name).__name__}"
        raise _fault(index, f"{field}.function.name", reason)
    inside = f"{field}.function.arguments"
    if not isinstance(arguments, Mapping):
        hint = "; json.loads makes one of it" if isinstance(arguments, str) else ""
        reason = f"must be a dictionary, not {type(arguments).__name__}{hint}"
        raise _fault(index, inside, reason)
    for key in arguments:
        if not isinstance(key, str):
            raise _fault(index, inside, f"{quoted(key)} is not a name: it is not a str")
    if tool_format == "python_list":
        _check_identifiers(index, f"{field}.function.name", [name])
        _check_identifiers(index, inside, arguments)
    meta = dialect == "meta"
    one_by_one: list[CoreArgument] = [
        {
            "name": key,
            "text": value if isinstance(value, str) else None,
            "json": _json(value, index, f"{inside}[{quoted(key)}]"),
        }
        for key, value in arguments.items()
    ]
    return {
        "name": name,
        "quoted_name": _json(name, index, field, ensure_ascii=meta),
        "json": _json(arguments, index, inside, ensure_ascii=meta),
        "arguments": one_by_one,
    }


def _check_identifiers(index: int, field: str, names: Iterable[str]) -> None:
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            reason = (
                f"{quoted(name)} can't be a name in a Python list; the other tool formats "
                "can have it"
            )
            raise _fault(index, field, reason)


# What goes with the messages


def _tools(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    listed = []
    for index, tool in enumerate(several(tools, "tools")):
        if not isinstance(tool, Mapping):
            reason = f"must be a dictionary that describes the tool, not {type(tool).__name__}"
            raise _fault(index, "tools", reason)
        listed.append(_json(tool, index, "tools", indent=4))
    return listed


def _builtin_tools(names: Iterable[str]) -> list[str]:
    listed = list(several(names, "builtin_tools"))
    for index, name in enumerate(listed):
        if not isinstance(name, str):
            reason = f"must be a str, not {type(name).__name__}"
            raise _fault(index, "builtin_tools", reason)
    return listed


def _date(date: Date) -> str | None:
    if date is None or (isinstance(date, str) and date != "today"):
        return date
    import datetime

    if date == "today":
        date = datetime.date.today()
    if not isinstance(date, datetime.date):
        raise TypeError(f"date must be a date, a str or None, not {type(date).__name__}")
    return f"{date.day:02} {_MONTHS[date.month - 1]} {date.year:04}"


def _json(
    value: object, index: int, field: str, *, indent: int | None = None, ensure_ascii: bool = False
) -> str:
    import json

    try:
        return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise _fault(index, field, f"can't be written as JSON: {error}") from error


def _plain(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a type of JSON")


def several(values: Any, argument: str) -> Iterable[Any]:  # noqa: ANN401 - it is being checked
    if arguments.is_one(values):
        reason = f"must be a list, not {type(values).__name__}"
        raise _fault(None, argument, reason)
    return cast(Iterable[Any], values)
