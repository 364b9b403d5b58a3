"""Inputs beyond 2**32 bytes: places in them have more than 32 bits.

    PYTHONPATH=python:tests python tests/beyond_4gb.py FOLDER [--json PATH]

writes files of 4.3 GB and more to a folder, which needs 25 GB there, and takes 12 GB of memory at
most. A text is one part again and again, so its ids are known: the part begins and ends where no
id depends on what is beyond. Compared are `count_file`, `encode_file`, `stream_file`, `count` and
`encode_with_offsets` of bytes in memory, the command in a pipe, and `corpus` of one document and of
many. A pretoken of this length would take more memory than there is: 14 bytes for each of its own.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from llama3_tok import Tokenizer, _core
from llama3_tok.data import corpus

BEYOND = 1 << 32
PART = ("The quick brown fox, 12345 times, Việt Nam. 東京 " * 21 + "\n").encode()


def write(path: Path, part: bytes, times: int) -> None:
    """A file of a part again and again."""
    block = part * max(1, (1 << 24) // len(part))
    whole, rest = divmod(times * len(part), len(block))
    with path.open("wb") as file:
        for _ in range(whole):
            file.write(block)
        file.write(block[:rest])


def check(folder: Path) -> dict[str, float]:
    """Tries all; gives the seconds of each. AssertionError if anything is wrong."""
    tokenizer, seconds = Tokenizer(), {}
    begin = time.perf_counter()

    def done(name: str) -> None:
        nonlocal begin
        seconds[name] = round(time.perf_counter() - begin, 1)
        print(f"{name:44} {seconds[name]:8.1f} s", flush=True)
        begin = time.perf_counter()

    times = BEYOND // len(PART) + 20_000
    ids = np.array(tokenizer.encode(PART), np.uint32)
    assert tokenizer.encode(PART * 3) == ids.tolist() * 3
    path = folder / "text.txt"
    write(path, PART, times)
    size = path.stat().st_size
    assert size > BEYOND
    done(f"a file of {size:,} bytes")

    assert tokenizer.count_file(path) == len(ids) * times
    done("count_file")

    at = 0
    for part in tokenizer.stream_file(path):
        array = np.asarray(part, np.uint32)
        expected = ids[np.arange(at, at + len(array)) % len(ids)]
        assert (array == expected).all(), at
        at += len(array)
    assert at == len(ids) * times
    done("stream_file")

    array = tokenizer.encode_file(path)
    assert len(array) == len(ids) * times
    assert (array.reshape(times, len(ids)) == ids).all()
    del array
    done("encode_file")

    command = [sys.executable, "-m", "llama3_tok", "count", "-"]
    with path.open("rb") as file:
        printed = subprocess.run(command, stdin=file, capture_output=True, check=True).stdout
    assert int(printed.split()[0]) == len(ids) * times
    done("llama3-tok count in a pipe")

    for form in ("file", "line"):
        out = folder / f"corpus-{form}"
        summary = corpus(path, out, documents=form)
        assert summary.documents == (1 if form == "file" else times)
        # A line's text is without its end.
        line = tokenizer.count(PART.rstrip(b"\n"))
        assert summary.tokens == (len(ids) if form == "file" else line) * times
        if form == "file":
            [shard] = [name for name in out.glob("*.npy") if "offsets" not in name.name]
            array = np.load(shard, mmap_mode="r")
            assert (array.reshape(times, len(ids)) == ids).all()
            del array
        done(f"corpus, documents={form!r}")
    path.unlink()

    # Spaces have long tokens, so ids and places fit into memory.
    text = b" " * BEYOND + b"\nhello Vi\xe1\xbb\x87t"
    assert int(_core.pretoken_ends(text)[-1]) == len(text)
    encoding = tokenizer.encode_with_offsets(text)
    spans = encoding.byte_spans
    assert spans[0][0] == 0
    assert (spans[1:, 0] == spans[:-1, 1]).all()
    assert int(spans[-1][1]) == len(text)
    assert text[int(spans[-1][0]) :] == " Việt".encode()
    assert encoding.ids[-1] == tokenizer.token_id(" Việt")
    assert tokenizer.count(text) == len(encoding)
    assert tokenizer.decode_bytes(encoding.ids) == text
    del encoding, spans
    done("encode_with_offsets, spaces")
    return seconds


def main() -> int:
    """Checks and writes what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    seconds = check(options.folder)
    if options.json:
        options.json.write_text(json.dumps({"seconds": seconds}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
