"""What a conversation may be, what is refused and where, and what goes about it."""

import datetime
import json
import types
from pathlib import Path

import pytest

import chat_oracle
import llama3_tok
from llama3_tok import ChatFormatError, Tokenizer

VECTORS = Path(__file__).parent / "vectors" / "chat.jsonl"
CASES = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]

USER = {"role": "user", "content": "Hi"}
CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "5"}
IMAGE = {"role": "user", "content": [{"type": "image"}]}
FUNCTION = {"type": "function", "function": {"name": "f"}}
CIRCULAR: dict = {}
CIRCULAR["self"] = CIRCULAR


def calling(**function):
    return {"role": "assistant", "tool_calls": [{"function": function}]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_known_conversations_have_their_text_and_ids(case):
    tokenizer = Tokenizer(profile=case["profile"])
    # As they were made: with the header of an answer, whoever wrote the last message.
    options = {"add_generation_prompt": "continue_final_message" not in case["options"]}
    options |= case["options"]
    ids = tokenizer.encode_chat(case["messages"], **options)
    assert ids == case["ids"]
    assert tokenizer.render_chat(case["messages"], **options) == case["text"]
    assert ids.count(tokenizer.bos_id) == 1


MALFORMED = [
    ("llama3.1", [], {}, None, "messages"),
    ("llama3.1", USER, {}, None, "messages"),
    ("llama3.1", "Hi", {}, None, "messages"),
    ("llama3.1", bytearray(b"Hi"), {}, None, "messages"),
    ("llama3.1", None, {}, None, "messages"),
    ("llama3.1", [USER, "Hi"], {}, 1, ""),
    ("llama3.1", [{"content": "Hi"}], {}, 0, "role"),
    ("llama3.1", [{"role": None, "content": "Hi"}], {}, 0, "role"),
    ("llama3.1", [{"role": 5, "content": "Hi"}], {}, 0, "role"),
    ("llama3.1", [USER, {"role": "human", "content": "Hi"}], {}, 1, "role"),
    ("llama3.1", [USER, {"role": "User", "content": "Hi"}], {}, 1, "role"),
    ("llama3.1", [{"role": "<|eot_id|>", "content": "Hi"}], {}, 0, "role"),
    ("llama3", [USER, {"role": "ipython", "content": "5"}], {}, 1, "role"),
    ("meta", [USER, {"role": "ipython", "content": "5"}], {}, 1, "role"),
    ("llama3.1", [{"role": "user"}], {}, 0, "content"),
    ("llama3.1", [{"role": "user", "content": None}], {}, 0, "content"),
    ("llama3.1", [USER, {"role": "assistant", "content": None}], {}, 1, "content"),
    ("llama3.1", [{"role": "user", "content": 5}], {}, 0, "content"),
    ("llama3.1", [{"role": "user", "content": b"Hi"}], {}, 0, "content"),
    ("llama3.1", [{"role": "user", "content": {"type": "text"}}], {}, 0, "content"),
    ("llama3.1", [{"role": "user", "content": ["Hi"]}], {}, 0, "content[0]"),
    ("llama3.1", [{"role": "user", "content": [{"type": "text"}]}], {}, 0, "content[0]"),
    ("llama3.1", [{"role": "user", "content": [{"type": "audio"}]}], {}, 0, "content[0]"),
    ("llama3.1", [IMAGE], {}, 0, "content"),
    ("llama3.1", [IMAGE], {"dialect": "meta"}, 0, "content"),
    ("llama3.2-vision", [IMAGE | {"role": "system"}, USER], {}, 0, "content"),
    ("llama3.2-vision", [IMAGE], {"tools": [FUNCTION]}, 0, "content"),
    ("meta", [USER, CALLING, IMAGE | {"role": "tool"}], {}, 2, "content"),
    ("llama3.1", [USER, RESULT], {}, 1, "role"),
    ("llama3.1", [USER, {"role": "assistant", "content": "Hi"}, RESULT], {}, 2, "role"),
    ("llama3.1", [USER, CALLING, USER, RESULT], {}, 3, "role"),
    ("llama3.1", [USER, CALLING, RESULT, RESULT], {}, 3, "role"),
    ("llama3.1", [USER, CALLING, {"role": "tool"}], {}, 2, "content"),
    ("llama3.1", [USER, CALLING, {"role": "tool", "content": {1, 2}}], {}, 2, "content"),
    ("llama3.1", [USER, CALLING, {"role": "tool", "content": CIRCULAR}], {}, 2, "content"),
    ("meta", [USER, CALLING, {"role": "tool", "content": {"a": 1}}], {}, 2, "content"),
    ("llama3", [USER, CALLING], {}, 1, "tool_calls"),
    ("llama3.1", [USER | {"tool_calls": [CALL]}], {}, 0, "tool_calls"),
    ("llama3.1", [USER, {"role": "assistant", "tool_calls": []}], {}, 1, "tool_calls"),
    ("llama3.1", [USER, {"role": "assistant", "tool_calls": CALL}], {}, 1, "tool_calls"),
    ("llama3.1", [USER, {"role": "assistant", "tool_calls": [CALL, CALL]}], {}, 1, "tool_calls"),
    ("meta", [USER, {"role": "assistant", "tool_calls": [CALL, CALL]}], {}, 1, "tool_calls"),
    ("llama3.1", [USER, {"role": "assistant", "tool_calls": ["f"]}], {}, 1, "tool_calls[0]"),
    ("llama3.1", [USER, {"role": "assistant", "tool_calls": [{}]}], {}, 1, "tool_calls[0]"),
    ("llama3.1", [USER, calling(arguments={})], {}, 1, "tool_calls[0].function.name"),
    ("llama3.1", [USER, calling(name="f")], {}, 1, "tool_calls[0].function.arguments"),
    (
        "llama3.1",
        [USER, calling(name="f", arguments='{"a": 1}')],
        {},
        1,
        "tool_calls[0].function.arguments",
    ),
    (
        "llama3.1",
        [USER, calling(name="f", arguments={1: 2})],
        {},
        1,
        "tool_calls[0].function.arguments",
    ),
    (
        "llama3.1",
        [USER, calling(name="f", arguments={"a": object()})],
        {},
        1,
        "tool_calls[0].function.arguments['a']",
    ),
    (
        "llama3.1",
        [USER, calling(name="brave_search", arguments={"query": 5})],
        {"builtin_tools": ["brave_search"]},
        1,
        'tool_calls[0].function.arguments["query"]',
    ),
    (
        "meta",
        [USER, calling(name="brave_search", arguments={"q": "x"})],
        {},
        1,
        'tool_calls[0].function.arguments["query"]',
    ),
    (
        "meta",
        [USER, calling(name="code_interpreter", arguments={"code": None})],
        {},
        1,
        'tool_calls[0].function.arguments["code"]',
    ),
    (
        "meta",
        [USER, calling(name="f g", arguments={})],
        {"tool_format": "python_list"},
        1,
        "tool_calls[0].function.name",
    ),
    (
        "meta",
        [USER, calling(name="f", arguments={"class": 1})],
        {"tool_format": "python_list"},
        1,
        "tool_calls[0].function.arguments",
    ),
    (
        "meta",
        [USER, calling(name="f", arguments={"a": float("nan")})],
        {"tool_format": "python_list"},
        1,
        'tool_calls[0].function.arguments["a"]',
    ),
    ("meta", [USER | {"stop_reason": "length"}], {}, 0, "stop_reason"),
    (
        "llama3",
        [USER, {"role": "assistant", "content": "", "stop_reason": "end_of_message"}],
        {"dialect": "meta"},
        1,
        "stop_reason",
    ),
    ("llama3.1", [USER, CALLING, {"role": "tool", "content": 10**5000}], {}, 2, "content"),
    ("meta", [USER | {"context": 5}], {}, 0, "context"),
    ("llama3.1", [USER], {"tools": [FUNCTION, "f"]}, 1, "tools"),
    ("llama3.1", [USER], {"tools": [FUNCTION, len]}, 1, "tools"),
    ("llama3.1", [USER], {"tools": [{"a": {1, 2}}]}, 0, "tools"),
    ("llama3.1", [USER], {"tools": FUNCTION}, None, "tools"),
    ("llama3", [USER], {"tools": [FUNCTION]}, None, "tools"),
    ("meta", [USER], {"tools": [FUNCTION]}, None, "tools"),
    ("llama3.1", [USER], {"builtin_tools": ["brave_search", 5]}, 1, "builtin_tools"),
    ("llama3.1", [USER], {"builtin_tools": "brave_search"}, None, "builtin_tools"),
    ("llama3.2", [USER], {"builtin_tools": ["brave_search"]}, None, "builtin_tools"),
    ("llama3", [USER], {"date": "1 Jan 2030"}, None, "date"),
    ("meta", [USER], {"date": "1 Jan 2030"}, None, "date"),
    ("llama3.1", [{"role": "system", "content": ""}], {"tools": [FUNCTION]}, None, "messages"),
    (
        "llama3.1",
        [{"role": "system", "content": ""}, {"role": "assistant", "content": ""}, USER],
        {"tools": [FUNCTION]},
        1,
        "role",
    ),
    ("llama3.1", [USER, CALLING], {"continue_final_message": True}, 1, "tool_calls"),
    ("llama3.1", [USER, CALLING, RESULT], {"continue_final_message": True}, 2, "role"),
]


@pytest.mark.parametrize(("profile", "messages", "options", "index", "field"), MALFORMED)
def test_a_malformed_conversation_is_refused_with_its_place(
    profile, messages, options, index, field
):
    tokenizer = Tokenizer(profile=profile)
    for method in (tokenizer.encode_chat, tokenizer.render_chat):
        with pytest.raises(ChatFormatError) as caught:
            method(messages, **options)
        assert (caught.value.index, caught.value.field) == (index, field)
        place = field.split("[")[0] if index is None else f"[{index}]"
        assert place in str(caught.value)


LONG = "k" * 100_000


@pytest.mark.parametrize(
    ("profile", "messages", "options"),
    [
        ("llama3.1", [{"role": LONG, "content": "Hi"}], {}),
        ("llama3.1", [USER, calling(name="f", arguments={LONG: object()})], {}),
        ("llama3.1", [USER, calling(name="f", arguments={LONG: 5})], {"builtin_tools": ["f"]}),
        ("llama3.1", [USER, calling(name="f", arguments={(LONG,): 5})], {}),
        ("llama3.1", [USER], {"chat_template": LONG}),
        ("meta", [USER | {"stop_reason": LONG}], {}),
        ("meta", [USER, calling(name=LONG + " ", arguments={})], {"tool_format": "python_list"}),
        (
            "meta",
            [USER, calling(name="f", arguments={LONG: float("nan")})],
            {"tool_format": "python_list"},
        ),
    ],
)
def test_messages_repeat_no_more_than_the_beginning_of_a_name(profile, messages, options):
    with pytest.raises(ChatFormatError) as caught:
        Tokenizer(profile=profile).encode_chat(messages, **options)
    assert len(str(caught.value)) < 500


def test_wrong_options_are_named():
    tokenizer = Tokenizer()
    for options, error in (
        ({"dialect": "chatml"}, ValueError),
        ({"tools_in": "assistant"}, ValueError),
        ({"tool_format": "xml"}, ValueError),
        ({"tool_format": "python_list"}, ValueError),
        ({"add_generation_prompt": 1}, TypeError),
        ({"continue_final_message": "content"}, TypeError),
        ({"continue_final_message": True, "add_generation_prompt": True}, ValueError),
        ({"return_mask": 1}, TypeError),
        ({"date": 2024}, TypeError),
    ):
        with pytest.raises(error, match=next(iter(options))):
            tokenizer.encode_chat([USER], **options)


def test_what_is_absent_may_be_none():
    tokenizer = Tokenizer()
    messages = [USER, {"role": "assistant", "content": "Hello", "tool_calls": None}]
    assert tokenizer.encode_chat(messages) == tokenizer.encode_chat(
        [USER, {"role": "assistant", "content": "Hello"}]
    )
    assert tokenizer.encode_chat([USER, CALLING | {"content": None}]) == tokenizer.encode_chat(
        [USER, CALLING]
    )


def test_any_mapping_and_any_iterable_will_do():
    tokenizer = Tokenizer()
    call = types.MappingProxyType({"name": "f", "arguments": types.MappingProxyType({"a": 1})})
    messages = [USER, {"role": "assistant", "tool_calls": ({"function": call},)}]
    expected = tokenizer.encode_chat([USER, CALLING], tools=[FUNCTION])
    given = (types.MappingProxyType(message) for message in messages)
    tools = iter([types.MappingProxyType(FUNCTION)])
    assert tokenizer.encode_chat(given, tools=tools) == expected


def test_parts_of_text_are_one_text():
    texts = (" \n", " <|eot", "_id|>", " ", "", " x ", "\t\n", "\u3000")
    parts = [{"type": "text", "text": text} for text in texts]
    for profile in chat_oracle.HF_PROFILES:
        tokenizer = Tokenizer(profile=profile)
        assert tokenizer.encode_chat([{"role": "user", "content": parts}]) == (
            tokenizer.encode_chat([{"role": "user", "content": "".join(texts)}])
        )
        for only in ([], parts[:1], [parts[4], parts[6]]):
            content = "".join(part["text"] for part in only)
            assert tokenizer.encode_chat([{"role": "user", "content": only}]) == (
                tokenizer.encode_chat([{"role": "user", "content": content}])
            )


def test_an_image_is_the_image_token_of_its_profile():
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}]
    vision = Tokenizer(profile="llama3.2-vision")
    assert vision.encode_chat(messages).count(128256) == 1
    # Meta's class gives 128256 here as well, which its own vocabulary does not have.
    assert Tokenizer(profile="meta").encode_chat(messages).count(128011) == 1


def test_lone_surrogates_are_what_they_are_in_encode():
    tokenizer = Tokenizer(profile="llama3")
    ids = tokenizer.encode_chat([{"role": "user", "content": "a\ud800b \ud83d\ude00"}])
    assert ids == tokenizer.encode_chat([{"role": "user", "content": "a\ufffdb 😀"}])


def test_the_date_does_not_change_by_itself(monkeypatch):
    class Later(datetime.date):
        @classmethod
        def today(cls):
            return cls(2031, 1, 5)

    tokenizer = Tokenizer()
    ids = tokenizer.encode_chat([USER])
    monkeypatch.setattr(datetime, "date", Later)
    assert tokenizer.encode_chat([USER]) == ids
    assert "Today Date: 26 Jul 2024\n" in tokenizer.render_chat([USER])
    assert "Today Date: 05 Jan 2031\n" in tokenizer.render_chat([USER], date="today")
    assert "Today Date: 1. April\n" in tokenizer.render_chat([USER], date="1. April")


def test_each_month_of_a_date_is_written_by_its_english_name():
    tokenizer = Tokenizer()
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    for month, name in enumerate(names, 1):
        text = tokenizer.render_chat([USER], date=datetime.date(2024, month, 9))
        assert f"Today Date: 09 {name} 2024\n" in text


def test_a_default_call_is_that_of_the_published_template():
    """Also of the newer templates, as they are where there is no clock."""
    text = chat_oracle.by_hugging_face("llama3.1", [USER], add_generation_prompt=True)
    assert Tokenizer().render_chat([USER]) == text
    for profile in chat_oracle.HF_PROFILES[1:]:
        assert Tokenizer(profile=profile).render_chat([USER]) == text


BOS = "<|begin_of_text|>"


@pytest.mark.parametrize("kind", [str, str.encode])
def test_a_second_bos_is_warned_of(tokenizer, kind):
    rendered = kind(tokenizer.render_chat([USER]))
    ids = tokenizer.encode_chat([USER])
    for allowed in ("all", {BOS}, [BOS, "<|eot_id|>"]):
        with pytest.warns(UserWarning, match="begins with .* already, and bos=True adds a second"):
            found = tokenizer.encode(rendered, bos=True, allowed_special=allowed)
        assert found[:2] == [128000, 128000]
    with pytest.warns(UserWarning, match="second"):
        tokenizer.encode_array(rendered, bos=True, allowed_special="all")
    with pytest.warns(UserWarning, match="second"):
        tokenizer.encode_batch(["Hi", rendered], bos=True, allowed_special="all")
    with pytest.warns(UserWarning, match="second"):
        tokenizer.encode_ragged(iter(["Hi", rendered]), bos=True, allowed_special="all")
    assert tokenizer.encode(rendered, allowed_special="all") == ids


def test_a_rendered_chat_that_is_taken_for_text_is_warned_of(tokenizer):
    with pytest.warns(UserWarning, match="as plain text.*encode_chat"):
        tokenizer.encode(tokenizer.render_chat([USER]), bos=True)
    with pytest.warns(UserWarning, match="as plain text.*encode_chat"):
        llama3_tok.encode(tokenizer.render_chat([USER]), bos=True, allowed_special={"<|eot_id|>"})


@pytest.mark.parametrize("text", [BOS, BOS + " is a token", BOS.encode() + b"x", "", f" {BOS}"])
def test_text_that_has_no_special_bos_is_no_reason_to_warn(tokenizer, text):
    assert tokenizer.encode(text, bos=True)[0] == 128000  # a warning would be an error
    assert tokenizer.encode(text, allowed_special="all") is not None
