"""Encoding in `datasets.map`, beside Hugging Face's tokenizers.

    pip install '.[test]'
    python bench/datasets_map.py [--rounds N] [--megabytes N] [--json PATH] [FILE...]

The files, by default the `.txt` files of the folder LLAMA3_TOK_CORPORA, are cut into documents of
about 3 KB, which are a dataset on disk. `Dataset.map(batched=True)` encodes it with
`llama3_tok.data.huggingface.encode` and with `encode_batch` of the installed tokenizers (a
`tokenizer.json` of the same vocabulary), and writes the ids to disk: in one process, where both use
all processors, and in as many processes as there are processors, where both use one each. The Arrow
form, `with_format("arrow")`, is ours alone. Ids are compared first. The ways take turns; a ratio is
the median of the rounds' own ratios.

With `PYTHONPATH=bench/rc` the rival is tokenizers 1.0 (see bench/README.md). Its 1.0.0rc3 never
ends in a forked process after it has worked in the one that forked: `--one-process` leaves these
out.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import commit, core_hash, describe, now, processors

import llama3_tok

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = 3_000
GOAL = 5


class Theirs:
    """The function of the other one: as its users write it."""

    def __init__(self, path: str) -> None:
        self.path, self.tokenizer = path, None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def __call__(self, batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        if self.tokenizer is None:
            import tokenizers

            self.tokenizer = tokenizers.Tokenizer.from_file(self.path)
        # 0.23 has a way that leaves out what is not asked for, and 1.0 has one way.
        encode = getattr(self.tokenizer, "encode_batch_fast", self.tokenizer.encode_batch)
        encoded = encode(batch["text"], add_special_tokens=False)
        return {"input_ids": [one.ids for one in encoded]}


def documents(paths: list[Path], megabytes: float) -> list[str]:
    """Texts of about `DOCUMENT` characters, of all files in turn."""
    parts = []
    for path in paths:
        text = path.read_text(encoding="utf-8").replace("<|", "< |")
        parts.append([text[at : at + DOCUMENT] for at in range(0, len(text), DOCUMENT)])
    texts, size = [], 0
    for text in itertools.chain.from_iterable(itertools.zip_longest(*parts)):
        if text is not None and size < megabytes * 1e6:
            texts.append(text)
            size += len(text.encode())
    return texts


def measure(
    paths: list[Path], rounds: int, megabytes: float, one_process: bool, folder: Path
) -> dict[str, Any]:
    """Compares, then times."""
    os.environ["HF_HUB_OFFLINE"], os.environ["HF_HOME"] = "1", str(folder)
    import datasets

    from llama3_tok.data.huggingface import encode

    datasets.disable_progress_bars()
    llama3_tok.Tokenizer().save(folder / "saved")
    theirs = Theirs(str(folder / "saved" / "tokenizer.json"))
    texts = documents(paths, megabytes)
    size = sum(len(text.encode()) for text in texts)
    datasets.Dataset.from_dict({"text": texts}).save_to_disk(str(folder / "texts"))
    dataset = datasets.load_from_disk(str(folder / "texts"))
    several = len(processors()) or os.cpu_count() or 1
    ways = {
        "llama3_tok": (dataset, encode, None),
        "llama3_tok, Arrow": (dataset.with_format("arrow"), encode, None),
        "tokenizers": (dataset, theirs, None),
        f"llama3_tok, {several} processes": (dataset, encode, several),
        f"llama3_tok, Arrow, {several} processes": (dataset.with_format("arrow"), encode, several),
        f"tokenizers, {several} processes": (dataset, theirs, several),
    }
    if one_process:
        ways = {way: given for way, given in ways.items() if given[2] is None}

    def mapped(way: str) -> tuple[float, Any]:
        given, function, processes = ways[way]
        target = folder / "mapped.arrow"
        removed = None if given.format["type"] == "arrow" else ["text"]
        start = time.perf_counter()
        result = given.map(
            function,
            batched=True,
            num_proc=processes,
            remove_columns=removed,
            cache_file_name=str(target),
            load_from_cache_file=False,
        )
        return time.perf_counter() - start, result

    expected = None
    for way in ways:
        ids = mapped(way)[1].with_format(None)["input_ids"][:]
        expected = ids if expected is None else expected
        if ids != expected:
            sys.exit(f"the ids of {way} differ")
    times = [{way: mapped(way)[0] for way in ways} for _ in range(rounds)]
    table = {}
    for way in ways:
        rival = way.replace("llama3_tok", "tokenizers").replace(", Arrow", "")
        table[way] = {
            "MB/s": size / 1e6 / statistics.median(one[way] for one in times),
            "ratio": statistics.median(one[rival] / one[way] for one in times),
        }
    return {
        "date": now(),
        "commit": commit(ROOT),
        "core": core_hash(),
        "machine": describe(None),
        "load": os.getloadavg(),
        "versions": {name: version(name) for name in ("datasets", "tokenizers", "pyarrow")},
        "documents": len(texts),
        "bytes": size,
        "rounds": rounds,
        "ways": table,
    }


def main() -> int:
    """Prints a table; exits with 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--one-process", action="store_true", help="leave out num_proc")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    corpora = os.environ.get("LLAMA3_TOK_CORPORA")
    paths = arguments.files or (sorted(Path(corpora).glob("*.txt")) if corpora else [])
    if not paths:
        sys.exit("name files, or the folder of the corpora by LLAMA3_TOK_CORPORA")
    folder = Path(tempfile.mkdtemp(prefix="llama3_tok-"))
    try:
        result = measure(
            paths, arguments.rounds, arguments.megabytes, arguments.one_process, folder
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(
        f"{result['documents']:,} documents, {result['bytes'] / 1e6:.1f} MB, {result['versions']}"
    )
    for way, row in result["ways"].items():
        print(f"{way:40} {row['MB/s']:8.1f} MB/s {row['ratio']:6.1f} x")
    ours = [row["ratio"] for way, row in result["ways"].items() if way.startswith("llama3_tok")]
    return int(min(ours) < GOAL)


if __name__ == "__main__":
    sys.exit(main())
