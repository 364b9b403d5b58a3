"""What the tests compare with: other tokenizers, and byte-pair merging written the obvious way."""

import base64
import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import tiktoken

from llama3_tok import vocabulary

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The special tokens that `profile="llama3.1"` must have, as tiktoken takes them.
SPECIAL = {
    "<|begin_of_text|>": 128000,
    "<|end_of_text|>": 128001,
    "<|finetune_right_pad_id|>": 128004,
    "<|start_header_id|>": 128006,
    "<|end_header_id|>": 128007,
    "<|eom_id|>": 128008,
    "<|eot_id|>": 128009,
    "<|python_tag|>": 128010,
}
SPECIAL |= {
    f"<|reserved_special_token_{number}|>": id
    for number, id in enumerate(id for id in range(128000, 128256) if id not in SPECIAL.values())
}
SPECIAL = dict(sorted(SPECIAL.items(), key=lambda item: item[1]))


UNREACHABLE = Path(__file__).parent / "vectors" / "unreachable.json"


@cache
def ranks() -> dict[bytes, int]:
    """Meta's ranks, read by a parser that is not ours."""
    lines = Path(vocabulary.find()).read_bytes().splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}


@cache
def encoding() -> tiktoken.Encoding:
    """The authority: tiktoken with Meta's ranks."""
    return tiktoken.Encoding(
        "llama3", pat_str=PATTERN, mergeable_ranks=ranks(), special_tokens=SPECIAL
    )


def merge(piece: bytes) -> list[int]:
    """Merging alone, without the vocab-first rule: the leftmost pair of the lowest rank."""
    table = ranks()
    parts = [piece[at : at + 1] for at in range(len(piece))]
    while True:
        pairs = [(table.get(a + b), at) for at, (a, b) in enumerate(pairwise(parts))]
        ranked = [pair for pair in pairs if pair[0] is not None]
        if not ranked:
            return [table[part] for part in parts]
        at = min(ranked)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@cache
def unreachable() -> tuple[int, ...]:
    """The tokens that merging never gives, as `written_unreachable` finds them."""
    return tuple(json.loads(UNREACHABLE.read_text("ascii")))


def written_unreachable() -> str:
    """The same by trying all tokens, which takes seconds: make_vectors.py writes it into a file."""
    ids = [str(id) for token, id in ranks().items() if merge(token) != [id]]
    rows = [", ".join(ids[at : at + 12]) for at in range(0, len(ids), 12)]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def alphabet() -> dict[int, str]:
    """GPT-2's byte-level alphabet, as `tokenizer.json` writes tokens."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(0x100 + at) for at, byte in enumerate(others)
    }


def tokenizer_json(table: dict[bytes, int], special: dict[str, int]) -> dict:
    """The `tokenizer.json` that Hugging Face's conversion gives for these ranks."""
    letters = alphabet()
    written = {id: token.decode("latin-1").translate(letters) for token, id in table.items()}
    merges = []
    for token in sorted(table, key=table.__getitem__):
        splits = ((table.get(token[:at]), table.get(token[at:])) for at in range(1, len(token)))
        known = sorted(split for split in splits if None not in split)
        merges += [f"{written[left]} {written[right]}" for left, right in known]
    byte_level = {"add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated"}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": name, "special": True} | flags for name, id in special.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split | {"invert": False}, {"type": "ByteLevel"} | byte_level],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel"} | byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {token: id for id, token in written.items()},
            "merges": merges,
        },
    }


@cache
def llama3_tokenizer_json() -> str:
    """Meta's vocabulary as a `tokenizer.json`."""
    return json.dumps(tokenizer_json(ranks(), SPECIAL))
