"""Encoding a conversation, beside Hugging Face's `apply_chat_template`.

    LLAMA3_TOK_TEMPLATES=... python bench/chat.py [--json PATH]

Conversations of 20 turns (20 questions with their answers, after a system message) with short,
usual and long answers are encoded by `Tokenizer.encode_chat` and by `apply_chat_template` (with
`tokenize=True`) of transformers' fast tokenizer class with Meta's vocabulary and the published
template. Ids are compared first. Both take turns in one process on one processor, with the garbage
collector off; a ratio is the median of the rounds' own ratios. Both see the same conversation again
and again, so their caches are warm.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import commit, core_hash, describe, now, processors

import llama3_tok

ROOT = Path(__file__).resolve().parent.parent
TURNS = 20
ROUNDS = 9
SECONDS = 0.2
GOAL = 10

QUESTION = "Could you explain how the borrow checker decides that reference number {n} is valid?"
ANSWER = """\
Yes. Reference {n} lives in region 'r{n}, which covers every point of the control-flow graph where
it may still be used. The checker then makes sure that no conflicting loan is live there:

```rust
let mut values = vec![{n}, {n} + 1];
let first = &values[0];  // the loan begins
println!("{{first}}");  // and ends here
values.push({n});
```

1. A shared loan conflicts with writes.
2. A mutable loan conflicts with *everything*, reads included — that's why `push` must come last.
"""


ANSWERS = {"short": "Yes, {n}.", "usual": ANSWER, "long": ANSWER * 20}


def conversation(answer: str) -> list[dict[str, str]]:
    """What is encoded."""
    messages = [{"role": "system", "content": "You are a patient teacher of Rust."}]
    for number in range(TURNS):
        messages.append({"role": "user", "content": QUESTION.format(n=number)})
        messages.append({"role": "assistant", "content": answer.format(n=number)})
    return messages


def hugging_face(
    template: str, *, add_generation_prompt: bool = True
) -> Callable[[list[dict[str, str]]], list[int]]:
    """The other one."""
    sys.path.append(str(ROOT / "tests"))
    import tokenizers
    import transformers

    import oracle

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(oracle.llama3_tokenizer_json()),
        bos_token="<|begin_of_text|>",
        chat_template=template,
    )

    def encode(messages: list[dict[str, str]]) -> list[int]:
        return tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=add_generation_prompt,
            tokenize=True,
            return_dict=False,
        )

    return encode


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes, from as many as fit a fifth of a second."""
    start = time.perf_counter()
    call()
    repeats = max(1, int(SECONDS / max(time.perf_counter() - start, 1e-6)))
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def measure() -> dict[str, Any]:
    """Compares, then times."""
    folder = os.environ.get("LLAMA3_TOK_TEMPLATES")
    if not folder:
        sys.exit("LLAMA3_TOK_TEMPLATES must name the folder of the published chat templates")
    template = Path(folder, "llama3.1.jinja").read_text(encoding="utf-8")
    pinned = [max(processors())] if processors() else None
    if pinned:
        os.sched_setaffinity(0, pinned)
    machine = describe(pinned)
    tokenizer, theirs = llama3_tok.Tokenizer(), hugging_face(template)
    return {
        "date": now(),
        "commit": commit(ROOT),
        "core": core_hash(),
        "machine": machine,
        "versions": {name: version(name) for name in ("transformers", "tokenizers", "jinja2")},
        "cases": {
            name: compare(conversation(answer), tokenizer, theirs)
            for name, answer in ANSWERS.items()
        },
    }


def compare(
    messages: list[dict[str, str]],
    tokenizer: llama3_tok.Tokenizer,
    theirs: Callable[[list[dict[str, str]]], list[int]],
) -> dict[str, Any]:
    """One conversation."""
    ids = tokenizer.encode_chat(messages)
    if ids != theirs(messages):
        sys.exit("the ids differ")
    calls: dict[str, Callable[[], object]] = {
        "encode_chat": lambda: tokenizer.encode_chat(messages),
        "with mask": lambda: tokenizer.encode_chat(messages, return_mask=True),
        "render_chat": lambda: tokenizer.render_chat(messages),
        "apply_chat_template": lambda: theirs(messages),
    }
    gc.collect()
    gc.disable()
    rounds = [{name: seconds(call) for name, call in calls.items()} for _ in range(ROUNDS)]
    gc.enable()
    ratios = [one["apply_chat_template"] / one["encode_chat"] for one in rounds]
    return {
        "tokens": len(ids),
        "bytes": len(tokenizer.render_chat(messages).encode()),
        "microseconds": {
            name: statistics.median(one[name] for one in rounds) * 1e6 for name in calls
        },
        "ratio": statistics.median(ratios),
    }


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="PATH", type=Path, help="where the result goes")
    options = parser.parse_args()
    result = measure()
    for name, case in result["cases"].items():
        print(f"{name}: {TURNS} turns, {case['tokens']} tokens, {case['bytes']} bytes, equal ids")
        for call, taken in case["microseconds"].items():
            print(f"    {call:20} {taken:9.1f} us")
        print(f"    encode_chat is {case['ratio']:.1f} times as fast (to be {GOAL})")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
