"""Any messages, tools and options: ChatFormatError and the like, or the ids of what is rendered."""

from collections.abc import Callable

from fuzz_checks.given import Given
from fuzz_checks.small import rank_file, tokenizer
from llama3_tok import Llama3TokError, Tokenizer

WORDS = [
    *("role", "content", "tool_calls", "function", "name", "arguments", "type", "text", "id"),
    *("user", "assistant", "system", "tool", "ipython", "context", "stop_reason", "image"),
    *("end_of_message", "code_interpreter", "brave_search", "query", "code", "description"),
    *("parameters", "properties", "object", "string", "tool_call_id", "learn", "weight"),
    *("hello", "<|eot_id|>", "<|start_header_id|>", "<|image|>", '{"a": 1}', "\n hello \n", ""),
]
OPTIONS = {
    "dialect": (None, "hf", "meta"),
    "add_generation_prompt": (None, True, False),
    "continue_final_message": (False, True),
    "tools_in": ("user", "system"),
    "date": (None, "1 Jan 2025", "<|eot_id|>"),
    "tool_format": ("json", "function_tag", "python_list"),
}
TOOLS = ("brave_search", "wolfram_alpha", "code_interpreter", "photogen", "<|eot_id|>")
PROFILES = ("llama3", "llama3.1", "llama3.2", "llama3.2-vision", "meta")
_MADE: dict[str, Tokenizer] = {"llama3.1": tokenizer()}


def check(data: bytes) -> None:
    """The input chooses the profile, the options and the messages, most of them sound ones."""
    given = Given(data)
    profile = given.choice(PROFILES)
    if profile not in _MADE:
        _MADE[profile] = Tokenizer(rank_file(), profile=profile)
    made = _MADE[profile]
    options = {
        name: given.choice(values) for name, values in OPTIONS.items() if given.number(4) == 3
    }
    if options.get("dialect", profile) != "meta" and not _is_odd(given):
        options.pop("tool_format", None)
    if given.number(4) == 3:
        options["tools"] = _several(given, _tool)
    if given.number(4) == 3:
        options["builtin_tools"] = _several(given, lambda given: given.choice(TOOLS))
    messages = _several(given, _row)
    try:
        ids = made.encode_chat(messages, **options)
    except (Llama3TokError, TypeError, ValueError):
        return
    assert made.render_chat(messages, **options) == made.decode(ids)
    assert made.count_chat(messages, **options) == len(ids)
    assert made.encode_chat_array(messages, **options).tolist() == ids


def _is_odd(given: Given) -> bool:
    """Whether there is to be something else than what is allowed: now and then."""
    return given.number(16) == 15


def _several(given: Given, make: Callable[[Given], object]) -> object:
    if _is_odd(given):
        return given.value(WORDS)
    return given.several(lambda: given.value(WORDS) if _is_odd(given) else make(given))


def _row(given: Given) -> dict[str, object]:
    """A message: a role and a content, and perhaps more."""
    row: dict[str, object] = {
        "role": given.choice(("user", "assistant", "system", "tool", "ipython", "user", "")),
        "content": given.value(WORDS) if _is_odd(given) else _content(given),
    }
    if _is_odd(given) or (row["role"] == "assistant" and given.flag()):
        row["tool_calls"] = given.several(lambda: _call(given), 3)
    if given.number(8) == 7:
        row["context"] = _content(given)
    if given.number(8) == 7:
        row["stop_reason"] = given.choice(("end_of_message", "end_of_turn", "", None))
    if _is_odd(given):
        row[given.key(WORDS)] = given.value(WORDS)
    return row


def _content(given: Given) -> object:
    """A text, or parts."""
    if given.number(4) != 3:
        return given.text() if given.flag() else given.choice(WORDS)
    return given.several(
        lambda: (
            {"type": "image"} if given.number(4) == 3 else {"type": "text", "text": given.text()}
        )
    )


def _call(given: Given) -> object:
    if _is_odd(given):
        return given.value(WORDS)
    arguments = dict(given.several(lambda: (given.choice(WORDS), given.value(WORDS))))
    if given.flag():
        name = given.choice(TOOLS)
        arguments |= {given.choice(("query", "code")): given.text()}
    else:
        name = given.choice(WORDS)
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _tool(given: Given) -> object:
    """The description of a tool, in either shape."""
    tool = {
        "name": given.choice(WORDS),
        "description": given.text(),
        "parameters": {"type": "object", "properties": given.value(WORDS)},
    }
    return {"type": "function", "function": tool} if given.flag() else tool


def seeds() -> dict[str, bytes]:
    """What chooses a few short conversations."""
    return {
        f"{number}": bytes([number % 5]) + bytes((7 * number + 3 * at) % 251 for at in range(60))
        for number in range(12)
    }
