"""The chat formats against those whose they are, on made-up conversations: transformers with the
published templates, and Meta's class. Ids are tiktoken's."""

import datetime
import sys

import pytest

import chat_oracle
from chat_oracle import HF_PROFILES, by_hugging_face, by_meta, ids_of
from llama3_tok import Tokenizer

CONVERSATIONS = 2000


@pytest.mark.long
@pytest.mark.parametrize("profile", HF_PROFILES)
def test_the_published_template_gives_the_same_text_and_ids(profile):
    tokenizer = Tokenizer(profile=profile)
    for seed in range(CONVERSATIONS):
        messages, options = chat_oracle.hf_conversation(seed, profile)
        prompt = seed % 3 > 0
        text = by_hugging_face(profile, messages, add_generation_prompt=prompt, **options)
        options["add_generation_prompt"] = prompt
        assert tokenizer.render_chat(messages, **options) == text
        assert tokenizer.encode_chat(messages, **options) == ids_of(profile, text)


def test_the_ids_are_those_of_apply_chat_template():
    tokenizer = Tokenizer(profile="llama3.1")
    for seed in range(CONVERSATIONS, 2 * CONVERSATIONS):
        messages, options = chat_oracle.hf_conversation(seed, "llama3.1")
        ids = by_hugging_face(
            "llama3.1", messages, tokenize=True, add_generation_prompt=True, **options
        )
        assert tokenizer.encode_chat(messages, add_generation_prompt=True, **options) == ids


@pytest.mark.long
@pytest.mark.parametrize("profile", HF_PROFILES)
def test_a_final_message_is_continued_as_by_transformers(profile):
    tokenizer = Tokenizer(profile=profile)
    compared = 0
    for seed in range(3 * CONVERSATIONS):
        messages, options = chat_oracle.hf_conversation(seed, profile)
        last = messages[-1]
        open_ended = "tool_calls" not in last and last["role"] not in ("tool", "ipython")
        # Without a text they find no end, or one before the header's own newlines.
        if not open_ended or not isinstance(last["content"], str) or not last["content"].strip():
            continue
        text = by_hugging_face(profile, messages, continue_final_message=True, **options)
        options["continue_final_message"] = True
        assert tokenizer.render_chat(messages, **options) == text
        assert tokenizer.encode_chat(messages, **options) == ids_of(profile, text)
        compared += 1
    assert compared > CONVERSATIONS


@pytest.mark.long
def test_an_empty_final_message_is_continued_behind_its_whole_header():
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " "}]
    theirs = by_hugging_face("llama3", messages, continue_final_message=True)
    ours = Tokenizer(profile="llama3").render_chat(messages, continue_final_message=True)
    assert ours.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")
    assert theirs == ours.rstrip()


@pytest.mark.parametrize("result", [None, True, 5, 1.5, -0.0, "5", "", [], {}, [None], {"a": "é"}])
def test_a_tool_result_of_any_json_type_is_written_as_by_the_template(result):
    from transformers.utils.chat_template_utils import _compile_jinja_template

    template = _compile_jinja_template(chat_oracle.template("llama3.1"))
    call = {"function": {"name": "f", "arguments": {}}}
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": result},
    ]
    # The template itself: apply_chat_template drops what is null.
    text = template.render(messages=messages, bos_token="<|begin_of_text|>")
    assert Tokenizer().render_chat(messages, add_generation_prompt=False) == text


def test_profile_meta_has_the_template_of_3_1_in_dialect_hf():
    tokenizer = Tokenizer(profile="meta")
    for seed in range(200):
        messages, options = chat_oracle.hf_conversation(seed, "llama3.1")
        text = by_hugging_face("llama3.1", messages, **options)
        options |= {"dialect": "hf", "add_generation_prompt": False}
        assert tokenizer.render_chat(messages, **options) == text
        assert tokenizer.encode_chat(messages, **options) == ids_of("meta", text)


@pytest.mark.parametrize("date", [datetime.date(2025, 3, 7), datetime.datetime(2025, 3, 7, 23, 59)])
def test_a_date_is_written_as_the_newer_templates_write_it(date):
    messages = [{"role": "user", "content": "Hi"}]
    text = by_hugging_face("llama3.1", messages, date=date.strftime("%d %b %Y"))
    assert "Today Date: 07 Mar 2025\n" in text
    ours = Tokenizer().render_chat(messages, date=date, add_generation_prompt=False)
    assert ours == text


@pytest.mark.long
@pytest.mark.parametrize("tool_format", ["json", "function_tag", "python_list"])
def test_metas_class_gives_the_same_ids(tool_format):
    tokenizer = Tokenizer(profile="meta")
    for seed in range(CONVERSATIONS):
        messages = chat_oracle.meta_conversation(seed, tool_format)
        ids = by_meta(messages, tool_format)
        options = {"tool_format": tool_format, "add_generation_prompt": True}
        assert tokenizer.encode_chat(messages, **options) == ids


def test_metas_dialect_has_the_same_ids_in_the_other_profiles():
    messages = chat_oracle.meta_conversation(7, "json")
    options = {"dialect": "meta", "add_generation_prompt": True}
    for profile in chat_oracle.HF_PROFILES[1:]:
        ours = Tokenizer(profile=profile).encode_chat(messages, **options)
        assert ours == by_meta(messages)
    plain = [{"role": "user", "content": " Hi\n"}, {"role": "assistant", "content": "\n\nHello"}]
    assert Tokenizer(profile="llama3").encode_chat(plain, **options) == by_meta(plain)


@pytest.mark.long
def test_content_is_stripped_of_what_python_calls_white_space():
    tokenizer = Tokenizer(profile="llama3")
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    header = "<|start_header_id|>user<|end_header_id|>\n\n"
    for start in range(0, len(characters), 65536):
        contents = [f"{c} {c}x{c}\n{c}" for c in characters[start : start + 65536]]
        messages = [{"role": "user", "content": content} for content in contents]
        text = tokenizer.render_chat(messages, add_generation_prompt=False)
        expected = [f"{header}{content.strip()}<|eot_id|>" for content in contents]
        assert text == "<|begin_of_text|>" + "".join(expected)
