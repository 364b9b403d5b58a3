"""`assistant_stream` as servers use it: chunks for clients, wrong use, long answers."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama3_tok
from answers import EOT, answers, content, divided, finished
from conftest import EXAMPLES
from llama3_tok import (
    AnswerEnd,
    InvalidTokenId,
    Tokenizer,
    assistant_stream,
    parse_assistant,
)

# As servers stream it


class Client:
    """What a client of OpenAI's interface makes of the choices that it is sent."""

    def __init__(self):
        self.role, self.content, self.calls, self.reason = None, "", [], None

    def take(self, choice):
        assert set(choice) == {"index", "delta", "finish_reason"}
        assert (choice["index"], self.reason) == (0, None)
        json.dumps(choice, ensure_ascii=False).encode()
        delta = dict(choice["delta"])
        assert (self.role is None) == ("role" in delta)
        self.role = delta.pop("role", self.role)
        self.content += delta.pop("content", "")
        for piece in delta.pop("tool_calls", []):
            if piece["index"] == len(self.calls):
                assert piece["type"] == "function"
                assert set(piece) == {"index", "id", "type", "function"}
                self.calls.append(
                    {"id": piece["id"], "name": piece["function"]["name"], "text": ""}
                )
            else:
                assert set(piece) == {"index", "function"}
                assert set(piece["function"]) == {"arguments"}
            self.calls[piece["index"]]["text"] += piece["function"]["arguments"]
        assert not delta
        self.reason = choice["finish_reason"]


@settings(max_examples=EXAMPLES)
@given(text=answers, seed=st.integers(0, 2**32), salvage=st.booleans())
def test_a_client_of_the_choices_has_the_answer(text, seed, salvage):
    text = text.encode("utf-8", "replace").decode()
    stream, client = assistant_stream(salvage=salvage, hold_calls=True), Client()
    for part in divided(text, seed):
        for choice in stream.choices(stream.push(part)):
            client.take(choice)
    for choice in stream.choices(stream.finish()):
        client.take(choice)
    message = stream.message.to_message()
    assert (client.role, client.content) == ("assistant", message["content"])
    expected = [call["function"] for call in message.get("tool_calls", [])]
    assert [
        {"name": call["name"], "arguments": json.loads(call["text"])} for call in client.calls
    ] == expected
    assert len({call["id"] for call in client.calls}) == len(expected)
    ended = stream.message.stop_reason is not None
    assert client.reason == ("tool_calls" if expected else "stop" if ended else "length")


def test_a_lone_surrogate_in_arguments_can_be_sent():
    stream = assistant_stream()
    choices = stream.choices(stream.push(r'{"name": "f", "parameters": {"a": "\ud83d'))
    choices += stream.choices(stream.push('x"}}') + stream.finish())
    pieces = [
        piece["function"]["arguments"]
        for choice in choices
        for piece in choice["delta"].get("tool_calls", [])
    ]
    assert "".join(pieces).encode() == rb'{"a": "\ud83dx"}'


def test_the_reason_of_the_end_is_the_callers_if_it_is_known():
    for is_cut, reason in ((None, "length"), (True, "length"), (False, "stop")):
        stream = assistant_stream()
        stream.push("It is 4.")
        assert stream.finish(is_cut=is_cut)[-1].finish_reason == reason
    stream = assistant_stream()
    stream.push("It is 4.<|eot_id|>")
    assert stream.finish()[-1] == AnswerEnd("end_of_turn", None, "stop")


# Wrong use


def test_a_stream_is_given_ids_or_text_and_not_both(tokenizer):
    stream = tokenizer.assistant_stream()
    stream.push(tokenizer.encode("Hello there"))
    with pytest.raises(TypeError, match="was given ids before, and now text"):
        stream.push("a")
    assert finished(stream).content == "Hello there"
    stream = assistant_stream()
    stream.push("Hello there")
    with pytest.raises(TypeError, match="was given text before, and now ids"):
        stream.push([1])
    assert finished(stream).content == "Hello there"


def test_what_is_no_id_is_an_error_and_changes_nothing(tokenizer):
    stream = tokenizer.assistant_stream()
    for wrong in (b"text", None, {"a": 1}, [1.5], ["a"], True, 1.5):
        with pytest.raises(TypeError, match="^ids"):
            stream.push(wrong)
    stream.push(tokenizer.encode("Hello there"))
    with pytest.raises(InvalidTokenId, match="128256 at position 3"):
        stream.push([1, 128256])
    with pytest.raises(InvalidTokenId, match="-1 at position 2"):
        stream.push(-1)
    assert finished(stream).content == "Hello there"


def test_a_stream_is_for_one_answer(tokenizer):
    stream = tokenizer.assistant_stream()
    with pytest.raises(ValueError, match="is not finished"):
        _ = stream.message
    with pytest.raises(TypeError, match="has a state"):
        copy.copy(stream)
    stream.finish()
    for call in (stream.finish, lambda: stream.push("a"), lambda: stream.push(1)):
        with pytest.raises(ValueError, match="each answer needs a stream of its own"):
            call()


def test_flags_of_a_stream_are_python_booleans():
    for call, name in (
        (assistant_stream, "salvage"),
        (assistant_stream, "hold_calls"),
        (assistant_stream().finish, "is_cut"),
    ):
        for wrong in (1, "yes"):
            with pytest.raises(TypeError, match=f"^{name} must be a bool"):
                call(**{name: wrong})


def test_a_folders_own_stop_ids_end_its_answers(tokenizer):
    other = tokenizer.with_special_tokens({"<|im_end|>": 128003}, eos="<|im_end|>")
    stream = other.assistant_stream()
    stream.push([*other.encode("[f(a=1)]"), 128003])
    assert finished(stream) == other.parse_assistant([*other.encode("[f(a=1)]"), 128003])
    assert stream.message.stop_reason == "end_of_turn"


def test_the_original_profile_has_streams_too():
    original = Tokenizer(profile="llama3")
    stream = original.assistant_stream()
    assert content(stream.push([9906, 11, EOT])) == "Hello,"
    assert finished(stream).stop_reason == "end_of_turn"


# Long answers


@pytest.mark.long
@pytest.mark.parametrize(
    "piece", ["a", '\\"', "a b. ", '{"a": 1} ', "[", "`", "\n", ' "', "<|eot_id|>", "; ", "é"]
)
@pytest.mark.parametrize(
    "before",
    ["", '{"name": "f", "parameters": {"a": "', 'f.call(a="', "<|python_tag|>", "[f(a=[", "x. "],
)
@pytest.mark.parametrize("salvage", [False, True])
def test_long_answers_take_linear_time(before, piece, salvage):
    for hold_calls in (False, True):
        stream = assistant_stream(salvage=salvage, hold_calls=hold_calls)
        stream.push(before)
        for _ in range(4_000):
            stream.push(piece)
        message = finished(stream)
        assert message == parse_assistant(before + piece * 4_000, salvage=salvage)


def test_streams_are_exported():
    assert {"assistant_stream", "AssistantStream", "CallStart", "Delta"} <= set(dir(llama3_tok))
