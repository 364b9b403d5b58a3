"""A prompt that grows by a turn, beside encoding all of it.

    python bench/prompts.py FOLDER [--tokens N] [--json PATH]

For each text `*.txt` of a folder: its first tokens are a history that is known, and a turn of ten
words comes after it, another one each time. All strings are new objects, as they are where a prompt
was just put together. What is timed is `push` of an encoder, `PrefixCache` for `bytes`, `str` and
conversations (a message for each 2,500 characters), and beside them the whole text by
`encode_array` and `encode_chat_array`, and by tokenizers and gigatoken where they are installed.
The ids are compared first. Microseconds are the least of the rounds.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import describe, now

from llama3_tok import Tokenizer
from llama3_tok.serving import PrefixCache

ROUNDS = 25
MESSAGE = 2500


def least(call: Callable[[Any], object], new: Callable[[int], Any], rounds: int = ROUNDS) -> float:
    """The least microseconds of a call with something new each time."""
    times = []
    for number in range(rounds):
        given = new(number)
        begin = time.perf_counter()
        call(given)
        times.append(time.perf_counter() - begin)
    return min(times) * 1e6


def beginning(text: str, tokens: int, tokenizer: Tokenizer) -> str:
    """About the first tokens of a text."""
    while (count := tokenizer.count(text)) > tokens:
        text = text[: len(text) * tokens // count]
    return text


def others(folder: Path) -> dict[str, Callable[[str], object]]:
    """What else is installed."""
    found: dict[str, Callable[[str], object]] = {}
    try:
        import tokenizers

        theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        found["tokenizers"] = lambda text: theirs.encode(text, add_special_tokens=False).ids
    except ImportError:
        pass
    try:
        import gigatoken

        backend = gigatoken.Tokenizer(str(folder / "tokenizer.json")).backend
        found["gigatoken"] = backend.encode
    except ImportError:
        pass
    return found


def measured(text: str, tokenizer: Tokenizer, rivals: dict[str, Any]) -> dict[str, float]:
    """All rows for one history."""

    def turn(number: int) -> str:
        return f" And turn number {number} says this. {time.perf_counter()}"

    cache, result = PrefixCache(tokenizer), {}
    encoder = tokenizer.encoder()
    encoder.push(text)
    result["push"] = least(encoder.push, turn)
    cache.encode_array(text)
    for known in (text + turn(0), text + turn(1)):
        assert cache.encode_array(known).tolist() == tokenizer.encode(known)
    result["cache, str"] = least(cache.encode_array, lambda number: text + turn(number))
    data = text.encode()
    result["cache, bytes"] = least(cache.encode_array, lambda number: data + turn(number).encode())
    parts = [text[at : at + MESSAGE] for at in range(0, len(text), MESSAGE)]
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": part} for at, part in enumerate(parts)]

    def longer(number: int) -> list[dict[str, str]]:
        return [*messages, {"role": "user", "content": turn(number)}]

    given = longer(0)
    for _ in range(2):
        assert cache.encode_chat(given) == tokenizer.encode_chat(given)
    result["cache, conversation"] = least(cache.encode_chat_array, longer)
    result["whole, str"] = least(tokenizer.encode_array, lambda number: text + turn(number))
    result["whole, bytes"] = least(
        tokenizer.encode_array, lambda number: data + turn(number).encode()
    )
    result["whole, conversation"] = least(tokenizer.encode_chat_array, longer)
    for name, call in rivals.items():
        result[f"{name}, whole"] = least(call, lambda number: text + turn(number), 3)
    return result


def main() -> None:
    """Prints a table for each text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tokenizer = Tokenizer()
    result: dict[str, Any] = {"machine": describe(None), "when": now(), "texts": {}}
    with tempfile.TemporaryDirectory() as name:
        tokenizer.save(name)
        rivals = others(Path(name))
        for path in sorted(arguments.folder.glob("*.txt")):
            text = beginning(path.read_text("utf-8"), arguments.tokens, tokenizer)
            rows = measured(text, tokenizer, rivals)
            result["texts"][path.name] = rows
            print(f"{path.name}: {tokenizer.count(text):,} tokens, {len(text.encode()):,} bytes")
            for row, microseconds in rows.items():
                kind = row.partition(", ")[2] if row.startswith("cache") else "str"
                times = rows[f"whole, {kind}"] / microseconds if "whole" not in row else None
                note = f"{times:10.1f} times as fast as the whole" if times else ""
                print(f"    {row:22}{microseconds:12,.1f} us{note}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
