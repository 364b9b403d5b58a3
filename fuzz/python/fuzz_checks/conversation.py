"""Any messages, tools and options: ChatFormatError and the like, or the ids of what is rendered."""

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
    "tool_format": ("json", "function_tag", "python_list"),
    "add_generation_prompt": (None, True, False),
    "continue_final_message": (False, True),
    "tools_in": ("user", "system"),
    "date": (None, "1 Jan 2025", "<|eot_id|>"),
}
PROFILES = ("llama3", "llama3.1", "llama3.2", "llama3.2-vision", "meta")
_MADE: dict[str, Tokenizer] = {"llama3.1": tokenizer()}


def check(data: bytes) -> None:
    """The input chooses the profile, the options and the messages."""
    given = Given(data)
    profile = given.choice(PROFILES)
    if profile not in _MADE:
        _MADE[profile] = Tokenizer(rank_file(), profile=profile)
    made = _MADE[profile]
    options = {
        name: given.choice(values) for name, values in OPTIONS.items() if given.number(4) == 3
    }
    for name in ("tools", "builtin_tools"):
        if given.number(4) == 3:
            options[name] = given.value(WORDS)
    messages = given.value(WORDS) if given.number(16) == 15 else given.several(lambda: _row(given))
    try:
        ids = made.encode_chat(messages, **options)
    except (Llama3TokError, TypeError, ValueError):
        return
    assert made.render_chat(messages, **options) == made.decode(ids)
    assert made.count_chat(messages, **options) == len(ids)
    assert made.encode_chat_array(messages, **options).tolist() == ids


def _row(given: Given) -> dict[str, object]:
    """A message: a role and a content, and perhaps more."""
    row: dict[str, object] = {
        "role": given.choice(("user", "assistant", "system", "tool", "ipython", "")),
        "content": given.choice(WORDS) if given.flag() else given.value(WORDS),
    }
    if given.number(4) == 3:
        row["tool_calls"] = given.several(lambda: _call(given), 3)
    for key in given.sample(("context", "stop_reason", "name", "learn"), given.number(3)):
        row[key] = given.value(WORDS)
    return row


def _call(given: Given) -> object:
    if given.number(8) == 7:
        return given.value(WORDS)
    function = {"name": given.choice(WORDS), "arguments": given.value(WORDS)}
    return {"type": "function", "function": function} if given.flag() else function


def seeds() -> dict[str, bytes]:
    """What chooses a few short conversations."""
    return {
        f"{number}": bytes([number % 5]) + bytes((7 * number + 3 * at) % 251 for at in range(60))
        for number in range(12)
    }
