"""`llama3-tok count --messages`: how many tokens conversations have, and which are too long."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama3_tok.cli.terminal import (
    UNUSABLE,
    UsageError,
    complain,
    is_terminal,
    tokenizer,
    write,
)
from llama3_tok.errors import ChatFormatError, Llama3TokError
from llama3_tok.text.visible import escaped

if TYPE_CHECKING:
    from llama3_tok.data.rows import Form
    from llama3_tok.tokenizer import Tokenizer

ABOVE = 1
# Options of `count` that say nothing about conversations.
FOR_TEXTS = (
    *("field", "long", "bos", "texts", "files_from", "by", "tree", "sort", "top"),
    *("no_total", "each", "decode", "cache"),
)
HEADER = ("tokens", "rows", "mean", "longest", "its line")


@dataclass
class _File:
    """What a file has: how many tokens each row has, and where it is."""

    path: str
    tokens: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Lines from 1, or in a file that is one JSON value, rows from 1."""

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
    for name in FOR_TEXTS:
        if getattr(arguments, name) not in (None, False, []):
            option = {"texts": "text"}.get(name, name.replace("_", "-"))
            raise UsageError(
                f"--{option} is for texts, and --messages has its own output; take it out"
            )
    if not arguments.paths or "-" in arguments.paths:
        raise UsageError("--messages needs PATH: files of conversations")
    encoder = tokenizer(arguments)
    files, faults = [], 0
    for path in arguments.paths:
        try:
            file, skipped = _counted(arguments, encoder, path)
        except (Llama3TokError, OSError) as error:
            reason = str(error.strerror if isinstance(error, OSError) else error)
            complain(reason if reason.startswith(path) else f"{path}: {reason}")
            return UNUSABLE
        faults += skipped
        files.append(file)
    if faults:
        complain(f"{faults:,} rows were skipped" if faults > 1 else "1 row was skipped")
    _print(arguments, files)
    return _status(arguments, files, faults)


def _counted(arguments: argparse.Namespace, encoder: "Tokenizer", path: str) -> tuple[_File, int]:
    from llama3_tok.cli.progress import progress_bar
    from llama3_tok.data.chats import count_chats

    form: Form = "sharegpt" if arguments.sharegpt else "messages"
    given = path if not _is_one_value(path) else _rows_of(path)
    with progress_bar() as bar:

        def progress(rows: int) -> None:
            if bar is not None:
                bar(0, None, f"{rows:,} rows")

        found = count_chats(
            given,
            tokenizer=encoder,
            form=form,
            on_error=arguments.on_error,
            threads=arguments.threads,
            progress=progress,
        )
    for skipped in found.skipped:
        where = skipped.row + 1 if skipped.line is None else skipped.line
        complain(f"{path}:{where}: {skipped.reason}")
    lines = found.rows + 1 if found.lines is None else found.lines
    return _File(path, found.tokens.tolist(), lines.tolist()), len(found.skipped)


def _is_one_value(path: str) -> bool:
    return path.endswith(".json")


def _rows_of(path: str) -> list[Any]:
    """The rows of a file that is one JSON value: several rows, or one."""
    with open(path, "rb") as file:
        try:
            value = json.loads(file.read().decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ChatFormatError(f"this is not JSON: {error}") from None
    is_rows = isinstance(value, list) and not any(
        isinstance(one, dict) and ("role" in one or "from" in one) for one in value[:1]
    )
    return value if is_rows else [value]


def _print(arguments: argparse.Namespace, files: list[_File]) -> None:
    most = arguments.max
    if arguments.json:
        for file in files:
            for row, tokens in zip(file.lines, file.tokens, strict=True):
                _write({"path": file.path, "line": row, "tokens": tokens})
        everything = [tokens for file in files for tokens in file.tokens]
        total: dict[str, Any] = {
            "total": True,
            "files": len(files),
            "rows": len(everything),
            "total_tokens": sum(everything),
            "longest": max(everything, default=0),
        }
        if most is not None:
            total |= {"max": most, "above": sum(tokens > most for tokens in everything)}
        _write(total)
        return
    if arguments.list:
        for file in files:
            for row, tokens in file.above(-1 if most is None else most):
                write(os.fsencode(f"{tokens}  {_shown(file.path)}:{row}\n"))
        return
    rows = [(_numbers(file, most), _shown(file.path)) for file in files]
    if len(files) > 1:
        together = _File("", [], [])
        for file in files:
            together.tokens += file.tokens
            together.lines += file.lines
        rows.append((_numbers(together, most, is_total=True), "total"))
    if is_terminal(sys.stdout):
        header = HEADER if most is None else (*HEADER, f"above {most}")
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
