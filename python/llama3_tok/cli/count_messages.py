"""`llama3-tok count --messages`: how many tokens conversations have, and which are too long."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama3_tok.arguments import MAX_RATIO
from llama3_tok.cli import count_rows
from llama3_tok.cli.terminal import (
    UNUSABLE,
    UsageError,
    complain,
    is_terminal,
    tokenizer,
    write,
)
from llama3_tok.errors import ChatFormatError, InputError, Llama3TokError
from llama3_tok.text import files as text_files
from llama3_tok.text.visible import escaped

if TYPE_CHECKING:
    from llama3_tok.data.rows import Form
    from llama3_tok.tokenizer import Tokenizer

ABOVE = 1
# Options of `count` that do not go with conversations, and why.
FOR_TEXTS = {
    "texts": "it counts a text as it is; give conversations as files or on standard input",
    "field": "it picks one text of each record, and a conversation is counted as a whole",
    "files_from": "name the files or folders as PATH",
    "bos": "the format of a conversation has its own beginning",
    "long": "there are other columns: tokens, rows, the mean, the longest and its line",
    "by": "conversations have a line for each file",
    "tree": "conversations have a line for each file",
    "sort": "files stay as they are named; --max N --list has the longest conversations",
    "top": "--max N --list has the longest conversations",
    "no_total": "the total of conversations is always printed",
    "each": "--budget is for the total, and --max N for each conversation",
    "decode": "JSON is UTF-8",
    "cache": "counts of conversations are not remembered",
    "max_bytes": "packed conversations have the limit of --max-ratio's default",
}
HEADER = ("tokens", "rows", "mean", "longest")


@dataclass
class _File:
    """What a file has: how many tokens each row has, and where it is."""

    path: str
    tokens: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Lines from 1, or in a file that is one JSON value, rows from 1."""
    unit: str = "line"
    """Which of them: "line" or "row"."""

    def place(self, number: int) -> str:
        """Where a row is: `a.jsonl:3` is a line, `a.json[3]` a row."""
        path = _shown(self.path)
        return f"{path}[{number}]" if self.unit == "row" else f"{path}:{number}"

    def above(self, most: int) -> Iterator[tuple[int, int]]:
        """Lines and tokens of the rows that have more."""
        for line, tokens in zip(self.lines, self.tokens, strict=True):
            if tokens > most:
                yield line, tokens

    @property
    def longest(self) -> tuple[int, int]:
        """Its tokens and its line; 0 and 0 without rows."""
        return max(
            zip(self.tokens, self.lines, strict=True), default=(0, 0), key=lambda row: row[0]
        )


def run(arguments: argparse.Namespace) -> int:
    """Counts, prints, and says with the exit code how it went."""
    for name, reason in FOR_TEXTS.items():
        if getattr(arguments, name) not in (None, False, []):
            option = {"texts": "text"}.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option} does not go with --messages: {reason}")
    if arguments.max_ratio != MAX_RATIO:
        raise UsageError(f"--max-ratio does not go with --messages: {FOR_TEXTS['max_bytes']}")
    encoder = tokenizer(arguments)
    files, faults = [], 0
    for path in _paths(arguments):
        try:
            file, skipped = _counted(arguments, encoder, path)
        except InputError as error:  # of a pipe it names a copy
            complain(_of_place(arguments, path, f", line {error.line}", error.reason))
            return UNUSABLE
        except ChatFormatError as error:
            place = "" if error.row is None else f", row {error.row + 1}"
            complain(_of_place(arguments, path, place, error.without_row))
            return UNUSABLE
        except (Llama3TokError, OSError) as error:
            reason = str(error.strerror if isinstance(error, OSError) else error)
            complain(reason if reason.startswith(path) else f"{path}: {reason}")
            return UNUSABLE
        faults += skipped
        files.append(file)
    if not files:
        complain("note: no file matches")
    if faults:
        complain(f"{faults:,} rows were skipped" if faults > 1 else "1 row was skipped")
    _print(arguments, files, faults)
    return _status(arguments, files, faults)


def _paths(arguments: argparse.Namespace) -> list[str]:
    """The files that are named, and those of folders that may have conversations."""
    paths = arguments.paths
    if not paths:
        if is_terminal(sys.stdin):
            raise UsageError("give PATH, or - to read standard input")
        return [text_files.STANDARD_INPUT]
    if paths.count(text_files.STANDARD_INPUT) > 1:
        raise UsageError("standard input can be counted only once")
    found = []
    for source in text_files.find(
        paths, hidden=arguments.hidden, no_ignore=arguments.no_ignore, globs=arguments.glob
    ):
        if isinstance(source, text_files.Fault):
            complain(str(source))
        elif not source.walked or source.path.lower().endswith(count_rows.JSON):
            found.append(source.path)
    return found


def _of_place(arguments: argparse.Namespace, path: str, place: str, reason: str) -> str:
    """A message about a row, in the words of the command: the file's name is none of them."""
    name = "standard input" if path == text_files.STANDARD_INPUT else path
    return f"{name}{place}: {arguments.in_options(reason)}"


def _counted(arguments: argparse.Namespace, encoder: "Tokenizer", path: str) -> tuple[_File, int]:
    from llama3_tok.cli.progress import progress_bar
    from llama3_tok.data.chats import count_chats

    form: Form = "sharegpt" if arguments.sharegpt else "messages"
    with count_rows.opened(path) as given, progress_bar() as bar:

        def progress(rows: int) -> None:
            if bar is not None:
                bar(0, None, f"{rows:,} rows")

        found = count_chats(
            given.chats,
            tokenizer=encoder,
            form=form,
            on_error=arguments.on_error,
            threads=arguments.threads,
            progress=progress,
        )
    numbers = found.rows + 1 if found.lines is None else found.lines
    file = _File(path, found.tokens.tolist(), numbers.tolist(), given.unit)
    for skipped in found.skipped:
        where = skipped.row + 1 if skipped.line is None else skipped.line
        complain(f"{file.place(where)}: {arguments.in_options(skipped.reason)}")
    return file, len(found.skipped)


def _print(arguments: argparse.Namespace, files: list[_File], faults: int) -> None:
    most = arguments.max
    least = most if arguments.list and most is not None else -1
    if arguments.json:
        for file in files:
            for number, tokens in file.above(least):
                _write({"path": file.path, file.unit: number, "tokens": tokens})
        everything = [tokens for file in files for tokens in file.tokens]
        total: dict[str, Any] = {
            "total": True,
            "files": len(files),
            "rows": len(everything),
            "total_tokens": sum(everything),
            "longest": max(everything, default=0),
        }
        if arguments.on_error == "skip":
            total["skipped_rows"] = faults
        if most is not None:
            total |= {"max": most, "above": sum(tokens > most for tokens in everything)}
        _write(total)
        return
    if arguments.list:
        for file in files:
            for number, tokens in file.above(least):
                write(os.fsencode(f"{tokens}  {file.place(number)}\n"))
        return
    rows = [(_numbers(file, most), _shown(file.path)) for file in files]
    if len(files) != 1:
        together = _File("", [], [])
        for file in files:
            together.tokens += file.tokens
            together.lines += file.lines
        rows.append((_numbers(together, most, is_total=True), "total"))
    if is_terminal(sys.stdout):
        units = " or ".join(sorted({file.unit for file in files}))
        header = (
            (*HEADER, f"its {units}")
            if most is None
            else (*HEADER, f"its {units}", f"above {most}")
        )
        rows.insert(0, (header, "path"))
    widths = [max(map(len, column)) for column in zip(*(row[0] for row in rows), strict=True)]
    for numbers, name in rows:
        line = "  ".join(one.rjust(width) for one, width in zip(numbers, widths, strict=True))
        write(os.fsencode(f"{line}  {name}\n"))


def _numbers(file: _File, most: int | None, *, is_total: bool = False) -> tuple[str, ...]:
    total, (longest, line) = sum(file.tokens), file.longest
    mean = f"{total / len(file.tokens):.1f}" if file.tokens else "-"
    shown = "-" if is_total or not line else str(line)
    numbers = (str(total), str(len(file.tokens)), mean, str(longest), shown)
    return numbers if most is None else (*numbers, str(len(list(file.above(most)))))


def _shown(path: str) -> str:
    return escaped(path) if is_terminal(sys.stdout) else path


def _write(value: dict[str, Any]) -> None:
    write(json.dumps(value).encode() + b"\n")


def _status(arguments: argparse.Namespace, files: list[_File], faults: int) -> int:
    status, most = 0, arguments.max
    total = sum(sum(file.tokens) for file in files)
    if arguments.budget is not None and total > arguments.budget:
        excess = total - arguments.budget
        complain(f"{total} tokens, {excess} more than the budget of {arguments.budget}")
        status = ABOVE
    if most is not None:
        above = sum(1 for file in files for _ in file.above(most))
        if above:
            rows = "1 conversation has" if above == 1 else f"{above} conversations have"
            complain(f"{rows} more than {most} tokens")
            status = ABOVE
    return UNUSABLE if faults else status
