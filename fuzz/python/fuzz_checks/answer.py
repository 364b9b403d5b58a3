"""A model's answer as text: no `str` is an error, and however it is divided it is the same."""

from collections.abc import Sequence
from typing import Any

from fuzz_checks.given import Given, text_of
from llama3_tok import CallDropped, assistant_stream, parse_assistant
from streamed import put_together, same, told

SEEDS = (
    "Hello, world.",
    '{"name": "f", "parameters": {"a": 1}}<|eot_id|>',
    '<|python_tag|>brave_search.call(query="llamas \\" x")<|eom_id|>',
    "<|python_tag|>print(1)\nx = [f(a=1)]",
    '[f(a=1, b="x", c=[True, None, {"d": -1.5e3}]), g()]',
    '<function=get.it>{"a": {"b": ["é", "\\u00e9", "\\ud83d\\ude00"]}}</function>',
    'Let me see. {"name": "f", "parameters": {}}; {"type": "function", "name": "g", '
    '"arguments": {}}',
    '```json\n[{"name": "f", "arguments": {"a": "漢字"}}]\n```\nThat is it.',
    "{'name': 'f', 'parameters': {'a': \"it's\"}}  ;",
    '[see](http://a.b) {"answer": 42, "name": "Bob"} <|eot_id|> <function=',
)


def check(data: bytes) -> None:
    """The first four bytes say how it is read and divided, and the rest is the answer."""
    given = Given(data)
    salvage, holds, step = given.flag(), given.flag(), given.number(1 << 16)
    text = text_of(given.rest())
    whole = parse_assistant(text, salvage=salvage)
    assert len(whole.problem or "") <= 1000
    stream = assistant_stream(salvage=salvage, hold_calls=holds)
    deltas = told(stream, divided(text, step))
    same(put_together(deltas), whole)
    assert stream.message == whole
    assert not holds or not any(isinstance(delta, CallDropped) for delta in deltas)
    whole.to_message()


def divided(whole: Sequence[Any], step: int) -> list[Any]:
    """Something in parts whose lengths follow from a number; for 0 each is of one."""
    parts, at = [], 0
    while at < len(whole):
        step = (step * 1103515245 + 12345) % (1 << 31) if step else 0
        length = 1 + (step >> 16) % 7 if step % 3 else 1 + (step >> 16) % 60
        parts.append(whole[at : at + (length if step else 1)])
        at += length if step else 1
    return parts


def seeds() -> dict[str, bytes]:
    """Answers of all forms, each read strictly and leniently."""
    return {
        f"{number}{kind}": bytes([salvage, 0, number, 0]) + text.encode()
        for number, text in enumerate(SEEDS)
        for kind, salvage in (("a", 0), ("b", 1))
    }
