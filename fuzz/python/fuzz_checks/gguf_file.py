"""Any GGUF file: refused with VocabularyError, or a tokenizer whose texts come back."""

import struct
from collections.abc import Iterable
from functools import cache

from fuzz_checks.small import written
from llama3_tok import Tokenizer, VocabularyError, _core
from llama3_tok._core import Content, Core
from llama3_tok.folder import Roles
from llama3_tok.formats import gguf
from llama3_tok.vocabulary import of_ranks
from small_vocabulary import SMALL

TEXT = "hello hello\n\nhell lo <|eot_id|>"


def check(data: bytes) -> None:
    """The input is a file; after `+` and a number it is so many fields after those of a sound one.

    A field with a name that was there takes its place.
    """
    if data[:1] == b"+":
        more, fields = data[1:2] or b"\0", data[2:]
        data = _file(len(_sound()) + more[0], b"".join(_sound()) + fields)
    path = str(written("a.gguf", data))
    try:
        ranks, folder = gguf.read(path)
        core = Core.with_added(ranks, path, [], Roles(None, None, None, None, ()), None)
        sha256 = Content(_core.rank_file(core)).sha256
        made = Tokenizer.of(of_ranks(ranks, path, sha256, folder))
    except VocabularyError as error:
        assert error.file == path
        assert len(str(error)) <= 1000
        return
    assert made.decode(made.encode(TEXT)).encode() == made.decode_bytes(made.encode(TEXT))


def seeds() -> dict[str, bytes]:
    """A sound file, and fields besides its own."""
    names = {
        "bos": _field("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 3)),
        "add": _field("tokenizer.ggml.add_eos_token", 7, b"\1"),
        "template": _field("tokenizer.chat_template", 8, _string("{{ messages[0].content }}")),
        "list": _field("tokenizer.ggml.scores", 9, struct.pack("<IQff", 6, 2, 0.5, 1.0)),
        "other": _field("general.alignment", 10, struct.pack("<Q", 32)),
        "merges": _field("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, 1) + _string("h e")),
    }
    return {"sound": b"+\0", "version": b"GGUF\2\0\0\0" + bytes(16)} | {
        name: b"+\1" + field for name, field in names.items()
    }


@cache
def _sound() -> tuple[bytes, ...]:
    """The fields of a file of the small vocabulary."""
    tokens = [_written(token) for token in SMALL]
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<think>"]
    types = [1] * len(tokens) + [3, 3, 4]
    merges = [
        f"{_written(token[:at])} {_written(token[at:])}"
        for token in SMALL
        for at in range(1, len(token))
        if token[:at] in SMALL and token[at:] in SMALL
    ]
    merges.sort(key=lambda merge: tokens.index(merge.replace(" ", "")))
    return (
        _field("tokenizer.ggml.model", 8, _string("gpt2")),
        _field("tokenizer.ggml.pre", 8, _string("llama-bpe")),
        _field("tokenizer.ggml.tokens", 9, _list(8, map(_string, [*tokens, *special]))),
        _field("tokenizer.ggml.token_type", 9, _list(5, (struct.pack("<i", t) for t in types))),
        _field("tokenizer.ggml.merges", 9, _list(8, map(_string, merges))),
        _field("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", len(tokens))),
    )


def _file(count: int, fields: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, count) + fields


def _field(name: str, type: int, value: bytes) -> bytes:
    return _string(name) + struct.pack("<I", type) + value


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _list(type: int, items: Iterable[bytes]) -> bytes:
    parts = list(items)
    return struct.pack("<IQ", type, len(parts)) + b"".join(parts)


@cache
def _alphabet() -> dict[int, str]:
    """GPT-2's: printable characters of Latin-1 are their own bytes, others follow from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return {byte: chr(byte if byte in printable else next(others)) for byte in range(256)}


def _written(token: bytes) -> str:
    return "".join(map(_alphabet().__getitem__, token))
