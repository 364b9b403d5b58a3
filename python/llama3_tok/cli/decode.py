"""`llama3-tok decode`: ids back to text, byte for byte."""

import argparse
import os
import re
import sys

from llama3_tok.cli.terminal import UsageError, is_terminal, standard_input, tokenizer, write
from llama3_tok.text.visible import escaped

PURPOSE = (
    "Print the text of ids: its bytes exactly, with nothing added; on a terminal, controls as "
    "escapes."
)
EXAMPLES = """\
  llama3-tok decode 9906 1917
  llama3-tok encode 'Hello world' | llama3-tok decode
  echo '[9906, 1917]' | llama3-tok decode -"""

# More digits than any id has, and fewer than Python refuses to read.
_ID = re.compile(r"-?[0-9]{1,99}")


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
        words = standard_input().decode("utf-8", "surrogateescape")
    elif arguments.ids:
        words = " ".join(arguments.ids)
    else:
        raise UsageError("give IDS, or - to read standard input")
    ids = parse(words)
    text = tokenizer(arguments).decode_bytes(ids, skip_special=arguments.skip_special)
    if is_terminal(sys.stdout):
        # A model may write what a terminal would obey.
        text = os.fsencode(escaped(text.decode("utf-8", "surrogateescape"), keep="\n\t"))
    write(text)
    return 0


def parse(text: str) -> list[int]:
    """The ids in a text; raises UsageError with the first word that is none and its position."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    words = text.replace(",", " ").split()
    for position, word in enumerate(words):
        if not _ID.fullmatch(word):
            raise UsageError(f"{_shortened(word)} at position {position} is not a token id")
    return list(map(int, words))


def _shortened(word: str) -> str:
    return repr(word) if len(word) <= 40 else f"{word[:40]!r}..."
