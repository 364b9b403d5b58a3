"""Files that tests read: plain, packed and JSONL."""

import gzip
import json
import random

from packed import zstd

TEXT = "The quick brown fox, aged 12, didn't jump over 3,141 lazy dogs; naïve, wasn't it?\n"


def written(path, data):
    """Writes a file, packed as its name says."""
    if path.suffix == ".gz":
        half = len(data) // 2
        data = gzip.compress(data[:half], 1) + gzip.compress(data[half:], 1)
    elif path.suffix == ".zst":
        data = zstd(data)
    path.write_bytes(data)
    return path


def jsonl(texts):
    return "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode()


def write_many(folder):
    """Files of many sizes and kinds, and the text of each."""
    dice = random.Random(1)
    texts = [(TEXT * int(2 ** (dice.random() * 13))).encode() for _ in range(60)]
    names = (f"{number}{dice.choice(['.txt', '.gz', '.zst'])}" for number in range(60))
    return [written(folder / name, text) for name, text in zip(names, texts, strict=True)], texts
