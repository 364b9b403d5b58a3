"""What `return_mask` marks: exactly what the assistant writes."""

from itertools import groupby

import numpy as np
import pytest

import chat_oracle
from llama3_tok import Tokenizer


def learned(tokenizer, messages, **options):
    """The runs of learned tokens, as text."""
    ids, mask = tokenizer.encode_chat(messages, return_mask=True, **options)
    assert ids == tokenizer.encode_chat(messages, **options)
    assert isinstance(mask, np.ndarray)
    assert (mask.dtype, mask.shape) == (np.uint8, (len(ids),))
    runs = groupby(zip(mask.tolist(), ids, strict=True), key=lambda pair: pair[0])
    return [tokenizer.decode([id for _, id in run]) for is_learned, run in runs if is_learned]


@pytest.mark.parametrize("profile", ["llama3", "llama3.1", "llama3.2"])
def test_every_answer_and_its_end_are_learned_and_nothing_else(profile):
    tokenizer = Tokenizer(profile=profile)
    messages = [
        {"role": "system", "content": "assistant"},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": " 1\n"},
        {"role": "user", "content": "Two"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "2 <|eot_id|>"},
    ]
    answers = ["1<|eot_id|>", "<|eot_id|>", "2 <|eot_id|><|eot_id|>"]
    assert learned(tokenizer, messages) == answers
    assert learned(tokenizer, messages, add_generation_prompt=False) == answers
    assert learned(tokenizer, messages[:2]) == []
    continued = learned(tokenizer, messages, continue_final_message=True)
    assert continued == [*answers[:2], "2 <|eot_id|>"]
    assert learned(tokenizer, messages[:4], continue_final_message=True) == answers[:1]


def test_calls_are_learned_and_results_are_not():
    call = {"function": {"name": "brave_search", "arguments": {"query": "x"}}}
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "y"},
        {"role": "assistant", "content": "z"},
    ]
    tokenizer = Tokenizer()
    assert learned(tokenizer, messages) == [
        '{"name": "brave_search", "parameters": {"query": "x"}}<|eot_id|>',
        "z<|eot_id|>",
    ]
    assert learned(tokenizer, messages, builtin_tools=["brave_search"]) == [
        '<|python_tag|>brave_search.call(query="x")<|eom_id|>',
        "z<|eot_id|>",
    ]
    messages[1]["stop_reason"] = "end_of_message"
    assert learned(Tokenizer(profile="meta"), messages) == [
        '<|python_tag|>brave_search.call(query="x")<|eom_id|>',
        "z<|eot_id|>",
    ]


def test_a_token_that_begins_in_the_header_is_learned_if_it_holds_content():
    messages = [
        {"role": "user", "content": "\n?"},
        {"role": "assistant", "content": "\n\n x"},
    ]
    # The header's two newlines and the content's are one token.
    assert learned(Tokenizer(profile="llama3.2-vision"), messages) == ["\n\n\n\n x<|eot_id|>"]
    assert learned(Tokenizer(profile="meta"), messages) == ["\n\n x<|eot_id|>"]


def check_increments(tokenizer, messages, **options):
    """What a message adds after the prompt for it is learned if it is the assistant's."""
    ids, mask = tokenizer.encode_chat(
        messages, return_mask=True, add_generation_prompt=False, **options
    )
    expected = [0] * len(ids)
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            before = tokenizer.encode_chat(messages[:index], add_generation_prompt=True, **options)
            behind = tokenizer.encode_chat(
                messages[: index + 1], add_generation_prompt=False, **options
            )
            assert ids[: len(behind)] == behind
            assert behind[: len(before)] == before
            expected[len(before) : len(behind)] = [1] * (len(behind) - len(before))
    assert mask.tolist() == expected


@pytest.mark.parametrize("profile", ["llama3", "llama3.1", "llama3.2"])
def test_the_mask_is_what_answers_add_to_their_prompts(profile):
    tokenizer = Tokenizer(profile=profile)
    for seed in range(1000):
        messages, options = chat_oracle.hf_conversation(seed, profile)
        check_increments(tokenizer, messages, **options)


@pytest.mark.parametrize("tool_format", ["json", "function_tag", "python_list"])
def test_the_mask_is_what_answers_add_to_their_prompts_in_metas_dialect(tool_format):
    tokenizer = Tokenizer(profile="meta")
    for seed in range(1000):
        messages = chat_oracle.meta_conversation(seed, tool_format)
        check_increments(tokenizer, messages, tool_format=tool_format)
