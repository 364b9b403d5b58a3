"""The small vocabulary that the targets use, and a place for their files."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from llama3_tok import Tokenizer
from small_vocabulary import SMALL, rank_lines


@cache
def place() -> Path:
    """A folder for the files of this process, below TMPDIR."""
    folder = tempfile.mkdtemp(prefix="fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def rank_file() -> Path:
    """The vocabulary as a file."""
    path = place() / "small.model"
    path.write_text("".join(f"{line}\n" for line in rank_lines(SMALL)), "ascii")
    return path


@cache
def tokenizer() -> Tokenizer:
    """Its tokenizer, with the special tokens of 3.1."""
    return Tokenizer(rank_file(), profile="llama3.1")


def written(name: str, data: bytes) -> Path:
    """A file of the process with this content."""
    path = place() / name
    path.write_bytes(data)
    return path
