"""`parse_assistant(salvage=True)`: calls with text around them."""

import pytest

from answers import (
    CALLS,
    EOM,
    EOT,
    TAG,
)
from llama3_tok import (
    AssistantMessage,
    ToolCall,
    parse_assistant,
)

# With text around the calls


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("before", "after", "content"),
    [
        ("", "", ""),
        ("  \n", " ;\n", ""),
        ("I will look.\n", "", "I will look.\n"),
        ("", " That was a call.", " That was a call."),
        ("First:\n", "\nThen {that}.", "First:\n\nThen {that}."),
        ("```json\n", "\n```", ""),
        ("``` ", "```\n", ""),
        ("See:\n```python\n", "\n```\nDone.", "See:\n\n\nDone."),
        ("Look. \n<|python_tag|>", "", "Look. \n"),
        ("{ [ < `` ```x y\n", "", "{ [ < `` ```x y\n"),
        ("[see](http://a.b) and {x}\n", "", "[see](http://a.b) and {x}\n"),
    ],
)
def test_a_call_is_salvaged_from_the_text_around_it(call, before, after, content):
    text = f"{before}{call}{after}"
    message = parse_assistant(text, salvage=True)
    assert message.content == content
    [found] = message.tool_calls
    assert (found.name, list(found.arguments.values())) in (("f", [1]), ("f", ["1"]), ("f", []))
    assert message.code is None
    assert (message.problem is None) == (not content.strip() and "[ <" not in content)
    if not before.strip(" \n") and not after.strip(" \n;"):
        assert parse_assistant(text).tool_calls == message.tool_calls


def test_several_calls_are_salvaged_in_any_form():
    text = "\n".join(["One", *CALLS.values(), "two", *CALLS.values(), ""])
    message = parse_assistant(text + "<|eot_id|>", salvage=True)
    assert len(message.tool_calls) == 2 * len(CALLS)
    assert message.content == "One\n\ntwo\n"
    assert (message.stop_reason, message.problem) == (
        "end_of_turn",
        "there is text around the calls",
    )
    # Even without anything between them.
    adjacent = parse_assistant("".join(CALLS.values()), salvage=True)
    assert (adjacent.content, len(adjacent.tool_calls)) == ("", len(CALLS))


@pytest.mark.parametrize(
    ("text", "content", "names", "problem"),
    [
        # What ends within a call, or goes wrong in it, is text.
        ('{"name": "f", "parameters": {}}; {"name": "g", "para', '; {"name": "g", "para', ["f"],
         "ends within it"),
        ('{"name": "f", "parameters": {{"name": "g", "parameters": {}}',
         '{"name": "f", "parameters": {', ["g"], "a key in quotation marks is missing"),
        ('[f(a=g()), h(b=1)]', '[f(a=g()), h(b=1)]', [], "this is not a literal value"),
        ('[{"name": "f", "parameters": {}}, 5]', '[{"name": "f", "parameters": {}}, 5]', [],
         "is the form of a call"),
        # A built-in tool is called where a line begins.
        ('I use f.call(a="1"), I do.', 'I use f.call(a="1"), I do.', [], "what looks like one"),
        ('I do:\n  f.call(a="1") twice', "I do:\n   twice", ["f"], "text around"),
        # JSON that is not a call.
        ('{"a": [1]} {"name": "f", "parameters": {}}', '{"a": [1]} ', ["f"], "text around"),
        ('{"answer": 42}', '{"answer": 42}', [], None),
        ("<function=[f()]", "<function=[f()]", [], "ends within it"),
        ("", "", [], None),
        (" ; \n", " ; \n", [], None),
        ("```json\n", "```json\n", [], None),
    ],
)  # fmt: skip
def test_what_can_not_be_read_for_certain_is_text_in_a_salvaged_answer(
    text, content, names, problem
):
    message = parse_assistant(text, salvage=True)
    assert message.content == content
    assert [call.name for call in message.tool_calls] == names
    assert problem is message.problem is None or problem in message.problem


def test_ids_are_salvaged_around_special_tokens(tokenizer):
    call = '{"name": "f", "parameters": {}}'
    ids, hello = tokenizer.encode(call), tokenizer.encode("Hello. ")
    expected = (ToolCall("f", {}, "json"),)
    read = lambda ids: tokenizer.parse_assistant(ids, salvage=True)  # noqa: E731
    assert read([*hello, *ids, EOT]).tool_calls == expected
    message = read([*hello, TAG, *ids, EOM])
    assert message == AssistantMessage("Hello. ", expected, None, "end_of_message")
    message = read([TAG, *ids, *hello, EOM])
    assert (message.content, message.tool_calls, message.code) == ("Hello. ", expected, None)
    message = read([TAG, *hello, *ids, EOM])
    assert (message.content, message.tool_calls, message.code) == ("", (), "Hello. " + call)
    message = read([TAG, *ids, TAG, *ids, EOT])
    assert (message.content, message.tool_calls, message.code) == ("", 2 * expected, None)
    assert "<|python_tag|> at position" in message.problem
    half = len(ids) // 2
    message = read([*ids[:half], 128006, *ids[half:], EOT])
    assert message.content == tokenizer.decode([*ids[:half], 128006, *ids[half:]])
    assert message.tool_calls == ()
    message = read([TAG, *hello, 128006, *ids, EOT])
    assert message.content == "<|python_tag|>Hello. <|start_header_id|>"
    assert (message.tool_calls, message.code) == (expected, None)


@pytest.mark.long
def test_salvage_takes_linear_time():
    for piece in (
        "{",
        "[",
        '{"a":',
        "[f(a=",
        "<function=f>{",
        '\nf.call(a="',
        "```\n",
        "`",
        "<",
        ";",
    ):
        text = piece * 40_000
        assert parse_assistant(text, salvage=True).content == text
        twice = '\nf.call(a="x' * 5_000 + '", a="y")'
    assert parse_assistant(twice, salvage=True).content == twice
