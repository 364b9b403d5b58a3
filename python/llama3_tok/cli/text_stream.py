"""The text that a verb is given, part by part, so that its size does not matter.

A part ends where no id depends on what follows, so the ids of the parts, end to end, are those of
the whole text. What comes through a pipe is a part as soon as it is there.
"""

import argparse
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from llama3_tok import arguments as library
from llama3_tok.cli.progress import progress_bar
from llama3_tok.cli.terminal import (
    allowed_special,
    available_input,
    check_standard_input,
    is_terminal,
    text_source,
)
from llama3_tok.text import files

if TYPE_CHECKING:
    from llama3_tok.text.encoding import Encoding
    from llama3_tok.tokenizer import Tokenizer

__all__ = ["Part", "Text", "given_text_stream"]

READ_BYTES = 1 << 16
"""What is read at a time: lists of ids take a hundred times the memory of their text."""

# With fewer bytes every piece that comes is searched for a place to cut; with more the next search
# is when there is half as much again, so text without such a place is searched in linear time.
_SEARCHED_BYTES = 1 << 12
# What the warning of a second BOS looks at.
_OPENING_BYTES = 1 << 8


class Part(NamedTuple):
    """A part of the text that can be encoded apart from the others."""

    text: bytes
    is_first: bool
    is_last: bool


@contextmanager
def given_text_stream(arguments: argparse.Namespace) -> Iterator["Text"]:
    """The text that `add_text` asked for, with a progress bar where one can be seen.

    Raises UsageError if none is given, and OSError for a file that can't be opened.
    """
    source = text_source(arguments)
    if isinstance(source, bytes):
        yield Text(arguments, iter([source]), None)
        return
    read, stored = _opened(source, arguments.max_ratio or None)
    pieces = iter(read, b"")
    if is_terminal(sys.stdout):  # where the output would run through the bar
        yield Text(arguments, pieces, None)
        return
    size = files.stored_size(source)
    with progress_bar(lambda: size) as bar:
        yield Text(arguments, pieces, bar and (lambda done: bar(stored() or done, size)))


def _opened(path: str, max_ratio: int | None) -> tuple[Callable[[], bytes], Callable[[], int]]:
    """What reads a file, and what says how many bytes of it as it is stored were read, or 0."""
    if path == files.STANDARD_INPUT:
        check_standard_input()
        return lambda: available_input(READ_BYTES), lambda: 0
    if not stat.S_ISREG(os.stat(path).st_mode):
        # What waits for a pipe can be interrupted here, and gives what is there.
        pipe = open(path, "rb", buffering=0)  # noqa: SIM115 - the process ends with it
        return lambda: pipe.read(READ_BYTES) or b"", lambda: 0
    file = files.unpacked(path, max_ratio)
    return lambda: file.read(READ_BYTES), lambda: file.stored_read


class Text:
    """A text that is read once, from its beginning to its end."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        pieces: Iterator[bytes],
        progress: Callable[[int], object] | None,
    ) -> None:
        self.bytes = 0
        """How many were given so far."""
        self._bos, self._eos = bool(arguments.bos), bool(arguments.eos)
        self._allowed = allowed_special(arguments)
        self._given, self._progress = pieces, progress

    def ids(self, encoder: "Tokenizer") -> Iterator[list[int]]:
        """The ids of each part, of which there is at least one."""
        for text, is_first, is_last in self.parts(encoder):
            yield encoder.encode(
                text,
                bos=self._bos and is_first,
                eos=self._eos and is_last,
                allowed_special=self._allowed,
            )

    def encodings(self, encoder: "Tokenizer") -> "Iterator[Encoding]":
        """The same with the places of the tokens in their part."""
        for text, is_first, is_last in self.parts(encoder):
            yield encoder.encode_with_offsets(
                text,
                bos=self._bos and is_first,
                eos=self._eos and is_last,
                allowed_special=self._allowed,
            )

    def parts(self, encoder: "Tokenizer") -> Iterator[Part]:
        """The parts; the last one, which may be empty, is known only when all was read."""
        options = library.chosen({"allowed_special": self._allowed}, "encode")
        held: list[bytes] = []
        size = 0
        least = wanted = _OPENING_BYTES if self._bos else 1
        is_first = True
        for piece in self._pieces():
            held.append(piece)
            size += len(piece)
            if size < wanted:
                continue
            text = b"".join(held)
            cut = files.last_cut(encoder, text, options)
            if cut and cut >= least:
                yield Part(text[:cut], is_first, False)
                is_first, least, wanted = False, 1, 1
                text = text[cut:]
            else:
                wanted = 1 if size < _SEARCHED_BYTES else size + size // 2
            held, size = [text], len(text)
        yield Part(b"".join(held), is_first, True)

    def _pieces(self) -> Iterator[bytes]:
        for piece in self._given:
            self.bytes += len(piece)
            yield piece
            if self._progress:
                self._progress(self.bytes)
