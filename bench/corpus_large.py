"""A large corpus: how long it takes, how much memory, and what comes of it after a kill.

    python bench/corpus_large.py FOLDER [--gigabytes N] [--scratch DIR] [--json PATH]

FOLDER has the texts `*.txt` that other benchmarks use. Documents of about 3,000 bytes are cut from
them, each at another place, until there are so many gigabytes of JSONL, in files of 1 GB.

`llama3-tok corpus` makes `.npy` shards of it, twice: once to its end, and once with `kill -9` after
a third and after two thirds of that time, each time begun again. The manifests of both, which have
the SHA-256 of every file, are compared, and the files with the manifest. Memory is looked at ten
times a second. The scratch folder needs about 2.2 times the size.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from machine import describe, now

from llama3_tok.data import verify

COMMAND = [sys.executable, "-m", "llama3_tok", "corpus", "--field", "text", "--eos", "--json"]
_LOOKS = 0.1
_POINTS = 20


class Run(NamedTuple):
    """A run: seconds, and megabytes of memory at each look."""

    seconds: float
    memory: list[float]


def write(folder: Path, out: Path, size: int) -> None:
    """Makes the input."""
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("*.txt"))]
    out.mkdir()
    written, at, number = 0, 0, 0
    while written < size:
        with (out / f"{number:03d}.jsonl").open("w", encoding="utf-8") as file:
            while file.tell() < min(10**9, size - written):
                for text in texts:
                    begin = (at + 1009 * (at // len(text))) % len(text)
                    line = json.dumps({"text": text[begin : begin + 3000]}, ensure_ascii=False)
                    file.write(line + "\n")
                at += 3000
            written += file.tell()
        number += 1


def run(source: Path, out: Path, until: float | None = None) -> Run:
    """Runs the command, until its end or for so many seconds."""
    begin = time.perf_counter()
    running = subprocess.Popen(
        [*COMMAND, str(source), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    memory: list[float] = []
    while running.poll() is None:
        try:
            status = Path(f"/proc/{running.pid}/status").read_text()
            memory += [int(kilobytes) / 1024 for kilobytes in re.findall(r"VmRSS:\s+(\d+)", status)]
        except OSError:  # it has just ended
            pass
        if until is not None and time.perf_counter() - begin > until:
            running.send_signal(signal.SIGKILL)
        time.sleep(_LOOKS)
    seconds = time.perf_counter() - begin
    if running.returncode not in (0, -signal.SIGKILL):
        sys.exit(f"the command failed: {running.returncode}")
    return Run(seconds, memory)


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        source, out = Path(name, "texts"), Path(name, "out")
        write(arguments.folder, source, int(arguments.gigabytes * 1e9))
        whole = run(source, out)
        manifest = (out / "manifest.jsonl").read_bytes()
        shutil.rmtree(out)
        parts = [run(source, out, whole.seconds / 3) for _ in range(2)]
        parts.append(run(source, out))
        same = (out / "manifest.jsonl").read_bytes() == manifest
        begin = time.perf_counter()
        summary = verify(out)
        verified = time.perf_counter() - begin
    step = max(1, len(whole.memory) // _POINTS)
    result = {
        "machine": describe(None),
        "when": now(),
        "gigabytes": arguments.gigabytes,
        "text_bytes": summary.bytes,
        "documents": summary.documents,
        "tokens": summary.tokens,
        "shards": summary.shards,
        "seconds": whole.seconds,
        "megabytes_a_second": summary.bytes / whole.seconds / 1e6,
        "most_memory": max(whole.memory),
        "memory": [
            round(max(whole.memory[at : at + step])) for at in range(0, len(whole.memory), step)
        ],
        "killed_after": [part.seconds for part in parts[:2]],
        "seconds_with_kills": sum(part.seconds for part in parts),
        "same_bytes": same,
        "verify_seconds": verified,
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    if not same:
        sys.exit("the bytes differ")


if __name__ == "__main__":
    main()
