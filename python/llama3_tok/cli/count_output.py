"""What `llama3-tok count` prints: a table, JSON, groups or a tree."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Protocol

from llama3_tok.cli.count_given import Given
from llama3_tok.cli.terminal import is_terminal, write
from llama3_tok.text.files import Totals
from llama3_tok.text.visible import escaped

__all__ = ["Counting", "Row", "show"]

Row = tuple[str, Totals]
"""A path, or a text that was given, or the name of a group; and its totals."""

HEADER = ("tokens", "bytes", "characters", "bytes/token")
# What a text on the command line is shortened to in a table.
_TEXT_COLUMNS = 60


class Counting(Protocol):
    """A run: its rows, and after them the sums."""

    total: Totals
    files: int
    skipped: dict[str, int]

    def __iter__(self) -> Iterator[Row]:
        """The path and the totals of each file, as it is counted."""


def show(arguments: argparse.Namespace, counting: Counting, what: Given) -> None:
    """Counts and prints."""
    if arguments.tree:
        from llama3_tok.cli import count_tree

        count_tree.show(arguments, list(counting))
    elif arguments.by:
        from llama3_tok.cli import count_groups

        groups = count_groups.grouped(counting, arguments.by)
        rows = _chosen(((name, group.totals) for name, group in groups.items()), arguments, "path")
        numbers = {name: group.files for name, group in groups.items()}
        _show_groups(arguments, counting, rows, numbers)
    elif arguments.json:
        texts = len(what.texts)
        whole = is_terminal(sys.stdout) or arguments.sort or arguments.top is not None
        # A terminal may show the bar until all is counted.
        found: Iterable[Row] = _chosen(counting, arguments, None) if whole else counting
        for index, (name, totals) in enumerate(found):
            key = "text" if _is_text(index, name, texts, what, bool(whole)) else "path"
            _print_json({key: name}, totals)
        if what.several and not arguments.no_total:
            _print_total(counting)
    else:
        rows = _chosen(counting, arguments, None)
        table = [(_numbers(totals, arguments.long), _named(name, what)) for name, totals in rows]
        if what.several and not arguments.no_total:
            table.append((_numbers(counting.total, arguments.long), "total"))
        person = is_terminal(sys.stdout)
        names = what.several or (person and what.is_named)
        header = HEADER if person and arguments.long else None
        print_table(table, header, "path", names=names)


def _is_text(index: int, name: str, texts: int, what: Given, is_sorted: bool) -> bool:
    """Texts come first, unless the rows were sorted."""
    return name in what.texts if is_sorted else index < texts


def _named(name: str, what: Given) -> str:
    """A text is shown in quotation marks, and no longer than a line."""
    if name not in what.texts:
        return name
    short = name if len(name) <= _TEXT_COLUMNS else name[: _TEXT_COLUMNS - 3] + "..."
    return f'"{escaped(short)}"'


def _chosen(rows: Iterable[Row], arguments: argparse.Namespace, default: str | None) -> list[Row]:
    """The rows in the order of `--sort`, and no more than `--top`."""
    found, top = list(rows), arguments.top
    by = arguments.sort or ("tokens" if top is not None else default)
    if by == "path":
        found.sort(key=lambda row: os.fsencode(row[0]))
    elif by is not None:
        # Of equals the one that was found first stays first.
        found.sort(key=lambda row: getattr(row[1], by), reverse=True)
    return found if top is None else found[:top]


def _show_groups(
    arguments: argparse.Namespace, counting: Counting, rows: list[Row], files: dict[str, int]
) -> None:
    if arguments.json:
        for name, totals in rows:
            _print_json({arguments.by: name, "files": files[name]}, totals)
        if not arguments.no_total:
            _print_total(counting)
        return
    table = [
        ((*_numbers(totals, arguments.long), str(files[name])), name or "(none)")
        for name, totals in rows
    ]
    if not arguments.no_total:
        numbers = (*_numbers(counting.total, arguments.long), str(counting.files))
        table.append((numbers, "total"))
    header = (*(HEADER if arguments.long else HEADER[:1]), "files")
    print_table(table, header if is_terminal(sys.stdout) else None, arguments.by, names=True)


def print_table(
    table: list[tuple[tuple[str, ...], str]],
    header: tuple[str, ...] | None,
    last: str,
    *,
    names: bool,
) -> None:
    """Numbers to the right, as `wc` has them; a single file's alone for programs to read."""
    person = is_terminal(sys.stdout)
    if header and table:
        table.insert(0, (header, last))
    widths = [max(map(len, column)) for column in zip(*(row[0] for row in table), strict=True)]
    for numbers, name in table:
        line = "  ".join(number.rjust(width) for number, width in zip(numbers, widths, strict=True))
        if names:
            line += f"  {escaped(name) if person else name}"
        write(os.fsencode(line) + b"\n")


def _numbers(totals: Totals, long: bool) -> tuple[str, ...]:
    tokens = str(totals.tokens)
    if not long:
        return (tokens,)
    ratio = totals.bytes_per_token
    shown = "-" if ratio is None else f"{ratio:.2f}"
    return tokens, str(totals.bytes), str(totals.characters), shown


def _print_total(counting: Counting) -> None:
    """The sums under other names than those of a file, so that adding up the lines is right."""
    first: dict[str, object] = {
        "total": True,
        "files": counting.files,
        "skipped_files": counting.skipped,
    }
    for name, value in _json(counting.total).items():
        is_sum = name in ("tokens", "bytes", "characters", "texts")
        first[f"total_{name}" if is_sum else name] = value
    _write(first)


def _print_json(first: dict[str, object], totals: Totals) -> None:
    _write(first | _json(totals))


def _write(value: dict[str, object]) -> None:
    import json

    write(json.dumps(value).encode() + b"\n")


def _json(totals: Totals) -> dict[str, object]:
    numbers: dict[str, object] = {
        "tokens": totals.tokens,
        "bytes": totals.bytes,
        "characters": totals.characters,
        "bytes_per_token": totals.bytes_per_token,
        "invalid_utf8": totals.invalid_utf8,
        "texts": totals.texts,
    }
    return numbers | {"skipped_lines": totals.skipped} if totals.skipped else numbers
