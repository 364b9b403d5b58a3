"""Encoding many conversations, beside Hugging Face's `apply_chat_template`.

    LLAMA3_TOK_TEMPLATES=... LLAMA3_TOK_CORPORA=... python bench/chats.py [--json PATH]

Conversations are made of the paragraphs of real texts, each used once: `short` ones of a question
and an answer, `usual` ones of a system message and three turns, `long` ones of twelve turns with
answers of several paragraphs. `encode_chats` encodes them all with masks, on all processors and on
one; `apply_chat_template` (`tokenize=True`) of transformers' fast tokenizer class, with Meta's
vocabulary and the published template, one after the other on one processor. Ids are compared
first. They take turns, with the garbage collector off; a ratio is the median of the rounds' own.
"""

import argparse
import gc
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chat import hugging_face
from machine import commit, core_hash, describe, now, processors

import llama3_tok
from llama3_tok.data import encode_chats

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5
GOAL = 50
# Turns, paragraphs of a question and of an answer, conversations.
KINDS = {"short": (1, 1, 1, 4000), "usual": (3, 1, 2, 1500), "long": (12, 1, 5, 200)}

Message = dict[str, str]


def paragraphs() -> Iterator[str]:
    """Those of all corpora, in a random order that is always the same, again and again."""
    folder = os.environ.get("LLAMA3_TOK_CORPORA")
    if not folder:
        sys.exit("LLAMA3_TOK_CORPORA must name the folder of the corpora")
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("*.txt"))]
    parts = [part for text in texts for part in text.split("\n\n") if 40 <= len(part) <= 800]
    random.Random(7).shuffle(parts)
    while True:
        yield from parts


def conversations(kind: str) -> list[list[Message]]:
    """What is encoded."""
    turns, question, answer, count = KINDS[kind]
    texts = paragraphs()

    def text(size: int) -> str:
        return "\n\n".join(next(texts) for _ in range(size))

    made = []
    for _ in range(count):
        messages = [] if kind == "short" else [{"role": "system", "content": "Be helpful."}]
        for _ in range(turns):
            messages.append({"role": "user", "content": text(question)})
            messages.append({"role": "assistant", "content": text(answer)})
        made.append(messages)
    return made


def on_one(call: Callable[[], object]) -> float:
    """How long a call takes on one processor."""
    everything = processors()
    if everything:
        os.sched_setaffinity(0, [max(everything)])
    try:
        return seconds(call)
    finally:
        if everything:
            os.sched_setaffinity(0, everything)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(
    given: list[list[Message]],
    tokenizer: llama3_tok.Tokenizer,
    theirs: Callable[[list[Message]], list[int]],
) -> dict[str, Any]:
    """One kind of conversation."""
    ours = encode_chats(given, tokenizer=tokenizer)
    for messages, encoded in zip(given, ours, strict=True):
        if theirs(messages) != encoded.ids.tolist():
            sys.exit("the ids differ")
    gc.collect()
    gc.disable()
    rounds = [
        {
            "apply_chat_template": on_one(lambda: [theirs(messages) for messages in given]),
            "one thread": on_one(lambda: encode_chats(given, tokenizer=tokenizer, threads=1)),
            "all threads": seconds(lambda: encode_chats(given, tokenizer=tokenizer)),
        }
        for _ in range(ROUNDS)
    ]
    gc.enable()
    return {
        "conversations": len(given),
        "messages": sum(map(len, given)),
        "tokens": len(ours.ids.ids),
        "seconds": {name: statistics.median(one[name] for one in rounds) for name in rounds[0]},
        "ratios": {
            name: statistics.median(one["apply_chat_template"] / one[name] for one in rounds)
            for name in ("one thread", "all threads")
        },
    }


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="PATH", type=Path, help="where the result goes")
    options = parser.parse_args()
    folder = os.environ.get("LLAMA3_TOK_TEMPLATES")
    if not folder:
        sys.exit("LLAMA3_TOK_TEMPLATES must name the folder of the published chat templates")
    template = Path(folder, "llama3.1.jinja").read_text(encoding="utf-8")
    encode = hugging_face(template, add_generation_prompt=False)
    tokenizer = llama3_tok.Tokenizer()
    result = {
        "date": now(),
        "commit": commit(ROOT),
        "core": core_hash(),
        "machine": describe(processors()),
        "versions": {name: version(name) for name in ("transformers", "tokenizers", "jinja2")},
        "cases": {},
    }
    for kind in KINDS:
        case = result["cases"][kind] = compare(conversations(kind), tokenizer, encode)
        print(
            f"{kind}: {case['conversations']:,} conversations, {case['messages']:,} messages, "
            f"{case['tokens']:,} tokens, equal ids"
        )
        for name, taken in case["seconds"].items():
            ratio = case["ratios"].get(name)
            times = "" if ratio is None else f"{ratio:8.1f} times as fast"
            each = taken / case["conversations"] * 1e6
            print(f"    {name:20} {each:9.1f} us a conversation{times}")
    print(f"all threads are to be {GOAL} times as fast as apply_chat_template on one processor")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
