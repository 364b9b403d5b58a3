#!/usr/bin/env python3
"""Interpreters that end while others work: each ends at once, with its exit code, and in silence.

    PYTHONPATH=python:tests python tests/endings.py --runs 100 --json endings.json

Each ending is a small program in a process of its own, which ends at a random moment of the work
that its threads do. What it prints on standard error, a crash, another exit code, or no end within
30 seconds fails.
"""

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HANG = 30.0

# Eight threads that work until the end: short texts and long ones, on one thread and on several.
WORK = """
import atexit, os, random, signal, sys, threading, time
import llama3_tok
from llama3_tok.serving import PrefixCache
tokenizer = llama3_tok.Tokenizer()
own = sys.argv[0]
text = "The quick brown fox, naïve Việt 漢字 and 12345 more; don't panic! <|eot_id|>\\n" * 30_000
texts = [text[:9000]] * 300
ids = tokenizer.encode(text)
cache = PrefixCache(max_bytes=1 << 20)
chat = [{"role": "user", "content": text[:5000]}]
jobs = [
    lambda: tokenizer.encode(text[:500]), lambda: tokenizer.count(text),
    lambda: tokenizer.encode_array(text), lambda: tokenizer.encode_batch(texts),
    lambda: tokenizer.decode(ids), lambda: tokenizer.decode_batch([ids[:5000]] * 90),
    lambda: tokenizer.encode_with_offsets(text), lambda: tokenizer.encode_chat(chat),
    lambda: cache.encode(text), lambda: tokenizer.encode(text, bos=True),
    lambda: list(tokenizer.split(text, 500)), lambda: tokenizer.truncate(text, 90_000),
    lambda: tokenizer.count_file(own), lambda: list(tokenizer.encode_files([own] * 50)),
    lambda: list(tokenizer.stream_file(own)), lambda: tokenizer.pretokens(text[:9000]),
]
def work(seed):
    dice = random.Random(seed)
    while True:
        dice.choice(jobs)()
def start(daemon=True):
    for seed in range(8):
        threading.Thread(target=work, args=(seed,), daemon=daemon).start()
"""
# The longest job takes some hundredths of a second.
LATER = "time.sleep({delay})\n"

ENDINGS: dict[str, tuple[str, int]] = {
    "the main thread ends": ("start()\n" + LATER, 0),
    "sys.exit": ("start()\n" + LATER + "sys.exit(3)", 3),
    "an exception": (
        "start()\nsys.excepthook = lambda *_: None\n" + LATER + "raise ValueError('the end')",
        1,
    ),
    "sys.exit in a thread": (
        "start()\nthreading.Thread(target=lambda: sys.exit(5)).start()\n" + LATER,
        0,
    ),
    "os._exit": ("start()\n" + LATER + "os._exit(7)", 7),
    "SIGTERM": ("start()\n" + LATER + "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)", -15),
    "SIGTERM that exits": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\nstart()\n"
        "main = os.getpid()\n"
        "def later():\n    time.sleep({delay})\n    os.kill(main, signal.SIGTERM)\n"
        "threading.Thread(target=later, daemon=True).start()\nwork(99)",
        143,
    ),
    "work at exit": ("start()\natexit.register(tokenizer.encode_batch, texts)\n" + LATER, 0),
    "work in a finalizer": (
        "start()\nclass Last:\n    def __del__(self): tokenizer.encode(text); "
        "tokenizer.encode_batch(texts)\nlast = Last()\n" + LATER,
        0,
    ),
    "iterators that are not at their end": (
        "files = tokenizer.encode_files([own] * 5000)\nnext(files)\n"
        "stream = tokenizer.stream_file(own)\nnext(stream)\nstart()\n" + LATER,
        0,
    ),
    "threads that are waited for": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(8)\n"
        "for job in jobs * 2: pool.submit(job)\n" + LATER,
        0,
    ),
    "a process that was forked": (
        "start()\n" + LATER + "child = os.fork()\n"
        "if child == 0:\n    start()\n    time.sleep({delay})\n    sys.exit(9)\n"
        "_, status = os.waitpid(child, 0)\nsys.exit(os.waitstatus_to_exitcode(status))",
        9,
    ),
}
"""What each program does after `WORK`, and how it has to exit."""


def end(name: str, delay: float) -> str | None:
    """Lets a program end: None, or what was wrong."""
    then, status = ENDINGS[name]
    # The program is a file, which its threads read.
    path = Path(f"ending-{os.getpid()}-{random.getrandbits(40)}.py")
    path.write_text(WORK + then.replace("{delay}", str(delay)) + "\n", encoding="utf-8")
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-W", "ignore", path],
            capture_output=True,
            text=True,
            timeout=HANG,
        )
    except subprocess.TimeoutExpired:
        return f"{name}, delay {delay}: it has not ended after {HANG} seconds"
    finally:
        path.unlink()
    if (done.returncode, done.stderr, done.stdout) != (status, "", ""):
        said = textwrap.shorten(done.stderr + done.stdout, 900)
        return f"{name}, delay {delay}: exit code {done.returncode}, and it said: {said}"
    return None if time.monotonic() - began < HANG else f"{name}: it took too long"


def run(count: int, seed: int = 0, names: tuple[str, ...] = tuple(ENDINGS)) -> Iterator[str | None]:
    """So many endings of each kind."""
    dice = random.Random(seed)
    todo = [(name, dice.random() * 0.15) for _ in range(count) for name in names]
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(lambda one: end(*one), todo)


def main() -> int:
    """Runs them, and says how many went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write what was found")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found = list(run(arguments.runs, arguments.seed))
    wrong = [one for one in found if one]
    print(
        *wrong[:20], f"{len(found)} endings of {len(ENDINGS)} kinds, {len(wrong)} wrong", sep="\n"
    )
    record: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": platform.machine(), "processors": os.cpu_count()},
        "python": platform.python_version(),
        "kinds": list(ENDINGS),
        "endings": len(found),
        "wrong": wrong,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
