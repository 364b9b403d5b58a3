"""Rows as people have them become messages, and what can't be meant is refused with its place."""

import pytest

from llama3_tok import ChatFormatError
from llama3_tok.data.rows import learned, read

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello."}


def calling(arguments, **more):
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call], **more}


def test_a_row_is_a_list_of_messages_or_has_one():
    for row in ([USER, ANSWER], (USER, ANSWER), {"messages": [USER, ANSWER], "id": 7}):
        assert read(row) == ([USER, ANSWER], None, None, None)
    assert read({"chat": [USER]}, column="chat").messages == [USER]
    assert read({"messages": iter([USER])}).messages == [USER]


def test_plain_messages_are_not_copied():
    messages = [USER, ANSWER]
    assert all(one is other for one, other in zip(read(messages).messages, messages, strict=True))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "messages: the row does not have it; it has nothing"),
        (
            {"id": 1, "messages": None},
            "messages: the row does not have it; it has 'id', 'messages'",
        ),
        (
            {"conversations": []},
            "messages: the row does not have it; it has 'conversations'; form='sharegpt' reads "
            "'conversations'",
        ),
        ({"messages": "[]"}, "messages: must be a list, not str"),
        ({"messages": USER}, "messages: must be a list, not dict"),
        ("text", "messages: must be a list, not str"),
        (5, "messages: must be a list, not int"),
        (None, "messages: must be a list, not NoneType"),
        ([USER, "x"], "messages[1]: must be a dictionary, not str"),
        (
            {"messages": [USER], "chat_template_kwargs": {"a": 1}},
            "chat_template_kwargs: is not read",
        ),
        ({"messages": [USER], "system": 5}, "system: must be a str, not int"),
        (
            {"messages": [{"role": "system", "content": "x"}], "system": "y"},
            "system: the row has it, and its first message is a system message",
        ),
    ],
)
def test_rows_that_are_none_are_named(row, message):
    with pytest.raises(ChatFormatError) as caught:
        read(row)
    assert str(caught.value).startswith(message)


def test_a_system_message_of_the_row_is_the_first():
    row = {"messages": [USER, {**ANSWER, "weight": 0}], "system": "Be brief."}
    messages, says, _, _ = read(row)
    assert messages == [{"role": "system", "content": "Be brief."}, USER, ANSWER]
    assert says == [None, None, False]
    for empty in (None, ""):
        assert read({"messages": [USER], "system": empty}).messages == [USER]


def test_tools_are_a_list_or_the_same_as_json():
    tools = [{"type": "function", "function": {"name": "f", "description": "é"}}]
    for given in (
        tools,
        tuple(tools),
        '[{"type": "function", "function": {"name": "f", "description": "\\u00e9"}}]',
    ):
        assert read({"messages": [USER], "tools": given}).tools == tools
    for none in (None, [], "", " ", "[]", "null"):
        assert read({"messages": [USER], "tools": none}).tools is None


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ("{}", "tools: must be a list as JSON, and is an object"),
        ("5", "tools: must be a list as JSON, and is a number"),
        ("[NaN]", "tools: is not valid JSON: JSON has no NaN"),
        ("[", "tools: is not valid JSON: expecting value at character 1"),
        ("[" * 100_000, "tools: is not valid JSON: it is nested too deeply"),
        ({"name": "f"}, "tools: must be a list, not dict"),
        (5, "tools: must be a list, not int"),
    ],
)
def test_tools_that_are_none_are_named(tools, message):
    with pytest.raises(ChatFormatError) as caught:
        read({"messages": [USER], "tools": tools})
    assert str(caught.value) == message
    assert (caught.value.index, caught.value.field) == (None, "tools")


def test_what_is_null_or_empty_is_not_there():
    filled = {"tool_calls": None, "weight": None, "train": None, "name": None, "loss": None}
    assert read([{**USER, **filled}, {**ANSWER, "tool_calls": []}]).messages == [USER, ANSWER]
    assert read([{**ANSWER, "tool_calls": ()}]).messages == [ANSWER]
    assert read([{"role": "assistant", "content": None}]).messages == [
        {"role": "assistant", "content": None}
    ]


def test_other_fields_stay_for_the_templates_that_read_them():
    message = {**ANSWER, "name": "x", "tool_call_id": "1", "reasoning_content": "y", "id": 3}
    assert read([message]).messages == [message]


def test_arguments_are_an_object_or_the_same_as_json():
    expected = calling({"city": "Việt", "n": [1, 2.5, None]})
    for given in (
        {"city": "Việt", "n": [1, 2.5, None]},
        '{"city": "Vi\\u1ec7t", "n": [1, 2.5, null]}',
        ' {"city": "Việt", "n": [1, 2.5, null]}\n',
    ):
        message = calling(given)
        assert read([USER, message]).messages == [USER, expected]
        assert message == calling(given)  # what is given is not changed


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("[1]", "must be a dictionary, or one as a JSON string, and is a list as JSON"),
        ('"{}"', "must be a dictionary, or one as a JSON string, and is a string as JSON"),
        ("null", "must be a dictionary, or one as a JSON string, and is null as JSON"),
        ("true", "must be a dictionary, or one as a JSON string, and is a boolean as JSON"),
        ("", "is not valid JSON: expecting value at character 0"),
        ("{'a': 1}", "is not valid JSON: expecting property name enclosed in double quotes at ch"),
        ('{"a": Infinity}', "is not valid JSON: JSON has no Infinity"),
        ('{"a": 1} x', "is not valid JSON: extra data at character 9"),
        ('{"a": ' * 100_000, "is not valid JSON: it is nested too deeply"),
    ],
)
def test_a_string_that_is_no_json_object_is_refused_with_its_place(arguments, reason):
    message = calling({})
    message["tool_calls"].append({"function": {"name": "g", "arguments": arguments}})
    with pytest.raises(ChatFormatError) as caught:
        read([USER, message])
    error = caught.value
    assert error.reason.startswith(reason)
    assert (error.index, error.field) == (1, "tool_calls[1].function.arguments")
    assert str(error.in_row(4)).startswith(
        f"row 4: messages[1].tool_calls[1].function.arguments: {reason}"
    )
    assert error.in_row(4).row == 4


def test_calls_that_are_none_stay_for_encode_chat_to_refuse():
    for calls in ("x", [5], [{"name": "f"}], [{"function": "f"}]):
        assert read([{**ANSWER, "tool_calls": calls}]).messages[0]["tool_calls"] == calls


# ShareGPT


def test_sharegpt_is_read_by_its_name():
    row = {
        "conversations": [
            {"from": "system", "value": "S", "weight": None},
            {"from": "human", "value": "Q", "weight": 0},
            {"from": "gpt", "value": "A", "weight": 1},
            {"from": "user", "value": "Q"},
            {"from": "assistant", "value": "A", "train": False},
        ],
        "source": "x",
    }
    messages, says, _, _ = read(row, "sharegpt")
    roles = ["system", "user", "assistant", "user", "assistant"]
    texts = ["S", "Q", "A", "Q", "A"]
    assert messages == [
        {"role": role, "content": text} for role, text in zip(roles, texts, strict=True)
    ]
    assert says == [None, False, True, None, False]
    assert read(row["conversations"], "sharegpt").messages == messages


def test_calls_and_their_results_in_sharegpt():
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    for written in (
        '{"name": "f", "arguments": {"a": 1}}',
        '{"name": "f", "arguments": "{\\"a\\": 1}"}',
        '[{"name": "f", "arguments": {"a": 1}}]',
    ):
        messages = read(
            [{"from": "function_call", "value": written}, {"from": "observation", "value": "r"}],
            "sharegpt",
        ).messages
        assert messages == [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": "r"},
        ]
    assert read([{"from": "tool", "value": "r"}], "sharegpt").messages[0]["role"] == "tool"


@pytest.mark.parametrize(
    ("message", "field", "reason"),
    [
        ({"from": "bing", "value": "x"}, "from", "'bing' is not a speaker that is known; they are"),
        ({"from": 5, "value": "x"}, "from", "must be a str, not int"),
        ({"value": "x"}, "from", "is missing"),
        (USER, "from", 'is missing; form="messages" reads role and content'),
        ({"from": "gpt"}, "value", "is missing"),
        ({"from": "gpt", "value": ["x"]}, "value", "must be a str, not list"),
        ({"from": "function_call", "value": "f(1)"}, "value", "is not valid JSON: "),
        ({"from": "function_call", "value": "[]"}, "value", 'must be {"name": ..., "arguments": {'),
        ({"from": "function_call", "value": '{"name": "f"}'}, "value", 'must be {"name": ..., "ar'),
        (
            {"from": "function_call", "value": '{"name": "f", "arguments": "[]"}'},
            "value.arguments",
            "must be a dictionary, or one as a JSON string, and is a list as JSON",
        ),
    ],
)
def test_what_sharegpt_does_not_have_is_refused_with_its_place(message, field, reason):
    with pytest.raises(ChatFormatError) as caught:
        read([{"from": "human", "value": "x"}, message], "sharegpt")
    assert (caught.value.index, caught.value.field) == (1, field)
    assert caught.value.reason.startswith(reason)


# What is learned


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ({"weight": 0}, False),
        ({"weight": 0.0}, False),
        ({"weight": 1}, True),
        ({"weight": 1.0}, True),
        ({"train": False}, False),
        ({"train": True}, True),
        ({"train": False, "weight": 0}, False),
    ],
)
def test_marks_of_openai_and_axolotl_are_read(mark, says):
    assert read([USER, {**ANSWER, **mark}]) == ([USER, ANSWER], [None, says], None, None)


@pytest.mark.parametrize(
    ("mark", "field", "reason"),
    [
        ({"weight": 0.5}, "weight", "must be 0 or 1, not 0.5; a label is learned or not"),
        ({"weight": "0"}, "weight", "must be 0 or 1, not '0'"),
        ({"weight": float("nan")}, "weight", "must be 0 or 1, not nan"),
        ({"weight": -1}, "weight", "must be 0 or 1, not -1"),
        ({"train": 0}, "train", "must be true or false, not 0"),
        ({"train": "false"}, "train", "must be true or false, not 'false'"),
        ({"weight": 0, "train": True}, "train", "says the opposite of its weight"),
    ],
)
def test_marks_that_say_neither_are_refused(mark, field, reason):
    with pytest.raises(ChatFormatError) as caught:
        read([USER, {**ANSWER, **mark}])
    assert (caught.value.index, caught.value.field) == (1, field)
    assert caught.value.reason.startswith(reason)


SUSPICIOUS = [
    *("training", "trainable", "train_detail", "do_train", "train_on_turn", "trainOnTurn"),
    *("loss", "loss_mask", "loss_scale", "loss_weight", "compute_loss", "include-in-loss"),
    *("mask", "masked", "is_masked", "unmasked", "assistant_mask", "Weight", "weights", "TRAIN"),
    *("learn", "learned", "learnable", "ignore", "ignored", "supervised", "untrained"),
]


@pytest.mark.parametrize("form", ["messages", "sharegpt"])
@pytest.mark.parametrize("key", SUSPICIOUS)
def test_what_looks_like_a_mark_is_refused_and_not_ignored(key, form):
    plain = {"from": "gpt", "value": "x"} if form == "sharegpt" else ANSWER
    with pytest.raises(ChatFormatError) as caught:
        read([plain, {**plain, key: 0}], form)
    assert (caught.value.index, caught.value.field) == (1, key)
    assert "looks like a mark of what is learned" in str(caught.value)
    assert len(read([{**plain, key: None}], form).messages) == 1


@pytest.mark.parametrize(
    "key",
    [
        *("name", "id", "thinking", "reasoning_content", "lossless", "restrain", "constraint"),
        *("heavyweight", "timestamp", "tool_call_id", "stop_reason", "context", "language"),
    ],
)
def test_other_fields_are_not_taken_for_marks(key):
    assert read([{**ANSWER, key: 0}]).messages == [{**ANSWER, key: 0}]


def test_which_messages_are_learned():
    first, second = {**ANSWER, "weight": 0}, {**ANSWER, "train": True}
    for messages, learn, expected in (
        ([USER, ANSWER], "assistant", None),
        ([USER, ANSWER], "all", None),
        ([USER, ANSWER, USER, ANSWER], "last", [False, False, False, True]),
        ([USER, ANSWER, USER], "last", [False, True, False]),
        ([USER], "last", [False]),
        ([USER, first, USER, second], "assistant", [True, False, True, True]),
        ([USER, first, USER, second], "last", [False, False, False, True]),
        ([USER, second, USER, first], "last", [False, False, False, False]),
        ([USER, second], "assistant", None),
        ([{**USER, "weight": 0}, second], "all", [False, True]),
        ([{**USER, "weight": 1}, second], "all", None),
        ([{**USER, "weight": 0}, ANSWER], "assistant", [False, True]),
    ):
        assert learned(read(messages), learn) == expected


@pytest.mark.parametrize("learn", ["assistant", "last"])
def test_a_mark_that_would_have_no_effect_is_refused(learn):
    for mark in ({"weight": 1}, {"train": True}):
        with pytest.raises(ChatFormatError, match="only the assistant's messages are") as caught:
            learned(read([USER, ANSWER, {**USER, **mark}]), learn)
        assert caught.value.index == 2
