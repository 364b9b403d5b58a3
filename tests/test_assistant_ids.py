"""`parse_assistant`: how an answer ends, and answers as ids."""

import numpy as np
import pytest

from answers import (
    EOM,
    EOS,
    EOT,
    PAD,
    TAG,
)
from llama3_tok import (
    AssistantMessage,
    InvalidTokenId,
    Tokenizer,
    ToolCall,
    parse_assistant,
)

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
