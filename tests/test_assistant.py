"""`parse_assistant`: each form of a call, what only nearly is one, and text of any kind."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from answers import (
    CALLS,
    EOM,
    TAG,
    names,
    plain,
    values,
)
from conftest import EXAMPLES
from llama3_tok import (
    AssistantMessage,
    parse_assistant,
)


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


# What is not a call


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


# Properties

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
