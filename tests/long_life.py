#!/usr/bin/env python3
"""Memory over time: a process that goes on for ever has after warm-up what it will have.

    PYTHONPATH=python:tests python tests/long_life.py --pretokens 1e8 --chats 1e6 --json life.json

Resident memory is looked at while pretokens are encoded that nobody has seen before, which is what
fills caches; while conversations are, one by one and in bulk; and while objects with a life of
their own are made and dropped: decoders and encoders of streams, caches of prefixes, iterators of
files, tokenizers, threads. After the first half, the warm-up, it may grow by no more than 2 MB.
"""

import argparse
import contextlib
import gc
import gzip
import json
import os
import platform
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llama3_tok import Tokenizer
from llama3_tok.data import encode_chats
from llama3_tok.serving import PrefixCache

GROWTH_MB = 2.0
SAMPLES = 50
"""How often memory is looked at in each part."""
LETTERS = np.frombuffer(b"bcdfghjklmnpqrstvwxz", np.uint8)
FACTOR = 7_919_777_777
BATCH = 200_000
"""Pretokens of a text."""


def resident() -> float:
    """Megabytes of memory in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def words(first: int, count: int) -> bytes:
    """So many words, no two of which are equal: numbers in letters, a space before each."""
    # A factor that has no divisor in common with the modulus: each number becomes another one, and
    # words beside each other differ in all their letters.
    numbers = np.arange(first, first + count, dtype=np.uint64) * FACTOR % len(LETTERS) ** 8
    text = np.full((count, 9), ord(" "), np.uint8)
    for place in range(1, 9):
        text[:, place] = LETTERS[numbers % len(LETTERS)]
        numbers //= len(LETTERS)
    return text.tobytes()


class Life:
    """Steps of one kind, with looks at the memory between them."""

    def __init__(self, name: str, steps: int) -> None:
        self.name, self.steps = name, steps
        self.samples: list[float] = []

    def run(self, step: Callable[[int], object]) -> dict[str, Any]:
        """Does all steps: what memory was after warm-up, at the end, and at most."""
        began, looked = time.monotonic(), max(self.steps // SAMPLES, 1)
        for number in range(self.steps):
            step(number)
            if number % looked == looked - 1:
                gc.collect()
                self.samples.append(resident())
        warm = self.samples[len(self.samples) // 2 :]
        found = {
            "steps": self.steps,
            "seconds": round(time.monotonic() - began),
            "warm_mb": round(warm[0], 1),
            "most_mb": round(max(warm), 1),
            "last_mb": round(warm[-1], 1),
            "growth_mb": round(max(warm) - warm[0], 2),
            "samples_mb": [round(one, 1) for one in self.samples],
        }
        print(self.name, {k: v for k, v in found.items() if k != "samples_mb"}, flush=True)
        return found


def parts(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """All parts of a life, by their names."""
    tokenizer = Tokenizer()
    texts = max(int(arguments.pretokens) // BATCH, SAMPLES)

    def distinct(number: int) -> None:
        text = words(number * BATCH, BATCH)
        # All ways in which the caches are filled: one thread, the pool, and pieces.
        way = number % 3
        if way == 0:
            tokenizer.count(text)
        elif way == 1:
            tokenizer.encode_array(text)
        else:
            tokenizer.encode_batch([text[at : at + 9000] for at in range(0, len(text), 9000)])

    found = Life("distinct pretokens", texts).run(distinct)
    info = tokenizer.cache_info()
    pool = os.cpu_count() or 1
    assert info.bytes <= info.limit, info
    assert info.bytes_of_all <= (pool + 1) * info.limit, info
    found |= {"pretokens": texts * BATCH, "cache_info": info._asdict()}
    yield "distinct_pretokens", found

    chats = int(arguments.chats)
    alone = max(chats // 10, SAMPLES)

    def chat(number: int) -> list[dict[str, str]]:
        said = words(number * 20, 20).decode()
        return [
            {"role": "system", "content": f"You answer number {number}."},
            {"role": "user", "content": said},
            {"role": "assistant", "content": said[::-1]},
        ]

    yield (
        "chats_alone",
        Life("chats one by one", alone).run(
            lambda number: tokenizer.encode_chat(chat(number), return_mask=True)
        ),
    )
    bulk = max((chats - alone) // 2000, SAMPLES)
    yield (
        "chats_in_bulk",
        Life("chats, 2,000 at a time", bulk).run(
            lambda number: encode_chats(
                [chat(number * 2000 + at) for at in range(2000)], tokenizer=tokenizer
            )
        ),
    )

    # So small that it is full within the warm-up.
    cache = PrefixCache(tokenizer, max_bytes=2 << 20)
    count = max(int(arguments.objects), SAMPLES)

    def prefixes(number: int) -> None:
        text = words(number // 10 * 10_000, 2000) + words(number * 10_000, 100)
        cache.encode(text)
        cache.encode_chat([{"role": "user", "content": text.decode()}])

    found = Life("a cache of prefixes", count).run(prefixes)
    held = cache.info()
    assert held.bytes <= held.max_bytes, held
    yield "prefix_cache", found | {"info": held._asdict()}

    ids = tokenizer.encode(words(1, 300))

    def streams(number: int) -> None:
        decoder, encoder = tokenizer.stream_decoder(), tokenizer.encoder()
        for id in ids[:50]:
            decoder.push(id)
        encoder.push(words(number * 300, 300))
        if number % 2:
            decoder.flush()
            encoder.finish()
        PrefixCache(tokenizer).encode(words(number, 300))
        tokenizer.assistant_stream().push(ids)

    yield "streams", Life("streams that are made and dropped", count).run(streams)

    path = folder / "words.txt.gz"
    path.write_bytes(gzip.compress(words(1, 50_000), 1))

    def files(number: int) -> None:
        tokenizer.count_file(path)
        given_up = tokenizer.encode_files([path] * 5)
        next(given_up)
        for _ in tokenizer.stream_file(path):
            pass

    yield "files", Life("files, and iterators that are given up", count // 2).run(files)

    def threads(number: int) -> None:
        several = [
            threading.Thread(target=tokenizer.encode, args=(words(number * 900, 900),))
            for _ in range(8)
        ]
        for thread in several:
            thread.start()
        for thread in several:
            thread.join()

    yield "threads", Life("threads that begin and end", count // 4).run(threads)

    def tokenizers(number: int) -> None:
        made = tokenizer.with_special_tokens({f"<|{number}|>": tokenizer.vocab_size})
        made.encode(f"<|{number}|> naïve", allowed_special="all")
        with_less = Tokenizer(cache_mb=number % 8)
        with_less.encode(words(number, 900))

    yield "tokenizers", Life("tokenizers that are made and dropped", count // 4).run(tokenizers)

    def errors(number: int) -> None:
        for wrong in ([1 << 30], [-1], ["a"]):
            with contextlib.suppress(ValueError, TypeError):
                tokenizer.decode(wrong)
        with contextlib.suppress(ValueError):
            tokenizer.encode(f"{number}<|eot_id|>", disallowed_special="all")

    yield "errors", Life("errors", count).run(errors)


def main() -> int:
    """Lives, and says whether memory grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pretokens", type=float, default=2e7)
    parser.add_argument("--chats", type=float, default=20_000)
    parser.add_argument("--objects", type=float, default=400, help="of each kind")
    parser.add_argument("--growth", type=float, default=GROWTH_MB, help="megabytes allowed")
    parser.add_argument("--json", type=Path, help="write what was found")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = dict(parts(arguments, Path(folder)))
    growth = {name: one["growth_mb"] for name, one in found.items()}
    grown = {name: megabytes for name, megabytes in growth.items() if megabytes > arguments.growth}
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": platform.machine(), "processors": os.cpu_count()},
        "python": platform.python_version(),
        "allowed_growth_mb": arguments.growth,
        "parts": found,
        "grown": grown,
    }
    print(f"grown: {grown or 'nothing'}")
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
