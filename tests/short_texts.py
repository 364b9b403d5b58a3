"""Every short text over one character of each kind, and a hash of its ids.

As a program it answers on standard output, one line for each line of standard input, on the code
path that LLAMA3_TOK_PATH names: `LENGTH CHUNK` gives the hash of the ids of that chunk's texts.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice, product

import numpy as np

# One of each kind, and characters that the pattern or the vocabulary treats in their own way.
KINDS = {
    "letter": "a",
    "uncased letter": "漢",
    "modifier letter": "ʰ",
    "combining mark": "\u0301",
    "digit": "1",
    "other number": "½",
    "space": " ",
    "other space": "\u00a0",
    "tab": "\t",
    "carriage return": "\r",
    "line feed": "\n",
    "apostrophe": "'",
    "s, of contractions": "s",
    "long s, which is an s there": "ſ",
    "punctuation": "!",
    "symbol": "+",
    "emoji": "😀",
    "opens a special token": "<",
    "stands in a special token": "|",
}
CHUNK = len(KINDS) ** 4


def count(length: int) -> int:
    """How many texts have that many characters."""
    return len(KINDS) ** length


def chunks(length: int) -> int:
    """In how many chunks they come."""
    return -(-count(length) // CHUNK)


def texts(length: int, chunk: int) -> Iterator[str]:
    """The texts of a chunk, in the order of `KINDS`."""
    characters = list(KINDS.values())
    if length <= 4:
        return map("".join, product(characters, repeat=length))
    prefix = next(islice(product(characters, repeat=length - 4), chunk, None))
    lead = "".join(prefix)
    return (lead + "".join(rest) for rest in product(characters, repeat=4))


def digest(ids: np.ndarray, offsets: np.ndarray) -> str:
    """Of ids and of where each text's end."""
    data = ids.astype("<u4").tobytes() + offsets.astype("<i8").tobytes()
    return hashlib.sha256(data).hexdigest()


def digest_of_lists(lists: Iterable[list[int]]) -> str:
    """The same of a list for each text."""
    lists = list(lists)
    sizes = np.fromiter(map(len, lists), np.int64, len(lists))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return digest(np.fromiter(chain.from_iterable(lists), np.uint32, int(sizes.sum())), offsets)


def main() -> None:
    """Answers until its input ends."""
    from llama3_tok import Tokenizer, about

    tokenizer = Tokenizer()
    print(about.code_path(), flush=True)
    for line in sys.stdin:
        length, chunk = map(int, line.split())
        ragged = tokenizer.encode_ragged(list(texts(length, chunk)), threads=1)
        print(digest(ragged.ids, ragged.offsets), flush=True)


if __name__ == "__main__":
    main()
