"""Texts for a comparison: files in parts that end where both tokenizers may cut."""

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llama3_tok.report.llama2 import Llama2
from llama3_tok.text.files import STANDARD_INPUT, Fault, Source
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Part", "parts", "size", "suffix"]


class Part(NamedTuple):
    """Texts, or a part of one."""

    texts: Sequence[bytes]
    continued: bool
    """Whether the first goes on with the last one of the part before."""


def parts(
    llama3: Tokenizer, llama2: Llama2, path: str, field: str | None, threads: int | None
) -> Iterator[tuple[Part, int]]:
    """The parts of a file, and the stored bytes read so far.

    The core reads it and gives the ids of its parts, which end where no id depends on the cut;
    their bytes are the text. Where Llama 2 could join across such an end, parts are taken together.
    """
    read = 0

    def note(so_far: int) -> None:
        nonlocal read
        read = so_far

    if field is not None:
        for records in llama3.stream_file(path, field=field, threads=threads, progress=note):
            yield Part([llama3.decode_bytes(ids) for ids in records], False), read
        return
    held, continued = b"", False
    for ids in llama3.stream_file(path, threads=threads, progress=note):
        text = llama3.decode_bytes(ids)
        if held and text and llama2.may_cut(held, text):
            yield Part([held], continued), read
            held, continued = b"", True
        held += text
    yield Part([held], continued), read


def size(source: Source) -> int:
    """Bytes on the disk. Raises Fault for what is not a file, as it can't be read twice."""
    if source.path == STANDARD_INPUT:
        raise Fault(source.path, "give standard input as the text: -")
    try:
        status = os.stat(source.path)
    except OSError as error:
        raise Fault(source.path, error.strerror or str(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise Fault(source.path, "is not a regular file")
    return status.st_size


def suffix(path: str) -> str:
    """The type of a file by its name, packing taken off: `.py`, or "none"."""
    name = os.path.basename(path).lower()
    stem, packed = os.path.splitext(name)
    if packed in (".gz", ".zst"):
        name = stem
    return os.path.splitext(name)[1] or "none"
