"""Models for the tests: Llama 2's own where it is, and a small one of the same kind."""

import io
import os
from functools import cache
from pathlib import Path

import strategies

REAL = "LLAMA3_TOK_LLAMA2"


def real_path():
    """Llama 2's own model, or None."""
    return os.environ.get(REAL) or None


@cache
def small() -> bytes:
    """A SentencePiece BPE model with Llama 2's settings, trained on this project's prose.

    It has 32,000 pieces as Llama 2 does, but those that training did not find are pairs of private
    characters.
    """
    import sentencepiece

    project = Path(__file__).resolve().parent.parent
    names = ("encoding.md", "chat.md", "design/merging.md", "measurements.md")
    prose = "\n".join((project / "docs" / name).read_text() for name in names)
    alphabets = (strategies.SCRIPTS, strategies.CJK, "Việt việc 好き \ufffd\ufffd  \xa0 ▁ ():\r '")
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*prose.split("\n"), *alphabets] * 2),
        model_writer=written,
        model_type="bpe",
        vocab_size=1500,
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    return written.getvalue() + b"".join(_piece(number) for number in range(32_000 - 1500))


def _piece(number: int) -> bytes:
    """A further piece of the model: field 1 of the message, with text (1) and score (2)."""
    text = (chr(0xE000 + number % 6000) + chr(0xF0000 + number // 6000)).encode()
    body = b"\x0a" + bytes([len(text)]) + text + b"\x15\x00\x00\x80\xff"  # minus infinity
    return b"\x0a" + bytes([len(body)]) + body


def write(folder: Path) -> Path:
    """The small model as a file."""
    path = folder / "tokenizer.model"
    path.write_bytes(small())
    return path
