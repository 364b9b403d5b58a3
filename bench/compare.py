"""llama3_tok and tiktoken side by side: the ids are compared first, then both are timed in turn.

    python bench/compare.py [FILE...]

Without files: those of the folder LLAMA3_TOK_CORPORA, else the standard library's sources, which
every machine has. One thread; whole files, uncut; medians of several rounds. Machines are noisy, so
only the ratio counts. Exit code 1 if any ids differ.
"""

import argparse
import base64
import hashlib
import os
import platform
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import tiktoken

import llama3_tok
from llama3_tok import Tokenizer
from llama3_tok._core import Core

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def texts(files: list[Path]) -> dict[str, str]:
    """Name to text of what is measured."""
    folder = os.environ.get("LLAMA3_TOK_CORPORA")
    if not files and folder:
        files = sorted(Path(folder).glob("*.txt"))
    if files:
        return {file.name: file.read_bytes().decode("utf-8") for file in files}
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return {"standard library": "".join(file.read_text("utf-8") for file in sources)}


def reference(vocabulary: str) -> tiktoken.Encoding:
    """tiktoken with the same ranks."""
    lines = (line.split() for line in Path(vocabulary).read_bytes().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding("llama3", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    tokenizer = Tokenizer()
    tiktokens = reference(tokenizer.vocabulary)
    load = statistics.median(timed(lambda: fresh(tokenizer)) for _ in range(arguments.rounds))
    print(
        f"llama3_tok {llama3_tok.__version__}, tiktoken {tiktoken.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}; load {load * 1e3:.0f} ms"
    )
    columns = "".join(f"{name:>10}" for name in ("tiktoken", "encode", "array", "count"))
    print(f"{'MB/s, one thread':<20}{columns}  encode/tiktoken")
    equal = True
    for name, text in texts(arguments.files).items():
        if tokenizer.encode(text) != tiktokens.encode_ordinary(text):
            print(f"{name:<20}ids differ; not timed")
            equal = False
            continue
        works = {
            "tiktoken": lambda text=text: tiktokens.encode_ordinary(text),
            "encode": lambda text=text: tokenizer.encode(text),
            "array": lambda text=text: tokenizer.encode_array(text),
            "count": lambda text=text: tokenizer.count(text),
        }
        rounds = [
            {name: timed(work) for name, work in works.items()} for _ in range(arguments.rounds)
        ]
        size = len(text.encode()) / 1e6
        speeds = "".join(f"{size / statistics.median(r[w] for r in rounds):>10.1f}" for w in works)
        ratio = statistics.median(r["tiktoken"] / r["encode"] for r in rounds)
        print(f"{name:<20}{speeds}{ratio:>10.2f}x")
    return 0 if equal else 1


def fresh(tokenizer: Tokenizer) -> object:
    """Reads and checks the vocabulary as a new process does: a live core would be shared."""
    data = Path(tokenizer.vocabulary).read_bytes()
    hashlib.sha256(data).hexdigest()
    return Core(data, tokenizer.vocabulary, tokenizer.profile)


if __name__ == "__main__":
    sys.exit(main())
