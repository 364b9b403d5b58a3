"""`llama3-tok decode`: ids back to text, byte for byte."""

import argparse
import codecs
import os
import re
import sys
from collections.abc import Iterator
from itertools import chain

from llama3_tok.cli.progress import progress_bar
from llama3_tok.cli.terminal import (
    UsageError,
    available_input,
    check_standard_input,
    flush,
    is_terminal,
    tokenizer,
    write,
)
from llama3_tok.errors import InvalidTokenId
from llama3_tok.text import files
from llama3_tok.text.visible import escaped

PURPOSE = (
    "Print the text of ids: its bytes exactly, with nothing added; on a terminal, controls as "
    "escapes."
)
EXAMPLES = """\
  llama3-tok decode 9906 1917
  llama3-tok encode 'Hello world' | llama3-tok decode
  echo '[9906, 1917]' | llama3-tok decode -

There may be any number of ids; their text is printed while they are read, so what stands before
a word that is not an id may be printed."""

# More digits than any id has, and fewer than Python refuses to read.
_ID = re.compile(rb"-?[0-9]{1,99}")
_WORD_OR_COMMA = re.compile(rb",|[^, \t\n\r\x0b\x0c]+")
# A line of `encode --tokens`.
_OF_TOKENS = re.compile(rb"^[0-9]+\t", re.MULTILINE)
_WHITE = b" \t\n\r\x0b\x0c"
_PLAIN = b"0123456789," + _WHITE
_SEPARATORS = [bytes([byte]) for byte in _WHITE + b","]
_WORD_BYTES = 1 << 12
_READ_BYTES = 1 << 16


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "ids",
        metavar="IDS",
        nargs="*",
        help="ids, with spaces or commas between them and, as in JSON, brackets around them; "
        "- is standard input",
    )
    parser.add_argument("--skip-special", action="store_true", help="leave special tokens out")


def run(arguments: argparse.Namespace) -> int:
    """Prints the text."""
    if arguments.ids == ["-"] or (not arguments.ids and not is_terminal(sys.stdin)):
        check_standard_input()
        given = iter(lambda: available_input(_READ_BYTES), b"")
        parts = parsed(given if is_terminal(sys.stdout) else _shown(given))
    elif arguments.ids:
        words = " ".join(arguments.ids).encode("utf-8", "surrogateescape")
        # All are looked at before any is printed.
        parts = iter([list(chain.from_iterable(parsed(iter([words]))))])
    else:
        raise UsageError("give IDS, or - to read standard input")
    decoder = tokenizer(arguments)
    printable = _Printable() if is_terminal(sys.stdout) else None
    position = 0
    for ids in parts:
        try:
            data = decoder.decode_bytes(ids, skip_special=arguments.skip_special)
        except InvalidTokenId as error:
            # Its position is one in these ids.
            raise InvalidTokenId(
                str(error).replace(
                    f"at position {error.position}", f"at position {position + error.position}", 1
                ),
                error.id,
                position + error.position,
            ) from None
        position += len(ids)
        write(data if printable is None else printable.of(data))
        flush()
    if printable is not None:
        write(printable.of(b"", is_last=True))
    return 0


class _Printable:
    """Text that comes in pieces, for a terminal: a model may write what it would obey."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def of(self, data: bytes, *, is_last: bool = False) -> bytes:
        """A piece with controls as escapes, as far as its last character is whole."""
        text = self._decoder.decode(data, is_last)
        return os.fsencode(escaped(text, keep="\n\t"))


def _shown(given: Iterator[bytes]) -> Iterator[bytes]:
    """The same with a progress bar, if someone can see it."""
    done = 0
    with progress_bar(lambda: files.stored_size(files.STANDARD_INPUT)) as bar:
        for data in given:
            yield data
            done += len(data)
            if bar:
                bar(done, files.stored_size(files.STANDARD_INPUT))


def parsed(given: Iterator[bytes]) -> Iterator[list[int]]:
    """The ids in a text that comes in pieces, some at a time.

    Raises UsageError with the first word that is not an id, or the first comma that is not between
    two ids, and the position.
    """
    brackets = _Brackets()
    position, rest = 0, b""
    follows_id = False
    for data in given:
        # The last word may go on in the next piece.
        data = rest + brackets.without(data)
        end = 1 + max(map(data.rfind, _SEPARATORS))
        ids, rest = _numbers(data[:end], position, follows_id=follows_id), data[end:]
        if len(rest) > _WORD_BYTES:
            raise _not_an_id(rest, position + len(ids))
        position += len(ids)
        if last := data[:end].rstrip(_WHITE):
            follows_id = not last.endswith(b",")
        if ids:
            yield ids
    brackets.end()
    yield _numbers(rest, position, follows_id=follows_id)
    # The last is a comma.
    if position and not follows_id and not rest:
        raise _no_id(position)


class _Brackets:
    """Takes the brackets about all ids away, which are known when all was read.

    A bracket at the end is held back; what follows it other than white space brings it back. One
    without the other is a word that is not an id.
    """

    def __init__(self) -> None:
        self._is_opened: bool | None = None
        self._held = b""

    def without(self, data: bytes) -> bytes:
        """More of the text, without what may be a bracket of all."""
        if self._is_opened is None:
            data = data.lstrip(_WHITE)
            if not data:
                return b""
            self._is_opened = data.startswith(b"[")
            data = data[self._is_opened :]
        if not self._is_opened:
            return data
        data = self._held + data
        length = len(data.rstrip(_WHITE))
        kept = length - 1 if data[:length].endswith(b"]") else len(data)
        self._held = b"] "[: len(data) - kept]
        return data[:kept]

    def end(self) -> None:
        """Raises UsageError if the bracket at the beginning was not closed."""
        if self._is_opened and not self._held:
            raise UsageError("the list of ids begins with [ and has no ] at its end")


def _numbers(text: bytes, position: int, *, follows_id: bool) -> list[int]:
    """The ids in whole words; `follows_id`: whether an id is the last before them, not a comma."""
    words = text.replace(b",", b" ").split()
    dense = text.translate(None, _WHITE)
    is_stray = b",," in dense or (dense.startswith(b",") and not follows_id)
    is_plain = not dense.translate(None, _PLAIN) and max(map(len, words), default=0) < 100
    # Reading each word with a pattern takes most of the time.
    if is_stray or not is_plain:
        _check(text, position, follows_id=follows_id)
    return list(map(int, words))


def _check(text: bytes, position: int, *, follows_id: bool) -> None:
    """Raises UsageError for the first that is not an id, or a comma that is not after one."""
    for match in _WORD_OR_COMMA.finditer(text):
        word = match[0]
        if word != b",":
            if not _ID.fullmatch(word):
                raise _not_an_id(word, position, _hint(text, word))
            position += 1
        elif not follows_id:
            raise _no_id(position)
        follows_id = word != b","


def _hint(text: bytes, word: bytes) -> str:
    """How to take the ids from what `encode` prints for people and for programs."""
    if word.startswith(b"{"):
        return "; of encode --json, jq -c .ids takes the ids, and encode alone prints nothing else"
    if _OF_TOKENS.search(text):
        return "; encode without --tokens prints ids alone, and cut -f 1 takes them from its lines"
    return ""


def _no_id(position: int) -> UsageError:
    return UsageError(f"there is no id at position {position}; a comma has to be between two ids")


def _not_an_id(word: bytes, position: int, hint: str = "") -> UsageError:
    text = word[:_WORD_BYTES].decode("utf-8", "surrogateescape")
    shown = repr(text) if len(text) <= 40 else f"{text[:40]!r}..."
    return UsageError(f"{shown} at position {position} is not a token id{hint}")
