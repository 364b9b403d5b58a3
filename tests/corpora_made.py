"""Corpora for tests: what they are made of, and what is in their files."""

import hashlib
import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np

WORDS = "the Việt quick 東京 naïve 'll 1234567 \U0001f600 fox jumps\t<|eot_id|> over-lazy dog"


def documents(count=120, seed=1):
    """Texts of many lengths, which no two of are equal."""
    dice = random.Random(seed)
    return [
        f"{number} " + " ".join(dice.choices(WORDS.split(" "), k=int(2 ** (dice.random() * 8))))
        for number in range(count)
    ]


def records(texts, **more):
    """Lines of JSON with the field `text`, and an id."""
    return "".join(
        json.dumps({"id": f"doc-{number}", "text": text} | more) + "\n"
        for number, text in enumerate(texts)
    ).encode()


def tree(folder):
    """The SHA-256 of each file, hidden ones too."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def shards(folder, split="train"):
    """The lines of the manifest that are about the shards of a split."""
    lines = [json.loads(line) for line in Path(folder, "manifest.jsonl").read_bytes().splitlines()]
    return [line for line in lines if line["kind"] == "shard" and line["split"] == split]


def of_numpy(folder, split="train"):
    """The ids of all documents of a corpus in NumPy's files, read with NumPy alone."""
    at = Path(folder, split) if Path(folder, split).is_dir() else Path(folder)
    found = []
    for shard in shards(folder, split):
        ids = np.load(at / f"{shard['name']}.npy")
        offsets = np.load(at / f"{shard['name']}.offsets.npy")
        assert ids.dtype == np.uint32
        found += [ids[begin:end].tolist() for begin, end in pairwise(offsets)]
    return found
