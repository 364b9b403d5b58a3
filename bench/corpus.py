"""How fast `corpus` writes training files, beside what it is made of, and beside others.

    python bench/corpus.py FOLDER [--rounds N] [--megabytes N]
        [--python PATH ...] [--megatron FOLDER]

FOLDER has the texts `*.txt` that other benchmarks use. They are cut into documents of about 3,000
bytes, as lines of JSONL, until there are so many megabytes of text. What is compared, in turn:

- `encode_ragged` on the same texts in memory, on all processors: no reading, no writing, but as
  all others in a new process, whose caches are empty
- `corpus` for each format, from the file to shards on the disk
- gigatoken's `encode_files`, from the file to ids in memory: it has nothing that writes
- datatrove's step with a tokenizer, `dolma tokens` with as many processes as processors, and
  `datasets.map` with the fast tokenizer of tokenizers, from the file, or from a table made of it,
  to files

The others need packages that do not go together: each is run by the first of the interpreters
`--python` that has it, and left out if none has. Megatron's `tools/preprocess_data.py` is in no
package: `--megatron` is a checkout of NVIDIA/Megatron-LM, and the first interpreter with torch runs
it. The ids that it writes are compared, too.

The ids of `corpus` are compared before anything is timed. Each row has the best of the rounds, in
MB of text a second, its part of `encode_ragged`, and the most memory of the process and all that
it starts (proportional set size, looked at twice a second).
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

RAGGED = """
import json, sys, time
from llama3_tok import Tokenizer
with open(sys.argv[1], encoding="utf-8") as file:
    documents = [json.loads(line)["text"] for line in file]
tokenizer = Tokenizer()
begin = time.perf_counter()
tokenizer.encode_ragged(documents, eos=True)
print(time.perf_counter() - begin)
"""

OURS = """
import sys, time
from llama3_tok.data import corpus
begin = time.perf_counter()
corpus(sys.argv[1], sys.argv[2], format=sys.argv[4], field="text", eos=True)
print(time.perf_counter() - begin)
"""

GIGATOKEN = """
import sys, time
import gigatoken
backend = gigatoken.Tokenizer(sys.argv[3]).backend
source = gigatoken.JsonlFileSource([sys.argv[1]], "text")
begin = time.perf_counter()
backend.encode_files(source, parallel=True)
print(time.perf_counter() - begin)
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
print(time.perf_counter() - begin)
"""

DATATROVE = """
import os, sys, time
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
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
print(time.perf_counter() - begin)
"""

DOLMA = """
import os, sys, time
from dolma.cli.__main__ import main
words = ["tokens", "--documents", sys.argv[1], "--destination", sys.argv[2]]
words += ["--tokenizer.name_or_path", sys.argv[3], "--tokenizer.eos_token_id", "128001"]
words += ["--tokenizer.pad_token_id", "128004", "--dtype", "uint32"]
begin = time.perf_counter()
main([*words, "--processes", str(os.cpu_count())])
print()
print(time.perf_counter() - begin)
"""

MEGATRON = """
import os, sys, time
sys.path[:0] = [sys.argv[5], os.path.join(sys.argv[5], "tools")]
import preprocess_data
os.makedirs(sys.argv[2])
sys.argv[1:] = [
    "--input", sys.argv[1], "--output-prefix", os.path.join(sys.argv[2], "theirs"),
    "--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", os.path.dirname(sys.argv[3]),
    "--append-eod", "--workers", str(os.cpu_count()),
]
begin = time.perf_counter()
preprocess_data.main()
print()
print(time.perf_counter() - begin)
"""

_LOOKS = 0.5
OTHERS = {"gigatoken": GIGATOKEN, "datatrove": DATATROVE, "dolma": DOLMA, "datasets": MAP}


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
                record = {"id": str(len(documents)), "text": part}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            at += 3000
    return documents


def memory(process: int) -> int:
    """Kilobytes that a process and all that it started have, each shared page in parts."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = status.read_text().partition(" (")
        except OSError:  # it has just ended
            continue
        parents[int(number)] = int(rest.rpartition(")")[2].split()[1])
    found, total = {process}, 0
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    for one in found:
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total


def timed(python: str, code: str, *words: str) -> tuple[float, int] | None:
    """Seconds and kilobytes of a program; None if it does not run."""
    most = 0
    with tempfile.TemporaryFile("w+") as written, tempfile.TemporaryFile("w+") as errors:
        running = subprocess.Popen([python, "-c", code, *words], stdout=written, stderr=errors)
        while running.poll() is None:
            most = max(most, memory(running.pid))
            time.sleep(_LOOKS)
        written.seek(0)
        errors.seek(0)
        if running.returncode:
            print(f"  left out: {errors.read().strip().splitlines()[-1]}", file=sys.stderr)
            return None
        return float(written.read().split()[-1]), most


def interpreters(candidates: list[str], modules: list[str]) -> dict[str, str]:
    """Who has each of the modules."""
    chosen = {}
    for name in modules:
        code = f"import importlib.util, sys; sys.exit(not importlib.util.find_spec({name!r}))"
        for python in candidates:
            if subprocess.run([python, "-c", code], check=False).returncode == 0:
                chosen[name] = python
                break
        else:
            print(f"  left out: no interpreter has {name}", file=sys.stderr)
    return chosen


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--python", action="append", default=[], metavar="PATH")
    parser.add_argument("--megatron", type=Path, metavar="FOLDER")
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
        others = {name: (name, code) for name, code in OTHERS.items()}
        if arguments.megatron is not None:
            others["preprocess_data"] = ("torch", MEGATRON)
        if arguments.ours_alone:
            others = {}
        modules = [module for module, _ in others.values()]
        chosen = interpreters([sys.executable, *arguments.python], modules)
        best: dict[str, tuple[float, int]] = {}

        def note(row: str, result: tuple[float, int] | None) -> None:
            if result is not None and (row not in best or result[0] < best[row][0]):
                best[row] = result

        for _ in range(arguments.rounds):
            out, file = str(scratch / "out"), str(scratch / "hf" / "tokenizer.json")
            programs = [("encode_ragged", sys.executable, RAGGED)]
            programs += [(form, sys.executable, OURS) for form in FORMATS]
            programs += [
                (f"{name}, other", chosen[module], code)
                for name, (module, code) in others.items()
                if module in chosen
            ]
            for row, python, code in programs:
                words = (str(source), out, file, row, str(arguments.megatron or ""))
                note(row, timed(python, code, *words))
                theirs = Path(out, "theirs_text_document.bin")
                if theirs.exists():
                    same = np.array_equal(np.fromfile(theirs, np.int32), expected.ids)
                    assert same, "preprocess_data.py has other ids"
                for left in (out, out + "-logs"):
                    shutil.rmtree(left, ignore_errors=True)
        whole = best["encode_ragged"][0]
        for row, (seconds, kilobytes) in best.items():
            memory = f"{kilobytes / 1024:6.0f} MB" if kilobytes else ""
            print(f"{row:22} {size / seconds:8.1f} MB/s  {whole / seconds:6.2f}  {memory}")


if __name__ == "__main__":
    main()
