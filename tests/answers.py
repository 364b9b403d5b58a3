"""Answers of a model: ids that end them, calls in each form, and texts made of their pieces."""

import random

from hypothesis import strategies as st

import strategies
from llama3_tok import ContentDelta

TAG, EOT, EOM, EOS, PAD = 128010, 128009, 128008, 128001, 128004

CALLS = {
    "json": '{"name": "f", "parameters": {"a": 1}}',
    "list": '[{"name": "f", "parameters": {"a": 1}}]',
    "arguments first": '{"arguments": {"a": 1}, "name": "f"}',
    "builtin": 'f.call(a="1")',
    "function": '<function=f>{"a": 1}</function>',
    "pythonic": "[f(a=1)]",
    "pythonic without arguments": "[f()]",
}

names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("true", "false", "null", "True", "False", "None")
)
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | strategies.texts().map(
    lambda text: text.encode("utf-8", "replace").decode()
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip

PIECES = [
    *("<|python_tag|>", "<|eot_id|>", "<|eom_id|>", "<|finetune_right_pad_id|>", "</function>"),
    *("<function=f>", "<function=", "f", "brave_search", '.call(query="', '")', '", b="', "[f("),
    *('{"name": "f", "parameters": {', '{"parameters": {"a": "', '"}, "name": "', "}}", "a=", ")]"),
    *('"', "'", "\\", "{", "}", "[", "]", "(", ")", ",", ";", ":", "1", "-", "\n", " ", "`", "```"),
    *(
        '{"name": "f", "arguments": {}}',
        "[f(a=1), g()]",
        'f.call(a="b")',
        "null",
        "\\u12",
        "\\ud83d",
    ),
    *(
        '"type": "function"',
        '"type"',
        "```json\n",
        "é",
        "漢",
        "😀",
        "\ud83d",
        "True",
        "1e5",
        "x" * 300,
    ),
    *("Hello, world.", '{"answer": 42, "name": "Bob"}', "[see](http://a.b)", "get-it.x", "<", "|>"),
]
answers = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


def divided(whole, seed):
    """Something in random parts, of which some are empty."""
    maker, parts, at = random.Random(seed), [], 0
    longest = maker.choice([1, 2, 5, 20, 1000])
    while at < len(whole):
        length = maker.randint(0 if maker.random() < 0.1 else 1, longest)
        parts.append(whole[at : at + length])
        at += length
    return parts


def content(deltas):
    return "".join(delta.text for delta in deltas if isinstance(delta, ContentDelta))


def finished(stream):
    stream.finish()
    return stream.message
