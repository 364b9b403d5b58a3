"""Writes rust/meta_splits.bin: how merging forms each token of Meta's vocabulary.

For each token, in the order of the ranks, two numbers of three bytes each, the lowest first: the
ranks of the two tokens that merging joins last when the token's bytes are encoded alone. A token is
never formed from any other two parts (docs/design/merging.md has the argument), so these pairs are
all that merging needs. For a single byte the numbers are the byte and 2^24 - 1. For each of the 588
tokens that merging never gives they are the ranks of some two tokens that it consists of, the first
with its highest bit set: so the file says of any vocabulary whether it is Meta's.

    python scripts/meta_splits.py            # writes the file; some seconds
    python scripts/meta_splits.py --check    # exit 1 if the committed file differs
"""

import argparse
import base64
import hashlib
import sys
from itertools import pairwise
from pathlib import Path

from llama3_tok import vocabulary
from llama3_tok._core import META_SHA256

NEVER = 1 << 23
NOTHING = (1 << 24) - 1
TARGET = Path(__file__).parent.parent / "rust" / "meta_splits.bin"


def ranks() -> dict[bytes, int]:
    """Meta's ranks; exit if the vocabulary that is found is another one."""
    data = Path(vocabulary.find()).read_bytes()
    if hashlib.sha256(data).hexdigest() != META_SHA256:
        raise SystemExit("the vocabulary that was found is not Meta's own file")
    lines = (line.split() for line in data.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def last_merge(token: bytes, table: dict[bytes, int]) -> tuple[bytes, bytes] | None:
    """The two parts whose merge gives `token`; None if none does."""
    parts = [token[at : at + 1] for at in range(len(token))]
    joined = None
    while len(parts) > 1:
        ranks = [table.get(a + b) for a, b in pairwise(parts)]
        ranked = [(rank, at) for at, rank in enumerate(ranks) if rank is not None]
        if not ranked:
            return None
        at = min(ranked)[1]
        joined = parts[at], parts[at + 1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return joined


def some_split(token: bytes, table: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Two tokens that `token` consists of."""
    splits = ((token[:at], token[at:]) for at in range(1, len(token)))
    return next((a, b) for a, b in splits if a in table and b in table)


def numbers(token: bytes, table: dict[bytes, int]) -> tuple[int, int]:
    """What the file says of a token."""
    if len(token) == 1:
        return token[0], NOTHING
    if joined := last_merge(token, table):
        return table[joined[0]], table[joined[1]]
    left, right = some_split(token, table)
    return table[left] | NEVER, table[right]


def render() -> bytes:
    """The file's content."""
    table = ranks()
    pairs = (numbers(token, table) for token in sorted(table, key=table.__getitem__))
    return b"".join(number.to_bytes(3, "little") for pair in pairs for number in pair)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if they differ")
    arguments = parser.parse_args()
    content = render()
    if not arguments.check:
        TARGET.write_bytes(content)
    elif TARGET.read_bytes() != content:
        print(f"{TARGET} is not what merging Meta's tokens gives", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
