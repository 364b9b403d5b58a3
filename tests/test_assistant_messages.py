"""An answer as a message: put back into its conversation, and as formats write its calls."""

import json
import keyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama3_tok
from answers import (
    names,
    values,
)
from conftest import EXAMPLES
from llama3_tok import (
    ChatFormatError,
    Tokenizer,
    ToolCall,
    parse_assistant,
)

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
    for called in (["f", "g"], ["brave_search", "f"], ["f", "f", "f"]):
        message = calling([(name, {"query": "x"}) for name in called])
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
