"""Rows of conversations as people have them, as messages that `encode_chat` takes.

A row is a list of messages, or a dictionary with one, and perhaps `tools` and `system`. What a
chat template would write wrongly without a word is put right here, or refused: arguments as a
JSON string, which a template writes as a string; empty lists and nulls, which Arrow has where
JSON has nothing; and marks of what is to be learned, under the names that trainers have for them.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

from llama3_tok import _core, arguments
from llama3_tok.chat.messages import Message
from llama3_tok.errors import ChatFormatError

__all__ = ["FORMS", "Form", "Learn", "Row", "learned", "read"]

Form: TypeAlias = Literal["messages", "sharegpt"]
Learn: TypeAlias = Literal["assistant", "last", "all"]

# The column that each form has its messages in.
FORMS = {"messages": "messages", "sharegpt": "conversations"}

# Who speaks in ShareGPT, and in what LLaMA-Factory and axolotl read as such.
_SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
}
# Names that trainers have, or might have, for what is learned of a message: `weight` (OpenAI, and
# axolotl's first), `train` (axolotl's newer), `training`, `train_detail`, `loss` and `loss_scale`
# (ms-swift), `loss_weight` (LLaMA-Factory), `mask` and `masked` (NeMo, torchtune), and their kin.
_SUSPICIOUS = re.compile(
    r"(^|_)(un)?((train|learn)(s|ed|able|ing)?|loss|mask(s|ed)?|weight(s|ed)?|supervised?|ignored?)"
    r"(_|$)"
)


class Row(NamedTuple):
    """A conversation, ready for `encode_chat`.

    `says` is what each message says itself of whether it is learned: False, True, or None for
    nothing; None in place of the list if no message says anything. `tools` and `documents` are
    None unless the row has some.
    """

    messages: list[Message]
    says: list[bool | None] | None
    tools: list[Any] | None
    documents: list[Any] | None


def read(row: object, form: Form = "messages", column: str | None = None) -> Row:
    """Reads a row, in which `column` has the messages if it is a dictionary.

    Raises ChatFormatError for what is not as its form has it.
    """
    if type(row) is not list and isinstance(row, Mapping):
        given = _messages(row, form, FORMS[form] if column is None else column)
        tools, documents = _tools(row.get("tools")), row.get("documents")
        if row.get("chat_template_kwargs"):
            reason = "is not read from rows; pass what it has to the call, for all rows"
            raise ChatFormatError(reason, None, "chat_template_kwargs")
        system = row.get("system")
    else:
        given, tools, documents, system = _list(row, "messages"), None, None, None
    of_form = _from_sharegpt if form == "sharegpt" else _message
    messages: list[Message] = []
    says: list[bool | None] | None = None
    # Nearly all messages have a role and a text alone, and are left as they are.
    if form == "messages" and _core.are_plain(given):
        messages, given = given, []
    for index, message in enumerate(given):
        if isinstance(message, Mapping):
            taken, said = of_form(index, message)
            messages.append(taken)
            if said is not None:
                if says is None:
                    says = [None] * len(given)
                says[index] = said
        else:
            raise ChatFormatError(f"must be a dictionary, not {type(message).__name__}", index)
    if system:
        messages, says = _with_system(system, messages, says)
    return Row(messages, says, tools, None if documents is None else _list(documents, "documents"))


def learned(row: Row, learn: Learn) -> list[bool] | None:
    """Which messages are learned; None if those are that the assistant writes, or all, by `learn`.

    Raises ChatFormatError for a message that asks to be learned and that `learn` leaves out.
    """
    says = row.says
    if says is None and learn != "last":
        return None
    if says is not None and learn != "all":
        for index, said in enumerate(says):
            if said and row.messages[index].get("role") != "assistant":
                reason = (
                    "its weight or train asks for it to be learned, and with "
                    f"learn={learn!r} only the assistant's messages are; take the mark out, or "
                    'pass learn="all"'
                )
                raise ChatFormatError(reason, index)
    if learn == "last":
        answers = (
            index
            for index in range(len(row.messages) - 1, -1, -1)
            if row.messages[index].get("role") == "assistant"
        )
        last = next(answers, None)
        if last is not None and says is not None and says[last] is False:
            last = None
        return [index == last for index in range(len(row.messages))]
    if says is None or False not in says:
        return None
    return [said is not False for said in says]


# The row


def _messages(row: Mapping[str, Any], form: Form, column: str) -> list[Any]:
    given = row.get(column)
    if given is not None:
        return _list(given, column)
    has = ", ".join(map(repr, list(row)[:20])) or "nothing"
    other = next((name for name, place in FORMS.items() if row.get(place) is not None), None)
    hint = ""
    if other is not None and other != form:
        hint = f"; form={other!r} reads {FORMS[other]!r}"
    raise ChatFormatError(f"the row does not have it; it has {has}{hint}", None, column)


def _list(value: object, field: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str) or not isinstance(value, Iterable) or arguments.is_one(value):
        raise ChatFormatError(f"must be a list, not {type(value).__name__}", None, field)
    return list(value)


def _tools(tools: object) -> list[Any] | None:
    """Tools as a list, which may be written as JSON; none are None."""
    if isinstance(tools, str):
        if not tools.strip():
            return None
        tools = _parsed(tools, None, "tools")
        if not isinstance(tools, list | None):
            reason = f"must be a list as JSON, and is {_kind(tools)}"
            raise ChatFormatError(reason, None, "tools")
    return None if tools is None else _list(tools, "tools") or None


def _with_system(
    system: object, messages: list[Message], says: list[bool | None] | None
) -> tuple[list[Message], list[bool | None] | None]:
    """A row's system message as the first."""
    if not isinstance(system, str):
        raise ChatFormatError(f"must be a str, not {type(system).__name__}", None, "system")
    if messages and messages[0].get("role") == "system":
        reason = "the row has it, and its first message is a system message; leave one of them out"
        raise ChatFormatError(reason, None, "system")
    first: Message = {"role": "system", "content": system}
    return [first, *messages], None if says is None else [None, *says]


# Messages


def _message(index: int, message: Mapping[str, Any]) -> tuple[Message, bool | None]:
    """A message without what is null, empty or about learning, and what it says of that."""
    kept: dict[str, Any] = {}
    says: list[tuple[str, bool]] = []
    for key, value in message.items():
        if value is None and key != "content":
            continue
        if key == "tool_calls":
            if calls := _calls(index, value):
                kept[key] = calls
        elif key == "weight":
            says.append((key, _weight(index, value)))
        elif key == "train":
            says.append((key, _train(index, value)))
        elif isinstance(key, str) and _SUSPICIOUS.search(_snake(key)):
            _refuse_mark(index, key)
        else:
            kept[key] = value
    if len(says) == 2 and says[0][1] != says[1][1]:
        raise ChatFormatError("says the opposite of its weight", index, "train")
    return kept, says[0][1] if says else None


def _snake(key: str) -> str:
    """A name in small letters, its words apart: `trainOnTurn` and `train-on-turn` alike."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[-. ]", "_", key).lower()


def _refuse_mark(index: int, key: str) -> NoReturn:
    reason = (
        "looks like a mark of what is learned, and is not one that is known here; write it as "
        '"train": false, or "weight": 0, or take it out'
    )
    raise ChatFormatError(reason, index, key)


def _weight(index: int, value: object) -> bool:
    # OpenAI has 0 and 1; Arrow makes floats of them where some are missing.
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    reason = f"must be 0 or 1, not {_short(value)}; a label is learned or not, with nothing between"
    raise ChatFormatError(reason, index, "weight")


def _train(index: int, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ChatFormatError(f"must be true or false, not {_short(value)}", index, "train")


def _calls(index: int, calls: object) -> object:
    """Calls of tools, their arguments parsed where they are written as JSON."""
    if not isinstance(calls, list | tuple):
        return calls  # which `encode_chat` refuses
    return [_call(index, f"tool_calls[{number}]", call) for number, call in enumerate(calls)]


def _call(index: int, field: str, call: object) -> object:
    function = call.get("function") if isinstance(call, Mapping) else None
    written = function.get("arguments") if isinstance(function, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(written, str):
        return call
    given = _arguments(index, f"{field}.function.arguments", written)
    return {**call, "function": {**call["function"], "arguments": given}}


def _arguments(index: int, field: str, written: str) -> dict[str, Any]:
    given = _parsed(written, index, field)
    if not isinstance(given, dict):
        reason = f"must be a dictionary, or one as a JSON string, and is {_kind(given)} as JSON"
        raise ChatFormatError(reason, index, field)
    return given


def _from_sharegpt(index: int, message: Mapping[str, Any]) -> tuple[Message, bool | None]:
    """`from` and `value` as `role` and `content`; a `function_call` as a call of a tool."""
    rest, says = _message(index, message)
    given = dict(rest)
    speaker, value = given.pop("from", None), given.pop("value", None)
    if not isinstance(speaker, str):
        hint = '; form="messages" reads role and content' if "role" in given else ""
        what = "is missing" if speaker is None else f"must be a str, not {type(speaker).__name__}"
        raise ChatFormatError(what + hint, index, "from")
    role = _SPEAKERS.get(speaker)
    if role is None:
        known = ", ".join(_SPEAKERS)
        reason = f"{_short(speaker)} is not a speaker that is known; they are {known}"
        raise ChatFormatError(reason, index, "from")
    if not isinstance(value, str):
        what = "is missing" if value is None else f"must be a str, not {type(value).__name__}"
        raise ChatFormatError(what, index, "value")
    if speaker == "function_call":
        return {"role": role, "tool_calls": _function_call(index, value), **given}, says
    return {"role": role, "content": value, **given}, says


def _function_call(index: int, value: str) -> list[dict[str, Any]]:
    calls = _parsed(value, index, "value")
    made = []
    for call in calls if isinstance(calls, list) and calls else [calls]:
        if not isinstance(call, dict) or not {"name", "arguments"} <= call.keys():
            reason = 'must be {"name": ..., "arguments": {...}} as JSON, or a list of such'
            raise ChatFormatError(reason, index, "value")
        given = call["arguments"]
        if isinstance(given, str):
            given = _arguments(index, "value.arguments", given)
        function = {"name": call["name"], "arguments": given}
        made.append({"type": "function", "function": function})
    return made


# JSON


def _parsed(text: str, index: int | None, field: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            why = f"{error.msg.lower()} at character {error.pos}"
        else:
            why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ChatFormatError(f"is not valid JSON: {why}", index, field) from None


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"JSON has no {word}")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _short(value: object) -> str:
    written = repr(value)
    return written if len(written) <= 60 else written[:60] + "..."
