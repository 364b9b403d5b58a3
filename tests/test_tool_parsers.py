"""What the tests of vLLM and SGLang say of Llama 3's calls, read here.

The cases are the inputs of their tests and the calls that these expect: vLLM's
`tests/tool_parsers/test_llama3_json_tool_parser.py`, `test_pythonic_tool_parser.py` and
`test_llama4_pythonic_tool_parser.py`, and `TestLlama32Detector` and `TestPythonicDetector` of
SGLang's `test_function_call_parser.py`, as of 2026. Both look for calls in text, as `salvage` does.
Of the text around calls vLLM keeps nothing; SGLang keeps it, as is done here.
"""

import json

import pytest

from llama3_tok import CallEnd, ContentDelta, assistant_stream, parse_assistant

SEARCH = '{"name": "searchTool", "parameters": {"query": "test%s"}}'
INCIDENTS = '{"name": "getOpenIncidentsTool", "parameters": {}}'
WEATHER = '{"name": "get_weather", "parameters": {}}'
PARIS = '{"name": "get_weather", "parameters": {"city": "Paris"}}'
ATTRACTIONS = '{"name": "get_tourist_attractions", "parameters": {}}'
SIMPLE = "get_weather(city='San Francisco', metric='celsius')"
LA = "get_weather(city='LA', metric='C')"
TYPES = (
    "register_user(name='John Doe', age=37, address={'city': 'San Francisco', 'state': 'CA'}, "
    "role=None, passed_test=True, aliases=['John', 'Johnny'])"
)
TYPES_CALL = (
    "register_user",
    {
        "name": "John Doe",
        "age": 37,
        "address": {"city": "San Francisco", "state": "CA"},
        "role": None,
        "passed_test": True,
        "aliases": ["John", "Johnny"],
    },
)
SIMPLE_CALL = ("get_weather", {"city": "San Francisco", "metric": "celsius"})
LA_CALL = ("get_weather", {"city": "LA", "metric": "C"})
DEEP = {"level1": {"level2": {"level3": {"level4": {"value": "deep"}}}}}
POOL = {"config": {"database": {"connection": {"pool": {"size": 10}}}}}
COMPLEX = {"query": "test {value} [complex]", "nested": {"inner": "more {brackets}"}}


def json_call(name, arguments):
    return json.dumps({"name": name, "parameters": arguments})


# The text, the calls in it, and the text around them. Strictly, those with text around are text.
CASES = {
    # vLLM: llama3_json
    "simple": (
        f"Here is the result: {INCIDENTS} Would you like to know more?",
        [("getOpenIncidentsTool", {})],
        "Here is the result:  Would you like to know more?",
    ),
    "with arguments": (
        json_call("searchTool", {"query": "test query", "limit": 10}),
        [("searchTool", {"query": "test query", "limit": 10})],
        "",
    ),
    "no json": ("This is just some text without any tool calls", [], None),
    "invalid json": ('{"name": "invalidTool", "parameters": {invalid json}', [], None),
    "arguments key": (
        '{"name": "searchTool", "arguments": {"query": "test"}}',
        [("searchTool", {"query": "test"})],
        "",
    ),
    "multiple": (
        f"{SEARCH % 1}; {INCIDENTS}; {SEARCH % 2}",
        [
            ("searchTool", {"query": "test1"}),
            ("getOpenIncidentsTool", {}),
            ("searchTool", {"query": "test2"}),
        ],
        "",
    ),
    "multiple with white space": (
        f"{SEARCH % 1} ; {INCIDENTS} ; {SEARCH % 2}",
        [
            ("searchTool", {"query": "test1"}),
            ("getOpenIncidentsTool", {}),
            ("searchTool", {"query": "test2"}),
        ],
        "",
    ),
    "multiple with surrounding text": (
        f"Here are the results: {SEARCH % 1}; {INCIDENTS}; {SEARCH % 2} "
        "Would you like to know more?",
        [
            ("searchTool", {"query": "test1"}),
            ("getOpenIncidentsTool", {}),
            ("searchTool", {"query": "test2"}),
        ],
        "Here are the results:  Would you like to know more?",
    ),
    "deeply nested": (json_call("complexTool", DEEP), [("complexTool", DEEP)], ""),
    "several deeply nested": (
        json_call("simpleTool", {"value": "test"}) + "; " + json_call("complexTool", POOL),
        [("simpleTool", {"value": "test"}), ("complexTool", POOL)],
        "",
    ),
    "quotes and brackets in strings": (
        json_call("searchTool", COMPLEX),
        [("searchTool", COMPLEX)],
        "",
    ),
    "escaped quotes": (
        r'{"name": "parserTool", "parameters": {"text": "He said \"Hello {world}\""}}',
        [("parserTool", {"text": 'He said "Hello {world}"'})],
        "",
    ),
    "no name": ('{"parameters": {}}', [], None),
    "no parameters": ('{"name": "toolWithoutParams"}', [], None),
    "regex timeout": ("{hello world[A(A=\t)A(A=,\t\t)A(A=,\t", [], None),
    # vLLM: pythonic, llama4_pythonic
    "pythonic": (f"[{SIMPLE}]", [SIMPLE_CALL], ""),
    "more types": (f"[{TYPES}]", [TYPES_CALL], ""),
    "without parameters": ("[get_weather()]", [("get_weather", {})], ""),
    "empty dictionary": (
        "[do_something_cool(additional_data={})]",
        [("do_something_cool", {"additional_data": {}})],
        "",
    ),
    "empty list": (
        "[do_something_cool(steps=[])]",
        [("do_something_cool", {"steps": []})],
        "",
    ),
    "escaped string": (
        r"[get_weather(city='Martha\'s Vineyard', metric='\"cool units\"')]",
        [("get_weather", {"city": "Martha's Vineyard", "metric": '"cool units"'})],
        "",
    ),
    "parallel": (f"[{SIMPLE}, {TYPES}]", [SIMPLE_CALL, TYPES_CALL], ""),
    "parallel without spaces": (
        "[get_weather(city='LA',metric='C'),register_user(name='Doe',age=9)]",
        [LA_CALL, ("register_user", {"name": "Doe", "age": 9})],
        "",
    ),
    # Llama 4's tokens, which Llama 3 does not have, are text here.
    "python start and end": (
        f"<|python_start|>[{LA}]<|python_end|>",
        [LA_CALL],
        "<|python_start|><|python_end|>",
    ),
    "mismatched brackets": ("<|python_start|>[foo(x=1])]<|python_end|>", [], None),
    # SGLang: llama3
    "single": (PARIS, [("get_weather", {"city": "Paris"})], ""),
    "tag and separator": (
        f"<|python_tag|>{PARIS};{ATTRACTIONS}",
        [("get_weather", {"city": "Paris"}), ("get_tourist_attractions", {})],
        "",
    ),
    "tag between": (
        f"<|python_tag|>{WEATHER}<|python_tag|>{ATTRACTIONS}",
        [("get_weather", {}), ("get_tourist_attractions", {})],
        "",
    ),
    "trailing text": (
        f"{WEATHER} Some follow-up text",
        [("get_weather", {})],
        " Some follow-up text",
    ),
    "invalid, then valid": (
        '{"name": "get_weather", "parameters": {' + WEATHER,
        [("get_weather", {})],
        '{"name": "get_weather", "parameters": {',
    ),
    "plain text": ("This is just plain explanation text.", [], None),
    "tag after text": (
        f"Some intro. <|python_tag|>{WEATHER}",
        [("get_weather", {})],
        "Some intro. ",
    ),
    # SGLang: pythonic
    "text before": (
        "This is some text before [get_weather(location='London')]",
        [("get_weather", {"location": "London"})],
        "This is some text before ",
    ),
    "text after": (
        "[get_weather(location='Tokyo')] Here's the forecast:",
        [("get_weather", {"location": "Tokyo"})],
        " Here's the forecast:",
    ),
    "text between": (
        "[get_weather(location='Berlin')] and [search(query='restaurants')]",
        [("get_weather", {"location": "Berlin"}), ("search", {"query": "restaurants"})],
        " and ",
    ),
    "bracket only": ("Let's try this: [", [], None),
    "nested": (
        "[search(query='test', config={'options': [1, 2], 'nested': {'key': 'value'}})]",
        [("search", {"query": "test", "config": {"options": [1, 2], "nested": {"key": "value"}}})],
        "",
    ),
    "several nested": (
        "[get_weather(location='Paris', data=[10, 20]), search(query='test', filters=['a', 'b'])]",
        [
            ("get_weather", {"location": "Paris", "data": [10, 20]}),
            ("search", {"query": "test", "filters": ["a", "b"]}),
        ],
        "",
    ),
    "text on both sides": (
        "User wants to get the weather in Mars. <|python_start|>"
        "[get_weather(location='Mars', unit='celsius')]<|python_end|> "
        "In this way we will get the weather in Mars.",
        [("get_weather", {"location": "Mars", "unit": "celsius"})],
        "User wants to get the weather in Mars. <|python_start|><|python_end|> "
        "In this way we will get the weather in Mars.",
    ),
}

# What they read as a call, and why it is text here.
TEXT_HERE = {
    # Of a list with a call that can't be read, it is not certain where that call ends.
    f"[bad(x=b'z'), {LA}]": "this is not a literal value at character 7",
    f"[calc(x=1e999), {LA}]": "the number is too large at character 8",
}


@pytest.mark.parametrize(("text", "calls", "around"), CASES.values(), ids=CASES)
def test_calls_that_other_parsers_read_are_read(text, calls, around):
    message = parse_assistant(text, salvage=True)
    assert [(call.name, call.arguments) for call in message.tool_calls] == calls
    assert message.content == (text if around is None else around)
    strict = parse_assistant(text)
    if around == "" and "<|python_tag|>" not in text[1:]:
        assert strict.tool_calls == message.tool_calls
    elif calls:
        assert strict.tool_calls == ()
        assert strict.problem


@pytest.mark.parametrize(("text", "calls", "around"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("length", [1, 7, 1000])
def test_calls_that_other_parsers_stream_are_streamed(text, calls, around, length):
    stream = assistant_stream(salvage=True)
    parts = [text[at : at + length] for at in range(0, len(text), length)]
    deltas = [delta for part in parts for delta in stream.push(part)] + stream.finish()
    assert sum(isinstance(delta, CallEnd) for delta in deltas) == len(calls)
    assert stream.message == parse_assistant(text, salvage=True)


@pytest.mark.parametrize(("text", "reason"), TEXT_HERE.items())
def test_what_others_read_and_is_text_here_says_why(text, reason):
    for salvage in (False, True):
        message = parse_assistant(text, salvage=salvage)
        assert (message.content, message.tool_calls) == (text, ())
        assert message.problem == f"not a call: {reason}"


def test_text_before_a_call_is_told_before_the_call_is_whole():
    """SGLang's `test_parse_streaming_partial_tool_call`, and its kin with nested brackets."""
    for begun, rest in (
        ("[get_weather(location=", "'Paris')]"),
        ("[get_weather(location='Tokyo', data=[1, 2", ", 3])]"),
    ):
        stream = assistant_stream(salvage=True)
        [text, *_] = stream.push(f"Let me check the weather: {begun}")
        assert text == ContentDelta("Let me check the weather: ")
        assert CallEnd(0) in stream.push(rest)
