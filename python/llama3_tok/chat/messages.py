"""Conversations as the core takes them: dictionaries checked and taken apart, values as JSON.

The formats themselves are Rust's (`rust/chat/`). What is decided here follows the templates that
were published with the models, as transformers' `apply_chat_template` renders them, and Meta's
`ChatFormat`: JSON is `json.dumps` with the options that each of them uses.
"""

import keyword
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypedDict, cast

from llama3_tok import _core, arguments
from llama3_tok.errors import ChatFormatError
from llama3_tok.profiles import find

if TYPE_CHECKING:
    import datetime

__all__ = [
    "DIALECTS",
    "TOOL_FORMATS",
    "ChatOptions",
    "Date",
    "Dialect",
    "FittedChat",
    "Message",
    "ToolFormat",
    "conversation",
    "fit",
    "several",
    "variables",
    "warn_of_second_bos",
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

_Parts: TypeAlias = list[str | None]
_Call: TypeAlias = tuple[str, str, str, list[tuple[str, str | None, str]]]
_Message: TypeAlias = tuple[str, _Parts, list[_Call] | None, _Parts | None, bool]


class ChatOptions(TypedDict, total=False):
    """The options of `encode_chat`, `render_chat` and `fit_chat`; the first says what they mean."""

    tools: Iterable[Mapping[str, Any]] | None
    builtin_tools: Iterable[str] | None
    documents: Iterable[Mapping[str, Any]] | None
    add_generation_prompt: bool
    continue_final_message: bool
    date: Date
    dialect: Dialect | None
    tools_in: Literal["user", "system"]
    tool_format: ToolFormat
    chat_template: str | None
    template_variables: Mapping[str, Any] | None


class FittedChat(NamedTuple):
    """What `Tokenizer.fit_chat` kept of a conversation.

    `messages` are those that were kept, `dropped` the indices of the others in the list that was
    given, ascending, and `tokens` how many ids `encode_chat(messages, ...)` has.
    """

    messages: list[Message]
    dropped: list[int]
    tokens: int


def conversation(
    profile: str,
    messages: Iterable[Message],
    *,
    tools: Iterable[Mapping[str, Any]] | None = None,
    builtin_tools: Iterable[str] | None = None,
    add_generation_prompt: bool = True,
    date: Date = None,
    dialect: Dialect | None = None,
    tools_in: Literal["user", "system"] = "user",
    continue_final_message: bool = False,
    tool_format: ToolFormat = "json",
) -> dict[str, Any]:
    """The arguments of `Tokenizer.encode_chat`, checked and as the core takes them."""
    if dialect is None:
        dialect = cast(Dialect, find(profile).dialect)
    arguments.choice(dialect, "dialect", DIALECTS)
    arguments.choice(tool_format, "tool_format", TOOL_FORMATS)
    arguments.choice(tools_in, "tools_in", ("user", "system"))
    if dialect == "hf" and tool_format != "json":
        raise ValueError(
            'tool_format is for dialect="meta"; the published templates have one format'
        )
    arguments.flag(add_generation_prompt, "add_generation_prompt")
    arguments.flag(continue_final_message, "continue_final_message")
    return {
        "dialect": dialect,
        "tool_format": tool_format,
        "messages": [
            _message(index, message, dialect, tool_format)
            for index, message in enumerate(several(messages, "messages"))
        ],
        "tools": None if tools is None else _tools(tools),
        "builtin_tools": None if builtin_tools is None else _builtin_tools(builtin_tools),
        "tools_in_user": tools_in == "user",
        "date": _date(date),
        "add_generation_prompt": add_generation_prompt,
        "continue_final_message": continue_final_message,
    }


def variables(
    *,
    tools: Iterable[Mapping[str, Any]] | None = None,
    builtin_tools: Iterable[str] | None = None,
    documents: Iterable[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    date: Date = None,
    dialect: Dialect | None = None,
    tools_in: Literal["user", "system"] = "user",
    tool_format: ToolFormat = "json",
    template_variables: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a chat template is given: the arguments of `Tokenizer.encode_chat` by its names.

    They are those that the published templates know, and most others do.
    """
    if dialect not in (None, "hf") or tool_format != "json":
        raise ValueError(
            "dialect and tool_format are for the formats of the releases; this chat template is "
            "another"
        )
    arguments.choice(tools_in, "tools_in", ("user", "system"))
    arguments.flag(add_generation_prompt, "add_generation_prompt")
    given: dict[str, Any] = {
        "tools": None if tools is None else list(several(tools, "tools")),
        "documents": None if documents is None else list(several(documents, "documents")),
        "add_generation_prompt": add_generation_prompt,
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
    return given | dict(template_variables or {})


# Messages


def _message(index: int, message: Message, dialect: str, tool_format: str) -> _Message:
    if not isinstance(message, dict | Mapping):
        raise _core.chat_error(index, "", f"must be a dictionary, not {type(message).__name__}")
    role, content = message.get("role"), message.get("content")
    calls = message.get("tool_calls")
    if not isinstance(role, str):
        what = "is missing" if role is None else f"must be a str, not {type(role).__name__}"
        raise _core.chat_error(index, "role", what)
    context: _Parts | None = None
    if dialect == "hf":
        if role in _RESULTS and calls is None:
            if "content" not in message:
                raise _core.chat_error(index, "content", "is missing")
            return role, [_result(index, content)], None, None, False
        turn_goes_on = False
    else:
        if message.get("context") is not None:
            context = _parts(index, "context", message["context"])
        turn_goes_on = _turn_goes_on(index, message.get("stop_reason"))
    parts: _Parts = []
    if type(content) is str:
        parts = [content]
    elif content is not None:
        parts = _parts(index, "content", content)
    elif calls is None:
        raise _core.chat_error(index, "content", "is missing")
    taken = None if calls is None else _calls(index, calls, dialect, tool_format)
    return role, parts, taken, context, turn_goes_on


def _parts(index: int, field: str, content: object) -> _Parts:
    """Texts, and None for an image."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list | tuple):
        given = type(content).__name__
        raise _core.chat_error(index, field, f"must be a str or a list of parts, not {given}")
    parts: _Parts = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("text") if kind == "text" else None
        if kind != "image" and not isinstance(text, str):
            reason = 'must be {"type": "text", "text": a str} or {"type": "image"}'
            raise _core.chat_error(index, f"{field}[{number}]", reason)
        parts.append(text)
    return parts


def _result(index: int, content: object) -> str:
    """What a tool gave, as the templates write it: JSON, but `str` of what has no items."""
    if content is not None and not isinstance(content, bool | int | float):
        return _json(content, index, "content")
    try:
        return str(content)
    except ValueError as error:  # an integer with more digits than Python writes
        raise _core.chat_error(index, "content", str(error)) from error


def _turn_goes_on(index: int, reason: object) -> bool:
    if reason is not None and reason not in _STOP_REASONS:
        known = ", ".join(_STOP_REASONS)
        raise _core.chat_error(index, "stop_reason", f"must be one of {known}, not {reason!r}")
    return reason == "end_of_message"


def _calls(index: int, calls: object, dialect: str, tool_format: str) -> list[_Call]:
    if not isinstance(calls, list | tuple):
        raise _core.chat_error(index, "tool_calls", f"must be a list, not {type(calls).__name__}")
    return [
        _call(index, f"tool_calls[{number}]", call, dialect, tool_format)
        for number, call in enumerate(calls)
    ]


def _call(index: int, field: str, call: object, dialect: str, tool_format: str) -> _Call:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        reason = (
            'must be {"type": "function", "function": {"name": a str, "arguments": a dictionary}}'
        )
        raise _core.chat_error(index, field, reason)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str):
        reason = f"must be a str, not {type(name).__name__}"
        raise _core.chat_error(index, f"{field}.function.name", reason)
    inside = f"{field}.function.arguments"
    if not isinstance(arguments, Mapping):
        hint = "; json.loads makes one of it" if isinstance(arguments, str) else ""
        reason = f"must be a dictionary, not {type(arguments).__name__}{hint}"
        raise _core.chat_error(index, inside, reason)
    for key in arguments:
        if not isinstance(key, str):
            raise _core.chat_error(index, inside, f"{key!r} is no name: not a str")
    if tool_format == "python_list":
        _check_identifiers(index, f"{field}.function.name", [name])
        _check_identifiers(index, inside, arguments)
    meta = dialect == "meta"
    one_by_one = [
        (key, value if isinstance(value, str) else None, _json(value, index, f"{inside}[{key!r}]"))
        for key, value in arguments.items()
    ]
    return (
        name,
        _json(name, index, field, ensure_ascii=meta),
        _json(arguments, index, inside, ensure_ascii=meta),
        one_by_one,
    )


def _check_identifiers(index: int, field: str, names: Iterable[str]) -> None:
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            reason = (
                f"{name!r} can't be a name in a Python list; the other tool formats can have it"
            )
            raise _core.chat_error(index, field, reason)


# What goes with the messages


def _tools(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    listed = []
    for index, tool in enumerate(several(tools, "tools")):
        if not isinstance(tool, Mapping):
            reason = f"must be a dictionary that describes the tool, not {type(tool).__name__}"
            raise _core.chat_error(index, "tools", reason)
        listed.append(_json(tool, index, "tools", indent=4))
    return listed


def _builtin_tools(names: Iterable[str]) -> list[str]:
    listed = list(several(names, "builtin_tools"))
    for index, name in enumerate(listed):
        if not isinstance(name, str):
            reason = f"must be a str, not {type(name).__name__}"
            raise _core.chat_error(index, "builtin_tools", reason)
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
        raise _core.chat_error(index, field, f"can't be written as JSON: {error}") from error


def _plain(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no type of JSON")


def several(values: Any, argument: str) -> Iterable[Any]:  # noqa: ANN401 - it is being checked
    if arguments.is_one(values):
        reason = f"must be a list, not {type(values).__name__}"
        raise _core.chat_error(None, argument, reason)
    return cast(Iterable[Any], values)


# Text that is a conversation already

# How conversations of the releases go on behind BOS.
_HEADER = "<|start_header_id|>"


def warn_of_second_bos(
    texts: Iterable[str | bytes], allowed_special: Literal["all"] | list[str] | None, bos: str
) -> None:
    """Warns if a text that gets a BOS, called `bos`, has one, or is a rendered chat taken for text.

    A text that merely begins with the name, which is then plain text, is the caller's business.
    """
    is_special = allowed_special == "all" or bos in (allowed_special or ())
    opening = bos if is_special else bos + _HEADER
    if not bos or not any(_begins_with(text, opening) for text in texts):
        return
    if is_special:
        message = f"the text begins with {bos} already, and bos=True adds a second one"
    else:
        message = (
            f"the text begins with {bos} already, here as plain text, and bos=True adds the "
            "special token; encode_chat, or `llama3-tok chat`, gives the ids of a conversation"
        )
    warnings.warn(message, stacklevel=3)


def _begins_with(text: object, opening: str) -> bool:
    if isinstance(text, str):
        return text.startswith(opening)
    return isinstance(text, bytes) and text.startswith(opening.encode())


# Fitting


def fit(
    given: list[Message],
    max_tokens: int,
    answer_tokens: int,
    size: Callable[[list[Message]], int],
    ends: Callable[[], list[int]] | None,
) -> FittedChat:
    """`Tokenizer.fit_chat`. `size` counts the ids of messages.

    `ends` gives how many ids there are before the first message and up to the end of each, so that
    what is kept is found at once; without it, it is searched for.
    """
    most = arguments.count(max_tokens, "max_tokens", 0)
    room = most - arguments.count(answer_tokens, "answer_tokens", 0)
    if room < 0:
        raise ValueError(f"answer_tokens is {answer_tokens}, more than max_tokens, {max_tokens}")
    tokens = size(given)
    if tokens <= room:
        return FittedChat(given, [], tokens)
    if not given:
        raise _core.chat_error(
            None, "max_tokens", f"no messages have {tokens} tokens, and {room} are there"
        )
    turns = _turns(given)
    excess = tokens - room

    def left(first: int) -> FittedChat:
        messages = given[: turns[0]] + given[turns[first] :]
        return FittedChat(messages, list(range(turns[0], turns[first])), size(messages))

    def begins(first: int) -> bool:
        """Whether the format takes a turn as the first that is kept."""
        try:
            size([*given[: turns[0]], given[turns[first]]])
        except ChatFormatError:
            return False
        return True

    last = len(turns) - 1
    estimate = 0
    if ends is not None:
        at = ends()
        estimate = next(
            (turn for turn in range(last) if at[turns[turn]] - at[turns[0]] >= excess), last
        )
        try:
            fitted = left(estimate)
            if fitted.tokens <= room:
                return fitted
        except ChatFormatError:
            pass
    # What is left is what the sums say, but in a vision model: without its last image a
    # conversation begins with the dates, and a message that the tools join loses white space, or
    # can't be joined for its image.
    turns_left = [turn for turn in range(estimate, last + 1) if begins(turn)]
    if not turns_left:
        reason = "the last turn can't be kept without those before: tools can't go into its message"
        raise _core.chat_error(turns[last], "content", reason)
    fitted = left(turns_left[-1])
    if fitted.tokens > room:
        reason = f"system message and last turn have {fitted.tokens} tokens, and {room} are there"
        raise _core.chat_error(None, "max_tokens", reason)
    low, high = -1, len(turns_left) - 1
    while high - low > 1:
        middle = left(turns_left[(low + high) // 2])
        if middle.tokens <= room:
            high, fitted = (low + high) // 2, middle
        else:
            low = (low + high) // 2
    return fitted


def _turns(messages: list[Message]) -> list[int]:
    """Where turns begin: behind the leading system messages, and at each user's message."""
    roles = [message.get("role") for message in messages]
    start = next((index for index, role in enumerate(roles) if role != "system"), len(roles))
    later = (index for index in range(start + 1, len(roles)) if roles[index] == "user")
    return [start, *later]
