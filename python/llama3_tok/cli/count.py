"""`llama3-tok count`: how many tokens files have."""

import argparse
import os
import sys
from collections.abc import Iterator

from llama3_tok.arguments import MAX_RATIO
from llama3_tok.cli.progress import progress_bar
from llama3_tok.cli.terminal import (
    UNUSABLE,
    UsageError,
    check_standard_input,
    complain,
    is_terminal,
    tokenizer,
    utf8,
    write,
)
from llama3_tok.text import files
from llama3_tok.text.files import Fault, Source, Totals
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Count tokens, exactly."
EXAMPLES = """\
  llama3-tok count prompt.txt
  llama3-tok count --long src -g '*.py'
  llama3-tok count --field text corpus.jsonl.zst
  git diff | llama3-tok count --budget 8000 && echo fits
  llama3-tok count --messages chats.jsonl --max 8192 --list

exit codes: 0; 1 if the total is above the budget, or a conversation above --max; 2 if a file
can't be read"""

OVER_BUDGET = 1

HEADER = ("tokens", "bytes", "characters", "bytes/token")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="files, .gz and .zst as well; folders, for the text files in them (links are not "
        "followed); - for standard input, which is also the default",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=_threads,
        help="count on at most N threads (default: all processors)",
    )
    form = parser.add_argument_group("output")
    form.add_argument(
        "--long", action="store_true", help="also bytes, characters and bytes per token"
    )
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    what = parser.add_argument_group("what is counted")
    what.add_argument(
        "--field", type=utf8, help="the files are JSONL: count this field of each record"
    )
    what.add_argument(
        "--bos",
        action="store_true",
        help="add <|begin_of_text|>, one for each file or with --field for each record",
    )
    what.add_argument(
        "--budget",
        metavar="N",
        type=_whole,
        help="exit with 1 if the total is above N",
    )
    what.add_argument(
        "--max-ratio",
        metavar="N",
        type=_whole,
        default=MAX_RATIO,
        help="a packed file may be N times as large as it is stored, or 64 MB; 0 for any ratio "
        "(default: %(default)s)",
    )
    what.add_argument(
        "--max-bytes",
        metavar="N",
        type=_whole,
        help="a packed file may have N bytes when it is unpacked",
    )
    chats = parser.add_argument_group("conversations")
    chats.add_argument(
        "--messages",
        action="store_true",
        help="the files are conversations: JSON, or JSONL with one on each line; a row is a list "
        'of messages, or an object with "messages" and perhaps "tools"',
    )
    chats.add_argument(
        "--sharegpt",
        action="store_true",
        help='the same with "conversations", "from" and "value"',
    )
    chats.add_argument(
        "--max",
        metavar="N",
        type=_whole,
        help="say how many conversations have more than N tokens, and exit with 1 if some do",
    )
    chats.add_argument(
        "--list", action="store_true", help="a line for each of these, or without --max for each"
    )
    chats.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="what to do about a row that is no such conversation",
    )
    walk = parser.add_argument_group("folders")
    walk.add_argument("--hidden", action="store_true", help="also hidden files and folders")
    walk.add_argument(
        "--no-ignore", action="store_true", help="also what .gitignore and .ignore leave out"
    )
    walk.add_argument(
        "-g",
        "--glob",
        metavar="GLOB",
        action="append",
        type=utf8,
        default=[],
        help="only files that match, or with ! in front only those that don't; may be repeated",
    )


def _whole(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 100):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number")
    return int(word)


def _threads(word: str) -> int:
    if not (count := _whole(word)):
        raise argparse.ArgumentTypeError("there must be at least one")
    return count


def run(arguments: argparse.Namespace) -> int:
    """Counts, prints, and says with the exit code how it went."""
    if arguments.messages or arguments.sharegpt:
        from llama3_tok.cli import count_messages

        return count_messages.run(arguments)
    for name in ("max", "list"):
        if getattr(arguments, name):
            raise UsageError(f"--{name} is for conversations; give --messages as well")
    paths: list[str] = arguments.paths
    if not paths and is_terminal(sys.stdin):
        raise UsageError("give PATH, or - to count standard input")
    if paths.count(files.STANDARD_INPUT) > 1:
        raise UsageError("standard input can be counted only once")
    if not paths or files.STANDARD_INPUT in paths:
        check_standard_input()
    several = len(paths) > 1 or any(map(files.is_folder, paths))
    encoder = tokenizer(arguments)
    sources = files.find(
        paths or [files.STANDARD_INPUT],
        hidden=arguments.hidden,
        no_ignore=arguments.no_ignore,
        globs=arguments.glob,
        field=arguments.field,
    )
    counting = _Run(arguments, encoder, list(sources))
    rows: Iterator[_Row] = iter(counting)
    if not arguments.json:
        _print_table(list(rows), counting.total, several, arguments.long, named=bool(paths))
    else:
        # A terminal may show the bar until all is counted.
        for row in list(rows) if is_terminal(sys.stdout) else rows:
            _print_json({"path": row[0]}, row[1])
        if several:
            _print_json({"total": True, "files": counting.files}, counting.total)
    return _status(counting, arguments.budget)


def _status(run: "_Run", budget: int | None) -> int:
    status = 0
    if budget is not None and run.total.tokens > budget:
        excess = run.total.tokens - budget
        complain(f"{_tokens(run.total.tokens)}, {excess} more than the budget of {budget}")
        status = OVER_BUDGET
    return UNUSABLE if run.faults else status


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"


_Row = tuple[str, Totals]


class _Run:
    """One run over files: gives a row for each as it is counted, and keeps the sums.

    What is wrong is said on standard error at once.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        encoder: Tokenizer,
        sources: list[Source | Fault],
    ) -> None:
        self.total = Totals()
        self.files = 0
        self.faults = 0
        self._arguments = arguments
        self._encoder = encoder
        self._sources = sources

    def __iter__(self) -> Iterator[_Row]:
        """The path and the totals of each file."""
        with progress_bar(lambda: files.stored_bytes(self._sources)) as bar:
            counts = files.count(
                self._encoder,
                self._sources,
                field=self._arguments.field,
                bos=self._arguments.bos,
                threads=self._arguments.threads,
                limits={
                    "max_bytes": self._arguments.max_bytes or None,
                    "max_ratio": self._arguments.max_ratio or None,
                },
                progress=bar,
            )
            for path, totals in counts:
                if isinstance(totals, Fault):
                    self.faults += 1
                    complain(str(totals))
                elif totals is not None:
                    self._add(path, totals)
                    yield path, totals

    def _add(self, path: str, totals: Totals) -> None:
        self.files += 1
        self.total.add(totals)
        if totals.invalid_utf8:
            complain(str(Fault(path, "warning: not all of it is UTF-8; counted as is")))


# Output


def _print_table(
    rows: list[_Row], total: Totals, several: bool, long: bool, *, named: bool
) -> None:
    """Numbers to the right, as `wc` has them; a single file's alone for programs to read."""
    person = is_terminal(sys.stdout)
    table = [(_numbers(totals, long), path) for path, totals in rows]
    if several:
        table.append((_numbers(total, long), "total"))
    if person and long and table:
        table.insert(0, (HEADER, "path"))
    widths = [max(map(len, column)) for column in zip(*(row[0] for row in table), strict=True)]
    for numbers, path in table:
        line = "  ".join(number.rjust(width) for number, width in zip(numbers, widths, strict=True))
        if several or (person and named):
            line += f"  {escaped(path) if person else path}"
        write(os.fsencode(line) + b"\n")


def _numbers(totals: Totals, long: bool) -> tuple[str, ...]:
    tokens = str(totals.tokens)
    if not long:
        return (tokens,)
    ratio = totals.bytes_per_token
    shown = "-" if ratio is None else f"{ratio:.2f}"
    return tokens, str(totals.bytes), str(totals.characters), shown


def _print_json(first: dict[str, object], totals: Totals) -> None:
    import json

    numbers = {
        "tokens": totals.tokens,
        "bytes": totals.bytes,
        "characters": totals.characters,
        "bytes_per_token": totals.bytes_per_token,
        "invalid_utf8": totals.invalid_utf8,
        "texts": totals.texts,
    }
    write(json.dumps(first | numbers).encode() + b"\n")
