"""`llama3-tok truncate`: as much of a text as fits into so many tokens."""

import argparse

from llama3_tok.cli.terminal import add_max_ratio, complain, given_file, hinting, tokenizer, write

PURPOSE = "Print as much of a text as fits into so many tokens."
EXAMPLES = """\
  llama3-tok truncate -n 8000 notes.txt > prompt.txt
  git log | llama3-tok truncate -n 500
  llama3-tok truncate -n 2000 --side left server.log

The longest beginning (or end) whose own encoding has at most N tokens is printed, byte for byte,
and standard error says how many tokens of how many that are. No character is cut. The text is
read as a whole, into memory.

exit codes: 0, whether something was cut or not; 2 for wrong usage or a file that can't be read"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="the file; - for standard input, which is also the default",
    )
    parser.add_argument(
        "-n",
        "--max-tokens",
        metavar="N",
        type=_count,
        required=True,
        help="how many tokens may be kept; special tokens are not added",
    )
    parser.add_argument(
        "--side",
        choices=("right", "left"),
        default="right",
        help="the side to cut: right keeps the beginning, left the end (default: %(default)s)",
    )
    add_max_ratio(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints what is kept."""
    with hinting(arguments.file, "FILE is a file; a text is given on standard input"):
        text = given_file(arguments.file, arguments.max_ratio)
    encoder = tokenizer(arguments)
    kept = encoder.truncate(text, arguments.max_tokens, side=arguments.side)
    write(kept)
    complain(f"kept {encoder.count(kept):,} of {encoder.count(text):,} tokens")
    return 0


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 100):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number of tokens")
    return int(word)
