"""What the chat tests compare with: published templates, Meta's class, made-up conversations.

The templates of 3 and 3.1 are read from the folder LLAMA3_TOK_TEMPLATES. Those of 3.2 are made of
that of 3.1 by the edits below, which are all that tells the published files apart but for the date,
where the newer ones ask the clock if they can.
"""

import os
import random
from functools import cache
from pathlib import Path

import pytest
import tiktoken

import oracle
from llama3_tok import Tokenizer

# 3.3 has the template of 3.1.
FILES = {"llama3": "llama3.jinja", "llama3.1": "llama3.1.jinja", "llama3.3": "llama3.1.jinja"}
HF_PROFILES = ("llama3", "llama3.1", "llama3.2", "llama3.2-vision", "llama3.3")
# Those whose template has built-in tools.
WITH_BUILTIN = ("llama3.1", "llama3.3")

# 3.2, text: no built-in tools.
_WITHOUT_BUILTIN = [
    ("{%- if builtin_tools is defined or tools is not none %}", "{%- if tools is not none %}"),
    (
        "{%- if builtin_tools is defined %}\n"
        "    {{- \"Tools: \" + builtin_tools | reject('equalto', 'code_interpreter') | join(\", \")"
        ' + "\\n\\n"}}\n{%- endif %}\n',
        "",
    ),
    (
        "{%- if builtin_tools is defined and tool_call.name in builtin_tools %}",
        "{%- if false %}",
    ),
    ("{%- if builtin_tools is defined %}\n            {#-", "{%- if false %}\n            {#-"),
]
# 3.2, vision: images, content as it is, and no dates beside an image unless the system speaks.
_WITH_IMAGES = [
    (
        "    {%- set messages = messages[1:] %}\n{%- else %}",
        "    {%- set messages = messages[1:] %}\n    {%- set from_user = true %}\n{%- else %}",
    ),
    (
        '    {%- set system_message = "" %}\n{%- endif %}\n',
        '    {%- set system_message = "" %}\n    {%- set from_user = false %}\n{%- endif %}\n'
        "{%- set image_ns = namespace(has_images=false) %}\n"
        "{%- for message in messages %}\n"
        "    {%- for content in message['content'] %}\n"
        "        {%- if content['type'] == 'image' %}\n"
        "            {%- set image_ns.has_images = true %}\n"
        "        {%- endif %}\n"
        "    {%- endfor %}\n"
        "{%- endfor %}\n"
        "{%- if from_user or not image_ns.has_images %}\n",
    ),
    (
        '{{- system_message }}\n{{- "<|eot_id|>" }}\n',
        '{{- system_message }}\n{{- "<|eot_id|>" }}\n{%- endif %}\n',
    ),
    (
        "        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
        "+ message['content'] | trim + '<|eot_id|>' }}\n",
        "        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}\n"
        "        {%- if message['content'] is string %}\n"
        "            {{- message['content'] }}\n"
        "        {%- else %}\n"
        "            {%- for content in message['content'] %}\n"
        "                {%- if content['type'] == 'image' %}\n"
        "                    {{- '<|image|>' }}\n"
        "                {%- elif content['type'] == 'text' %}\n"
        "                    {{- content['text'] }}\n"
        "                {%- endif %}\n"
        "            {%- endfor %}\n"
        "        {%- endif %}\n"
        "        {{- '<|eot_id|>' }}\n",
    ),
]


def _edited(template, edits):
    for old, new in edits:
        assert template.count(old) == 1, old
        template = template.replace(old, new)
    return template


@cache
def template(profile):
    """The template of a profile's release; skips without the published ones."""
    folder = os.environ.get("LLAMA3_TOK_TEMPLATES")
    if not folder:
        pytest.skip("LLAMA3_TOK_TEMPLATES does not name the folder of the published chat templates")
    if profile in FILES:
        return Path(folder, FILES[profile]).read_text(encoding="utf-8")
    text = _edited(template("llama3.1"), _WITHOUT_BUILTIN)
    return text if profile == "llama3.2" else _edited(text, _WITH_IMAGES)


@cache
def hugging_face():
    """transformers' class with Meta's vocabulary."""
    import tokenizers
    import transformers

    made = tokenizers.Tokenizer.from_str(oracle.llama3_tokenizer_json())
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<|begin_of_text|>", clean_up_tokenization_spaces=False
    )


def by_hugging_face(profile, messages, *, tokenize=False, tools_in="user", date=None, **options):
    """What `apply_chat_template` gives."""
    options["tools_in_user_message"] = tools_in == "user"
    if date is not None:
        options["date_string"] = date
    return hugging_face().apply_chat_template(
        messages,
        chat_template=template(profile),
        tokenize=tokenize,
        return_dict=False,
        **options,
    )


@cache
def special(profile):
    return Tokenizer(profile=profile).special_tokens


@cache
def _encoding(profile):
    return tiktoken.Encoding(
        profile,
        pat_str=oracle.PATTERN,
        mergeable_ranks=oracle.ranks(),
        special_tokens=special(profile),
    )


def ids_of(profile, text):
    """tiktoken's ids of a rendered conversation."""
    return _encoding(profile).encode(text, allowed_special="all")


@cache
def meta():
    from llama_models.llama3.chat_format import ChatFormat
    from llama_models.llama3.tokenizer import Tokenizer

    return ChatFormat(Tokenizer.get_instance())


def by_meta(messages, tool_format="json"):
    """The ids that Meta's class gives, the answer's header included."""
    from llama_models.datatypes import RawMessage, StopReason, ToolCall, ToolPromptFormat

    def call(given):
        function = given["function"]
        return ToolCall(call_id="", tool_name=function["name"], arguments=function["arguments"])

    raw = [
        RawMessage(
            role=message["role"],
            content=message.get("content", ""),
            context=message.get("context"),
            stop_reason=StopReason(message["stop_reason"]) if "stop_reason" in message else None,
            tool_calls=[call(given) for given in message.get("tool_calls", [])],
        )
        for message in messages
    ]
    return meta().encode_dialog_prompt(raw, ToolPromptFormat(tool_format)).tokens


# Conversations

SPACE = [" ", "\n", "\t", "\r\n", "\u3000", "\x85", "\x1c", "\u2028", "  \n "]
WORDS = [
    *("Hello", "world", "the", "I'm", "2024", "3.14", "=>", "{}", '"quoted"', "back\\slash", "'s"),
    *("Việt", "漢字", "привет", "مرحبا", "हिन्दी", "👩‍👩‍👧", "e\u0301", "<|", "|>", "<function=f>"),
    *(" nhiều", "naïve", "\u200b", "```py\nprint(1)\n```", "[1, 2]", "a" * 40, "Zm9v" * 9),
]
PLAIN = ["Paris", "weather", "2 + 2", "Việt Nam", "漢字", "naïve", "it's", "a-b_c"]


class Maker:
    """Random conversations, the same for the same seed."""

    def __init__(self, seed, words=WORDS):
        self.random, self.words = random.Random(seed), words

    def chance(self, probability):
        return self.random.random() < probability

    def space(self):
        return "".join(self.random.choices(SPACE, k=self.random.randrange(3)))

    def text(self):
        if self.chance(0.06):
            return self.space()
        parts = self.random.choices(self.words, k=self.random.randrange(1, 9))
        separators = self.random.choices(["", " ", " ", "\n", "\n\n"], k=len(parts))
        inner = "".join(part + separator for part, separator in zip(parts, separators, strict=True))
        return self.space() + inner + self.space()

    def scalar(self, texts):
        choices = [True, False, None, 0, -7, 2**70, 1.5, -1e-7, 1e300]
        return self.random.choice([*choices, *self.random.choices(texts, k=9)])

    def value(self, texts, depth=2):
        kind = self.random.randrange(4) if depth else 3
        if kind == 0:
            return [self.value(texts, depth - 1) for _ in range(self.random.randrange(3))]
        if kind == 1:
            return {key: self.value(texts, depth - 1) for key in self.names()}
        return self.scalar(texts)

    def names(self):
        return self.random.sample(["city", "n", "größe", "unit", "day"], self.random.randrange(4))

    def call(self, name, arguments):
        return {"type": "function", "function": {"name": name, "arguments": arguments}}


def hf_conversation(seed, profile, words=WORDS):
    """Messages and options that the profile's template takes."""
    maker = Maker(seed, words)
    has_tools, options = profile != "llama3", {}
    if has_tools:
        if maker.chance(0.3):
            options["tools"] = [
                {"type": "function", "function": {"name": "f", "parameters": maker.value(words, 3)}}
                for _ in range(maker.random.randrange(3))
            ]
            options["tools_in"] = maker.random.choice(["user", "system"])
        if maker.chance(0.3):
            options["date"] = maker.random.choice(["1 Jan 2030", "heute, 漢"])
    if profile in WITH_BUILTIN and maker.chance(0.3):
        names = ["brave_search", "wolfram_alpha", "code_interpreter"]
        options["builtin_tools"] = maker.random.sample(names, maker.random.randrange(4))
    messages = []
    if maker.chance(0.5):
        messages.append({"role": "system", "content": maker.text()})
    for turn in range(maker.random.randrange(1, 5)):
        messages.append({"role": "user", "content": _parts(maker, profile, turn)})
        while has_tools and maker.chance(0.3):
            builtin = options.get("builtin_tools")
            if builtin and maker.chance(0.6):
                arguments = {key: maker.text() for key in maker.names()}
                call = maker.call(maker.random.choice(builtin), arguments)
            else:
                arguments = {key: maker.value(words) for key in maker.names()}
                call = maker.call(maker.random.choice(["f", "größe", 'q"']), arguments)
            message = {"role": "assistant", "tool_calls": [call]}
            if maker.chance(0.3):
                message["content"] = maker.text()
            messages.append(message)
            if maker.chance(0.9):
                role = maker.random.choice(["tool", "ipython"])
                messages.append({"role": role, "content": _result(maker, profile)})
        if maker.chance(0.1):
            messages.append({"role": "system", "content": maker.text()})
        if maker.chance(0.8):
            messages.append({"role": "assistant", "content": _parts(maker, profile, turn)})
    return messages, options


def _parts(maker, profile, turn):
    """A vision model's content may be parts, but in the first turn, which tools may join."""
    if profile != "llama3.2-vision" or not turn or maker.chance(0.5):
        return maker.text()
    image, text = {"type": "image"}, {"type": "text", "text": maker.text()}
    return maker.random.choice([[text], [image, text], [text, image, text], []])


def _result(maker, profile):
    """Any JSON value but null, which this version of transformers takes for no content at all.

    The vision template can't iterate over numbers, which it does to look for images.
    """
    while True:
        value = maker.value(maker.words, 3)
        if value is not None and not (profile == "llama3.2-vision" and _is_number(value)):
            return value


def _is_number(value):
    return isinstance(value, bool | int | float)


def meta_conversation(seed, tool_format):
    """Messages that Meta's class writes as it reads them; its faults have tests of their own."""
    maker = Maker(seed)
    messages = []
    if maker.chance(0.5):
        messages.append({"role": "system", "content": maker.text()})
    for _ in range(maker.random.randrange(1, 5)):
        messages.append({"role": "user", "content": _texts(maker)})
        if maker.chance(0.1):
            messages[-1]["context"] = _texts(maker)
        while maker.chance(0.3):
            calls = [_meta_call(maker, tool_format)]
            if tool_format == "function_tag" and maker.chance(0.3):
                calls.append(_meta_call(maker, tool_format))
            messages.append({"role": "assistant", "content": _texts(maker), "tool_calls": calls})
            _stop(maker, messages[-1])
            for _ in calls:
                messages.append({"role": "tool", "content": _texts(maker)})
        if maker.chance(0.8):
            messages.append({"role": "assistant", "content": _texts(maker)})
            _stop(maker, messages[-1])
    return messages


def _texts(maker):
    if maker.chance(0.8):
        return maker.text()
    return [{"type": "text", "text": maker.text()} for _ in range(maker.random.randrange(3))]


def _stop(maker, message):
    if maker.chance(0.5):
        reasons = ["end_of_turn", "end_of_message", "out_of_tokens"]
        message["stop_reason"] = maker.random.choice(reasons)


def _meta_call(maker, tool_format):
    if maker.chance(0.2):
        return maker.call("code_interpreter", {"code": maker.text()})
    if tool_format == "python_list":
        values = [maker.scalar(PLAIN), [maker.scalar(PLAIN), maker.scalar(PLAIN)]]
        return maker.call("f", {key: maker.random.choice(values) for key in maker.names()})
    scalars = [maker.scalar(WORDS) for _ in range(2)]
    values = [*scalars, scalars, dict(zip(["a", "ö"], scalars, strict=True))]
    name = maker.random.choice(["f", "größe"])
    return maker.call(name, {key: maker.random.choice(values) for key in maker.names()})
