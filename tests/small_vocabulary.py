"""A small vocabulary, written as rank files are, and files that are refused."""

import base64

from llama3_tok import Tokenizer, VocabularyError

SINGLE_BYTES = [bytes([byte]) for byte in range(256)]
SMALL = [*SINGLE_BYTES, b"he", b"ll", b"hell", b"hello", b" hello", b"lo", b"\n\n"]


def rank_lines(tokens):
    return [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")
    return path


def small(path, tokens, **options):
    """A tokenizer of these tokens alone, whose file is written for it."""
    return Tokenizer(write(path, rank_lines(tokens)), **options)


def refuse(path, reason, line=None):
    import pytest  # the fuzz targets take the vocabulary alone

    with pytest.raises(VocabularyError, match=reason) as caught:
        Tokenizer(path)
    assert caught.value.line == line
    assert str(path) in str(caught.value)
    assert caught.value.file == str(path)
    if line is not None:
        assert f"line {line}" in str(caught.value)
