"""`parse_assistant`: each form of a call, what only nearly is one, and text of any kind."""

import json
import keyword

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama3_tok
import strategies
from conftest import EXAMPLES
from llama3_tok import (
    AssistantMessage,
    ChatFormatError,
    InvalidTokenId,
    Tokenizer,
    ToolCall,
    parse_assistant,
)

TAG, EOT, EOM, EOS, PAD = 128010, 128009, 128008, 128001, 128004


def calls(text):
    """The calls that a text is: (name, arguments, kind)."""
    message = parse_assistant(text)
    assert (message.content, message.code, message.problem) == ("", None, None), message
    return [(call.name, call.arguments, call.kind) for call in message.tool_calls]


# Forms, as they are published and as models write them


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Built-in tools: Meta's encode_tool_call, and the template's loop over arguments.
        ('brave_search.call(query="llamas")', [("brave_search", {"query": "llamas"})]),
        ('f.call(a="1", b="x, y")', [("f", {"a": "1", "b": "x, y"})]),
        ("f.call()", [("f", {})]),
        ('f.call(query="")', [("f", {"query": ""})]),
        ('f.call(query="say \\"hi\\"")', [("f", {"query": 'say "hi"'})]),
        ('f.call(query="say "hi" now")', [("f", {"query": 'say "hi" now'})]),
        (r'f.call(query="C:\new \\ \d")', [("f", {"query": r"C:\new \\ \d"})]),
        ('f.call(query="línea\n漢字 😀")', [("f", {"query": "línea\n漢字 😀"})]),
        ('f.call(a="1")\ng.call(b="2")', [("f", {"a": "1"}), ("g", {"b": "2"})]),
        ('f.call(a="1"); g.call(b="2");', [("f", {"a": "1"}), ("g", {"b": "2"})]),
        ('  wolfram_alpha.call(query="1+1") \n', [("wolfram_alpha", {"query": "1+1"})]),
    ],
)
def test_calls_of_built_in_tools(text, expected):
    assert calls(text) == [(*call, "builtin") for call in expected]
    tagged = parse_assistant(f"<|python_tag|>{text}<|eom_id|>")
    assert [(call.name, call.arguments) for call in tagged.tool_calls] == expected
    assert (tagged.content, tagged.code, tagged.stop_reason) == ("", None, "end_of_message")


NESTED = {"a": [1, -2.5, 1e3, True, None, {"b": 'x"y\\z\n'}], "漢": "é😀", "": {}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "f", "parameters": {"a": 1}}', [("f", {"a": 1})]),
        ('{"name": "f", "arguments": {}}', [("f", {})]),
        ('{"type": "function", "name": "f", "parameters": {"a": "b"}}', [("f", {"a": "b"})]),
        ('{"parameters": {"a": "1"}, "name": "f"}', [("f", {"a": "1"})]),
        (json.dumps({"name": "f", "parameters": NESTED}), [("f", NESTED)]),
        (json.dumps({"name": "f", "parameters": NESTED}, ensure_ascii=False), [("f", NESTED)]),
        (json.dumps({"name": "f", "parameters": NESTED}, indent=4), [("f", NESTED)]),
        (
            '{"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": {}}',
            [("f", {"a": 1}), ("g", {})],
        ),
        (
            '{"name": "f", "parameters": {}}\n{"name": "f", "parameters": {}}',
            [("f", {}), ("f", {})],
        ),
        (
            '[{"name": "f", "parameters": {"a": 1}}, {"name": "g", "arguments": {}}]',
            [("f", {"a": 1}), ("g", {})],
        ),
        # As Python writes it, which models do.
        (
            "{'name': 'f', 'parameters': {'a': \"it's\", 'b': None}}",
            [("f", {"a": "it's", "b": None})],
        ),
        ('{"name": "f", "parameters": {"code": "a\nb"}}', [("f", {"code": "a\nb"})]),
        (r'{"name": "f", "parameters": {"a": "\ud83d\ude00\u00e9"}}', [("f", {"a": "😀é"})]),
        # Some models write a semicolon before the first call, or several.
        ('; {"name": "f", "parameters": {}}', [("f", {})]),
        (
            '\n;;{"name": "f", "parameters": {}};; {"name": "g", "parameters": {}};',
            [("f", {}), ("g", {})],
        ),
    ],
)
def test_calls_as_json(text, expected):
    assert calls(text) == [(*call, "json") for call in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<function=f>{"a": 1}</function>', [("f", {"a": 1})]),
        ("<function=f>{}</function>", [("f", {})]),
        ("<function=get-it>{'a': 'it\\'s'}</function>", [("get-it", {"a": "it's"})]),
        (f"<function=f>{json.dumps(NESTED)}</function>\n", [("f", NESTED)]),
        (
            '<function=f>{"a": "</function>"}</function>\n<function=g>{}</function>',
            [("f", {"a": "</function>"}), ("g", {})],
        ),
    ],
)
def test_calls_in_function_tags(text, expected):
    assert calls(text) == [(*call, "function") for call in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[f(a=1, b="x"), g()]', [("f", {"a": 1, "b": "x"}), ("g", {})]),
        ("[f()]", [("f", {})]),
        ("[ f ( a = 'it\\'s', ), ]", [("f", {"a": "it's"})]),
        ("[a.b.c(x=[1, [2.5, -3], {'k': None, 'l': True}])]",
         [("a.b.c", {"x": [1, [2.5, -3], {"k": None, "l": True}]})]),
        (r"[f(a='\x41\u6f22\U0001f600\t\\')]", [("f", {"a": "A漢😀\t\\"})]),
        ("[größe(länge=1)]", [("größe", {"länge": 1})]),
        ("[get-weather(max-days=3), mcp.files.read-all()]",
         [("get-weather", {"max-days": 3}), ("mcp.files.read-all", {})]),
        ("[v1.2-beta(a=1)]", [("v1.2-beta", {"a": 1})]),
        (f"[f(a={NESTED!r})]", [("f", {"a": NESTED})]),
    ],
)  # fmt: skip
def test_calls_as_a_python_list(text, expected):
    assert calls(text) == [(*call, "pythonic") for call in expected]


# What is no call


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello",
        ";",
        " ; ",
        "{}",
        "[]",
        "[1, 2, 3]",
        '{"name": "Bob", "age": 3}',
        '{"answer": 42}',
        "{not json",
        "[f, g]",
        "[see below](http://example.com)",
        "f(a=1)",
        "call(query=1)",
        "  spaces stay  \n",
        "The set {1, 2}, a list [a, b], f(x) and <b>.",
        "```python\nsubprocess.call(['ls'])\nrows = [f(x) for x in y]\n```",
        'Fields: "name": the name, "parameters": what it takes',
        'Fields: "name": the name, "parameters": what it takes, as in {x}',
        "<functional>",
        "<|python_tag| >",
    ],
)
def test_other_text_is_content_as_it_is(text):
    assert parse_assistant(text) == AssistantMessage(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('f.call(query="x") and more', "there is more after the call at character 18"),
        ('f.call(query="x"', "an argument of the form"),
        ("f.call(query=5)", 'an argument of the form name="text" is missing at character 7'),
        ('f.call("x")', "an argument of the form"),
        ('f.call(a="1", a="2")', "the argument 'a' occurs twice"),
        ('{"name": "f", "parameters": {"a": 1}', "'}' is missing|',' is missing"),
        ('{"name": "f", "parameters": {"a": 1}} trailing', "'{' is missing at character 38"),
        ('{"name": "f", "parameters": {"a": 1}}{"name": "g"}', "more after the call"),
        ('{"name": "f", "parameters": {"a": 1, "a": 2}}', "the key 'a' occurs twice"),
        ('{"name": "f", "parameters": "x"}', '"parameters" is a string, and has to be an object'),
        ('{"name": "f", "arguments": "{}"}', '"arguments" is a string, and has to be an object'),
        ('{"name": "f", "parameters": null}', '"parameters" is null, and has to be an object'),
        ("{'name': 'f', 'arguments': None}", '"arguments" is null, and has to be an object'),
        ('{"name": "f", "parameters": 5}', "is the form of a call"),
        ('{"name": 5, "parameters": {}}', "is the form of a call"),
        ('{"name": "f", "parameters": {}, "arguments": {}}', "is the form of a call"),
        ('{"name": "f", "parameters": {}, "id": 5}', "is the form of a call"),
        ('{"type": "tool", "name": "f", "parameters": {}}', "is the form of a call"),
        ('{"name": "f", "parameters": {"a": f()}}', "this is not a literal value at character 34"),
        ('{"name": "f", "parameters": {"a": NaN}}', "this is not a literal value"),
        ('{"name": "f", "parameters": {"a": 1e999}}', "the number is too large"),
        ('{"name": "f", "parameters": {"a": ' + "9" * 5000 + "}}", "the number is too long"),
        ('{"name": "f", "parameters": {"a": "x}}', "the string has no end"),
        (r'{"name": "f", "parameters": {"a": "\q"}}', "this is not an escape sequence"),
        ('{"name": "f", "parameters": {"a": 1}, 5: 2}', "a key in quotation marks is missing"),
        ('[{"name": "f", "parameters": {}}, 5]', "is the form of a call"),
        ("<function=f>{'a': 1}", "'</function>' is missing at character 20"),
        ("<function=f>(1)</function>", "'{' is missing"),
        ("<function=>{}</function>", "<function=name> is missing"),
        ("<function=f>{}</function> and more", "<function=name> is missing at character 26"),
        ("[f(1)]", "a name is missing at character 3"),
        ("[f(a=g())]", "this is not a literal value at character 5"),
        ("[f(a=1+1)]", "',' is missing"),
        ("[f(a=trueish)]", "this is not a literal value at character 5"),
        ("[f(a=1, a=2)]", "the argument 'a' occurs twice"),
        ("[f(a=1), 5]", "the name of a function is missing"),
        ("[f(a=1)] more", "there is more after the call"),
        ("[f(a=b'x')]", "this is not a literal value"),
        ('[f(a=__import__("os").system("true"))]', "this is not a literal value"),
        ("[f(a=" + "[" * 100_000, "values are nested more than 64 deep"),
        ('{"name": "f", "parameters": ' + '{"a":' * 100_000, "nested more than 64 deep"),
    ],
)
def test_what_only_nearly_is_a_call_is_text_with_the_reason(text, reason):
    message = parse_assistant(text)
    assert (message.content, message.tool_calls, message.code) == (text, (), None)
    assert message.problem.startswith("not a call: ")
    assert any(part in message.problem for part in reason.split("|"))


def test_what_is_behind_the_tag_and_no_call_is_code():
    for code in ("print(1 + 1)\n", "", "[1, 2]", "x = {'a': 1}", "import os\nos.call(5)"):
        message = parse_assistant(f"<|python_tag|>{code}<|eom_id|>")
        assert message == AssistantMessage("", (), code, "end_of_message")
    message = parse_assistant('<|python_tag|>brave_search.call(query="cut of')
    assert (message.content, message.code) == ("", 'brave_search.call(query="cut of')
    assert message.problem.startswith("not a call: an argument")


CALLS = {
    "json": '{"name": "f", "parameters": {"a": 1}}',
    "list": '[{"name": "f", "parameters": {"a": 1}}]',
    "arguments first": '{"arguments": {"a": 1}, "name": "f"}',
    "builtin": 'f.call(a="1")',
    "function": '<function=f>{"a": 1}</function>',
    "pythonic": "[f(a=1)]",
    "pythonic without arguments": "[f()]",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_looks_like_a_call_inside_text_is_said(call):
    for before in ("I will look. ", "Sure!\n\n", "x" * 1000 + " "):
        text = f"{before}{call} Is that right?"
        place = len(before)
        assert parse_assistant(text) == AssistantMessage(
            text, problem=f"not a call: text comes before what looks like one, at character {place}"
        )
    fenced = f"```json\n{call}\n```"
    assert parse_assistant(fenced) == AssistantMessage(
        fenced,
        problem="not a call: a Markdown fence comes before what looks like one, at character 8",
    )
    tagged = f"Let me look. <|python_tag|>{call}<|eom_id|>"
    message = parse_assistant(tagged)
    assert message.content == tagged.removesuffix("<|eom_id|>")
    problem = "<|python_tag|> at character 13 is text, since it does not come first"
    assert (message.problem, message.stop_reason) == (problem, "end_of_message")
    assert parse_assistant(f"{call} Is that right?").problem.startswith("not a call: ")


def test_what_looks_like_a_call_before_the_tag_is_said(tokenizer):
    for call in CALLS.values():
        ids = [*tokenizer.encode(call), TAG, *tokenizer.encode("x = 1"), EOM]
        message = tokenizer.parse_assistant(ids)
        assert (message.content, message.code, message.tool_calls) == (call, "x = 1", ())
        assert message.problem.startswith("not a call: <|python_tag|> comes after it")


def test_an_answer_that_ends_within_a_call_says_so():
    for call in CALLS.values():
        for end in (len(call) - 1, len(call) - 2):
            message = parse_assistant(call[:end])
            assert message.content == call[:end]
            assert message.problem.startswith("not a call: ")
            assert message.problem.endswith("; the answer ends within it"), call[:end]
    for text in ('{"name": "f', '{"name": "f", "par', '{"arguments": {'):
        assert parse_assistant(text).problem.endswith("; the answer ends within it")
    for text in ('{"na', '{"', "[", '[{"name": "f"}', "f.call"):
        assert parse_assistant(text).problem is None
    assert "ends within" not in parse_assistant("[f(a=1 2)]").problem


def test_messages_do_not_repeat_the_answer_without_bound(tokenizer):
    long = "k" * 100_000
    key, quotes = json.dumps(long), json.dumps("'" * 100_000)
    for text in (
        f'{{"name": "f", "parameters": {{{key}: 1, {key}: 2}}}}',
        f'{{"name": "f", "parameters": {{{quotes}: 1, {quotes}: 2}}}}',
        f"[f({'k' * 256}=1, {'k' * 256}=2)]",
        f"[f({long}=1)]",
        f'{long}.call(a="1") {{"name": "f", "parameters": {{}}}}',
        f"<function={long}>{{}}</function>",
        f"[{long}(a=1)]",
    ):
        message = parse_assistant(text)
        assert message.content == text
        assert len(message.problem or "") < 500
    other = tokenizer.with_special_tokens({f"<|{long}|>": 128002})
    message = other.parse_assistant([*other.encode("a"), 128002])
    assert message.content == f"a<|{long}|>"
    assert len(message.problem) < 500


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


# How it ends


def test_the_reason_to_stop_is_the_first_of_the_tokens_at_the_end():
    for name, reason in (
        ("<|eot_id|>", "end_of_turn"),
        ("<|eom_id|>", "end_of_message"),
        ("<|end_of_text|>", "end_of_text"),
    ):
        for filling in ("", "<|finetune_right_pad_id|>" * 3, "<|end_of_text|>" * 2, "<|eot_id|>"):
            expected = AssistantMessage("Hello ", stop_reason=reason)
            assert parse_assistant(f"Hello {name}{filling}") == expected
    assert parse_assistant("Hello").stop_reason is None
    assert parse_assistant("<|eot_id|>") == AssistantMessage(stop_reason="end_of_turn")
    middle = "a<|eot_id|>b<|python_tag|>c"
    problem = "<|python_tag|> at character 12 is text, since it does not come first"
    assert parse_assistant(middle) == AssistantMessage(middle, problem=problem)


def test_many_names_at_the_end_take_linear_time():
    assert parse_assistant("<|eot_id|>" * 100_000).content == ""
    text = "<|eot_id|>" * 100_000 + "x"
    assert parse_assistant(text).content == text


# Ids


def test_ids_and_text_agree_where_only_structure_is_special(tokenizer):
    for text in ("Hello", '<|python_tag|>f.call(a="b")', "<|python_tag|>x = 1", "[f(a=1)]"):
        for name in ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", ""):
            ids = tokenizer.encode(text + name, allowed_special="all")
            assert tokenizer.parse_assistant(ids) == parse_assistant(text + name)
            assert parse_assistant(np.array(ids), tokenizer=tokenizer) == parse_assistant(
                text + name
            )
    assert parse_assistant(tokenizer.encode("Hi")) == AssistantMessage("Hi")


def test_names_spelled_out_in_ids_are_content(tokenizer):
    text = '<|python_tag|>f.call(a="b")<|eom_id|>'
    message = tokenizer.parse_assistant([*tokenizer.encode(text), EOT])
    problem = "not a call: text comes before what looks like one, at character 14"
    assert message == AssistantMessage(text, stop_reason="end_of_turn", problem=problem)
    plain = "The tag is <|python_tag|>, and <|eom_id|> an end."
    assert tokenizer.parse_assistant(tokenizer.encode(plain)) == AssistantMessage(plain)


def test_text_before_the_tag_is_content(tokenizer):
    ids = [*tokenizer.encode("Let me look. "), TAG, *tokenizer.encode('f.call(a="b")'), EOM]
    expected = (ToolCall("f", {"a": "b"}, "builtin"),)
    assert tokenizer.parse_assistant(ids) == AssistantMessage(
        "Let me look. ", expected, None, "end_of_message"
    )


def test_what_is_behind_the_end_is_left_out_and_said_if_it_is_no_filling(tokenizer):
    hello = tokenizer.encode("Hello")
    for filling in ([], [PAD] * 3, [EOS], [EOT, PAD]):
        message = tokenizer.parse_assistant([*hello, EOT, *filling])
        assert message == AssistantMessage("Hello", stop_reason="end_of_turn")
    message = tokenizer.parse_assistant([*hello, EOT, *hello, PAD])
    assert message.content == "Hello"
    assert message.problem == "after the end at position 1 there are 1 more ids"


def test_other_special_tokens_make_it_text_with_the_reason(tokenizer):
    ids = [*tokenizer.encode("[f(a=1)]"), 128006, EOT]
    message = tokenizer.parse_assistant(ids)
    assert message.content == "[f(a=1)]<|start_header_id|>"
    assert message.tool_calls == ()
    place = len(ids) - 2
    assert f"<|start_header_id|> at position {place} is not part" in message.problem
    twice = tokenizer.parse_assistant([TAG, 64, TAG, 65])
    assert "<|python_tag|> at position 2" in twice.problem


def test_the_original_profile_has_no_tag_and_no_end_of_message():
    original = Tokenizer(profile="llama3")
    assert original.parse_assistant([9906, EOT]) == AssistantMessage(
        "Hello", stop_reason="end_of_turn"
    )
    assert "<|reserved_special_token_5|>" in original.parse_assistant([TAG, 9906]).problem


def test_ids_cut_within_a_character_are_still_an_answer(tokenizer):
    ids = tokenizer.encode("漢字 😀")[:-1]
    assert tokenizer.parse_assistant(ids).content == tokenizer.decode(ids)


def test_wrong_arguments_are_named(tokenizer):
    with pytest.raises(InvalidTokenId, match="128256 at position 1"):
        parse_assistant([1, 128256])
    with pytest.raises(InvalidTokenId, match="-1 at position 0"):
        tokenizer.parse_assistant(np.array([-1]))
    for wrong in (b"text", 5, None, {"a": 1}):
        with pytest.raises(TypeError, match="^answer must be "):
            parse_assistant(wrong)
    for wrong in ([True], [1.5], ["a"], [None]):
        with pytest.raises(TypeError, match=r"^answer\[0\] must be an integer"):
            parse_assistant(wrong)


# Properties

names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("true", "false", "null", "True", "False", "None")
)
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | strategies.texts().map(
    lambda text: text.encode("utf-8", "replace").decode()
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
arguments = st.dictionaries(names, values, max_size=3)


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(name=names, arguments=arguments, ascii=st.booleans())
def test_calls_come_back_from_every_form(name, arguments, ascii):
    dumped = json.dumps(arguments, ensure_ascii=ascii)
    keywords = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    for kind, text in (
        ("json", f'{{"name": "{name}", "parameters": {dumped}}}'),
        ("json", repr({"name": name, "parameters": arguments})),
        ("function", f"<function={name}>{dumped}</function>"),
        ("pythonic", f"[{name}({keywords})]"),
    ):
        assert calls(text) == [(name, arguments, kind)]


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(name=names, arguments=st.dictionaries(names, plain, max_size=3))
def test_calls_of_built_in_tools_come_back_from_the_template(name, arguments):
    # Templates don't escape, so that some values can't be told apart.
    for value in arguments.values():
        if any(mark in value for mark in '"\\'):
            return
    text = ", ".join(f'{key}="{value}"' for key, value in arguments.items())
    assert calls(f"{name}.call({text})") == [(name, arguments, "builtin")]


@settings(max_examples=max(EXAMPLES // 10, 1))
@given(
    parts=st.lists(
        st.sampled_from(
            [
                *("<|python_tag|>", "<|eot_id|>", "<|eom_id|>", "<function=", "</function>", "f"),
                *('.call(query="', '")', '{"name": "f", "parameters": {', "}}", "[f(", "a=", ")]"),
                *('"', "'", "\\", "{", "}", "[", "]", "(", ")", ",", ";", ":", "1", "-", "\n", " "),
                *('{"name": "f", "arguments": {}}', "[f(a=1)]", 'f.call(a="b")', "null", "\\u12"),
            ]
        )
        | st.text(max_size=3),
        max_size=12,
    )
)
def test_any_text_is_an_answer_and_nothing_of_it_is_lost(parts):
    text = "".join(parts)
    message = parse_assistant(text)
    ending = text
    while stop := [
        n for n in ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>") if ending.endswith(n)
    ]:
        ending = ending.removesuffix(stop[0])
    tag = "<|python_tag|>" if ending.startswith("<|python_tag|>") else ""
    if message.tool_calls:
        assert message.content == ""
        assert message.code is None
        assert message.problem is None
        # What the calls say is what the text says: it has every name, in order.
        at = 0
        for call in message.tool_calls:
            at = text.index(call.name, at)
    else:
        assert message.content + tag + (message.code or "") == ending
        assert (message.code is not None) == bool(tag)
    assert message.to_message()["role"] == "assistant"


# As a message


def test_an_answer_becomes_a_message():
    assert parse_assistant("Hi<|eot_id|>").to_message() == {"role": "assistant", "content": "Hi"}
    message = parse_assistant('[f(a=1), g(b="x")]').to_message()
    assert message == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}},
            {"type": "function", "function": {"name": "g", "arguments": {"b": "x"}}},
        ],
    }
    assert json.loads(json.dumps(message)) == message
    code = parse_assistant("<|python_tag|>print(1)<|eom_id|>").to_message()
    function = {"name": "code_interpreter", "arguments": {"code": "print(1)"}}
    assert code["tool_calls"] == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("answer", "tool_format"),
    [
        ("Hi<|eot_id|>", "json"),
        ("Wait.<|eom_id|>", "json"),
        ('<|python_tag|>brave_search.call(query="llamas")<|eom_id|>', "json"),
        ("<|python_tag|>print('x')<|eom_id|>", "json"),
        ('{"type": "function", "name": "f", "parameters": {"a": [1, null]}}<|eot_id|>', "json"),
        (r'<function=f>{"a": "\u00e9"}</function><|eom_id|>', "function_tag"),
        ('[f(a=1), g(b="x", c={"d": True})]<|eot_id|>', "python_list"),
    ],
)
def test_an_answer_put_back_into_its_conversation_has_the_ids_that_were_generated(
    answer, tool_format
):
    tokenizer = Tokenizer(profile="meta")
    question = [{"role": "user", "content": "?"}]
    prompt = tokenizer.encode_chat(question)
    message = parse_assistant(answer).to_message()
    ids = tokenizer.encode_chat(
        [*question, message], add_generation_prompt=False, tool_format=tool_format
    )
    assert ids[: len(prompt)] == prompt
    assert tokenizer.decode(ids[len(prompt) :]) == answer


def calling(calls):
    """A message with calls."""
    given = [{"function": {"name": name, "arguments": values}} for name, values in calls]
    return {"role": "assistant", "content": "", "tool_calls": given}


identifiers = names.filter(lambda name: not keyword.iskeyword(name))
several_calls = st.lists(
    st.tuples(identifiers, st.dictionaries(identifiers, values, max_size=3)), min_size=1, max_size=3
)


@settings(max_examples=max(EXAMPLES // 5, 1))
@given(calls=several_calls, tool_format=st.sampled_from(["json", "function_tag", "python_list"]))
def test_calls_that_metas_format_writes_are_read_back(calls, tool_format):
    calls = calls[:1] if tool_format == "json" else calls
    tokenizer, question = Tokenizer(profile="meta"), [{"role": "user", "content": "?"}]
    prompt = tokenizer.encode_chat(question)
    ids = tokenizer.encode_chat([*question, calling(calls)], tool_format=tool_format)
    message = tokenizer.parse_assistant(ids[len(prompt) :])
    assert message.problem is None
    assert [(call.name, call.arguments) for call in message.tool_calls] == calls


def test_several_calls_as_json_are_refused_by_metas_format():
    """Meta's class writes them side by side, which is not read; its prompts show one."""
    tokenizer = Tokenizer(profile="meta")
    for names in (["f", "g"], ["brave_search", "f"], ["f", "f", "f"]):
        message = calling([(name, {"query": "x"}) for name in names])
        conversation = [{"role": "user", "content": "?"}, message]
        with pytest.raises(
            ChatFormatError, match='has one call a message.*"python_list"'
        ) as caught:
            tokenizer.encode_chat(conversation)
        assert (caught.value.index, caught.value.field) == (1, "tool_calls")


def test_answers_do_not_change():
    message = parse_assistant("Hi")
    for name in ("content", "tool_calls", "stop_reason"):
        with pytest.raises(AttributeError):
            setattr(message, name, None)
    with pytest.raises(AttributeError):
        ToolCall("f").name = "g"


def test_names_are_imported_when_it_is_asked_for():
    assert {"AssistantMessage", "ToolCall", "parse_assistant", "Padded"} <= set(dir(llama3_tok))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = llama3_tok.nothing
