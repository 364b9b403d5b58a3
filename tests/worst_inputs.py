"""The worst inputs, of any size, and the memory that they take, each in a process of its own.

    PYTHONPATH=python:tests python tests/worst_inputs.py [--largest MB] [--json PATH]

encodes each of more than forty inputs at 1 KB and at four times as much, again and again, up to the
largest (64 MB), and says by how much the memory of the process grew at most. It may grow by the ids
that come out, 32 MB, the cache of each further thread, and 24 bytes for each byte of the longest
pretoken. The exit code is 1 if it ever grew by more. How the work grows is counted in the core's
own tests (rust/steps.rs).
"""

import argparse
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from llama3_tok import Tokenizer, _core

MB = 1 << 20
ALLOWED = 32 * MB
ALLOWED_PER_BYTE = 24
CACHE = Tokenizer().cache_info().limit

Make = Callable[[int], bytes]


def _repeated(part: str) -> Make:
    data = part.encode()
    return lambda size: (data * (size // len(data) + 1))[:size]


def _mixed(characters: str) -> Make:
    """Characters in an order that is always the same; a block of them again and again."""

    def make(size: int) -> bytes:
        chosen = random.Random(7).choices(characters, k=min(size, 1 << 18))
        data = "".join(chosen).encode()
        return (data * (size // len(data) + 1))[:size]

    return make


def _range(first: int, last: int) -> str:
    return "".join(map(chr, range(first, last + 1)))


def _bytes(size: int) -> bytes:
    return random.Random(7).randbytes(size)


LETTERS = _range(ord("a"), ord("z"))
DIGITS = "0123456789"
WORST: dict[str, Make] = {
    **{
        f"{part!r} again and again": _repeated(part)
        for part in (
            *("a", "Z", " ", "\t", "\n", "\r\n", "=", "7", "ab", "aab", "'s", "-=", "é", "漢"),
            *("の", "ก", "😀", "\u0301", "\u200b", " \n", "\u00a0", "\u3000", "٣", "x1", "zx"),
            *("_", "a ", "\x00", "<|", "👨‍👩‍👧 ", "ſ", "it's", " the"),
        )
    },
    "letters": _mixed(LETTERS),
    "capitals": _mixed(LETTERS.upper()),
    "base64": _mixed(LETTERS + LETTERS.upper() + DIGITS + "+/"),
    "hex": _mixed(DIGITS + "abcdef"),
    "DNA": _mixed("ACGT"),
    "punctuation": _mixed(_range(0x21, 0x2F)),
    "tabs and spaces": _mixed(" \t"),
    "spaces and lines": _mixed(" \n"),
    "contractions": _mixed("'sl"),
    "combining marks": _mixed(_range(0x300, 0x36F)),
    "Cyrillic letters": _mixed(_range(0x430, 0x44F)),
    "Arabic letters": _mixed(_range(0x621, 0x64A)),
    "Thai": _mixed(_range(0xE01, 0xE2E)),
    "Han": _mixed(_range(0x4E00, 0x9FFF)),
    "Hangul": _mixed(_range(0xAC00, 0xD7A3)),
    "emoji": _mixed(_range(0x1F300, 0x1F6FF)),
    "any characters": _mixed(_range(1, 0xD7FF)),
    "any bytes": _bytes,
    "bytes that begin characters": lambda size: b"\xe2" * size,
}


def growth(make: Make, size: int) -> tuple[int, int, int]:
    """In a new process: by how much its memory grew at most, the ids, and the longest pretoken."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(write, json.dumps(_growth(make(size))).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise AssertionError(f"the process ended with {status}")
    grown, ids, longest = json.loads(told)
    return grown, ids, longest


def _growth(data: bytes) -> tuple[int, int, int]:
    tokenizer = Tokenizer()
    longest = int(np.diff(_core.pretoken_ends(data), prepend=0).max(initial=0))
    tokenizer.encode_array("a")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _memory("VmRSS")
    ids = tokenizer.encode_array(data)
    return _memory("VmHWM") - before, len(ids), longest


def _memory(name: str) -> int:
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def allowed(ids: int, longest: int) -> int:
    """By how many bytes memory may grow."""
    further_threads = len(os.sched_getaffinity(0)) - 1
    return 4 * ids + ALLOWED + further_threads * CACHE + ALLOWED_PER_BYTE * longest


def sizes(largest: int) -> Iterator[int]:
    """1 KB, 4 KB and so on."""
    size = 1 << 10
    while size <= largest:
        yield size
        size *= 4


def main() -> int:
    """Tries all of them and says what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--largest", type=int, default=64, metavar="MB")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    begin, found, wrong = time.time(), [], 0
    for name, make in WORST.items():
        for size in sizes(options.largest * MB):
            grown, ids, longest = growth(make, size)
            limit = allowed(ids, longest)
            wrong += grown > limit
            found.append(
                {
                    "input": name,
                    "bytes": size,
                    "ids": ids,
                    "longest_pretoken": longest,
                    "grown": grown,
                    "allowed": limit,
                }
            )
        print(
            f"{name:32} {size / MB:6.1f} MB, {ids:12,} ids, longest pretoken {longest:12,}: "
            f"{grown / MB:8.1f} MB of {limit / MB:8.1f}",
            flush=True,
        )
    seconds = time.time() - begin
    print(f"{len(WORST)} inputs, {len(found)} processes, {wrong} above; {seconds:.0f} s")
    if options.json:
        said = {
            "date": time.strftime("%Y-%m-%d", time.gmtime(begin)),
            "command": f"python tests/worst_inputs.py --largest {options.largest}",
            "threads": len(os.sched_getaffinity(0)),
            "seconds": round(seconds),
            "above": wrong,
        }
        options.json.write_text(json.dumps(said | {"runs": found}, indent=1) + "\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
