"""Damaged vocabularies and folders: each is refused in little time, or accepted and right.

Run by itself, it tries as many as it is told, and prints how many were refused and accepted, the
longest time and the most memory: `PYTHONPATH=python:tests python tests/mutants.py 2000`.
"""

import json
import random
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

from llama3_tok import Llama3TokError, Tokenizer
from small_vocabulary import SMALL, rank_lines

TEXT = "hello hello\n\nhell lo <|eot_id|>"


def originals(folder):
    """Small sound files, from which mutants are made: a rank file alone, and a folder's files."""
    lines = "".join(f"{line}\n" for line in rank_lines(SMALL))
    source = Path(folder, "small.model")
    source.write_text(lines, encoding="ascii")
    Tokenizer(source).save(Path(folder, "saved"))
    return {
        path.name: path.read_bytes()
        for path in sorted(Path(folder, "saved").iterdir())
        if path.is_file()
    }


def mutant(data, rng):
    """The same with a few changes: bits, bytes, pieces that are missing, twice or elsewhere."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 4, 20, 200))
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length] * rng.choice((1, 1, 50))
            case 3:
                data[at : at + 1] = rng.choice((b'"', b"{", b"[", b"-1", b"9" * 30, b"null", b"\0"))
            case 4:
                other = rng.randrange(len(data) + 1)
                data[at : at + length] = data[other : other + length]
            case _:
                del data[at:]
        if not data:
            break
    return bytes(data)


def run(count, seed=0):
    """Tries so many: how many were refused and accepted, and the longest time."""
    rng, refused, accepted, longest = random.Random(seed), 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = originals(folder)
        place = Path(folder, "mutant")
        place.mkdir()
        for name, data in files.items():
            (place / name).write_bytes(data)
        expected = Tokenizer(place).decode(Tokenizer(place).encode(TEXT))
        for _ in range(count):
            name = rng.choice(list(files))
            (place / name).write_bytes(mutant(files[name], rng))
            alone = rng.random() < 0.3 and name in ("tokenizer.model", "tokenizer.json")
            began = time.monotonic()
            try:
                tokenizer = Tokenizer(place / name if alone else place)
            except Llama3TokError as error:
                if len(str(error)) > 1000:
                    raise
                refused += 1
            else:
                assert tokenizer.decode(tokenizer.encode(TEXT)) == expected
                json.dumps(tokenizer.added_tokens)
                accepted += 1
            longest = max(longest, time.monotonic() - began)
            (place / name).write_bytes(files[name])
    return refused, accepted, longest


if __name__ == "__main__":
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, accepted, longest = run(int(sys.argv[1]))
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    print(f"{refused} refused, {accepted} accepted, at most {longest:.2f} s and {more} MB")
