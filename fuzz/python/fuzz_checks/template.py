"""Any chat template: ChatFormatError, or a text in which nothing that was said is special."""

from unittest.mock import patch

import llama3_tok.chat.template as templates
from fuzz_checks.given import text_of
from llama3_tok import ChatFormatError
from llama3_tok.chat.template import limits

# Less than it may take, so that an input that takes all of it does not take a minute.
LIMITS = {"SECONDS": 2.0, "ROUNDS": 20_000, "LENGTH": 1 << 16}

NAMES = ["<|begin_of_text|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"]
TOKENS = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
MESSAGES = [
    {"role": "system", "content": "Be brief. <|im_end|>"},
    {"role": "user", "content": [{"type": "text", "text": "Hi <|eot_id|>"}]},
    {"role": "assistant", "content": "Ho", "reasoning_content": "hm"},
]
SEEDS = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "{% for m in messages %}{% generation %}{{ m['content'] | trim }}{% endgeneration %}"
    "{% endfor %}",
    "{% set ns = namespace(a=0) %}{% for i in range(9) %}{% set ns.a = ns.a + i %}{% endfor %}"
    "{{ ns.a }}",
    "{{ tools | tojson(indent=2) if tools else '' }}"
    "{{ raise_exception('no ' + messages[0].role) }}",
    "{% macro f(x) %}{{ x * 3 }}{% endmacro %}{{ f('<|' + 'eot_id|>') }}{{ strftime_now('%Y') }}",
    "{{ '%s-%d' | format('a', 5) }}{{ 'a b'.split() | join(',') | replace('a', 'b') }}"
    "{{ '{}'.format(1) }}",
    "{{ messages | map(attribute='role') | list | string | length }}"
    "{{ 'x' | center(9) | indent(4) }}",
    "{% call(x) f() %}{% endcall %}{{ messages[-1]['content'][::-1] }}{{ loop }}{{ cycler('a') }}",
)


def check(data: bytes) -> None:
    """The input is a template; its first byte says whether the last message is to go on."""
    with patch.multiple(limits, **LIMITS):
        _render(data)


def _render(data: bytes) -> None:
    template = text_of(data[1:])
    goes_on = "content" if data[:1] == b"1" else None
    try:
        made = templates.render(
            template, MESSAGES, NAMES, tokens=TOKENS, continue_in=goes_on,
            tools=None, add_generation_prompt=True,
        )  # fmt: skip
    except ChatFormatError as error:
        assert len(str(error)) <= 1000
        return
    names = {ord(mark): name for mark, name in made.marks.items()}
    assert made.marked.translate(names) == made.text
    assert all(0 <= start <= end <= len(made.marked) for start, end in made.generated)
    # No text that was said is a special token: only as many marks as names in the template itself.
    said = sum(made.text.count(name) for name in NAMES)
    assert sum(made.marked.count(mark) for mark in made.marks) <= said


def seeds() -> dict[str, bytes]:
    """Templates of the shapes that models have, and what templates should not do."""
    return {f"{number}": b"0" + text.encode() for number, text in enumerate(SEEDS)} | {
        "goes_on": b"1" + SEEDS[0].encode()
    }
