"""What the verbs share: the text they are given, what they write, and what a terminal may see.

Results go out as bytes, so that a path or a text that is not UTF-8 passes through unchanged.
Messages, and whatever a person is to read, have no character that a terminal would obey or hide.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO

from llama3_tok.arguments import MAX_RATIO
from llama3_tok.text.visible import escaped

if TYPE_CHECKING:
    from llama3_tok.tokenizer import Tokenizer

# The exit code for wrong usage, and for what can't be read, written or worked with.
UNUSABLE = 2


class UsageError(Exception):
    """A command line that makes no sense; the message says why."""


def write(data: bytes) -> None:
    """Writes to standard output, exactly."""
    if sys.stdout is not None:
        sys.stdout.buffer.write(data)


def write_file(path: str, text: str) -> None:
    """Writes a page to a file, or with - to standard output."""
    if path == "-":
        write(text.encode())
        return
    from llama3_tok.formats.whole_files import write_output

    write_output(path, text.encode())


def flush() -> None:
    """Sends what was written on its way: someone may read along."""
    if sys.stdout is not None:
        sys.stdout.buffer.flush()


def complain(message: str) -> None:
    """Writes `llama3-tok: message` to standard error."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"llama3-tok: {escaped(message, keep=chr(10))}\n")
    except OSError:  # nobody can be told; the exit code still says it
        sys.stderr = None  # as Python has it when it is closed


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is at the other end; streams may be None, and closed ones are."""
    return stream is not None and stream.isatty()


def has_colours() -> bool:
    """Whether standard output may have colours (https://no-color.org)."""
    allowed = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return allowed and is_terminal(sys.stdout)


# Arguments that several verbs have


def utf8(word: str) -> str:
    """The type of an argument that has to be UTF-8: names, patterns."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{escaped(word)} is not UTF-8") from None
    return word


def whole(word: str) -> int:
    """The type of an argument that is a whole number, and not negative."""
    if not (word.isascii() and word.isdigit() and len(word) < 100):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number")
    return int(word)


def add_max_ratio(parser: "argparse._ActionsContainer") -> None:
    """Adds the limit of packed files; in `max_ratio` 0 is for any ratio."""
    parser.add_argument(
        "--max-ratio",
        metavar="N",
        type=whole,
        default=MAX_RATIO,
        help="a packed file may be N times as large as it is stored, or 64 MB; 0 for any ratio "
        "(default: %(default)s)",
    )


def add_text(parser: argparse.ArgumentParser) -> None:
    """Adds TEXT or a file, and what is done with it."""
    parser.add_argument("text", metavar="TEXT", nargs="?", help="the text; - is standard input")
    parser.add_argument("-f", "--file", metavar="FILE", help="read the text from a file")
    add_max_ratio(parser)
    parser.add_argument("--bos", action="store_true", help="begin with BOS, <|begin_of_text|>")
    parser.add_argument("--eos", action="store_true", help="end with EOS, <|end_of_text|>")
    parser.add_argument(
        "--allowed-special",
        metavar="NAMES",
        action="append",
        type=utf8,
        default=[],
        help="special tokens to recognise in the text: all, or names with commas between them "
        "(default: none, they are plain text)",
    )


def text_source(arguments: argparse.Namespace) -> bytes | str:
    """Where the text is that `add_text` asked for: the text itself, or a path, `-` for a pipe.

    A text that is the name of a file is encoded all the same; a message says how to read the file.
    """
    text: str | None = arguments.text
    if text is not None and arguments.file is not None:
        raise UsageError("give TEXT or --file, not both")
    path: str | None = "-" if text == "-" else arguments.file
    if path is not None:
        return path
    if text is None:
        if is_terminal(sys.stdin):
            raise UsageError("give TEXT, --file FILE, or - to read standard input")
        return "-"
    if _is_file(text):
        complain(
            f"note: {text} is taken as the text, though there is a file of that name; -f reads it"
        )
    return os.fsencode(text)


def _is_file(text: str) -> bool:
    """Whether a text is the name of a file; most texts can't be."""
    try:
        return os.path.isfile(text)
    except ValueError:  # a NUL in it
        return False


def given_text(arguments: argparse.Namespace) -> bytes:
    """The text that `add_text` asked for, as a whole, byte for byte."""
    source = text_source(arguments)
    return source if isinstance(source, bytes) else given_file(source, arguments.max_ratio)


def given_file(name: str | None, max_ratio: int = MAX_RATIO) -> bytes:
    """The content of a file, or of standard input if that is the name, or none on a pipe.

    A file that is packed, by its name, is unpacked, as in all verbs.
    """
    if name is not None and name != "-":
        if name.lower().endswith((".gz", ".zst")):
            from llama3_tok.text.files import unpacked

            packed = unpacked(name, max_ratio or None)
            return b"".join(iter(lambda: packed.read(1 << 20), b""))
        with open(name, "rb") as file:
            return file.read()
    if name is None and is_terminal(sys.stdin):
        raise UsageError("give FILE, or - to read standard input")
    return standard_input()


@contextmanager
def hinting(path: str | None, hint: str) -> Iterator[None]:
    """Adds a hint to the error for a path that does not exist, and may be meant as a text."""
    try:
        yield
    except OSError as error:
        if path is None or error.filename != path or os.path.lexists(path):
            raise
        raise OSError(error.errno, f"{error.strerror}; {hint}", path) from None


def standard_input() -> bytes:
    """All of standard input."""
    check_standard_input()
    return sys.stdin.buffer.read()


def available_input(size: int) -> bytes:
    """What standard input has now, at most `size` bytes; waits for some. Empty at its end."""
    buffer: Any = sys.stdin.buffer
    data: bytes = buffer.read1(size)
    return data


def check_standard_input() -> None:
    """Raises UsageError if there is none: `<&-` in a shell."""
    if sys.stdin is None:
        raise UsageError("standard input is closed")


def allowed_special(arguments: argparse.Namespace) -> Literal["all"] | list[str]:
    """The special tokens that `add_text` asked for."""
    names = [name.strip() for word in arguments.allowed_special for name in word.split(",")]
    return "all" if "all" in names else [name for name in names if name]


def tokenizer(arguments: argparse.Namespace) -> "Tokenizer":
    """The tokenizer that --vocabulary and --profile name."""
    from llama3_tok.tokenizer import Tokenizer

    return Tokenizer(arguments.vocabulary, profile=arguments.profile)
