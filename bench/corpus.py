"""How fast `corpus` writes training files, beside what it is made of, and beside others.

    python bench/corpus.py FOLDER [--rounds N] [--megabytes N]

FOLDER has the texts `*.txt` that other benchmarks use. They are cut into documents of about 3,000
bytes, as lines of JSONL, until there are so many megabytes of text. What is compared, in turn:

- `encode_ragged` on the same texts in memory, on all processors: no reading, no writing
- `corpus` for each format, from the file to shards on the disk
- the tokenizer step of `datasets.map` with the fast tokenizer of tokenizers, on as many processes,
  and datatrove's, where they are installed

The ids are compared before anything is timed. Each row has the best of the rounds, in MB of text a
second, its part of `encode_ragged`, and the most memory of the process and its children.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from llama3_tok import Tokenizer
from llama3_tok.data import corpus
from llama3_tok.data.sinks import FORMATS

OURS = """
import re, sys, time
from llama3_tok.data import corpus
begin = time.perf_counter()
summary = corpus(sys.argv[1], sys.argv[2], format=sys.argv[3], field="text", eos=True)
seconds = time.perf_counter() - begin
print(seconds, re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""

MAP = """
import os, sys, time
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import datasets
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[3])
def encode(batch):
    return {"input_ids": [one.ids for one in tokenizer.encode_batch(batch["text"])]}
data = datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
begin = time.perf_counter()
data.map(encode, batched=True, num_proc=os.cpu_count(), remove_columns=data.column_names)
print(time.perf_counter() - begin, 0)
"""

DATATROVE = """
import sys, time
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
import os
folder, name = os.path.split(sys.argv[1])
begin = time.perf_counter()
LocalPipelineExecutor(
    [
        JsonlReader(folder, glob_pattern=name),
        DocumentTokenizer(sys.argv[2], tokenizer_name_or_path=sys.argv[3], eos_token=None),
    ],
    tasks=1,
    logging_dir=sys.argv[2] + "-logs",
).run()
print(time.perf_counter() - begin, 0)
"""


def write(folder: Path, out: Path, megabytes: int) -> list[str]:
    """The documents, and the file that has them."""
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("*.txt"))]
    documents, size, at = [], 0, 0
    with out.open("w", encoding="utf-8") as file:
        while size < megabytes << 20:
            for text in texts:
                # Whoever comes round begins elsewhere, so that no document comes twice.
                begin = (at + 1009 * (at // len(text))) % len(text)
                part = text[begin : begin + 3000]
                documents.append(part)
                size += len(part.encode())
                file.write(json.dumps({"text": part}, ensure_ascii=False) + "\n")
            at += 3000
    return documents


def timed(code: str, *words: str) -> tuple[float, int] | None:
    """Seconds and kilobytes of a program; None if it does not run."""
    result = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    if result.returncode:
        print(f"  left out: {result.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    seconds, kilobytes = result.stdout.split()[-2:]
    return float(seconds), int(kilobytes)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--ours-alone", action="store_true")
    arguments = parser.parse_args()
    tokenizer = Tokenizer()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        source = scratch / "texts.jsonl"
        documents = write(arguments.folder, source, arguments.megabytes)
        size = sum(len(text.encode()) for text in documents) / 1e6
        expected = tokenizer.encode_ragged(documents, eos=True)
        corpus(source, scratch / "check", field="text", eos=True)
        shards = sorted((scratch / "check").glob("*[0-9].npy"))
        found = np.concatenate([np.load(path) for path in shards])
        assert np.array_equal(found, expected.ids), "the ids are others"
        shutil.rmtree(scratch / "check")
        tokenizer.save(scratch / "hf")
        print(f"{size:,.0f} MB in {len(documents):,} documents, {os.cpu_count()} processors")
        best: dict[str, tuple[float, int]] = {}

        def note(row: str, result: tuple[float, int] | None) -> None:
            if result is not None and (row not in best or result[0] < best[row][0]):
                best[row] = result

        for _ in range(arguments.rounds):
            begin = time.perf_counter()
            tokenizer.encode_ragged(documents, eos=True)
            note("encode_ragged", (time.perf_counter() - begin, 0))
            for form in FORMATS:
                out = scratch / form
                note(form, timed(OURS, str(source), str(out), form))
                shutil.rmtree(out, ignore_errors=True)
            if not arguments.ours_alone:
                file = str(scratch / "hf" / "tokenizer.json")
                note("datasets.map", timed(MAP, str(source), str(scratch / "cache"), file))
                note("datatrove", timed(DATATROVE, str(source), str(scratch / "ds"), file))
                for left in ("cache", "ds", "ds-logs"):
                    shutil.rmtree(scratch / left, ignore_errors=True)
        whole = best["encode_ragged"][0]
        for row, (seconds, kilobytes) in best.items():
            memory = f"{kilobytes / 1024:6.0f} MB" if kilobytes else ""
            print(f"{row:14} {size / seconds:8.1f} MB/s  {whole / seconds:6.2f}  {memory}")


if __name__ == "__main__":
    main()
